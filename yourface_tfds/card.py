"""The picture that `predict` writes: photo, face box, sentence, three heads.

picture = card.draw(photo, answer)   # PIL.Image, RGB
picture.save("card.png")
"""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from yourface_tfds import labels

_WIDTH = 1080
_MAX_PHOTO_HEIGHT = 1080
_PAD = 56
_ROW = 46
_LOW_ROW = 36
_PAPER = (255, 252, 246)
_INK = (38, 34, 40)
_GREY = (128, 120, 122)
_TRACK = (236, 228, 220)
_ACCENT = (232, 93, 79)

_FONT_PACKAGE = "koreanize-matplotlib"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What a model said of one photo.

  Attributes:
    sentence: the words under the photo.
    box: y_min, x_min, y_max, x_max of the face, 0..1 of the upright photo.
    probabilities: head -> float[classes].
  """

  sentence: str
  box: Sequence[float]
  probabilities: Mapping[str, Sequence[float]]


def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
  """Returns NanumGothic (OFL), which has Korean and Latin letters.

  It comes with a package, as many machines have no Korean font.

  Raises:
    FileNotFoundError: the package is not installed.
  """
  name = "NanumGothicBold.ttf" if bold else "NanumGothic.ttf"
  try:
    files = importlib.metadata.files(_FONT_PACKAGE) or []
  except importlib.metadata.PackageNotFoundError:
    files = []
  for file in files:
    if file.name == name:
      return ImageFont.truetype(str(file.locate()), size)
  raise FileNotFoundError(
    f"no {name}; install the font package: pip install {_FONT_PACKAGE}"
  )


def draw(photo: np.ndarray, answer: Answer) -> Image.Image:
  """Draws the card.

  Args:
    photo: uint8[height, width, 3], upright RGB.
    answer: for that photo.

  Returns:
    An RGB image, 1080 pixels wide.
  """
  picture = _framed_photo(photo, answer.box)
  face = _fitting_font(answer.sentence, _WIDTH - 2 * _PAD)
  top = picture.height + 2 * _PAD
  height = top + face.size + _PAD
  for probabilities in answer.probabilities.values():
    height += len(probabilities) * _row_height(probabilities) + _PAD
  card = Image.new("RGB", (_WIDTH, round(height)), _PAPER)
  card.paste(picture, ((_WIDTH - picture.width) // 2, 0))
  pen = ImageDraw.Draw(card)
  middle = (_WIDTH / 2, top - _PAD + face.size / 2)
  pen.text(middle, answer.sentence, fill=_INK, font=face, anchor="mm")
  y = top + face.size
  for head, probabilities in answer.probabilities.items():
    y = _draw_head(pen, y, head, probabilities) + _PAD
  return card


def _framed_photo(photo: np.ndarray, box: Sequence[float]) -> Image.Image:
  image = Image.fromarray(photo)
  scale = min(_WIDTH / image.width, _MAX_PHOTO_HEIGHT / image.height)
  size = (
    max(1, round(image.width * scale)),
    max(1, round(image.height * scale)),
  )
  image = image.resize(size, Image.Resampling.LANCZOS)
  y_min, x_min, y_max, x_max = box
  corners = (
    x_min * image.width,
    y_min * image.height,
    x_max * image.width,
    y_max * image.height,
  )
  pen = ImageDraw.Draw(image)
  # White around the colour: visible on any photo.
  pen.rounded_rectangle(corners, radius=14, outline="white", width=9)
  inner = (corners[0] + 2, corners[1] + 2, corners[2] - 2, corners[3] - 2)
  if inner[2] > inner[0] and inner[3] > inner[1]:
    pen.rounded_rectangle(inner, radius=12, outline=_ACCENT, width=5)
  return image


def _fitting_font(text: str, width: float) -> ImageFont.FreeTypeFont:
  for size in range(60, 23, -2):
    face = font(size, bold=True)
    if face.getlength(text) <= width:
      return face
  return font(24, bold=True)


def _row_height(probabilities: Sequence[float]) -> int:
  return _ROW if len(probabilities) <= 4 else _LOW_ROW


def _draw_head(
  pen: ImageDraw.ImageDraw,
  y: float,
  head: str,
  probabilities: Sequence[float],
) -> float:
  """Draws a head's classes as bars, likeliest first; returns where it ends."""
  vocabulary = labels.HEADS[head]
  values = np.asarray(probabilities)
  ranked = np.argsort(-values, kind="stable")
  row = _row_height(probabilities)
  thick, size = row // 4, row * 3 // 5
  left, right = _PAD + 250, _WIDTH - _PAD - 110
  for rank, index in enumerate(ranked):
    best = rank == 0
    middle = y + row / 2
    ink = _INK if best else _GREY
    word = f"{vocabulary.korean[index]} {vocabulary.names[index]}"
    pen.text(
      (_PAD, middle), word, fill=ink, font=font(size, bold=best), anchor="lm"
    )
    bar = (left, middle - thick, right, middle + thick)
    pen.rounded_rectangle(bar, radius=thick, fill=_TRACK)
    end = left + (right - left) * float(values[index])
    if end - left >= 2:
      # A radius above half the bar's length is refused by Pillow.
      radius = min(thick, (end - left) / 2)
      color = _ACCENT if best else _GREY
      pen.rounded_rectangle(
        (left, middle - thick, end, middle + thick), radius=radius, fill=color
      )
    pen.text(
      (_WIDTH - _PAD, middle),
      f"{100 * values[index]:.1f} %",
      fill=ink,
      font=font(size, bold=best),
      anchor="rm",
    )
    y += row
  return y
