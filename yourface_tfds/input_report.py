"""The figures of `input_benchmark` as a table and as a picture."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

from yourface_tfds import card, cli, storage

JSON_NAME = "benchmark_input.json"
PICTURE_NAME = "benchmark_input.png"

_Result = Mapping[str, Any]
_Cell = Callable[[_Result], str]

WIDTH = 1280
_PAD, _LABELS, _VALUES = 40, 420, 190
_ROW, _BAR, _HEAD = 38, 22, 54
_PAPER = (255, 252, 246)
_INK = (38, 34, 40)
_GREY = (104, 97, 100)
_GRID = (232, 224, 216)
_OTHERS = (186, 178, 176)
_OURS = (232, 93, 79)


def write(result: _Result, folder: str | os.PathLike[str]) -> list[str]:
  """Writes the JSON and the picture; returns their paths."""
  data = storage.path(folder) / JSON_NAME
  drawn = storage.path(folder) / PICTURE_NAME
  storage.write_text(data, cli.dump_json(result) + "\n")
  with storage.replaced_file(drawn) as temporary:
    picture(result).save(temporary)
  return [str(data), str(drawn)]


def _groups(result: _Result) -> list[tuple[str, list[_Result]]]:
  """Returns the encodings and their rows with a speed, fastest first."""
  groups = []
  for encoding in ("raw", "jpeg"):
    rows = [
      row
      for row in result["ways"]
      if row["encoding"] == encoding and not row["reason"]
    ]
    if rows:
      rows.sort(key=lambda row: -row["images_per_second"])
      groups.append((encoding, rows))
  return groups


def table(result: _Result) -> str:
  """Returns the table, and below it what did not run and what to mind."""
  lines = [caption(result)]
  columns = _columns(result)
  for encoding, rows in _groups(result):
    words = [encoding, *(name for name, _ in columns)]
    cells = [words] + [
      [row["title"], *(cell(row) for _, cell in columns)] for row in rows
    ]
    lines += ["", *_aligned(cells)]
  lines += _below(result)
  return "\n".join(lines)


def _columns(result: _Result) -> list[tuple[str, _Cell]]:
  def number(key: str, form: str) -> _Cell:
    def cell(row: _Result) -> str:
      return "-" if row[key] is None else format(row[key], form)

    return cell

  columns = [
    ("images/s", number("images_per_second", ",.0f")),
    ("x stock", number("ratio_to_stock", ".2f")),
    ("x memcpy", number("ratio_to_memcpy", ".3f")),
    ("x FFCV", number("ratio_to_ffcv", ".2f")),
    ("MB", number("peak_anonymous_mb", ",.0f")),
    ("first ms", number("first_batch_ms", ",.1f")),
    ("start ms", number("first_start_ms", ",.0f")),
    ("waited", number("waited_share", ".1%")),
    ("shuffle", lambda row: row["shuffle"]),
  ]
  measured = {
    "x FFCV": any(row["ratio_to_ffcv"] for row in result["ways"]),
    "waited": bool(result["step_ms"]),
  }
  return [column for column in columns if measured.get(column[0], True)]


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
  """Returns lines: the first and last column to the left, others right."""
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = []
  for first, *numbers, last in cells:
    words = [first.ljust(widths[0])]
    for word, width in zip(numbers, widths[1:], strict=False):
      words.append(word.rjust(width))
    lines.append("  ".join([*words, last]).rstrip())
  return lines


def _below(result: _Result) -> list[str]:
  lines = [
    "",
    "MB: peak of anonymous memory above the imported process. first ms: to the "
    "first\nbatch of a new epoch; start ms: after opening the dataset.",
  ]
  if result["step_ms"]:
    lines.append(
      f"waited: share of the time that a consumer waits which works "
      f"{result['step_ms']:g} ms on each batch."
    )
  for encoding, name in result["fastest_peer"].items():
    others = [
      row
      for row in result["ways"]
      if row["encoding"] == encoding and not row["ours"]
    ]
    ours = [
      row["ratio_to_fastest_peer"]
      for row in result["ways"]
      if row["ours"] and row["encoding"] == encoding
    ]
    ratios = [f"{ratio:.2f}" for ratio in ours if ratio is not None]
    if len(others) > 2 and ratios:
      lines.append(
        f"Fastest peer of {encoding}: {name}; ours are {' and '.join(ratios)} "
        "times as fast"
      )
  for row in result["ways"]:
    if row["reason"]:
      lines.append(f"No figure of {row['title']}: {row['reason']}")
    elif row["note"].startswith("cached"):
      lines.append(f"{row['title']}: {row['note'].partition(';')[0]}")
  if result["mind"]:
    lines.append(f"Mind: {result['mind']}")
  return lines


def caption(result: _Result) -> str:
  """Returns what was measured, where and when, on two lines."""
  on = result["machine"]
  side = result["image_size"]
  return (
    f"{result['examples']:,} faces of {side}x{side}, batches of "
    f"{result['batch_size']}, median of {result['rounds']} interleaved "
    f"epochs\n{on['cpu']}, {on['cores']} cores, {on['memory_gb']:.0f} GB, "
    f"Python {on['python']}, TensorFlow {on['tensorflow']}, {on['date']}"
  )


def picture(result: _Result) -> Image.Image:
  """Draws the speeds as bars on a logarithmic scale.

  Returns:
    An RGB image, `WIDTH` pixels wide.
  """
  groups = _groups(result)
  rows = sum(len(rows) for _, rows in groups)
  top = _PAD + 130
  bottom = top + rows * _ROW + len(groups) * _HEAD + 10
  image = Image.new("RGB", (WIDTH, bottom + 110), _PAPER)
  pen = ImageDraw.Draw(image)
  pen.text(
    (_PAD, _PAD), "Images a second", fill=_INK, font=card.font(34, bold=True)
  )
  pen.text(
    (_PAD, _PAD + 50),
    "The same faces in batches, by ways to read them; log scale",
    fill=_GREY,
    font=card.font(20),
  )
  scale = _Scale(
    [row["images_per_second"] for _, rows in groups for row in rows]
  )
  scale.draw(pen, top, bottom)
  y = top
  for encoding, members in groups:
    head = {"raw": "Plain uint8", "jpeg": "JPEG"}[encoding]
    pen.text(
      (_PAD, y + _HEAD / 2 + 4),
      head,
      fill=_INK,
      font=card.font(22, bold=True),
      anchor="lm",
    )
    y += _HEAD
    for row in members:
      _draw_bar(pen, y, row, scale)
      y += _ROW
  pen.multiline_text(
    (_PAD, bottom + 44),
    caption(result),
    fill=_GREY,
    font=card.font(18),
    spacing=8,
  )
  return image


class _Scale:
  """Where a speed lies, on an axis of whole powers of ten."""

  def __init__(self, speeds: Sequence[float]) -> None:
    low, high = min(speeds, default=1), max(speeds, default=10)
    # A bar of the slowest is to be seen.
    self._low = max(0, math.floor(math.log10(low) - 0.05))
    self._high = max(math.ceil(math.log10(high)), self._low + 1)
    self.left = _PAD + _LABELS
    self._right = WIDTH - _PAD - _VALUES

  def x(self, speed: float) -> float:
    share = (math.log10(speed) - self._low) / (self._high - self._low)
    return self.left + share * (self._right - self.left)

  def draw(self, pen: ImageDraw.ImageDraw, top: float, bottom: float) -> None:
    for power in range(self._low, self._high + 1):
      x = self.x(10**power)
      pen.line((x, top, x, bottom), fill=_GRID, width=2)
      pen.text(
        (x, bottom + 6),
        f"{10**power:,}",
        fill=_GREY,
        font=card.font(16),
        anchor="ma",
      )


def _draw_bar(
  pen: ImageDraw.ImageDraw, y: float, row: _Result, scale: _Scale
) -> None:
  middle, end = y + _ROW / 2, scale.x(row["images_per_second"])
  ink = _INK if row["ours"] else _GREY
  face = card.font(19, bold=row["ours"])
  pen.text(
    (scale.left - 14, middle), row["title"], fill=ink, font=face, anchor="rm"
  )
  pen.rectangle(
    (scale.left, middle - _BAR / 2, end, middle + _BAR / 2),
    fill=_OURS if row["ours"] else _OTHERS,
  )
  words = f"{row['images_per_second']:,.0f}"
  if row["ratio_to_stock"] is not None and row["ours"]:
    words += f"  ({row['ratio_to_stock']:.1f} x stock)"
  pen.text(
    (end + 10, middle),
    words,
    fill=ink,
    font=face,
    anchor="lm",
    stroke_width=4,  # Over the grid's lines.
    stroke_fill=_PAPER,
  )
