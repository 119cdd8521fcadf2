"""Tests of contact_sheet: what is on the pages, and what is held of them."""

import weakref

import numpy as np
import pytest
from PIL import Image

from yourface_tfds import contact_sheet, curate

_TILE = 75
_PAPER = (255, 252, 246)
_RED = (190, 34, 34)
_COLORS = {
  "train": (0, 114, 178),
  "validation": (230, 159, 0),
  "test": (0, 158, 115),
  "unseen": (204, 121, 167),
}
_STATUSES = (
  "not_an_image",
  "unreadable",
  "too_large",
  "outside",
  "unknown_person",
  "no_face",
  "face_too_small",
  "duplicate",
)
_TOP = 120  # Below heading and legend.


def _solid(color, height=150, width=150):
  return np.full((height, width, 3), color, np.uint8)


def _tile(image=None, split="", reason="", name=""):
  return contact_sheet.Tile(image=image, split=split, reason=reason, name=name)


def _section(*tiles, title="title", subtitle="subtitle"):
  return contact_sheet.Section(title=title, subtitle=subtitle, tiles=tiles)


def _pages(folder, *sections, heading="heading"):
  paths = contact_sheet.write(folder, iter(sections), heading=heading)
  return [np.asarray(Image.open(path)).astype(int) for path in paths]


def _page(folder, *sections, heading="heading"):
  (page,) = _pages(folder, *sections, heading=heading)
  return page


def _near(page, color, tolerance=24):
  return np.abs(page - color).max(axis=2) <= tolerance


def _box(mask):
  rows, columns = np.nonzero(mask)
  return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def _only_tile(folder, **values):
  """Returns int[75, 75, 3]: how the one tile of a page looks."""
  page = _page(folder, _section(_tile(**values)))
  reference = _page(folder, _section(_tile(_solid((0, 0, 255)))))
  top, left, bottom, right = _box(_near(reference, (0, 0, 255)))
  assert (bottom - top, right - left) == (_TILE, _TILE)
  return page[top:bottom, left:right]


def test_marks_are_those_of_the_splits():
  assert tuple(_COLORS) == curate.SPLITS


def _runs(line):
  """Returns the starts and the lengths of the runs of True."""
  edges = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
  return edges[::2], edges[1::2] - edges[::2]


@pytest.mark.parametrize("side", [16, 75, 150, 224])
def test_grid_of_crops(tmp_path, side):
  colors = [(4 * i, 160 - 4 * i, 255) for i in range(40)]
  tiles = [_tile(_solid(color, side, side)) for color in colors]
  page = _page(tmp_path, _section(*tiles))[_TOP:]
  assert page.shape[1] == 1600
  assert page.shape[0] < 600
  blue = page[..., 2] - page[..., :2].min(axis=2) > 50
  tops, heights = _runs(blue.any(axis=1))
  lefts, widths = _runs(blue.any(axis=0))
  assert heights.tolist() == [_TILE] * 3
  assert widths.tolist() == [_TILE] * 18
  assert len(set(np.diff(tops))) == len(set(np.diff(lefts))) == 1
  assert lefts[0] == 1600 - (lefts[-1] + _TILE) == 40
  assert blue.sum() == pytest.approx(40 * _TILE**2, rel=0.01)
  # In the order given: by rows, from the left.
  for i, color in enumerate(colors):
    spot = page[tops[i // 18] + 37, lefts[i % 18] + 37]
    assert np.abs(spot - color).max() <= 3


def test_picture_is_kept_whole_and_upright(tmp_path):
  image = np.concatenate([_solid((255, 0, 0)), _solid((0, 0, 255))], axis=1)
  tile = _only_tile(tmp_path, image=image)
  assert _box(_near(tile, (255, 0, 0), 110))[2:] == pytest.approx(
    (56, 37), abs=1
  )
  assert _box(_near(tile, (0, 0, 255), 110))[:2] == pytest.approx(
    (19, 38), abs=1
  )


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 3), (75, 75)])
@pytest.mark.parametrize("reason", ["", "no_face"])
def test_any_size_of_image(tmp_path, size, reason):
  tile = _only_tile(tmp_path, image=_solid((0, 0, 0), *size), reason=reason)
  assert tile.min() < 180


@pytest.mark.parametrize("split", curate.SPLITS)
def test_split_has_its_mark(tmp_path, split):
  image = _solid((90, 90, 90))
  tile = _only_tile(tmp_path, image=image, split=split)
  plain = _only_tile(tmp_path, image=image)
  assert not _near(plain, _COLORS[split]).any()
  colored = _near(tile, _COLORS[split], 40)
  assert 30 < colored.sum() < 150
  top, left, bottom, right = _box(np.abs(tile - plain).max(axis=2) > 40)
  assert top >= _TILE - 22
  assert right <= 22
  assert bottom - top <= 20
  assert right - left <= 20
  # White around it: seen on any photo.
  assert _near(tile[top:bottom, left:right], (255, 255, 255), 60).sum() > 15


def test_marks_differ_in_shape(tmp_path):
  image = _solid((90, 90, 90))
  shapes = []
  for split, color in _COLORS.items():
    tile = _only_tile(tmp_path, image=image, split=split)
    shapes.append(_near(tile, color, 40))
  for i, first in enumerate(shapes):
    for second in shapes[:i]:
      assert (first != second).sum() > 12


def test_rejected_is_dimmed_framed_and_has_no_mark(tmp_path):
  image = np.zeros((150, 150, 3), np.uint8)
  image[:, 75:] = (255, 255, 0)
  tile = _only_tile(tmp_path, image=image, split="train", reason="no_face")
  for edge in (tile[0], tile[-1], tile[:, 0], tile[:, -1]):
    assert _near(edge[None], _RED, 40).all()
  dark, light = tile[10:45, 10:30], tile[10:45, 45:65]
  assert np.ptp(dark.mean(axis=(0, 1))) < 4
  assert np.ptp(light.mean(axis=(0, 1))) < 4
  assert 60 < light.mean() - dark.mean() < 180
  assert not _near(tile, _COLORS["train"]).any()


def test_accepted_has_no_frame(tmp_path):
  tile = _only_tile(tmp_path, image=_solid((90, 90, 90)))
  assert _near(tile, (90, 90, 90)).all()


@pytest.mark.parametrize("image", [None, _solid((20, 90, 20))])
def test_each_reason_is_readable(tmp_path, image):
  words = (*_STATUSES, "brand_new", "", "x" * 300, "한 글 자 " * 9, "\0\n")
  looks = {}
  for reason in words if image is None else [w for w in words if w]:
    tile = _only_tile(tmp_path, image=image, reason=reason)
    strip = tile[_near(tile[:, 4:5], _RED, 40)[:, 0]]
    letters = strip.min(axis=2) > 110
    assert letters.sum() > 20
    top, left, bottom, right = _box(letters)
    assert left >= 3
    assert right <= _TILE - 3
    assert 5 <= bottom - top <= 30
    looks[tile.tobytes()] = reason
  assert len(looks) == len(words) - (image is not None)


def test_empty_array_is_as_undecodable(tmp_path):
  empty = np.zeros((0, 9, 3), np.uint8)
  first = _only_tile(tmp_path, image=empty, reason="unreadable")
  second = _only_tile(tmp_path, image=None, reason="unreadable")
  assert (first == second).all()
  assert _near(first, _RED, 40)[_TILE // 2, 5]


@pytest.mark.parametrize(
  "image",
  [
    np.zeros((9, 9), np.uint8),
    np.zeros((9, 9, 4), np.uint8),
    np.zeros((9, 9, 3), np.float32),
    np.zeros((1, 9, 9, 3), np.uint8),
  ],
)
def test_other_arrays_are_refused_by_name(tmp_path, image):
  with pytest.raises(ValueError, match=r"'a.jpg': got .*, allowed: uint8"):
    _page(tmp_path, _section(_tile(image, name="a.jpg")))
  assert not list(tmp_path.iterdir())


def _many(count, made, folder):
  """Yields white tiles; notes of each what was on disk when it was made."""
  for _ in range(count):
    made.append(len(list(folder.glob("contact_sheet*.jpg"))))
    yield _tile(_solid((255, 0, 255), 10, 10), name="a.jpg")


def test_pages_are_written_while_tiles_come(tmp_path):
  made = []
  tiles = _many(3500, made, tmp_path)
  section = contact_sheet.Section(title="김", subtitle="", tiles=tiles)
  paths = contact_sheet.write(tmp_path, [section], heading="heading")
  assert [path.name for path in paths] == [
    "contact_sheet.jpg",
    "contact_sheet-002.jpg",
    "contact_sheet-003.jpg",
  ]
  assert len(made) == 3500
  shown = []
  for path in paths:
    with Image.open(path) as image:
      assert image.width == 1600
      assert image.height <= 8000
      page = np.asarray(image).astype(int)
    # Tiles are made of 75 x 75 pixels each, unmarked.
    shown.append(round(_near(page, (255, 0, 255), 40).sum() / _TILE**2))
    for color in _COLORS.values():
      assert _near(page[:_TOP], color, 40).sum() > 30
  assert sum(shown) == 3500
  assert shown[0] == shown[1] > 1300
  # One tile more than the page holds is what it takes to see it is full.
  assert made.count(0) == shown[0] + 1
  assert made.count(1) == shown[1]


def test_only_few_tiles_are_alive(tmp_path):
  alive, most = [], 0

  def tiles():
    nonlocal most
    for _ in range(400):
      image = _solid((1, 2, 3), 20, 20)
      alive.append(weakref.ref(image))
      most = max(most, sum(ref() is not None for ref in alive))
      yield _tile(image)

  sections = (
    contact_sheet.Section(title=str(i), subtitle="", tiles=tiles())
    for i in range(2)
  )
  contact_sheet.write(tmp_path, sections, heading="heading")
  assert len(alive) == 800
  assert most <= 3


def test_sections_are_asked_for_one_by_one(tmp_path):
  events = []

  def tiles(name):
    for i in range(3):
      events.append(f"{name}{i}")
      yield _tile(_solid((1, 2, 3)))

  def sections():
    for name in "ab":
      events.append(name)
      yield contact_sheet.Section(title=name, subtitle="", tiles=tiles(name))

  contact_sheet.write(tmp_path, sections(), heading="heading")
  assert events == ["a", "a0", "a1", "a2", "b", "b0", "b1", "b2"]


def _title_ink(page):
  """Returns the columns of dark pixels in the line of the first title."""
  band = page[_TOP + 10 : _TOP + 50]
  return np.nonzero((band.max(axis=2) < 150).any(axis=0))[0]


def test_next_page_repeats_the_title(tmp_path):
  tiles = [_tile(_solid((255, 0, 255), 9, 9))] * 1500
  section = _section(*tiles, title="김철수", subtitle="")
  first, second = _pages(tmp_path, section)
  words = _title_ink(first), _title_ink(second)
  assert words[0].size > 20
  # The same name, then "(continued)" to its right.
  assert set(words[0]) <= set(words[1])
  assert words[1].max() > words[0].max() + 50


@pytest.mark.parametrize("rows", range(70, 79))
def test_title_is_not_alone_at_the_foot(tmp_path, rows):
  tile = _tile(_solid((255, 0, 255), 9, 9))
  last = _tile(_solid((0, 0, 255), 9, 9))
  pages = _pages(tmp_path, _section(*[tile] * 18 * rows), _section(last))
  blue = [_near(page, (0, 0, 255), 40) for page in pages]
  assert [mask.any() for mask in blue] == [False] * (len(pages) - 1) + [True]
  # Paper below the last row of each page.
  for page in pages:
    assert page.shape[0] <= 8000
    assert _near(page[-30:], _PAPER, 6).all()
  heights = [page.shape[0] for page in pages]
  assert (len(pages) == 1) == (rows < 76), heights


@pytest.mark.parametrize("part", ["title", "subtitle", "heading", "name"])
@pytest.mark.parametrize("text", ["W" * 200, "김철수 " * 400, "🐶" * 90, "."])
def test_long_text_stays_inside(tmp_path, part, text):
  values = {"title": "t", "subtitle": "s"}
  values |= {part: text} if part in values else {}
  crop = _solid((255, 0, 255))
  names = [text if part == "name" else "n", "n"]
  page = _page(
    tmp_path,
    _section(*[_tile(crop, name=name) for name in names], **values),
    heading=text if part == "heading" else "h",
  )
  ink = page.max(axis=2) < 190
  assert not ink[:, :38].any()
  assert not ink[:, 1562:].any()
  if part == "name":
    under = _box(_near(page, (255, 0, 255), 40))[2]
    row = ink[under : under + 16]
    assert row[:, 38 : 40 + _TILE].any()
    # The gap to the next caption is kept.
    assert not row[:, 40 + _TILE + 2 : 40 + _TILE + 9].any()


def test_long_title_is_cut_and_leaves_the_subtitle(tmp_path):
  whole = _title_ink(_page(tmp_path, _section(title="M" * 30, subtitle="")))
  cut = _title_ink(_page(tmp_path, _section(title="M" * 200, subtitle="")))
  both = _title_ink(
    _page(tmp_path, _section(title="M" * 200, subtitle="x" * 9))
  )
  assert whole.max() < cut.max() < 1000
  assert both.max() > cut.max() + 30


@pytest.mark.parametrize(
  ("text", "same"),
  [
    ("a\nb", "a b"),
    ("a\r\n\t b", "a b"),
    ("a\u2028b\u3000c", "a b c"),
    ("a\x1b[31mb", "a\ufffd[31mb"),
    ("a\0b", "a\ufffdb"),
    ("a\udcffb", "a\ufffdb"),
    ("\ud83d", "\ufffd"),
    ("a\u202e\u200db", "ab"),
    ("김", "\u1100\u1175\u11b7"),
    ("\ufe0fab\ufe0f", "ab"),
    ("", "(no name)"),
    (" \n", "(no name)"),
  ],
)
def test_text_becomes_harmless(tmp_path, text, same):
  def sheet(folder, words):
    names = words.replace("(no name)", "")
    tile = _tile(_solid((9, 9, 9)), name=names)
    section = _section(tile, title=words, subtitle=names)
    (path,) = contact_sheet.write(tmp_path / folder, [section], heading=names)
    return path.read_bytes()

  assert sheet("a", text) == sheet("b", same)
  assert sheet("a", text) != sheet("c", "another")


def test_emoji_are_told_apart(tmp_path):
  dog = _page(tmp_path, _section(title="🐶", subtitle=""))
  cat = _page(tmp_path, _section(title="🐱", subtitle=""))
  word = _page(tmp_path, _section(title="[dog face]", subtitle=""))
  assert (dog == word).all()
  assert (dog != cat).any()


def test_person_without_photos(tmp_path):
  empty = _page(tmp_path, _section())
  full = _page(tmp_path, _section(_tile(_solid(_PAPER))))
  assert empty.shape[0] < full.shape[0]
  below = empty[_TOP + 50 :].max(axis=2) < 170
  assert below.sum() > 50


def test_no_people(tmp_path):
  page = _page(tmp_path)
  assert (page[_TOP:].max(axis=2) < 100).sum() > 100
  assert page.shape[0] < 300


def _mixed():
  rng = np.random.default_rng(0)
  for i in range(4):
    tiles = [
      _tile(
        rng.integers(0, 256, (40 + i, 30, 3), np.uint8),
        split="" if k % 5 == 0 else curate.SPLITS[k % 4],
        reason=_STATUSES[k % 8] if k % 5 == 0 else "",
        name=f"사진 {k}.jpg",
      )
      for k in range(400)
    ]
    yield _section(*tiles, title=f"김철수 {i}")


def test_same_input_same_bytes(tmp_path):
  first, second = (
    contact_sheet.write(tmp_path / name, _mixed(), heading="heading")
    for name in "ab"
  )
  assert len(first) == len(second) == 2
  for one, other in zip(first, second, strict=True):
    assert one.read_bytes() == other.read_bytes()


def test_pages_of_a_longer_sheet_are_removed(tmp_path):
  for name in ("contact_sheet-002.jpg", "contact_sheet-117.jpg"):
    (tmp_path / name).write_text("old")
  for name in ("contact_sheet-mine.jpg", "photos.csv"):
    (tmp_path / name).write_text("kept")
  contact_sheet.write(str(tmp_path), [], heading="heading")
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "contact_sheet-mine.jpg",
    "contact_sheet.jpg",
    "photos.csv",
  ]


def test_error_leaves_no_half_page(tmp_path):
  def tiles():
    yield from [_tile(_solid((1, 2, 3), 9, 9))] * 1450
    raise KeyError("lost")

  section = contact_sheet.Section(title="t", subtitle="", tiles=tiles())
  with pytest.raises(KeyError, match="lost"):
    contact_sheet.write(tmp_path / "new", [section], heading="heading")
  (path,) = (tmp_path / "new").iterdir()
  assert path.name == "contact_sheet.jpg"
  with Image.open(path) as image:
    image.load()
