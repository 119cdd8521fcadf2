"""Tests of crop: where each pixel of a crop comes from."""

import math

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import crop, mtcnn

_SETTINGS = crop.CropSettings(image_size=32, margin=1.0)


def _crop(photo, box, landmarks, settings=_SETTINGS):
  """Crops eagerly, inside tf.data and as a graph: the same bits."""
  box = np.asarray(box, np.float32)
  landmarks = np.asarray(landmarks, np.float32)

  def cut(photo, box, points):
    return crop.crop_face(photo, box, points, settings)

  eager = cut(photo, box, landmarks).numpy()
  dataset = tf.data.Dataset.from_tensors((photo, box, landmarks)).map(cut)
  assert dataset.element_spec == tf.TensorSpec(eager.shape, tf.uint8)
  np.testing.assert_array_equal(next(iter(dataset)), eager)
  tensors = map(tf.constant, (photo, box, landmarks))
  np.testing.assert_array_equal(tf.function(cut)(*tensors), eager)
  return eager


def _landmarks(centre, distance, degrees=0.0):
  """Eyes around a point, (y, x), in a line rolled clockwise; the rest there."""
  angle = math.radians(degrees)
  half = np.array([math.sin(angle), math.cos(angle)]) * distance / 2
  centre = np.array(centre, float)
  return np.stack([centre - half, centre + half, centre, centre, centre])


def _noise(height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (7, 13), (68, 168)])
def test_upright_face_of_the_size_of_the_crop_is_a_slice(top, left):
  photo = _noise(100, 200)
  box = [top, left, top + 32, left + 32]
  got = _crop(photo, box, _landmarks((top + 16, left + 16), 10))
  np.testing.assert_array_equal(got, photo[top : top + 32, left : left + 32])


def test_longer_side_and_margin():
  photo = _noise(100, 200)
  settings = crop.CropSettings(image_size=32, margin=1.6)
  got = _crop(photo, [30, 40, 50, 50], _landmarks((40, 45), 6), settings)
  np.testing.assert_array_equal(got, photo[24:56, 29:61])


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_large_faces_are_averaged_by_area(factor):
  side = 32 * factor
  photo = _noise(side * 2, side * 2)
  start = factor * 8
  box = [start, start, start + side, start + side]
  got = _crop(photo, box, _landmarks((start + side / 2,) * 2, side / 2))
  # The areas begin where the region does, not where the crop does, so single
  # pixels cannot be compared; mean and spread of the noise can.
  area = photo[start : start + side, start : start + side]
  means = area.reshape(32, factor, 32, factor, 3).mean((1, 3))
  assert abs(got.mean() - means.mean()) < 1
  assert got.std() < photo.std() / factor * 1.3


@pytest.mark.parametrize("side", [3, 20, 32, 33, 47, 90, 150])
@pytest.mark.parametrize("degrees", [0, 17, -40])
def test_constant_stays_constant(side, degrees):
  photo = np.full((120, 170, 3), (200, 31, 7), np.uint8)
  box = [60 - side / 2, 80 - side / 2, 60 + side / 2, 80 + side / 2]
  got = _crop(photo, box, _landmarks((60, 80), side / 2, degrees))
  np.testing.assert_array_equal(got, np.full_like(got, (200, 31, 7)))


@pytest.mark.parametrize("scale", [0.1, 0.4, 1.0, 2.7, 6.0])
def test_geometry_is_exact_at_any_scale(scale):
  # A ramp: its value says where a pixel of the crop comes from.
  height, width = 600, 500
  y, x = np.mgrid[:height, :width] + 0.5
  photo = np.stack([y * 0.4, x * 0.4, y * 0], -1).round().astype(np.uint8)
  side = 32 * scale
  centre = np.array([301.3, 247.6])
  box = [*(centre - side / 2), *(centre + side / 2)]
  got = _crop(photo, box, _landmarks(centre, side / 2)).astype(float)
  steps = (np.arange(32) + 0.5 - 16) * scale
  expected_y = np.tile((centre[0] + steps)[:, None], 32) * 0.4
  expected_x = np.tile((centre[1] + steps)[None], (32, 1)) * 0.4
  # Half for the rounding of the ramp, half for that of the crop.
  np.testing.assert_allclose(got[..., 0], expected_y, atol=1.01)
  np.testing.assert_allclose(got[..., 1], expected_x, atol=1.01)
  assert abs((got[..., 0] - expected_y).mean()) < 0.25
  assert abs((got[..., 1] - expected_x).mean()) < 0.25


def _spot(crop_pixels, channel):
  """The centre of a blob, y x, continuous pixels."""
  values = crop_pixels[..., channel].astype(float)
  y, x = np.mgrid[: values.shape[0], : values.shape[1]] + 0.5
  return np.array([(values * y).sum(), (values * x).sum()]) / values.sum()


@pytest.mark.parametrize("degrees", [-58, -30, -5, 5, 21, 45, 59])
@pytest.mark.parametrize("distance", [30, 90, 400])
def test_rolled_eyes_become_level(degrees, distance):
  # A red and a green eye, on a line through the centre of the box.
  size = 3 * distance
  landmarks = _landmarks((size / 2, size / 2), distance, degrees)
  y, x = np.mgrid[:size, :size] + 0.5
  photo = np.zeros((size, size, 3))
  for channel, (eye_y, eye_x) in enumerate(landmarks[:2]):
    square = (y - eye_y) ** 2 + (x - eye_x) ** 2
    photo[..., channel] = 255 * np.exp(-square / 2 / (distance / 20) ** 2)
  photo = photo.round().astype(np.uint8)
  low, high = size / 2 - distance, size / 2 + distance
  settings = crop.CropSettings(image_size=150, margin=1.0)
  got = _crop(photo, [low, low, high, high], landmarks, settings)
  left, right = _spot(got, 0), _spot(got, 1)
  assert abs(left[0] - right[0]) < 0.5
  np.testing.assert_allclose(left, [75, 37.5], atol=0.5)
  np.testing.assert_allclose(right, [75, 112.5], atol=0.5)


@pytest.mark.parametrize(
  ("distance", "degrees", "settings"),
  [
    (16, 90, {}),
    (16, 61, {}),
    (16, -120, {}),
    (16, 180, {}),  # Eyes the wrong way round.
    (6, 30, {}),  # A profile.
    (16, 10, {"max_roll_degrees": 5}),
    (0, 0, {"min_eye_distance": 0.0}),
  ],
)
def test_untrusted_eyes_do_not_turn_the_face(distance, degrees, settings):
  photo = _noise(64, 64)
  settings = crop.CropSettings(image_size=32, margin=1.0, **settings)
  landmarks = _landmarks((32, 32), distance, degrees)
  got = _crop(photo, [16, 16, 48, 48], landmarks, settings)
  np.testing.assert_array_equal(got, photo[16:48, 16:48])


def test_roll():
  box = np.array([0, 0, 100, 80], np.float32)
  for degrees in (-60, 0, 30):
    landmarks = _landmarks((50, 40), 40, degrees * 0.999).astype(np.float32)
    angle = float(crop.roll(box, landmarks))
    assert math.degrees(angle) == pytest.approx(degrees * 0.999, abs=1e-4)


@pytest.mark.parametrize(
  ("top", "left"), [(-10, -10), (-20, 90), (80, -5), (95, 85), (40, 84)]
)
def test_edges_of_the_photo_repeat(top, left):
  photo = _noise(100, 100)
  padded = np.pad(photo, ((40, 40), (40, 40), (0, 0)), mode="edge")
  box = [top, left, top + 32, left + 32]
  got = _crop(photo, box, _landmarks((top + 16, left + 16), 10))
  expected = padded[top + 40 : top + 72, left + 40 : left + 72]
  np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("side", [40, 2000])
def test_a_box_wholly_outside(side):
  photo = np.full((30, 50, 3), 9, np.uint8)
  photo[-1, -1] = 77
  box = [500, 800, 500 + side, 800 + side]
  centre = 500 + side / 2, 800 + side / 2
  got = _crop(photo, box, _landmarks(centre, side / 2))
  np.testing.assert_array_equal(got, np.full_like(got, 77))


def test_no_face_and_smallest_photo_do_not_crash():
  got = _crop(_noise(1, 1), np.zeros(4), np.zeros((5, 2)))
  assert got.shape == (32, 32, 3)
  got = _crop(_noise(1, 300), [0, 0, 1, 1], np.zeros((5, 2)))
  assert got.shape == (32, 32, 3)


def test_a_tiny_face_is_enlarged_smoothly():
  photo = np.zeros((20, 20, 3), np.uint8)
  photo[:, 10:] = 200
  got = _crop(photo, [8, 8, 12, 12], _landmarks((10, 10), 2)).astype(int)
  assert (np.diff(got[16, :, 0]) >= 0).all()
  assert np.abs(np.diff(got[16, :, 0])).max() <= 200 / 8 + 1
  np.testing.assert_array_equal(got[16, :, 0] + got[16, ::-1, 0], 200)


def test_a_single_trace_serves_all_photos():
  function = tf.function(
    lambda photo, box, points: crop.crop_face(photo, box, points),
    input_signature=[
      tf.TensorSpec([None, None, 3], tf.uint8),
      tf.TensorSpec([4], tf.float32),
      tf.TensorSpec([5, 2], tf.float32),
    ],
  )
  for height, width in ((300, 200), (40, 700)):
    photo = _noise(height, width)
    got = function(photo, tf.constant([5.0, 5, 35, 30]), tf.zeros([5, 2]))
    assert got.shape == (150, 150, 3)
  assert function.experimental_get_tracing_count() == 1


def test_source_side():
  boxes = np.array([[0, 0, 10, 20], [5, 5, 105, 45]], np.float32)
  np.testing.assert_allclose(crop.source_side(boxes), [26, 130], rtol=1e-6)
  np.testing.assert_allclose(crop.source_side(boxes, 1.0), [20, 100])
  np.testing.assert_allclose(crop.source_side(np.zeros(4, np.float32)), 1)


def test_to_photo_pixels_scales_each_axis():
  photo, fitted = np.array([1000, 333]), np.array([512, 170])
  box = np.array([0, 0, 512, 170], np.float32)
  got = crop.to_photo_pixels(box, fitted, photo)
  np.testing.assert_allclose(got, [0, 0, 1000, 333], rtol=1e-6)
  points = np.full((3, 5, 2), (256, 17), np.float32)
  got = crop.to_photo_pixels(points, fitted, photo)
  assert got.shape == (3, 5, 2)
  np.testing.assert_allclose(got[2, 4], [500, 33.3], rtol=1e-6)


def test_to_photo_pixels_undoes_fit_photo():
  # A bright square, 1 px to each side of its true place after the way back.
  photo = np.zeros((1111, 777, 3), np.uint8)
  photo[600:700, 300:420] = 255
  image, size = mtcnn.fit_photo(photo, 512)
  # The padding is gray; only what the photo covers counts.
  height, width = size.numpy()
  rows, columns = np.nonzero(image.numpy()[:height, :width, 0] > 127)
  box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
  box = np.array(box, np.float32)
  got = crop.to_photo_pixels(box, size, np.array(photo.shape[:2]))
  np.testing.assert_allclose(got, [600, 300, 700, 420], atol=1.2)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"image_size": 0}, "Got image_size 0; it must be at least 1"),
    ({"margin": 0.0}, "Got margin 0.0; it must be above 0"),
    ({"margin": math.nan}, "Got margin nan"),
    ({"max_roll_degrees": 200.0}, "Got max_roll_degrees 200.0; allowed: 0"),
    ({"min_eye_distance": -0.1}, "Got min_eye_distance -0.1; it must be"),
  ],
)
def test_settings_out_of_range(settings, message):
  with pytest.raises(ValueError, match=message):
    crop.CropSettings(**settings)
