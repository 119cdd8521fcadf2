"""Tests of animals, animal_shapes and vector_shapes."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from yourface_tfds import animal_shapes, animals, labels, vector_shapes

_NAMES = labels.HEADS["face_type"].names
_SPACE = "{http://www.w3.org/2000/svg}"


def _on_white(name, side=96):
  drawing = animals.draw(name, side)
  picture = Image.new("RGB", drawing.size, "white")
  picture.paste(drawing, (0, 0), drawing)
  return np.asarray(picture, np.float64)


def _alpha(image):
  return np.asarray(image)[..., 3].astype(np.float64) / 255


def test_every_animal_of_the_labels_is_drawn():
  assert set(animals.NAMES) == set(_NAMES)


@pytest.mark.parametrize("name", [*_NAMES, "unicorn"])
def test_drawing_fills_its_square_but_the_corners(name):
  drawing = animals.draw(name, 96)
  assert (drawing.mode, drawing.size) == ("RGBA", (96, 96))
  alpha = _alpha(drawing)
  assert not alpha[[0, 0, -1, -1], [0, -1, 0, -1]].any()
  assert not alpha[[0, -1]].any()
  assert 0.4 < alpha.mean() < 0.7
  assert np.count_nonzero((alpha > 0.1) & (alpha < 0.9)) > 96
  rows, columns = np.nonzero(alpha)
  # In the middle from left to right, and as wide or as high as it can be.
  assert abs(columns.min() + columns.max() - 95) <= 8
  assert max(np.ptp(rows), np.ptp(columns)) > 76


@pytest.mark.parametrize(
  "one, other", list(itertools.combinations([*_NAMES, "unicorn"], 2))
)
def test_no_two_look_alike(one, other):
  # A tenth of all the difference there can be.
  assert np.abs(_on_white(one) - _on_white(other)).mean() > 25.5


def test_a_class_that_nobody_drew_gets_a_smiling_face():
  smile = animals.draw("unicorn", 64).tobytes()
  assert animals.draw("", 64).tobytes() == smile
  assert animals.draw("Dog", 64).tobytes() == smile
  assert animals.svg("unicorn") == animals.svg("유니콘")


@pytest.mark.parametrize("side", [1, 7, 48, 300])
def test_drawings_of_any_side_are_the_same_picture(side):
  small = np.asarray(animals.draw("fox", side).convert("RGBa"), np.float64)
  large = animals.draw("fox", side * 4).convert("RGBa")
  shrunk = np.asarray(large.resize((side, side), Image.Resampling.BOX))
  assert np.abs(small - shrunk).mean() < 4


@pytest.mark.parametrize("side", [0, -3])
def test_a_side_below_one_is_refused(side):
  text = f"Got side {side}; a picture has at least 1 pixel."
  with pytest.raises(ValueError, match=re.escape(text)):
    animals.draw("dog", side)
  with pytest.raises(ValueError, match=re.escape(text)):
    animals.svg("dog", side)


@pytest.mark.parametrize("name", [*_NAMES, "unicorn"])
def test_svg_is_plain_paths_with_the_numbers_of_the_drawing(name):
  root = ET.fromstring(animals.svg(name, 40))
  assert root.tag == _SPACE + "svg"
  assert (root.get("width"), root.get("height")) == ("40", "40")
  assert root.get("viewBox") == "0 0 100 100"
  shapes = getattr(animal_shapes, name if name in _NAMES else "anybody")()
  assert len(root) == len(shapes)
  for path, shape in zip(root, shapes, strict=True):
    assert path.tag == _SPACE + "path"
    # No identifier that a second SVG of the page could have, no text, no link.
    assert set(path.attrib) <= {"d", "fill", "stroke", "stroke-width"}
    assert not path.text and not path.tail
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.attrib["d"])]
    np.testing.assert_allclose(numbers, np.ravel(shape.points), atol=0.0051)
    assert path.attrib["d"].endswith("Z") == shape.closed
    assert path.attrib["fill"] == (shape.fill or "none")
    assert path.get("stroke") == shape.line
    if shape.line:
      assert float(path.attrib["stroke-width"]) == pytest.approx(shape.width)


def test_area_of_an_ellipse():
  for turn in (0, 30, 90):
    shape = vector_shapes.dot(50, 50, 40, 20, turn=turn, fill="#ff0000")
    area = _alpha(vector_shapes.pixels([shape], 200)).sum() / 4
    assert area == pytest.approx(math.pi * 40 * 20, rel=0.02)
  upright = vector_shapes.dot(50, 50, 40, 20, turn=90, fill="#ff0000")
  rows, columns = np.nonzero(_alpha(vector_shapes.pixels([upright], 100)))
  assert np.ptp(rows) > 76 and np.ptp(columns) < 44


def test_area_of_a_polygon_with_and_without_its_line():
  corners = [(20, 20), (80, 20), (80, 60), (20, 60)]
  plain = vector_shapes.polygon(corners, fill="#00ff00", line=None)
  area = _alpha(vector_shapes.pixels([plain], 200)).sum() / 4
  assert area == pytest.approx(60 * 40, rel=0.02)
  lined = vector_shapes.polygon(corners, fill="#00ff00", width=8)
  area = _alpha(vector_shapes.pixels([lined], 200)).sum() / 4
  # Half of the line lies outside, with round corners.
  assert area == pytest.approx(68 * 48 - (4 - math.pi) * 16, rel=0.02)


def test_open_lines_have_round_ends_and_no_way_back():
  shape = vector_shapes.lines([(20, 80), (50, 20), (80, 80)], width=10)
  image = vector_shapes.pixels([shape], 200)
  length = 2 * math.hypot(30, 60)
  assert _alpha(image).sum() / 4 == pytest.approx(
    10 * length + math.pi * 25, rel=0.03
  )
  assert image.getpixel((100, 160)) == (0, 0, 0, 0)
  assert image.getpixel((100, 40)) == (0x3A, 0x2D, 0x38, 255)


def test_curves_go_through_their_knots_and_twice_is_a_corner():
  knots = [(10, 50), (50, 10), (90, 50), (50, 90)]
  points = vector_shapes.smooth(knots).points
  assert points[::3] == (*knots, knots[0])
  # The direction at a knot is that from its one neighbour to the other.
  assert points[4] == pytest.approx((50 + 80 / 6, 10))
  assert points[2] == pytest.approx((50 - 80 / 6, 10))
  sharp = vector_shapes.smooth([knots[0], knots[1], knots[1], *knots[2:]])
  assert sharp.points[::3] == (*knots, knots[0])
  assert sharp.points[2] == sharp.points[3] == sharp.points[4] == knots[1]
  line = vector_shapes.curve(knots[:3])
  assert line.points[::3] == tuple(knots[:3])
  assert not line.closed and line.fill is None


def test_both_is_symmetric():
  one = vector_shapes.dot(20, 40, 8, 12, turn=20, fill="#ff0000")
  image = np.asarray(vector_shapes.pixels(vector_shapes.both(one), 100))
  columns = np.nonzero(image[..., 3])[1]
  assert columns.min() < 20 and columns.max() > 80
  assert np.abs(image.astype(int) - image[:, ::-1]).mean() < 1


def test_shapes_are_drawn_first_to_last():
  below = vector_shapes.dot(50, 50, 30, fill="#ff0000")
  above = vector_shapes.dot(50, 50, 10, fill="#0000ff")
  image = vector_shapes.pixels([below, above], 100)
  assert image.getpixel((50, 50)) == (0, 0, 255, 255)
  assert image.getpixel((50, 70)) == (255, 0, 0, 255)
