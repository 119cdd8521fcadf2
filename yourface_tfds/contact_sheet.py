"""Contact sheets: what became of every photo, person by person, as pictures.

  tile = contact_sheet.Tile(image=crop, split="test", reason="", name="1.jpg")
  section = contact_sheet.Section(title="김철수", subtitle="man", tiles=[tile])
  contact_sheet.write("M", [section], heading="your_face 1.0.0")

A page is written once it is full: memory is that of one page.
"""

import dataclasses
import functools
import math
import textwrap
import unicodedata
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from yourface_tfds import card, storage

_Color = tuple[int, int, int]
_BILINEAR = Image.Resampling.BILINEAR

_WIDTH = 1600
_MAX_HEIGHT = 8000  # 38 MB as RGB; JPEG itself ends at 65,535.
_PAD = 40
_END = _WIDTH - _PAD
_TOP = 136  # Where the sections begin, below heading and legend.
TILE_SIDE = _TILE = 75  # Half a crop: halving is 3 times as fast.
_GAP = 10
_COLUMNS = (_END - _PAD + _GAP) // (_TILE + _GAP)
_CAPTION, _TITLE, _SECTION_GAP = 16, 40, 20
_ROW = _TILE + _CAPTION + _GAP
_BOTTOM = _MAX_HEIGHT - _PAD - _SECTION_GAP

_PAPER = (255, 252, 246)
_INK = (38, 34, 40)
_GREY = (104, 97, 100)
_LINE = (226, 217, 208)
_BLANK = (240, 232, 225)
_RED = (190, 34, 34)

# Split -> colour, corners, turn, radius of its mark. Okabe and Ito's colours
# differ for any colour vision, the shapes in grey.
_MARKS: dict[str, tuple[_Color, int, int, float]] = {
  "train": ((0, 114, 178), 48, 0, 5.0),
  "validation": ((230, 159, 0), 4, 0, 7.0),
  "test": ((0, 158, 115), 3, 0, 6.0),
  "unseen": ((204, 121, 167), 4, 45, 7.0),
}
_MARK = 20
_WORDS = {"face_too_small": "too small", "": "no picture"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
  """One photo: its crop, or a small picture of it where it was rejected.

  Attributes:
    image: uint8[height, width, 3], RGB; None where it cannot be decoded.
    split: one of `curate.SPLITS`, "" unless accepted.
    reason: "" where accepted, else the status, for example `no_face`.
    name: the file's, any text.
  """

  image: np.ndarray | None
  split: str
  reason: str
  name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """One person: name, then labels and counts, any text.

  The tiles are iterated once, while the section is drawn.
  """

  title: str
  subtitle: str
  tiles: Iterable[Tile]


def write(
  folder: storage.Anywhere, sections: Iterable[Section], *, heading: str
) -> list[storage.Path]:
  """Writes the pages, 1600 pixels wide and at most 8000 high.

  The same input gives the same bytes. Pages that an earlier, longer sheet left
  in the folder are removed.

  Args:
    folder: made where missing.
    sections: iterated once; one's tiles before the next section.
    heading: stands on each page, any text.

  Returns:
    The pages in order, at least one.

  Raises:
    ValueError: an image is not uint8[height, width, 3].
    OSError: a page cannot be written, or the font's package is not installed.
      On any error, of the iterables too, the pages finished so far are left.
  """
  folder = storage.path(folder)
  sheet = _Sheet(folder, heading)
  for section in sections:
    sheet.add(section)
  sheet.close()
  earlier = folder.glob("contact_sheet-[0-9][0-9][0-9].jpg")
  for path in set(earlier) - set(sheet.paths):
    path.unlink()
  return sheet.paths


class _Sheet:
  """The page being drawn, and the paths of those written."""

  def __init__(self, folder: storage.Path, heading: str) -> None:
    self.paths: list[storage.Path] = []
    self._folder, self._heading = folder, heading
    self._page = Image.new("RGB", (_WIDTH, _MAX_HEIGHT), _PAPER)
    self._pen = ImageDraw.Draw(self._page)
    self._y = _TOP

  def add(self, section: Section) -> None:
    if self._y + _TITLE + _ROW > _BOTTOM:  # No title alone at the foot.
      self._save()
    self._draw_title(section, "")
    index = -1
    for index, tile in enumerate(section.tiles):
      column = index % _COLUMNS
      if index and not column:
        self._y += _ROW
        if self._y + _ROW > _BOTTOM:
          self._save()
          self._draw_title(section, "(continued)")
      self._draw_tile(_PAD + column * (_TILE + _GAP), tile)
    if index < 0:
      self._write(_PAD, self._y + 14, "no photos", 15, _GREY)
    self._y += (28 if index < 0 else _ROW) + _SECTION_GAP

  def close(self) -> None:
    if self._y == _TOP:
      self._write(_PAD, _TOP + 30, "no people, no photos", 22, _INK)
      self._y += 60
    self._save()

  def _save(self) -> None:
    self._write(_PAD, 66, self._heading, 30, _INK, right=_END - 100)
    x = _PAD
    for split in _MARKS:
      self._page.paste(_mark(split), (x - 4, 84), _mark(split))
      x = self._write(x + _MARK, 99, split, 15, _INK) + 24
    self._pen.rectangle((x, 87, x + 14, 101), _BLANK, _RED, 2)
    self._write(x + 23, 99, "rejected, with the reason", 15, _INK)
    number = len(self.paths) + 1
    self._pen.text((_END, 66), f"page {number}", _GREY, _font(15), anchor="rs")
    ending = "" if number == 1 else f"-{number:03}"
    self.paths.append(self._folder / f"contact_sheet{ending}.jpg")
    page = self._page.crop((0, 0, _WIDTH, self._y + _PAD))
    with storage.replaced_file(self.paths[-1]) as path:
      # With colour at half the resolution, small red letters are smeared.
      page.save(path, "JPEG", quality=88, subsampling=0)
    self._page.paste(_PAPER, (0, 0, _WIDTH, _MAX_HEIGHT))
    self._y = _TOP

  def _draw_title(self, section: Section, suffix: str) -> None:
    self._pen.line((_PAD, self._y - 10, _END, self._y - 10), fill=_LINE)
    title = _clean(section.title) or "(no name)"
    y = self._y + 21
    x = self._write(_PAD, y, title, 22, _INK, right=_END - 700)
    self._write(x + 14, y, f"{suffix} {section.subtitle}", 15, _GREY)
    self._y += _TITLE

  def _draw_tile(self, x: int, tile: Tile) -> None:
    self._page.paste(_picture(tile), (x, self._y))
    if tile.split in _MARKS and not tile.reason:
      mark = _mark(tile.split)
      self._page.paste(mark, (x, self._y + _TILE - _MARK), mark)
    end = float(x)
    for letter in _cut(_clean(tile.name), _TILE, _caption_width):
      glyph, advance = _glyph(letter)
      self._page.paste(_GREY, (round(end) - 1, self._y + _TILE), glyph)
      end += advance

  def _write(
    self, x: int, y: int, text: str, size: int, ink: _Color, right: int = _END
  ) -> int:
    """Writes one line whose baseline begins at x, y; returns where it ends."""
    face = _font(size)
    text = _cut(_clean(text), right - x, face.getlength)
    self._pen.text((x, y), text, fill=ink, font=face, anchor="ls")
    return math.ceil(x + face.getlength(text))


def _picture(tile: Tile) -> Image.Image:
  """Returns what stands in the square of a tile, but for the split's mark."""
  square = Image.new("RGB", (_TILE, _TILE), _BLANK)
  label, image = _label(tile.reason), tile.image
  top = (_TILE - label.height) // 2
  if image is not None and image.size:
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
      got = f"{image.dtype}{list(image.shape)}"
      raise ValueError(f"{tile.name!r}: got {got}, allowed: uint8[h, w, 3]")
    scale = _TILE / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    small = Image.fromarray(image).resize(size, _BILINEAR, reducing_gap=1.0)
    square.paste(small, ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    if not tile.reason:
      return square
    pale = Image.new("L", square.size, 235)
    square = Image.blend(square.convert("L"), pale, 0.45).convert("RGB")
    top = _TILE - label.height
  square.paste(label, (0, top))
  ImageDraw.Draw(square).rectangle((0, 0, _TILE - 1, _TILE - 1), None, _RED, 3)
  return square


@functools.lru_cache(maxsize=64)
def _label(reason: str) -> Image.Image:
  """Returns a strip of a tile's width with the reason on one or two lines."""
  face = _font(12)
  words = _clean(_WORDS.get(reason, reason.replace("_", " "))) or "rejected"
  lines = textwrap.wrap(words, width=11, max_lines=2, placeholder="…")
  strip = Image.new("RGB", (_TILE, 4 + 14 * len(lines)), _RED)
  pen = ImageDraw.Draw(strip)
  for i, line in enumerate(lines):
    text, spot = (
      _cut(line, _TILE - 6, face.getlength),
      (_TILE / 2, 12 + 14 * i),
    )
    pen.text(spot, text, fill="white", font=face, anchor="ms")
  return strip


@functools.cache
def _mark(split: str) -> Image.Image:
  color, corners, turn, radius = _MARKS[split]
  scale = 8  # Pillow's polygons have no smooth edges.
  big = Image.new("RGBA", (_MARK * scale, _MARK * scale), (255, 255, 255, 0))
  pen = ImageDraw.Draw(big)
  for border, fill in ((2, "white"), (0, color)):
    reach = scale * (radius + border / math.cos(math.pi / corners))
    center = (_MARK * scale / 2, _MARK * scale / 2)
    pen.regular_polygon((center, reach), corners, turn, fill)
  return big.resize((_MARK, _MARK), Image.Resampling.LANCZOS)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
  path = card.font(size, bold=size in (12, 22, 30)).path
  # The other layout needs the system's libfribidi, where there is one.
  return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=4096)
def _glyph(letter: str) -> tuple[Image.Image, float]:
  """Returns a caption's letter as a mask, and how far the next one is."""
  advance = _font(10).getlength(letter)
  mask = Image.new("L", (math.ceil(advance) + 2, _CAPTION))
  ImageDraw.Draw(mask).text((1, 12), letter, 255, _font(10), anchor="ls")
  return mask, advance


def _caption_width(text: str) -> float:
  return sum(_glyph(letter)[1] for letter in text)


def _cut(text: str, room: float, width: Callable[[str], float]) -> str:
  """Returns the text, its middle an ellipsis where it is wider than `room`."""
  kept, short = len(text), text
  while kept and width(short) > room:
    kept = min(kept - 1, int(kept * room / width(short)) + 1)
    short = text[: kept // 3] + "…" + text[len(text) - kept + kept // 3 :]
  return short


def _clean(text: str) -> str:
  """Returns one line of letters that can be drawn."""
  text = text[:1000]  # More than a page is wide.
  if not (text.isascii() and text.isprintable()):
    text = "".join(map(_drawable, unicodedata.normalize("NFC", text)))
  return " ".join(text.split())


@functools.lru_cache(maxsize=4096)
def _drawable(letter: str) -> str:
  kind = unicodedata.category(letter)
  if letter.isspace():
    return " "
  if kind.startswith("C") or letter == "\ufffd":
    return "" if kind == "Cf" else "\ufffd"
  is_missing = _glyph(letter)[0].tobytes() == _glyph("\ufffe")[0].tobytes()
  if is_missing and kind == "So":  # Emoji: the font has none.
    return f"[{unicodedata.name(letter, 'sign').lower()}]"
  return "" if is_missing and kind == "Mn" else letter
