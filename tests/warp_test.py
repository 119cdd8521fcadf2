"""Tests of warp: the pixels of ImageProjectiveTransformV3, wherever it runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import warp

IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0]


def _noise(batch=8, height=37, width=41, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (batch, height, width, channels), np.uint8)


def _matrices(batch, size, seed=0):
  """Any direction and size, looking up to half the image beyond the border."""
  rng = np.random.default_rng(seed)
  linear = rng.uniform(-1.5, 1.5, (batch, 2, 2))
  centre = (size - 1) / 2
  move = rng.uniform(-size / 2, size / 2, (batch, 2))
  shift = centre - linear.sum(axis=2) * centre + move
  rows = np.concatenate([linear, shift[..., None]], axis=2).reshape(batch, 6)
  return np.pad(rows, [(0, 0), (0, 2)]).astype(np.float32)


def _projective(images, matrices):
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=tf.cast(images, tf.float32),
    transforms=matrices,
    output_shape=tf.shape(images)[1:3],
    fill_value=0.0,
    interpolation="BILINEAR",
    fill_mode="NEAREST",
  ).numpy()


def _in_tf_data(images, matrices):
  dataset = tf.data.Dataset.from_tensors((images, matrices)).map(warp.warp)
  assert dataset.element_spec == tf.TensorSpec(images.shape, tf.float32)
  return next(iter(dataset))


WAYS = {
  "eager": warp.warp,
  "function": tf.function(lambda images, m: warp.warp(images, m)),
  "compiled": tf.function(
    lambda images, rows: warp.warp(images, rows), jit_compile=True
  ),
  "tf_data": _in_tf_data,
}


@pytest.mark.parametrize("way", WAYS)
def test_is_the_projective_transform(way):
  images, matrices = _noise(), _matrices(8, 39)
  warped = np.asarray(WAYS[way](images, matrices))
  assert warped.dtype == np.float32
  np.testing.assert_allclose(warped, _projective(images, matrices), atol=0.01)


@pytest.mark.parametrize(("size", "tolerance"), [(150, 0.01), (512, 0.05)])
def test_tolerance_of_the_docstring(size, tolerance):
  images = _noise(max(2, 64 * 150 * 150 // size**2), size, size)
  matrices = _matrices(len(images), size, seed=1)
  matrices[:, :6] = matrices[:, :6] * 0.2 + np.array([1, 0, 0, 0, 1, 0]) * 0.8
  expected = _projective(images, matrices)
  for way in ("eager", "compiled"):
    np.testing.assert_allclose(
      WAYS[way](images, matrices), expected, atol=tolerance
    )


def test_a_compiled_caller_may_split_the_loop():
  """Coordinates in float32 are off by 110 of 255 here, at 3 numbers."""
  images, matrices = _noise(256, 150, 150), _matrices(256, 150, seed=3)
  matrices[:, :6] = matrices[:, :6] * 0.2 + np.array([1, 0, 0, 0, 1, 0]) * 0.8

  @tf.function(jit_compile=True)
  def split(images, matrices):
    first, second = (warp.warp(images, matrices) for _ in range(2))
    return tf.concat([first[..., :1], second[..., 1:]], axis=-1)

  np.testing.assert_allclose(
    split(images, matrices), _projective(images, matrices), atol=0.01
  )


@pytest.mark.parametrize("way", WAYS)
def test_whole_pixels_stay_exact(way):
  """Mirrors and whole shifts fall on whole numbers, where rounding shows."""
  images = _noise(4, 30, 40)
  mirror, move = [-1, 0, 39, 0, 1, 0, 0, 0], [1, 0, 7, 0, 1, -3, 0, 0]
  matrices = np.array([IDENTITY, mirror, move, IDENTITY], np.float32)
  padded = np.pad(images[2], [(3, 0), (0, 7), (0, 0)], "edge")
  expected = [images[0], images[1][:, ::-1], padded[:30, 7:], images[3]]
  np.testing.assert_array_equal(WAYS[way](images, matrices), expected)


def test_is_what_keras_layers_do():
  images = _noise()
  matrices = _matrices(8, 39, seed=2)
  expected = keras.ops.image.affine_transform(
    images.astype(np.float32), matrices, "bilinear", "nearest"
  )
  np.testing.assert_allclose(warp.warp(images, matrices), expected, atol=0.01)


@pytest.mark.parametrize("distance", [1e3, 1e8, -1e8, 1e30])
def test_far_beyond_the_border_is_the_corner(distance):
  images = _noise(2)
  matrix = [1, 0, distance, 0, 1, distance, 0, 0]
  matrices = np.array([matrix] * 2, np.float32)
  corner = -1 if distance > 0 else 0
  expected = np.broadcast_to(
    images[:, corner, corner][:, None, None], images.shape
  )
  np.testing.assert_array_equal(warp.warp(images, matrices), expected)


def test_six_numbers_are_enough():
  images, matrices = _noise(), _matrices(8, 39)
  np.testing.assert_array_equal(
    warp.warp(images, matrices[:, :6]), warp.warp(images, matrices)
  )


def test_uint8_and_float_agree():
  images, matrices = _noise(), _matrices(8, 39)
  np.testing.assert_array_equal(
    warp.warp(images, matrices), warp.warp(images.astype(np.float32), matrices)
  )


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(channels):
  images, matrices = _noise(channels=channels), _matrices(8, 39)
  np.testing.assert_allclose(
    warp.warp(images, matrices), _projective(images, matrices), atol=0.01
  )


def test_a_single_pixel():
  images = np.full((1, 1, 1, 3), 7, np.uint8)
  np.testing.assert_array_equal(warp.warp(images, _matrices(1, 1)), images)


def test_the_batch_size_may_change():
  step = tf.function(
    warp.warp,
    input_signature=[
      tf.TensorSpec([None, 37, 41, 3], tf.uint8),
      tf.TensorSpec([None, 8], tf.float32),
    ],
  )
  concrete = step.get_concrete_function()
  assert concrete.structured_outputs.shape.as_list() == [None, 37, 41, 3]
  for batch in (5, 2, 5, 1):
    images, matrices = _noise(batch), _matrices(batch, 39)
    np.testing.assert_allclose(
      step(images, matrices), _projective(images, matrices), atol=0.01
    )


def test_refuses_other_shapes():
  with pytest.raises(ValueError, match=r"images: got shape \(37, 41, 3\)"):
    warp.warp(_noise()[0], _matrices(8, 39))
  with pytest.raises(
    ValueError, match=r"matrices: got shape \(8, 7\), allowed"
  ):
    warp.warp(_noise(), _matrices(8, 39)[:, :7])
