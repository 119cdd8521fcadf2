"""Plots as inline SVG, without a plotting library (Matplotlib's import: 1 s).

report_plots.lines([report_plots.Line(name="loss", points=points)], ...)
"""

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = ("#2563eb", "#d9480f", "#2b8a3e", "#862e9c")
_WIDTH, _HEIGHT = 340, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 36
_GREY = "#868e96"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
  """One line of a plot.

  Attributes:
    name: for the legend.
    points: x and y; a y of None interrupts the line.
    dashed: how it is drawn.
  """

  name: str
  points: Sequence[tuple[float, float | None]]
  dashed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axes:
  """The window of a plot: ranges of x and y, and their names."""

  x_name: str
  y_name: str
  x: tuple[float, float] = (0.0, 1.0)
  y: tuple[float, float] = (0.0, 1.0)

  def at(self, x: float, y: float) -> tuple[float, float]:
    """Returns the place of a point in the picture."""
    return (
      _LEFT
      + (x - self.x[0])
      / ((self.x[1] - self.x[0]) or 1)
      * (_WIDTH - _LEFT - _RIGHT),
      _HEIGHT
      - _BOTTOM
      - (y - self.y[0])
      / ((self.y[1] - self.y[0]) or 1)
      * (_HEIGHT - _TOP - _BOTTOM),
    )


def lines(
  series: Sequence[Line],
  axes: Axes,
  *,
  title: str,
  mark: tuple[float, str] | None = None,
) -> str:
  """Draws lines with a legend.

  Args:
    series: what is drawn; at most four colours.
    axes: the window.
    title: what the picture shows, for people who do not see it.
    mark: an x to mark with a vertical line, and what it is.

  Returns:
    A figure element.
  """
  parts = []
  if mark:
    x, top = axes.at(mark[0], axes.y[1])
    parts.append(
      f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" '
      f'y2="{_HEIGHT - _BOTTOM}" stroke="{_GREY}" stroke-dasharray="2 3"/>'
    )
  legend = []
  for line, colour in zip(series, COLOURS, strict=False):
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    style = f'fill="none" stroke="{colour}" stroke-width="2"{dash}'
    for run in _runs(line.points):
      places = [axes.at(*point) for point in run]
      if len(places) == 1:  # A line of one point would not show.
        x, y = places[0]
        parts.append(
          f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        )
      else:
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{text}" {style}/>')
    legend.append(_key(line.name, colour))
  if mark:
    legend.append(_key(mark[1], _GREY))
  return _figure(parts, axes, title, legend)


def reliability(bins: Sequence[Mapping[str, Any]], *, title: str) -> str:
  """Draws accuracy against confidence, a bar for each bin that is not empty.

  Args:
    bins: as from `calibration.reliability`.
    title: what the picture shows.

  Returns:
    A figure element; a bar is the darker the more photos it stands for.
  """
  axes = Axes(x_name="confidence", y_name="accuracy")
  most = max((one["examples"] for one in bins), default=0)
  parts = []
  for one in bins:
    if not one["examples"]:
      continue
    left, top = axes.at(one["low"], one["accuracy"])
    right, bottom = axes.at(one["high"], 0.0)
    depth = 0.2 + 0.8 * one["examples"] / most
    parts.append(
      f'<rect x="{left + 0.5:.1f}" y="{top:.1f}" '
      f'width="{right - left - 1:.1f}" height="{bottom - top:.1f}" '
      f'fill="{COLOURS[0]}" fill-opacity="{depth:.2f}">'
      f"<title>{one['examples']} photos, confidence {one['confidence']:.3f}, "
      f"accuracy {one['accuracy']:.3f}</title></rect>"
    )
    x, y = axes.at(one["confidence"], one["accuracy"])
    parts.append(
      f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[1]}"/>'
    )
  (x1, y1), (x2, y2) = axes.at(0, 0), axes.at(1, 1)
  parts.append(
    f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
    f'stroke="{_GREY}" stroke-dasharray="4 3"/>'
  )
  legend = [
    _key("accuracy", COLOURS[0]),
    _key("mean confidence", COLOURS[1]),
    _key("as sure as right", _GREY),
  ]
  return _figure(parts, axes, title, legend)


def _runs(
  points: Sequence[tuple[float, float | None]],
) -> list[list[tuple[float, float]]]:
  """Cuts a line where a value is missing."""
  runs: list[list[tuple[float, float]]] = [[]]
  for x, y in points:
    if y is not None:
      runs[-1].append((x, y))
    elif runs[-1]:
      runs.append([])
  return [run for run in runs if run]


def _figure(
  parts: Sequence[str], axes: Axes, title: str, legend: Sequence[str]
) -> str:
  shown = html.escape(title)
  return (
    f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{shown}">{_grid(axes)}{"".join(parts)}</svg>'
    f"<figcaption>{shown}<br>{' '.join(legend)}</figcaption></figure>"
  )


def _key(name: str, colour: str) -> str:
  return (
    f'<span class="key"><i style="background:{colour}"></i> '
    f"{html.escape(name)}</span>"
  )


def _grid(axes: Axes) -> str:
  parts = []
  for value in _ticks(*axes.y):
    x, y = axes.at(axes.x[0], value)
    parts.append(
      f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" '
      'stroke="#e9ecef"/>' + _words(x - 5, y + 4, f"{value:g}", anchor="end")
    )
  for value in _ticks(*axes.x):
    x, y = axes.at(value, axes.y[0])
    parts.append(
      f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{y + 4:.1f}" '
      f'stroke="{_GREY}"/>' + _words(x, y + 15, f"{value:g}")
    )
  left, bottom = axes.at(axes.x[0], axes.y[0])
  parts.append(
    f'<line x1="{left}" y1="{bottom}" x2="{_WIDTH - _RIGHT}" y2="{bottom}" '
    f'stroke="{_GREY}"/>'
  )
  middle = (_LEFT + _WIDTH - _RIGHT) / 2
  parts.append(_words(middle, _HEIGHT - 6, axes.x_name))
  height = (_TOP + _HEIGHT - _BOTTOM) / 2
  turn = f' transform="rotate(-90 11 {height:g})"'
  parts.append(_words(11, height, axes.y_name, more=turn))
  return "".join(parts)


def _words(
  x: float, y: float, text: str, *, anchor: str = "middle", more: str = ""
) -> str:
  return (
    f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>'
    f"{html.escape(text)}</text>"
  )


def _ticks(low: float, high: float) -> list[float]:
  """Returns up to six round numbers from low to high."""
  if high <= low:
    return [low]
  rough = (high - low) / 5
  scale = 10 ** math.floor(math.log10(rough))
  step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough * 0.999)
  first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  return [round(i * step, 10) for i in range(first, last + 1)]
