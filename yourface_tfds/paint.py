"""What cards and annotated photos are painted with: palette, shapes, words.

  paint.rounded(picture, (64, 64, 596, 596), 48, paint.PALETTE["white"])
  paint.write(picture, "곰", (540, 96), size=(72, 24), room=(400, 96))

Edges of shapes and letters are smooth.
"""

import functools
import math

from PIL import Image, ImageDraw

from yourface_tfds import lettering

PALETTE = {
  "paper": "#fff9f1",
  "panel": "#ffe0cf",
  "white": "#ffffff",
  "ink": "#3a2d38",
  "soft": "#6d5b66",
  "strong": "#b0342a",
  "bar": "#dc4f3f",
  "other": "#8d7a85",
  "track": "#f3e4d8",
}
"""Every colour of the card but those of face and animal."""

TEXT_ON = (
  ("ink", "panel"),
  ("soft", "panel"),
  ("strong", "panel"),
  ("ink", "paper"),
  ("soft", "paper"),
  ("strong", "paper"),
  ("white", "ink"),
  ("white", "strong"),
)
"""The pairs of text and ground in use."""

# 16 shades at an edge; Pillow's own shapes have none.
_FINER = 4

_SHARES = {"l": 0.0, "m": 0.5, "r": 1.0}

Box = tuple[float, float, float, float]
"""left, top, right, bottom; pixels."""


@functools.lru_cache(maxsize=64)
def rounded_mask(width: int, height: int, radius: int) -> Image.Image:
  """Returns a rectangle with smooth round corners.

  Args:
    width: pixels, 1 or more.
    height: pixels, 1 or more.
    radius: of the corners; at most half the shorter side is used.

  Returns:
    L[height, width], 255 inside. It is kept: do not draw on it.
  """
  mask = Image.new("L", (width * _FINER, height * _FINER))
  corner = min(radius, width / 2, height / 2) * _FINER
  ImageDraw.Draw(mask).rounded_rectangle(
    (0, 0, width * _FINER - 1, height * _FINER - 1), radius=corner, fill=255
  )
  return mask.resize((width, height), Image.Resampling.BOX)


def rounded(picture: Image.Image, box: Box, radius: int, color: str) -> None:
  """Paints a rectangle with smooth round corners; nothing below one pixel.

  Args:
    picture: RGB, painted on.
    box: rounded to whole pixels; may reach beyond the picture.
    radius: of the corners; at most half the shorter side is used.
    color: "#rrggbb".
  """
  left, top, right, bottom = (round(value) for value in box)
  if right > left and bottom > top:
    mask = rounded_mask(right - left, bottom - top, radius)
    picture.paste(color, (left, top), mask)


def write(
  picture: Image.Image,
  text: str,
  at: tuple[float, float],
  *,
  size: tuple[int, int],
  room: tuple[float, float],
  color: str = "ink",
  bold: bool = False,
  anchor: str = "m",
) -> float:
  """Writes text that fits its room.

  Args:
    picture: RGB, painted on.
    text: wrapped and made smaller as `lettering.fit` does.
    at: x where the lines begin, have their middle or end, as `anchor` says,
      and y of their middle.
    size: of the largest and the smallest letters, pixels.
    room: width and height the text may have.
    color: key of `PALETTE`.
    bold: bold letters.
    anchor: "l", "m" or "r".

  Returns:
    The width of the widest line.
  """
  # Letters at their own size are bent to the grid of the pixels; these keep
  # the shapes and distances that the font has.
  block = lettering.fit(
    text,
    face=lettering.font(size[0] * _FINER, bold=bold),
    width=room[0] * _FINER,
    height=room[1] * _FINER,
    smallest=size[1] * _FINER,
  )
  if block.lines:
    mask, (x, y) = _letters(block, anchor)
    corner = round(at[0] - x / _FINER), round(at[1] - y / _FINER)
    picture.paste(PALETTE[color], corner, mask.reduce(_FINER))
  return block.width / _FINER


def _letters(
  block: lettering.Block, anchor: str
) -> tuple[Image.Image, tuple[float, float]]:
  """Returns lines of text as a mask L, and where its anchor is."""
  wide, high = math.ceil(block.width), math.ceil(block.height)
  # Room for what a letter has beyond its advance, as the tail of a j.
  edge = int(block.face.size)
  mask = Image.new("L", (wide + 2 * edge, high))
  pen = ImageDraw.Draw(mask)
  x, leading = edge + wide * _SHARES[anchor], high / len(block.lines)
  for number, line in enumerate(block.lines):
    pen.text(
      (x, leading * (number + 0.5)),
      line,
      fill=255,
      font=block.face,
      anchor=anchor + "m",
    )
  return mask, (x, high / 2)


def percent(value: float) -> str:
  """Returns a probability in words: "71.6 %", "<0.1 %", ">99.9 %"."""
  if 0 < value < 0.0005:
    return "<0.1 %"
  if 0.9995 <= value < 1:
    return ">99.9 %"
  return f"{100 * min(value, 1):.1f} %"
