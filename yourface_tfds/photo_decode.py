"""Encoded photos to upright pixels, in the graph.

Does what `photos.decode_scaled` does in the build with TensorFlow's decoders:
decode, first frame of an animation, EXIF orientation of JPEG, transparency on
white, large JPEGs at a half, a quarter or an eighth. A photo that fails fills
its own error; the others are decoded.

  seen = photo_decode.decode_for(encoded, long_side=480)
  photo = photo_decode.parse(
    seen.pixels[0], seen.files.headers.orientation[0]
  )
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from yourface_tfds import photo_header, photo_still, photos

EMPTY = "unreadable: the file is empty"
NOT_AN_IMAGE = "not_an_image: not a JPEG, PNG, GIF, BMP or WebP file"
UNREADABLE = "unreadable: the file is truncated or corrupt"
TOO_LARGE = f"too_large: more than {photos.MAX_PIXELS:,} pixels"
TOO_MANY_SCANS = f"too_large: more than {photos.MAX_SCANS} scans"

SHRINKS = (1, 2, 4, 8)
"""By how much libjpeg can shrink while it decodes."""

_MAGICS = (
  (b"\xff\xd8\xff", 0),
  (b"\x89PNG\r\n\x1a\n", 0),
  (b"GIF8", 0),
  (b"BM", 0),
  (b"WEBP", 8),
)
"""First bytes, and where they stand, of what TensorFlow decodes."""

BLACK_PIXEL = tf.io.serialize_tensor(tf.zeros([1, 1, 3], tf.uint8)).numpy()
"""What stands for a photo that cannot be decoded."""


class Files(NamedTuple):
  """Photo files, one row each.

  Attributes:
    encoded: string[B], their bytes; of what moves those of the first frame.
    headers: int64[B] in each part.
    errors: string[B], "" where it is worth decoding.
  """

  encoded: tf.Tensor
  headers: photo_header.Header
  errors: tf.Tensor

  def is_jpeg(self) -> tf.Tensor:
    """Returns bool[B]."""
    return tf.equal(tf.strings.substr(self.encoded, 0, 2), b"\xff\xd8")


class Decoded(NamedTuple):
  """Photos as far as somebody needed them, one row each.

  Attributes:
    files: what they were decoded from.
    shrink: int64[B], by how much they were decoded smaller.
    pixels: string[B], see `decode_all`.
    errors: string[B], "" when fine.
  """

  files: Files
  shrink: tf.Tensor
  pixels: tf.Tensor
  errors: tf.Tensor


def decode_for(encoded: tf.Tensor, long_side: int) -> Decoded:
  """Decodes photos to at least so many pixels, if they have them.

  Args:
    encoded: string[B], the bytes of any files, at least one.
    long_side: pixels of the longer side that are enough.
  """
  files = examine(encoded)
  shrink = shrinking(files, long_side)
  return Decoded(files, shrink, *decode_all(files, shrink))


def take(files: Files, rows: tf.Tensor) -> Files:
  """Returns some rows: int64[n] -> n files."""
  return tf.nest.map_structure(lambda values: tf.gather(values, rows), files)


def examine(encoded: tf.Tensor) -> Files:
  """Reads the headers of photo files.

  Args:
    encoded: string[B], the bytes of any files, at least one.
  """

  def look(one: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, photo_header.Header]:
    one = photo_still.still(one)
    return one, _is_image(one), photo_header.read(one)

  encoded, is_image, headers = tf.map_fn(
    look,
    encoded,
    fn_output_signature=(
      tf.string,
      tf.bool,
      photo_header.Header(*[tf.int64] * len(photo_header.Header._fields)),
    ),
  )
  errors = tf.where(is_image, "", NOT_AN_IMAGE)
  errors = tf.where(tf.equal(encoded, ""), EMPTY, errors)
  # A decoder may find a size where we did not.
  unknown = is_image & tf.equal(headers.pixels, 0)
  errors = tf.where(unknown, UNREADABLE, errors)
  too_large = is_image & (headers.pixels > photos.MAX_PIXELS)
  errors = tf.where(too_large, TOO_LARGE, errors)
  # Each scan goes over all pixels again: one of 75 bytes costs 40 ms at 49
  # million pixels.
  too_many = is_image & (headers.scans > photos.MAX_SCANS)
  return Files(encoded, headers, tf.where(too_many, TOO_MANY_SCANS, errors))


def shrinking(files: Files, long_side: int | tf.Tensor) -> tf.Tensor:
  """Returns by how much each photo is decoded smaller, as `photos.shrinking`.

  Args:
    files: from `examine`.
    long_side: int[] or int64[B], pixels that the longer side must keep.

  Returns:
    int64[B], one of `SHRINKS`; 1 for what is no JPEG.
  """
  longest = tf.maximum(files.headers.height, files.headers.width)
  wanted = tf.cast(long_side, tf.int64)
  one = tf.ones_like(longest)
  shrink = one
  for step in SHRINKS[1:]:
    shrink = tf.where(longest >= step * wanted, step * one, shrink)
  return tf.where(files.is_jpeg(), shrink, one)


def decode_all(files: Files, shrink: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes photos into RGB, two at a time.

  Args:
    files: from `examine`.
    shrink: int64[B], from `shrinking`.

  Returns:
    string[B]: each photo as `parse` takes it (they differ in size), one black
    pixel on error; and string[B]: "" or what is wrong.
  """
  fine = tf.equal(files.errors, "")
  is_jpeg = files.is_jpeg()
  decoded = tf.fill(tf.shape(files.encoded), BLACK_PIXEL)
  errors = tf.where(fine, UNREADABLE, files.errors)
  # Setting a dataset up costs up to 60 ms, the more the larger its function:
  # one for nearly all photos, and one for what is no JPEG only where it is
  # needed.
  for rows, function in (
    (tf.where(fine & is_jpeg)[:, 0], _decode_jpeg),
    (tf.where(fine & ~is_jpeg)[:, 0], _decode_other),
  ):
    decoded, errors = tf.cond(
      tf.size(rows) > 0,
      functools.partial(
        _decode_rows, rows, function, files.encoded, shrink, decoded, errors
      ),
      lambda decoded=decoded, errors=errors: (decoded, errors),
    )
  return decoded, errors


def _decode_rows(
  rows: tf.Tensor,
  function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  encoded: tf.Tensor,
  shrink: tf.Tensor,
  decoded: tf.Tensor,
  errors: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns `decoded` and `errors` with what could be decoded of some rows.

  A graph has no try, but a dataset can drop what fails.
  """
  options = tf.data.Options()
  # Rewriting the dataset's graph anew for each batch costs more than it gains.
  options.experimental_optimization.apply_default_optimizations = False
  options.autotune.enabled = False
  slices = (rows, tf.gather(encoded, rows), tf.gather(shrink, rows))
  rows, photos = (
    tf.data.Dataset.from_tensor_slices(slices)
    .map(
      lambda row, one, by: (row, tf.io.serialize_tensor(function(one, by))),
      num_parallel_calls=2,
    )
    .ignore_errors(log_warning=False)
    .batch(tf.maximum(tf.size(rows, tf.int64), 1))
    .with_options(options)
    # The initial value is left where nothing could be decoded.
    .reduce(
      (tf.zeros([0], tf.int64), tf.fill([0], "")),
      lambda _, only_batch: only_batch,
    )
  )
  rows = rows[:, tf.newaxis]
  return (
    tf.tensor_scatter_nd_update(decoded, rows, photos),
    tf.tensor_scatter_nd_update(errors, rows, tf.fill(tf.shape(photos), "")),
  )


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes one photo: string[] -> uint8[height, width, 3], string[]."""
  files = examine(encoded[tf.newaxis])
  decoded, errors = decode_all(files, tf.ones([1], tf.int64))
  return parse(decoded[0], files.headers.orientation[0]), errors[0]


def parse(serialized: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
  """Returns a photo of `decode_all`, upright.

  Args:
    serialized: string[].
    orientation: int64[], of its header.

  Returns:
    uint8[height, width, 3], RGB, 0..255.
  """
  photo = tf.io.parse_tensor(serialized, tf.uint8)
  photo = tf.ensure_shape(photo, [None, None, 3])
  return photo_header.upright(photo, orientation)


def _is_image(encoded: tf.Tensor) -> tf.Tensor:
  return tf.reduce_any(
    [
      photo_header.starts_with(encoded, magic, offset)
      for magic, offset in _MAGICS
    ]
  )


def _decode_jpeg(encoded: tf.Tensor, shrink: tf.Tensor) -> tf.Tensor:
  def at(ratio: int) -> tf.Tensor:
    # Pillow's pixels; the default method is up to two levels off.
    return tf.io.decode_jpeg(
      encoded, 3, ratio=ratio, dct_method="INTEGER_ACCURATE"
    )

  # What libjpeg itself makes of the header, should we have been misled.
  sides = tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)
  small = tf.debugging.assert_less_equal(
    tf.reduce_prod(sides), tf.constant(photos.MAX_PIXELS, tf.int64)
  )

  # The ratio of the operation is fixed; one for each.
  which = tf.searchsorted(tf.constant(SHRINKS, tf.int64), shrink[tf.newaxis])[0]
  with tf.control_dependencies([small]):
    return tf.switch_case(which, [lambda r=r: at(r) for r in SHRINKS])


def _decode_other(encoded: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
  # The channels as they are. Asked for four, TensorFlow gives PNGs of at most
  # 16 colours an alpha near 0; asked for three, the WebP decoder refuses a
  # photo with transparency.
  photo = tf.cond(
    photo_header.starts_with(encoded, b"\x89PNG"),
    lambda: tf.io.decode_png(encoded, 0),
    lambda: tf.io.decode_image(encoded, expand_animations=False),
  )
  return _as_rgb(photo)


def _as_rgb(photo: tf.Tensor) -> tf.Tensor:
  """uint8[h, w, 1..4] -> uint8[h, w, 3]: grey repeated, alpha on white."""
  channels = tf.shape(photo)[-1]
  colors = tf.where(tf.equal(channels % 2, 0), channels - 1, channels)
  shape = [*tf.unstack(tf.shape(photo)[:2]), 3]
  color = tf.broadcast_to(photo[..., :colors], shape)
  alpha = photo[..., colors:]
  return tf.cond(
    # No alpha is opaque too.
    tf.reduce_all(tf.equal(alpha, 255)),
    lambda: color,
    lambda: _on_white(tf.concat([color, alpha], -1)),
  )


def _on_white(photo: tf.Tensor) -> tf.Tensor:
  """uint8[h, w, 4] -> uint8[h, w, 3], transparency laid on white."""
  # 255 * 255 + 127 is just below 2^16; int32 took twice the memory.
  photo = tf.cast(photo, tf.uint16)
  color, alpha = photo[..., :3], photo[..., 3:]
  return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
