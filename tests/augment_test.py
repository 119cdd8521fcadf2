"""Tests of augment: what is drawn, where pixels go, what stays in range."""

import math

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import augment

_NOTHING = augment.AugmentSettings(
  flip=False, shift=0, rotation=0, zoom=0, brightness=0, contrast=0
)


def _only(**settings):
  return augment.AugmentSettings(
    **{
      "flip": False,
      "shift": 0,
      "rotation": 0,
      "zoom": 0,
      "brightness": 0,
      "contrast": 0,
      **settings,
    }
  )


def _noise(batch=8, height=20, width=24, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (batch, height, width, 3), np.uint8)


def _warp(images, random, settings):
  """Warps with chosen draws: one column of angle, zoom, x, y, flip."""
  random = tf.constant(random, tf.float32)[:, None]
  shape = tf.shape(images)[1:3]
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=tf.cast(images, tf.float32),
    transforms=augment.affine_matrices(random, shape, settings),
    output_shape=shape,
    fill_value=0.0,
    interpolation="BILINEAR",
    fill_mode="NEAREST",
  ).numpy()


def _dot(y, x, size=21):
  image = np.zeros((1, size, size, 3), np.uint8)
  image[0, y, x] = 255
  return image


def _brightest(images):
  """Returns (y, x) of the centre of mass of the only image."""
  weights = images[0, ..., 0] / images[0, ..., 0].sum()
  y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
  return float((y * weights).sum()), float((x * weights).sum())


def test_same_seed_same_images():
  images = _noise()
  first = augment.augment(images, seed=[3, 5]).numpy()
  np.testing.assert_array_equal(first, augment.augment(images, seed=[3, 5]))
  for seed in ([3, 6], [4, 5]):
    other = augment.augment(images, seed=seed).numpy()
    assert np.abs(first - other).mean() > 1


def test_each_image_is_changed_in_its_own_way():
  images = np.repeat(_noise(1), 8, axis=0)
  changed = augment.augment(images, seed=[0, 0]).numpy()
  for i in range(8):
    for j in range(i):
      assert np.abs(changed[i] - changed[j]).mean() > 1


def test_eager_function_and_tf_data_agree():
  images = _noise()
  seed = tf.constant([1, 2])
  eager = augment.augment(images, seed).numpy()
  function = tf.function(augment.augment)(tf.constant(images), seed)
  dataset = tf.data.Dataset.from_tensors(images).map(
    lambda images: augment.augment(images, seed)
  )
  assert dataset.element_spec == tf.TensorSpec(images.shape, tf.float32)
  mapped = next(iter(dataset))
  # A graph may fuse and order float operations in another way.
  np.testing.assert_allclose(eager, function, atol=0.01)
  np.testing.assert_allclose(eager, mapped, atol=0.01)


def test_unknown_batch_size_keeps_the_shape():
  step = tf.function(
    lambda images: augment.augment(images, tf.constant([0, 0])),
    input_signature=[tf.TensorSpec([None, 20, 24, 3], tf.uint8)],
  )
  assert step(_noise(3)).shape == (3, 20, 24, 3)
  concrete = step.get_concrete_function()
  assert concrete.structured_outputs.shape.as_list() == [None, 20, 24, 3]


def test_nothing_set_changes_nothing():
  images = _noise()
  changed = augment.augment(images, [7, 7], _NOTHING)
  assert changed.dtype == tf.float32
  # The mean is taken off and added again: only float32's last bits move.
  np.testing.assert_allclose(changed, images, atol=1e-4)
  np.testing.assert_array_equal(np.rint(changed), images)


def test_flip_mirrors_about_half_of_the_images():
  images = _noise(64)
  changed = augment.augment(images, [0, 1], _only(flip=True)).numpy()
  mirrored = images[:, :, ::-1]
  flipped = 0
  for before, mirror, after in zip(images, mirrored, changed, strict=True):
    is_flipped = np.abs(after - mirror).max() < 0.01
    assert is_flipped or np.abs(after - before).max() < 0.01
    flipped += is_flipped
  assert 20 <= flipped <= 44


def test_shift_moves_by_that_part_of_the_side():
  settings = _only(shift=0.2)
  # The matrix leads from output to input: +1 looks right, so the dot goes left.
  images = np.zeros((1, 20, 30, 3), np.uint8)
  images[0, 10, 15] = 255
  assert _brightest(_warp(images, [0, 0, 1, 0, 0], settings)) == (10, 9)
  assert _brightest(_warp(images, [0, 0, -1, 0, 0], settings)) == (10, 21)
  assert _brightest(_warp(images, [0, 0, 0, 0.5, 0], settings)) == (8, 15)


def test_rotation_turns_about_the_centre():
  settings = _only(rotation=90)
  y, x = _brightest(_warp(_dot(10, 16), [1, 0, 0, 0, 0], settings))
  # Output (x, y) is input (-y, x) about the centre: the right comes to the top.
  assert (y, x) == (pytest.approx(4, abs=1e-3), pytest.approx(10, abs=1e-3))
  y, x = _brightest(_warp(_dot(10, 10), [1, 0, 0, 0, 0], settings))
  assert (y, x) == (pytest.approx(10, abs=1e-3), pytest.approx(10, abs=1e-3))


def test_rotation_by_its_degrees():
  # A blob, so that its centre of mass survives the resampling.
  images = np.zeros((1, 41, 41, 3), np.uint8)
  images[0, 19:22, 31:34] = 255
  angle = math.radians(8)
  y, x = _brightest(_warp(images, [0.5, 0, 0, 0, 0], _only(rotation=16)))
  assert x - 20 == pytest.approx(12 * math.cos(angle), abs=0.1)
  assert y - 20 == pytest.approx(-12 * math.sin(angle), abs=0.1)


@pytest.mark.parametrize(("draw", "distance"), [(1, 4), (-1, 12)])
def test_zoom_scales_about_the_centre(draw, distance):
  images = np.zeros((1, 41, 41, 3), np.uint8)
  images[0, 18:23, 24:29] = 255  # 6 right of the centre.
  y, x = _brightest(_warp(images, [0, draw, 0, 0, 0], _only(zoom=0.5)))
  assert (y - 20, x - 20) == (
    pytest.approx(0, abs=0.1),
    pytest.approx(distance, abs=0.3),
  )


def test_images_are_turned_then_mirrored():
  settings = _only(flip=True, rotation=90)
  y, x = _brightest(_warp(_dot(4, 10), [1, 0, 0, 0, 1], settings))
  assert (y, x) == (pytest.approx(10, abs=1e-3), pytest.approx(16, abs=1e-3))


def test_edges_are_repeated():
  images = np.full((16, 20, 20, 3), 200, np.uint8)
  settings = _only(flip=True, shift=0.5, rotation=45, zoom=0.5)
  changed = augment.augment(images, [0, 0], settings)
  np.testing.assert_allclose(changed, images, atol=0.01)


@pytest.mark.parametrize("settings", ["brightness", "contrast"])
def test_stays_in_range(settings):
  changed = augment.augment(
    _noise(32), [0, 0], _only(**{settings: 1.0})
  ).numpy()
  assert changed.dtype == np.float32
  assert changed.min() >= 0
  assert changed.max() <= 255
  assert changed.max() > 200


def test_brightness_adds_the_same_everywhere():
  images = np.full((32, 8, 8, 3), 128, np.uint8)
  changed = augment.augment(images, [0, 0], _only(brightness=0.1)).numpy()
  offsets = changed[:, 0, 0, 0] - 128
  np.testing.assert_allclose(
    changed - 128,
    np.broadcast_to(offsets[:, None, None, None], changed.shape),
    atol=1e-3,
  )
  assert np.abs(offsets).max() <= 25.5 + 1e-3
  assert offsets.min() < -10
  assert offsets.max() > 10


def test_contrast_keeps_the_mean():
  images = np.clip(_noise(32), 100, 156)
  changed = augment.augment(images, [0, 0], _only(contrast=0.2)).numpy()
  axes = (1, 2, 3)
  np.testing.assert_allclose(
    changed.mean(axis=axes), images.mean(axis=axes), atol=1e-2
  )
  factors = changed.std(axis=axes) / images.std(axis=axes)
  assert factors.min() >= 0.8 - 1e-3
  assert factors.max() <= 1.2 + 1e-3
  assert factors.max() - factors.min() > 0.2


def test_uint8_and_float_agree():
  images = _noise()
  np.testing.assert_array_equal(
    augment.augment(images, [0, 3]),
    augment.augment(images.astype(np.float32), [0, 3]),
  )
