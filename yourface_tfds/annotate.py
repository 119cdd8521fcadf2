"""The whole photo with a box and a short label for each face.

  marks = [annotate.Mark(box=(0.2, 0.3, 0.6, 0.7), text="고양이", number=1)]
  picture = annotate.draw(photo, marks)    # PIL.Image, RGB

Labels are dark plates with white words, so that they can be read on any photo.
Where they go is searched: each tries the places around its box, and those that
hide a face or another label are the last to be taken.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from yourface_tfds import lettering, paint

LONGEST = 1600
"""The long side of a picture is at most this, pixels."""

# A face of 40 pixels would be as large as one letter, and many faces need many
# letters: what the long side has at least, and more for each face.
_SMALLEST_LONG, _FOR_A_FACE, _SMALLEST_SHORT = 640, 40, 360
_SIZES = (1.0, 0.85, 0.7, 0.55, 0.45)
_SMALLEST_LETTERS = 12
_ROUNDS = 3
# What it costs to hide a pixel: of another label, another box, the own box.
_LABEL_COST, _OTHER_COST, _OWN_COST = 30.0, 10.0, 1.0
_GAP = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
  """One face of a photo.

  Attributes:
    box: y_min, x_min, y_max, x_max, 0..1 of the upright photo; what lies
      outside is not drawn.
    text: short words beside the box; "" for none.
    number: shown before the words; None for none.
  """

  box: Sequence[float]
  text: str = ""
  number: int | None = None

  def __post_init__(self) -> None:
    if len(self.box) != 4 or not all(math.isfinite(x) for x in self.box):
      raise ValueError(f"Got box {list(self.box)}; it has 4 finite numbers.")
    y_min, x_min, y_max, x_max = self.box
    if y_min > y_max or x_min > x_max:
      raise ValueError(
        f"Got box {list(self.box)}; its order is y_min, x_min, y_max, x_max."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Label:
  """The words of a mark, in the font they fit in; sizes in pixels."""

  number: str
  block: lettering.Block
  number_width: int
  width: int
  height: int


def draw(photo: np.ndarray, marks: Sequence[Mark]) -> Image.Image:
  """Draws the boxes and labels.

  Args:
    photo: uint8[height, width, 3], upright RGB.
    marks: the faces, in any order.

  Returns:
    RGB, the whole photo: shrunk to `LONGEST`, and a small one enlarged so that
    letters have room. A label too wide for the picture is cut off.

  Raises:
    ValueError: `photo` is no array of RGB pixels.
    FileNotFoundError: the font's package is not installed.
  """
  if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
    raise ValueError(f"Got a photo of shape {photo.shape}; it is [h, w, 3].")
  if photo.dtype != np.uint8:
    raise ValueError(f"Got a photo of {photo.dtype}; it is uint8.")
  picture = _scaled(photo, len(marks))
  boxes = [_in_pixels(mark.box, picture.size) for mark in marks]
  for box in boxes:
    _frame(picture, box)
  for label, corner in _layout(marks, boxes, picture.size):
    _plate(picture, label, corner)
  return picture


def _scaled(photo: np.ndarray, faces: int) -> Image.Image:
  image = Image.fromarray(photo)
  long, short = max(image.size), min(image.size)
  wanted = _SMALLEST_LONG + _FOR_A_FACE * faces
  scale = max(1.0, wanted / long, _SMALLEST_SHORT / short)
  scale = min(scale, LONGEST / long)
  width, height = (max(1, round(side * scale)) for side in image.size)
  way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
  return image.resize((width, height), way)


def _in_pixels(box: Sequence[float], size: tuple[int, int]) -> paint.Box:
  y_min, x_min, y_max, x_max = (min(max(x, 0.0), 1.0) for x in box)
  width, height = size
  return x_min * width, y_min * height, x_max * width, y_max * height


def _unit(size: tuple[int, int]) -> float:
  """The size of letters on a picture with few faces, pixels."""
  return min(max(max(size) * 0.022, 18), 32)


def _frame(picture: Image.Image, box: paint.Box) -> None:
  """Draws a coloured line between two white ones: seen on any photo."""
  left, top, right, bottom = (round(value) for value in box)
  # Thinner on a small face, or it would hide it.
  short = min(right - left, bottom - top)
  line = max(1, min(round(_unit(picture.size) / 6), short // 24))
  edge = max(1, line // 2)
  outside = line // 2 + edge
  pen = ImageDraw.Draw(picture)
  for color, beyond, width in (
    ("white", outside, line + 2 * edge),
    ("bar", outside - edge, line),
  ):
    inset = outside - beyond
    corners = (
      max(left - beyond, inset),
      max(top - beyond, inset),
      min(right + beyond, picture.width - 1 - inset),
      min(bottom + beyond, picture.height - 1 - inset),
    )
    if corners[2] > corners[0] and corners[3] > corners[1]:
      pen.rounded_rectangle(
        corners, 4 * line, outline=paint.PALETTE[color], width=width
      )


def _layout(
  marks: Sequence[Mark], boxes: list[paint.Box], size: tuple[int, int]
) -> list[tuple[_Label, tuple[int, int]]]:
  """Returns the labels and their left upper corners.

  All letters have one size: the largest in which nothing has to be hidden, or
  else that which hides least.
  """
  best, least = [], math.inf
  for share in _SIZES:
    letters = max(_SMALLEST_LETTERS, round(_unit(size) * share))
    labels = [_label(mark, size, letters) for mark in marks]
    places, cost = _place(labels, boxes, size)
    if cost < least:
      best, least = list(zip(labels, places, strict=True)), cost
    if cost == 0:
      break
  return [
    (label, place)
    for label, place in best
    if label is not None and place is not None
  ]


def _label(mark: Mark, size: tuple[int, int], letters: int) -> _Label | None:
  """Returns what stands on a plate; None where there is nothing, or no room."""
  face = lettering.font(letters, bold=True)
  number = "" if mark.number is None else str(mark.number)
  height = round(letters * 1.6)
  number_width = max(height, round(face.getlength(number) + letters))
  number_width = number_width if number else 0
  room = size[0] - number_width - letters
  if height > size[1] or number_width > size[0]:
    return None
  block = lettering.fit(
    mark.text if room > letters else "",
    face=face,
    width=room,
    height=height,
    smallest=letters,
  )
  words = math.ceil(block.width) + letters if block.lines else 0
  width = number_width + words
  if not width:
    return None
  return _Label(
    number=number,
    block=block,
    number_width=number_width,
    width=width,
    height=height,
  )


def _place(
  labels: list[_Label | None], boxes: list[paint.Box], size: tuple[int, int]
) -> tuple[list[tuple[int, int] | None], float]:
  """Finds a corner for each label: greedily, and again with all others known.

  Returns:
    The corners, and how much is hidden, own boxes not counted.
  """
  corners: list[tuple[int, int] | None] = [None] * len(labels)
  hidden = [0.0] * len(labels)
  for _ in range(_ROUNDS):
    before = list(corners)
    for i, label in enumerate(labels):
      if label is None:
        continue
      taken = np.array(
        [
          (*corner, corner[0] + other.width, corner[1] + other.height)
          for j, (corner, other) in enumerate(zip(corners, labels, strict=True))
          if j != i and corner is not None and other is not None
        ]
      ).reshape(-1, 4)
      others = np.array(boxes[:i] + boxes[i + 1 :]).reshape(-1, 4)
      tried = _candidates(label, boxes[i], size)
      plates = np.hstack([tried, tried + np.array([label.width, label.height])])
      harm = _LABEL_COST * _overlap(plates, taken)
      harm += _OTHER_COST * _overlap(plates, others)
      own = _OWN_COST * _overlap(plates, np.array([boxes[i]]))
      # Among equals the first; a place is left only for a better one.
      pick = int(np.argmin(harm + own))
      corners[i] = (int(tried[pick, 0]), int(tried[pick, 1]))
      hidden[i] = float(harm[pick])
    if corners == before:
      break
  return corners, sum(hidden)


def _candidates(
  label: _Label, box: paint.Box, size: tuple[int, int]
) -> np.ndarray:
  """Returns int64[places, 2]: x and y of corners, best first, in the picture.

  Above and below the box, then beside it, then inside of it.
  """
  left, top, right, bottom = box
  ends = (left, right - label.width, (left + right - label.width) / 2)
  above, below = top - label.height - _GAP, bottom + _GAP
  rows = (top, bottom - label.height, (top + bottom - label.height) / 2)
  before, after = left - label.width - _GAP, right + _GAP
  places = [(x, y) for y in (above, below) for x in ends]
  places += [(x, y) for x in (after, before) for y in rows]
  places += [(x, y) for y in (bottom - label.height, top) for x in ends[:1]]
  room = (size[0] - label.width, size[1] - label.height)
  return np.clip(np.round(places), 0, room).astype(np.int64)


def _overlap(plates: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Returns float64[plates]: pixels of each that lie on any of the others."""
  low = np.maximum(plates[:, None, :2], others[None, :, :2])
  high = np.minimum(plates[:, None, 2:], others[None, :, 2:])
  return np.prod(np.maximum(high - low, 0.0), axis=2).sum(axis=1)


def _plate(
  picture: Image.Image, label: _Label, corner: tuple[int, int]
) -> None:
  """Draws a plate with its number and words."""
  left, top = corner
  right, bottom = left + label.width, top + label.height
  middle, size = (top + bottom) / 2, int(label.block.face.size)
  radius = label.height // 4
  paint.rounded(
    picture, (left, top, right, bottom), radius, paint.PALETTE["white"]
  )
  edge = max(1, size // 14)
  inner = (left + edge, top + edge, right - edge, bottom - edge)
  paint.rounded(picture, inner, radius - edge, paint.PALETTE["ink"])
  if label.number:
    end = left + label.number_width
    paint.rounded(
      picture, (*inner[:2], end - edge, inner[3]), radius - edge,
      paint.PALETTE["strong"],
    )  # fmt: skip
    paint.write(
      picture, label.number, ((left + end) / 2, middle), size=(size, size),
      room=(label.number_width, label.height), color="white", bold=True,
    )  # fmt: skip
  paint.write(
    picture, " ".join(label.block.lines),
    (left + label.number_width + size / 2, middle), size=(size, size),
    room=(label.width, label.height), color="white", bold=True, anchor="l",
  )  # fmt: skip
