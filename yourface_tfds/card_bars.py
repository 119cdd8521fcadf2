"""The bars of the card: the likeliest classes of each head, and the rest.

  card_bars.draw(picture, probabilities, heads, "ko", (64, 872, 1016, 1262))

A head with many classes gets a bar for each of the likeliest, and one hollow
bar with the sum of all others: eleven bars of equal weight would hide both.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from yourface_tfds import labels, lettering, paint

_TITLES = {
  "ko": {"gender": "성별", "job": "직업", "face_type": "동물상"},
  "en": {"gender": "Gender", "job": "Job", "face_type": "Animal face"},
}
REST = {"ko": "나머지 {}가지 모두", "en": "{} others together"}

_GUTTER = 64
_ROW = 62
_SMALLEST_ROW = 44
_MOST_ROWS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Row:
  """One bar: a class, or all the classes without a bar of their own.

  `color` is a key of the palette, None for the others together.
  """

  word: str
  value: float
  color: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Block:
  """One head: its title and its bars."""

  title: str
  rows: list[_Row]

  @property
  def units(self) -> int:
    """Rows that it takes, with its title."""
    return len(self.rows) + 1


def title(head: str, language: str) -> str:
  """Returns what a head is called; its own name, if a user has added it."""
  words = head.replace("_", " ")
  return _TITLES[language].get(head, words[:1].upper() + words[1:])


def draw(
  picture: Image.Image,
  probabilities: Mapping[str, Sequence[float]],
  heads: Mapping[str, labels.Head],
  language: str,
  box: paint.Box,
) -> None:
  """Draws the bars of all heads, in as large rows as there is room for.

  Args:
    picture: RGB, painted on.
    probabilities: head -> float[classes], 0..1.
    heads: head -> vocabulary.
    language: "ko" or "en".
    box: where.
  """
  left, top, right, bottom = box
  columns, pitch = [], 0.0
  for most in range(_MOST_ROWS, 0, -1):
    blocks = [
      _Block(
        title=title(head, language),
        rows=_rows(heads[head], values, language, most),
      )
      for head, values in probabilities.items()
    ]
    columns = _columns(blocks)
    units = max(sum(block.units for block in column) for column in columns)
    pitch = min(_ROW, (bottom - top) / units)
    if pitch >= _SMALLEST_ROW:
      break
  width = (right - left + _GUTTER) / len(columns) - _GUTTER
  for number, column in enumerate(columns):
    x, y = left + number * (width + _GUTTER), top
    for block in column:
      _draw_block(picture, block, (x, y, x + width), pitch)
      y += block.units * pitch


def _rows(
  vocabulary: labels.Head, values: Sequence[float], language: str, most: int
) -> list[_Row]:
  """Returns the likeliest classes, and one row for all the others."""
  words = vocabulary.korean if language == "ko" else vocabulary.names
  order = np.argsort(-np.asarray(values, np.float64), kind="stable").tolist()
  # One class left over is shown by its name, in the row it would take anyway.
  shown = order if len(order) <= most + 1 else order[:most]
  rows = [
    _Row(word=words[i], value=values[i], color="other" if rank else "bar")
    for rank, i in enumerate(shown)
  ]
  others = order[len(shown) :]
  if others:
    rows.append(
      _Row(
        word=REST[language].format(len(others)),
        value=math.fsum(values[i] for i in others),
        color=None,
      )
    )
  return rows


def _columns(blocks: list[_Block]) -> list[list[_Block]]:
  """Deals blocks to two columns of about the same height, in their order."""
  if len(blocks) == 1:
    return [blocks]
  heights, chosen = [0, 0], {}
  for i in sorted(range(len(blocks)), key=lambda i: -blocks[i].units):
    column = heights.index(min(heights))
    heights[column] += blocks[i].units
    chosen[i] = column
  return [
    [block for i, block in enumerate(blocks) if chosen[i] == column]
    for column in (chosen[0], 1 - chosen[0])
  ]


def _draw_block(
  picture: Image.Image,
  block: _Block,
  place: tuple[float, float, float],
  pitch: float,
) -> None:
  """Draws a title and its rows at left, top, right."""
  left, y, right = place
  size = round(pitch * 0.42)
  small = _word_size(block.rows, right - left, pitch)
  paint.write(
    picture,
    block.title,
    (left, y + pitch * 0.58),
    size=(size, size),
    room=(right - left, pitch),
    color="soft",
    bold=True,
    anchor="l",
  )
  for row in block.rows:
    y += pitch
    _draw_row(picture, row, (left, y, right), pitch, small)


def _word_size(rows: list[_Row], width: float, pitch: float) -> int:
  """Returns the size of letters in which all the words of a head fit."""
  size = round(pitch * 0.45)
  return min(
    round(
      lettering.fit(
        row.word,
        face=lettering.font(size, bold=True),
        width=_word_room(width, size),
        height=pitch / 2,
        smallest=round(size * 0.7),
      ).face.size
    )
    for row in rows
  )


def _word_room(width: float, size: int) -> float:
  # "100.0 %", the widest number, is 4.1 times as wide as its letters are high.
  return width - 5 * size


def _draw_row(
  picture: Image.Image,
  row: _Row,
  place: tuple[float, float, float],
  pitch: float,
  small: int,
) -> None:
  """Draws the word, in `small` letters, the number and the bar below them."""
  left, top, right = place
  size, middle = round(pitch * 0.45), top + pitch * 0.3
  best = row.color == "bar"
  paint.write(
    picture,
    paint.percent(row.value),
    (right, middle),
    size=(size, size),
    room=(right - left, pitch),
    color="strong" if best else "soft",
    bold=best,
    anchor="r",
  )
  paint.write(
    picture,
    row.word,
    (left, middle),
    size=(small, small),
    room=(_word_room(right - left, size), pitch / 2),
    color="ink" if row.color else "soft",
    bold=best,
    anchor="l",
  )
  high = max(4, round(pitch * 0.19))
  y = round(top + pitch * 0.62)
  paint.rounded(
    picture, (left, y, right, y + high), high, paint.PALETTE["track"]
  )
  end = left + (right - left) * min(row.value, 1.0)
  color = paint.PALETTE[row.color or "other"]
  paint.rounded(picture, (left, y, end, y + high), high, color)
  if row.color is None:
    edge = max(1, high // 5)
    paint.rounded(
      picture,
      (left + edge, y + edge, end - edge, y + high - edge),
      high,
      paint.PALETTE["paper"],
    )
