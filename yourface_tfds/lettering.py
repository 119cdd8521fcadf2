"""The font, and text that fits its place: smaller, wrapped, at last cut off.

face = lettering.font(56, bold=True)
block = lettering.fit(text, face=face, width=952, height=160, smallest=26)
block.lines, block.face.size
"""

import dataclasses
import importlib.metadata
from collections.abc import Callable

from PIL import ImageFont

from yourface_tfds import labels

LEADING = 1.34
"""From one line to the next, over the size of the letters."""

_FONT_PACKAGE = "koreanize-matplotlib"
_ELLIPSIS = "…"
_STEP = 2
# More than 5 lines of any size here: bounds the time that a text can cost.
_MOST_LETTERS = 800


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
  """Lines of text and the font they fit in.

  Attributes:
    lines: top to bottom; none for a blank text.
    face: the font.
  """

  lines: tuple[str, ...]
  face: ImageFont.FreeTypeFont

  @property
  def width(self) -> float:
    """Of the longest line, pixels."""
    return max((self.face.getlength(line) for line in self.lines), default=0.0)

  @property
  def height(self) -> float:
    """Of all lines, pixels."""
    return len(self.lines) * self.face.size * LEADING


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


def fit(
  text: str,
  *,
  face: ImageFont.FreeTypeFont,
  width: float,
  height: float,
  smallest: int,
) -> Block:
  """Returns the text in the largest font in which it fits.

  Lines end at spaces, and are about as long as each other. Only where the
  smallest font is too large are words broken and the end cut off.

  Args:
    text: white space of any kind counts as one space.
    face: the largest font.
    width: pixels a line may have.
    height: pixels all lines may have; one line is always allowed.
    smallest: size of the smallest font.
  """
  text = " ".join(labels.normalize(text[:_MOST_LETTERS]).split())
  size = int(face.size)
  while True:
    # The same everywhere; the other layout needs a library of the system.
    face = face.font_variant(size=size, layout_engine=ImageFont.Layout.BASIC)
    most = max(1, int(height // (size * LEADING)))
    lines = _wrapped(text, face.getlength, width)
    if len(lines) <= most and _widest(lines, face.getlength) <= width:
      return Block(lines=_even(lines, face.getlength, width), face=face)
    if size - _STEP < smallest:
      break
    size -= _STEP
  lines = _broken(text, face.getlength, width)
  if len(lines) > most:
    lines = [*lines[: most - 1], _cut(lines[most - 1], face.getlength, width)]
  return Block(lines=tuple(lines), face=face)


def _widest(lines: list[str], measure: Callable[[str], float]) -> float:
  return max((measure(line) for line in lines), default=0.0)


def _wrapped(
  text: str, measure: Callable[[str], float], width: float
) -> list[str]:
  """Ends lines at spaces; a word wider than `width` has a line of its own."""
  lines: list[str] = []
  for word in text.split():
    if lines and measure(f"{lines[-1]} {word}") <= width:
      lines[-1] += f" {word}"
    else:
      lines.append(word)
  return lines


def _even(
  lines: list[str], measure: Callable[[str], float], width: float
) -> tuple[str, ...]:
  """Wraps the same text as narrow as the same number of lines allows."""
  text = " ".join(lines)
  low, high = 0.0, width
  while high - low > 1:
    middle = (low + high) / 2
    tried = _wrapped(text, measure, middle)
    if len(tried) <= len(lines) and _widest(tried, measure) <= middle:
      high = middle
    else:
      low = middle
  return tuple(_wrapped(text, measure, high))


def _broken(
  text: str, measure: Callable[[str], float], width: float
) -> list[str]:
  """Wraps text, and breaks words that are wider than a line."""
  lines: list[str] = []
  for word in text.split():
    joined = f"{lines[-1]} {word}" if lines else word
    if measure(joined) <= width:
      lines[-1:] = [joined]
      continue
    if lines and measure(word) <= width:
      lines.append(word)
      continue
    for letter in f" {word}" if lines else word:
      if lines and measure(lines[-1] + letter) <= width:
        lines[-1] += letter
      else:
        lines.append(letter.strip())
  return [line for line in lines if line]


def _cut(line: str, measure: Callable[[str], float], width: float) -> str:
  while line and measure(line + _ELLIPSIS) > width:
    line = line[:-1]
  return line.rstrip() + _ELLIPSIS
