"""Tests of annotate."""

import math
import re

import numpy as np
import pytest
from PIL import ImageColor

from yourface_tfds import annotate, paint

_BAR = ImageColor.getrgb(paint.PALETTE["bar"])


@pytest.fixture
def plates(monkeypatch):
  """Records the plates of labels: left, top, right, bottom."""
  boxes = []
  rounded = paint.rounded

  def record(picture, box, radius, color):
    if color == paint.PALETTE["white"]:
      boxes.append(box)
    rounded(picture, box, radius, color)

  monkeypatch.setattr(paint, "rounded", record)
  return boxes


@pytest.fixture
def texts(monkeypatch):
  """Records what is written, and on what."""
  calls = []
  write = paint.write

  def record(picture, text, at, **settings):
    ground = picture.getpixel((round(at[0]), round(at[1])))
    calls.append((text, settings["color"], ground))
    return write(picture, text, at, **settings)

  monkeypatch.setattr(paint, "write", record)
  return calls


def _photo(height, width, color=(90, 120, 90)):
  return np.full((height, width, 3), color, np.uint8)


def _mark(box=(0.3, 0.3, 0.7, 0.7), text="강아지상의 남자 배우", number=None):
  return annotate.Mark(box=box, text=text, number=number)


def _crowd(count, columns, *, jitter=0.0):
  """Marks in rows and columns, each half as wide as its place."""
  rng = np.random.default_rng(0)
  rows = math.ceil(count / columns)
  marks = []
  for i in range(count):
    y, x = (i // columns + 0.3) / rows, (i % columns + 0.3) / columns
    y, x = np.clip(
      np.array([y, x]) + rng.uniform(-jitter, jitter, 2),
      0,
      1 - 0.5 / min(rows, columns),
    )
    box = (y, x, y + 0.45 / rows, x + 0.45 / columns)
    marks.append(_mark(box, number=i + 1))
  return marks


def _overlap(one, other):
  wide = min(one[2], other[2]) - max(one[0], other[0])
  high = min(one[3], other[3]) - max(one[1], other[1])
  return max(wide, 0) * max(high, 0)


def _pixels(box, size):
  y_min, x_min, y_max, x_max = box
  return x_min * size[0], y_min * size[1], x_max * size[0], y_max * size[1]


def _inside(plates, size):
  for left, top, right, bottom in plates:
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize(
  "size, expected",
  [
    ((40, 40), (680, 680)),
    ((1, 1), (680, 680)),
    ((600, 800), (800, 600)),
    ((6000, 4000), (1067, 1600)),
    ((4000, 6000), (1600, 1067)),
    ((1200, 1600), (1600, 1200)),
    ((40, 6000), (1600, 11)),
    ((6000, 40), (11, 1600)),
    ((100, 400), (1440, 360)),
  ],
)
def test_the_whole_photo_at_a_bounded_size(plates, size, expected):
  picture = annotate.draw(_photo(*size), [_mark(number=3)])
  assert (picture.mode, picture.size) == ("RGB", expected)
  _inside(plates, picture.size)
  assert len(plates) == (min(picture.size) > 100)


def test_without_a_face_it_is_the_photo():
  rng = np.random.default_rng(0)
  photo = rng.integers(0, 256, (700, 900, 3), np.uint8)
  np.testing.assert_array_equal(annotate.draw(photo, []), photo)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), _BAR])
def test_box_lies_around_the_face_and_is_seen_on_any_photo(color):
  mark = _mark((0.25, 0.5, 0.75, 0.9), text="")
  picture = np.asarray(annotate.draw(_photo(1000, 1000, color), [mark]))
  # Across the left side of the box, at x = 500.
  line = picture[500, 485:515].tolist()
  assert list(_BAR) in line and [255, 255, 255] in line
  assert picture[500, 510:890].tolist() == [list(color)] * 380
  assert picture[500, 480].tolist() == list(color)
  assert list(_BAR) in picture[500, 890:912].tolist()
  assert list(_BAR) in picture[240:260, 700].tolist()
  assert list(_BAR) in picture[740:760, 700].tolist()


@pytest.mark.parametrize(
  "box",
  [
    (0, 0, 1, 1),
    (-0.2, -0.1, 1.3, 1.1),
    (0, 0, 0.001, 0.001),
    (0.999, 0.999, 1, 1),
    (0.5, 0.5, 0.5, 0.5),
    (0, 0.8, 0.2, 1),
    (0.8, 0, 1, 0.2),
    (2, 2, 3, 3),
  ],
)
def test_label_of_any_box_stays_in_the_picture(plates, box):
  picture = annotate.draw(_photo(600, 800), [_mark(box, number=1)])
  assert len(plates) == 1
  _inside(plates, picture.size)


@pytest.mark.parametrize(
  "count, columns", [(1, 1), (2, 2), (6, 3), (12, 4), (30, 6), (30, 5)]
)
@pytest.mark.parametrize("size", [(1500, 2000), (300, 400), (90, 120)])
def test_labels_hide_no_face_and_no_label(plates, count, columns, size):
  marks = _crowd(count, columns)
  picture = annotate.draw(_photo(*size), marks)
  assert len(plates) == count
  _inside(plates, picture.size)
  boxes = [_pixels(mark.box, picture.size) for mark in marks]
  for i, plate in enumerate(plates):
    assert not any(_overlap(plate, other) for other in plates[i + 1 :])
    assert not any(_overlap(plate, box) for box in boxes)


@pytest.mark.parametrize("jitter", [0.05, 0.2])
def test_labels_of_a_wild_crowd_do_not_hide_each_other(plates, jitter):
  picture = annotate.draw(_photo(1500, 2000), _crowd(30, 6, jitter=jitter))
  assert len(plates) == 30
  _inside(plates, picture.size)
  areas = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in plates)
  hidden = sum(
    _overlap(plate, other)
    for i, plate in enumerate(plates)
    for other in plates[i + 1 :]
  )
  assert hidden < 0.02 * areas


def test_label_is_beside_its_own_box(plates):
  marks = _crowd(12, 4)
  picture = annotate.draw(_photo(1500, 2000), marks)
  for mark, (x1, y1, x2, y2) in zip(marks, plates, strict=True):
    left, top, right, bottom = _pixels(mark.box, picture.size)
    across = max(x1 - right, left - x2, 0)
    down = max(y1 - bottom, top - y2, 0)
    assert math.hypot(across, down) <= 12


def test_words_can_be_read_whatever_is_behind(plates, texts):
  places = []
  for color in ((0, 0, 0), (255, 255, 255)):
    plates.clear()
    picture = annotate.draw(_photo(600, 800, color), [_mark(number=7)])
    left, top, right, bottom = plates[0]
    places.append(
      np.asarray(picture)[top + 3 : bottom - 3, left + 8 : right - 8]
    )
  np.testing.assert_array_equal(*places)
  grounds = {ImageColor.getrgb(c): name for name, c in paint.PALETTE.items()}
  pairs = {(color, grounds[ground]) for _, color, ground in texts}
  assert pairs == {("white", "ink"), ("white", "strong")}
  assert pairs <= set(paint.TEXT_ON)


def test_number_or_words_or_neither(plates, texts):
  for mark, expected in (
    (_mark(text="곰", number=12), ["12", "곰"]),
    (_mark(text="곰"), ["곰"]),
    (_mark(text=" ", number=0), ["0"]),
    (_mark(text=""), []),
  ):
    plates.clear()
    texts.clear()
    annotate.draw(_photo(600, 800), [mark])
    assert [text for text, *_ in texts if text] == expected
    assert len(plates) == bool(expected)


def test_words_too_long_are_cut(plates, texts):
  picture = annotate.draw(_photo(400, 400), [_mark(text="고양이 " * 60)])
  _inside(plates, picture.size)
  assert texts[0][0].endswith("…")
  assert plates[0][2] - plates[0][0] > 0.9 * picture.width


def test_letters_shrink_only_in_a_crowd(plates):
  annotate.draw(_photo(1500, 2000), [_mark()])
  alone = plates[0][3] - plates[0][1]
  plates.clear()
  annotate.draw(_photo(1500, 2000), _crowd(30, 6))
  heights = {bottom - top for _, top, _, bottom in plates}
  assert len(heights) == 1
  assert 19 <= heights.pop() < alone


@pytest.mark.parametrize(
  "box, text",
  [
    ((0, 0, 1), "it has 4 finite numbers"),
    ((0, 0, 1, math.nan), "it has 4 finite numbers"),
    ((0.5, 0, 0.4, 1), "its order is y_min, x_min, y_max, x_max"),
    ((0, 0.5, 1, 0.4), "its order is y_min, x_min, y_max, x_max"),
  ],
)
def test_what_is_no_box_is_refused(box, text):
  with pytest.raises(ValueError, match=re.escape(text)):
    annotate.Mark(box=box)


@pytest.mark.parametrize(
  "photo, text",
  [
    (np.zeros((4, 5), np.uint8), "shape (4, 5); it is [h, w, 3]"),
    (np.zeros((0, 5, 3), np.uint8), "shape (0, 5, 3); it is [h, w, 3]"),
    (np.zeros((4, 5, 3)), "a photo of float64; it is uint8"),
  ],
)
def test_what_is_no_photo_is_refused(photo, text):
  with pytest.raises(ValueError, match=re.escape(text)):
    annotate.draw(photo, [])


def test_the_same_marks_give_the_same_picture():
  marks = _crowd(9, 3, jitter=0.1)
  one, other = (annotate.draw(_photo(500, 500), marks) for _ in range(2))
  assert one.tobytes() == other.tobytes()
