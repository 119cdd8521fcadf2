"""Encoded photos to upright pixels, in the graph.

Does what `photos.decode_scaled` does in the build with TensorFlow's decoders:
decode, first frame of an animation, EXIF orientation of JPEG, transparency on
white, large JPEGs at a half, a quarter or an eighth. A photo that fails fills
its own error; the others are decoded.

  files = photo_decode.examine(encoded)
  shrink = photo_decode.shrinking(files, long_side=480)
  photos = photo_decode.decoded(files, shrink)   # a dataset
"""

from typing import Any, NamedTuple

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

PARALLEL = 2
"""Photos decoded at a time, and looked at: each may hold 150 MB."""


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


def decoded(files: Files, shrink: tf.Tensor) -> tf.data.Dataset:
  """Decodes photos one after another, for `collect`.

  A graph has no try, but a dataset can drop what fails. Decoded photos are
  never all in memory, and the next is decoded while somebody works on this one.

  Args:
    files: from `examine`.
    shrink: int64[B], from `shrinking`.

  Returns:
    A dataset of what can be decoded: int64[], its row; uint8[h, w, 3], RGB,
    0..255, upright.
  """
  rows = tf.where(tf.equal(files.errors, ""))[:, 0]
  columns = (files.encoded, shrink, files.headers.orientation)
  slices = (rows, *(tf.gather(values, rows) for values in columns))
  return (
    tf.data.Dataset.from_tensor_slices(slices)
    .map(
      lambda row, *file: (row, _decode_one(*file)),
      num_parallel_calls=PARALLEL,
    )
    .ignore_errors(log_warning=False)
  )


def collect(dataset: tf.data.Dataset, most: tf.Tensor) -> Any:
  """Returns all elements of a dataset as one batch, of which there may be none.

  Args:
    dataset: its elements have one shape.
    most: int64[], no fewer than it has.
  """
  options = tf.data.Options()
  # Rewriting the dataset's graph anew for each batch costs more than it gains.
  options.experimental_optimization.apply_default_optimizations = False
  options.autotune.enabled = False
  nothing = tf.nest.map_structure(
    lambda spec: tf.zeros(spec.shape, spec.dtype), dataset.element_spec
  )
  # `reduce` needs no last row, but sets its functions up anew for each batch:
  # 40 ms for one that decodes and .7 s for one that detects, this 4 ms.
  batch = (
    dataset.concatenate(tf.data.Dataset.from_tensors(nothing))
    .batch(most + 1)
    .with_options(options)
    .get_single_element()
  )
  return tf.nest.map_structure(lambda values: values[:-1], batch)


def decode_all(files: Files, shrink: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes photos into RGB.

  Args:
    files: from `examine`.
    shrink: int64[B], from `shrinking`.

  Returns:
    string[B]: each photo as `parse` takes it (they differ in size), one black
    pixel on error; and string[B]: "" or what is wrong.
  """
  rows, photos = collect(
    decoded(files, shrink).map(
      lambda row, photo: (row, tf.io.serialize_tensor(photo))
    ),
    tf.size(shrink, tf.int64),
  )
  rows = rows[:, tf.newaxis]
  pixels = tf.fill(tf.shape(files.encoded), _black_pixel())
  errors = tf.where(tf.equal(files.errors, ""), UNREADABLE, files.errors)
  return (
    tf.tensor_scatter_nd_update(pixels, rows, photos),
    tf.tensor_scatter_nd_update(errors, rows, tf.fill(tf.shape(photos), "")),
  )


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes one photo: string[] -> uint8[height, width, 3], string[]."""
  files = examine(encoded[tf.newaxis])
  pixels, errors = decode_all(files, tf.ones([1], tf.int64))
  return parse(pixels[0]), errors[0]


def parse(serialized: tf.Tensor) -> tf.Tensor:
  """Returns a photo of `decode_all`: string[] -> uint8[h, w, 3], 0..255."""
  photo = tf.io.parse_tensor(serialized, tf.uint8)
  return tf.ensure_shape(photo, [None, None, 3])


def _black_pixel() -> tf.Tensor:
  return tf.io.serialize_tensor(tf.zeros([1, 1, 3], tf.uint8))


def _is_image(encoded: tf.Tensor) -> tf.Tensor:
  return tf.reduce_any(
    [
      photo_header.starts_with(encoded, magic, offset)
      for magic, offset in _MAGICS
    ]
  )


def _decode_one(
  encoded: tf.Tensor, shrink: tf.Tensor, orientation: tf.Tensor
) -> tf.Tensor:
  photo = tf.cond(
    photo_header.starts_with(encoded, b"\xff\xd8"),
    lambda: _decode_jpeg(encoded, shrink),
    lambda: _decode_other(encoded),
  )
  photo = tf.ensure_shape(photo, [None, None, 3])
  return photo_header.upright(photo, orientation)


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


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
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
