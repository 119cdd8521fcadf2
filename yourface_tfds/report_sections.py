"""The tables and plots of report.html, one function each.

Everything that comes from outside (people, photos, splits) is escaped here.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from yourface_tfds import labels, report_plots, report_text


def table(rows: Sequence[Sequence[str]]) -> str:
  """Returns a table; the first row and column are headings.

  Args:
    rows: plain text, a line break within a cell is kept.
  """
  lines = []
  for y, row in enumerate(rows):
    cells = []
    for x, cell in enumerate(row):
      tag = "th" if not x or not y else "td"
      shown = html.escape(cell).replace("\n", "<br>")
      cells.append(f"<{tag}>{shown}</{tag}>")
    lines.append(f"<tr>{''.join(cells)}</tr>")
  return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def calibration(fitted: Mapping[str, Any]) -> str:
  """Returns the temperature of each head in words."""
  if not fitted["heads"]:
    return f"<h2>Calibration</h2><p>None: {html.escape(fitted['note'])}.</p>"
  items = "".join(
    f"<li>{html.escape(head)}: {html.escape(one['text'])}</li>"
    for head, one in fitted["heads"].items()
  )
  return (
    "<h2>Calibration</h2><p>One temperature a head; above 1, the model was "
    f"surer than right.</p><ul>{items}</ul>"
  )


def training(trained: Mapping[str, Any] | None) -> str:
  """Returns the curves of a run: loss, then the accuracy of each head."""
  history = (trained or {}).get("history") or []
  if not history:
    return "<p>No figures of the training: train.json is missing.</p>"
  best = (trained or {}).get("best_epoch")
  mark = (best, "best epoch") if isinstance(best, int) else None
  plots = []
  for key in ("loss", *labels.HEADS):
    series = _series(history, key)
    if not series:
      continue
    values = [y for one in series for _, y in one.points if y is not None]
    top = max(1.0, *values) if key != "loss" else max(values) or 1.0
    axes = report_plots.Axes(
      x_name="epoch",
      y_name="loss" if key == "loss" else "accuracy",
      x=(1, max(len(history), 2)),
      y=(min(0.0, *values, 0.0), top),
    )
    plots.append(report_plots.lines(series, axes, title=key, mark=mark))
  return f'<div class="row">{"".join(plots)}</div>'


def _series(
  history: Sequence[Mapping[str, Any]], key: str
) -> list[report_plots.Line]:
  """Lines of a figure on train and on validation, those that have values."""
  series = []
  for name in (key, f"validation_{key}"):
    points: list[tuple[float, float | None]] = []
    for epoch, figures in enumerate(history, 1):
      value = figures.get(name)
      if not isinstance(value, int | float) or not math.isfinite(value):
        value = None
      points.append((epoch, value))
    if any(y is not None for _, y in points):
      dashed = name != key
      series.append(report_plots.Line(name=name, points=points, dashed=dashed))
  return series


def coverage(head: str, values: Mapping[str, Any]) -> str:
  """Returns accuracy against coverage, with the figures of four coverages."""
  curve = values["coverage"]
  accuracies = [accuracy for _, accuracy in curve["points"]]
  low = math.floor(10 * min(accuracies)) / 10
  picture = report_plots.lines(
    [
      report_plots.Line(name="accuracy", points=curve["points"]),
      report_plots.Line(
        name="of all photos",
        points=[(0.0, values["accuracy"]), (1.0, values["accuracy"])],
        dashed=True,
      ),
    ],
    report_plots.Axes(
      x_name="share of the photos answered, surest first",
      y_name="accuracy",
      y=(min(low, 0.9), 1.0),
    ),
    title=f"{head}: accuracy against coverage, area {curve['area']:.3f}",
  )
  rows = [["answered", "accuracy", "photos", "confidence from"]]
  rows += [
    [
      f"{share} %",
      f"{one['accuracy']:.3f}",
      f"{one['examples']:,}",
      f"{one['threshold']:.3f}",
    ]
    for share, one in curve["at"].items()
  ]
  return f"{picture}<div>{table(rows)}</div>"


def confusion(head: str, values: Mapping[str, Any]) -> str:
  """Returns the confusion matrix, shaded by the share of its row."""
  words = [
    f"{html.escape(name)}<br>{html.escape(korean)}"
    for name, korean in zip(
      values["classes"], labels.HEADS[head].korean, strict=True
    )
  ]
  headings = "".join(f"<th>{word}</th>" for word in words)
  lines = [f"<tr><th>labelled \\ answered</th>{headings}</tr>"]
  for i, row in enumerate(values["confusion"]):
    total = sum(row)
    cells = []
    for j, count in enumerate(row):
      share = count / total if total else 0.0
      colour = "37,99,235" if i == j else "217,72,15"
      style = f"background:rgba({colour},{0.75 * share:.2f})"
      cells.append(f'<td style="{style}">{count:,}</td>')
    lines.append(f"<tr><th>{words[i]}</th>{''.join(cells)}</tr>")
  return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def slices(figures: Mapping[str, Any]) -> str:
  """Returns the accuracy of every head on each part of a split."""
  heads = list(labels.HEADS)
  rows = [["part", "photos", "people", *heads]]
  for part in figures["slices"]:
    cells = []
    for head in heads:
      values = part["heads"][head]
      if "accuracy" not in values:
        cells.append("no known label")
        continue
      shown = report_text.with_interval(
        values["accuracy"], values["interval_95"]
      )
      base = report_text.number(values["majority_baseline"])
      cells.append(f"{shown}\nbaseline {base}, {values['examples']:,} photos")
    name = f"{part['by']}: {part['value']} ({part['word']})"
    rows.append([name, f"{part['examples']:,}", f"{part['people']:,}", *cells])
  left_out = figures["left_out"]
  note = f"<p>Left out: {html.escape(left_out)}.</p>" if left_out else ""
  return table(rows) + note
