"""Tests of photo_decode: photos decoded one by one, collected in one batch."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from yourface_tfds import photo_decode


def _encoded(height, width, name="PNG", **options):
  pixels = np.full((height, width, 3), 200, np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, name, **options)
  return buffer.getvalue()


def _turned():
  exif = Image.Exif()
  exif[274] = 6  # Orientation: a quarter to the right.
  return _encoded(30, 20, "JPEG", exif=exif)


def _shapes(encoded):
  """Returns row, height and width of what can be decoded, int64[n, 3]."""
  files = photo_decode.examine(encoded)
  dataset = photo_decode.decoded(files, tf.ones_like(files.headers.height))
  return photo_decode.collect(
    dataset.map(
      lambda row, photo: tf.concat(
        [[row], tf.shape(photo, tf.int64)[:2]], axis=0
      )
    ),
    tf.size(encoded, tf.int64),
  )


_in_every_way = pytest.mark.parametrize(
  "way",
  [
    _shapes,
    tf.function(_shapes),
    lambda encoded: next(
      iter(tf.data.Dataset.from_tensors(encoded).map(_shapes))
    ),
  ],
  ids=["eager", "function", "map"],
)


@_in_every_way
def test_what_cannot_be_decoded_is_left_out(way):
  cut = _encoded(9, 9)[:-30]
  encoded = [b"", _encoded(4, 5), b"no photo", _turned(), cut, _encoded(7, 8)]
  got = way(tf.constant(encoded))
  assert got.numpy().tolist() == [[1, 4, 5], [3, 20, 30], [5, 7, 8]]


@_in_every_way
@pytest.mark.parametrize("count", [1, 20])
def test_none_can_be_decoded(way, count):
  got = way(tf.constant([b"no photo"] * count))
  assert (got.dtype, got.shape) == (tf.int64, (0, 3))


def test_nothing_is_collected_in_its_shapes():
  dataset = tf.data.Dataset.from_tensors((tf.zeros([2, 3]), "text")).take(0)
  numbers, texts = photo_decode.collect(dataset, tf.constant(0, tf.int64))
  assert (numbers.dtype, numbers.shape) == (tf.float32, (0, 2, 3))
  assert (texts.dtype, texts.shape) == (tf.string, (0,))


def test_what_fails_later_is_not_taken_for_a_bad_photo():
  files = photo_decode.examine(tf.constant([_encoded(4, 5)]))

  def fails(row, photo):
    tf.debugging.assert_equal(tf.shape(photo)[0], 1, "the detector failed")
    return row

  with pytest.raises(tf.errors.InvalidArgumentError, match="detector failed"):
    photo_decode.collect(
      photo_decode.decoded(files, tf.constant([1], tf.int64)).map(fails),
      tf.constant(1, tf.int64),
    )
