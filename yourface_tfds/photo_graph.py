"""Encoded photos to face crops, all in the graph: the front of the export.

Does what `photos` and `photo_worker` do in the build with TensorFlow's
decoders: decode, first frame of an animation, EXIF orientation of JPEG,
detection, crop.
A photo that fails fills its own `errors`; the others are answered.
"""

from typing import NamedTuple

import tensorflow as tf

from yourface_tfds import faces, photo_header, photos

NOT_AN_IMAGE = "not_an_image: not a JPEG, PNG, GIF, BMP or WebP file"
UNREADABLE = "unreadable: the file is truncated or corrupt"
TOO_LARGE = f"too_large: more than {photos.MAX_PIXELS:,} pixels"
NO_FACE = "no_face: no face was found"


_MAGICS = (
  (b"\xff\xd8\xff", 0),
  (b"\x89PNG\r\n\x1a\n", 0),
  (b"GIF8", 0),
  (b"BM", 0),
  (b"WEBP", 8),
)
"""First bytes, and where they stand, of what TensorFlow decodes."""


_BLACK_PIXEL = tf.io.serialize_tensor(tf.zeros([1, 1, 3], tf.uint8)).numpy()
"""What stands for a photo that cannot be decoded."""


class FoundFaces(NamedTuple):
  """One row a photo.

  Attributes:
    found: bool[B].
    boxes: float32[B, 4], y_min, x_min, y_max, x_max, 0..1 of the upright
      photo; zeros where nothing was found.
    scores: float32[B], 0..1.
    counts: int64[B], faces in the photo.
    crops: uint8[B, S, S, 3]; black where nothing was found.
    errors: string[B], "" when fine.
  """

  found: tf.Tensor
  boxes: tf.Tensor
  scores: tf.Tensor
  counts: tf.Tensor
  crops: tf.Tensor
  errors: tf.Tensor


def find_faces(finder: faces.FaceFinder, encoded: tf.Tensor) -> FoundFaces:
  """Finds the main face of each photo.

  Args:
    finder: detector and crop.
    encoded: string[B], the bytes of photo files.
  """
  # An empty batch breaks the detector's convolutions; it gets a row, which is
  # dropped again.
  wanted = tf.shape(encoded)[0]
  encoded = tf.cond(
    tf.equal(wanted, 0), lambda: tf.fill([1], ""), lambda: encoded
  )
  decoded, errors = decode_all(encoded)
  side = finder.crop_settings.image_size

  def look(photo: tf.Tensor) -> tuple[tf.Tensor, ...]:
    # One at a time, as the build: a photo padded for another would be found a
    # little elsewhere, since the pyramid's sides are rounded.
    return _look(finder, parse_photo(photo))

  found, boxes, scores, counts, crops = tf.map_fn(
    look,
    decoded,
    fn_output_signature=(
      tf.TensorSpec([], tf.bool),
      tf.TensorSpec([4], tf.float32),
      tf.TensorSpec([], tf.float32),
      tf.TensorSpec([], tf.int64),
      tf.TensorSpec([side, side, 3], tf.uint8),
    ),
    parallel_iterations=2,
  )
  fine = errors == ""
  return FoundFaces(
    found=(found & fine)[:wanted],
    boxes=boxes[:wanted],
    scores=scores[:wanted],
    counts=counts[:wanted],
    crops=crops[:wanted],
    errors=tf.where(fine & ~found, NO_FACE, errors)[:wanted],
  )


def _look(finder: faces.FaceFinder, photo: tf.Tensor) -> tuple[tf.Tensor, ...]:
  """Returns one row of `FoundFaces`, errors apart; zeros without a face."""
  image, size = finder.fit(photo)
  main = finder.locate(image[tf.newaxis], size[tf.newaxis])
  found = main.found[0]
  pixels, box, _ = finder.cut(photo, size, main.boxes[0], main.landmarks[0])
  shape = tf.cast(tf.shape(photo)[:2], tf.float32)
  return (
    found,
    tf.where(found, box / tf.tile(shape, [2]), 0.0),
    main.scores[0],
    main.count[0],
    tf.where(found, pixels, 0),
  )


def decode_all(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes photos into upright RGB, two at a time.

  Args:
    encoded: string[B], the bytes of files, at least one.

  Returns:
    string[B]: each photo, uint8[height, width, 3], as `parse_photo` takes it
    (they differ in size), one black pixel on error; and string[B]: "" or what
    is wrong.
  """
  count = tf.shape(encoded, tf.int64)[0]
  # Not inside the dataset: there each turn of a loop is a function call, which
  # makes reading the headers three times as slow.
  is_image, headers = tf.map_fn(
    lambda one: (_is_image(one), photo_header.read(one)),
    encoded,
    fn_output_signature=(
      tf.bool,
      photo_header.Header(pixels=tf.int64, orientation=tf.int64),
    ),
  )
  too_large = headers.pixels > photos.MAX_PIXELS
  errors = tf.where(is_image, UNREADABLE, NOT_AN_IMAGE)
  errors = tf.where(too_large, TOO_LARGE, errors)
  wanted = tf.where(is_image & ~too_large)[:, 0]
  numbers, decoded = _decode_numbered(
    wanted, tf.gather(encoded, wanted), tf.gather(headers.orientation, wanted)
  )
  numbers = numbers[:, tf.newaxis]
  nothing = tf.fill([count], _BLACK_PIXEL)
  return (
    tf.tensor_scatter_nd_update(nothing, numbers, decoded),
    tf.tensor_scatter_nd_update(
      errors, numbers, tf.fill(tf.shape(decoded), "")
    ),
  )


def _decode_numbered(
  numbers: tf.Tensor, encoded: tf.Tensor, orientations: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns number and photo of those that can be decoded: int64[N], string[N].

  A graph has no try, but a dataset can drop what fails.
  """
  options = tf.data.Options()
  # Rewriting the dataset's graph anew for each batch costs more than it gains.
  options.experimental_optimization.apply_default_optimizations = False
  options.autotune.enabled = False
  slices = (numbers, encoded, orientations)
  return (
    tf.data.Dataset.from_tensor_slices(slices)
    .map(
      lambda number, one, orientation: (
        number,
        tf.io.serialize_tensor(_decode_upright(one, orientation)),
      ),
      num_parallel_calls=2,
    )
    .ignore_errors(log_warning=False)
    .batch(tf.maximum(tf.size(numbers, tf.int64), 1))
    .with_options(options)
    # The initial value is left where nothing could be decoded.
    .reduce(
      (tf.zeros([0], tf.int64), tf.fill([0], "")),
      lambda _, only_batch: only_batch,
    )
  )


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes one photo: string[] -> uint8[height, width, 3], string[]."""
  decoded, errors = decode_all(encoded[tf.newaxis])
  return parse_photo(decoded[0]), errors[0]


def parse_photo(serialized: tf.Tensor) -> tf.Tensor:
  """Returns a photo of `decode_all`: string[] -> uint8[height, width, 3]."""
  photo = tf.io.parse_tensor(serialized, tf.uint8)
  return tf.ensure_shape(photo, [None, None, 3])


def _is_image(encoded: tf.Tensor) -> tf.Tensor:
  return tf.reduce_any(
    [
      photo_header.starts_with(encoded, magic, offset)
      for magic, offset in _MAGICS
    ]
  )


def _decode_upright(encoded: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
  photo = tf.case(
    [
      (
        photo_header.starts_with(encoded, b"\xff\xd8"),
        # Pillow's pixels; the default is up to two levels off.
        lambda: tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE"),
      ),
      (
        photo_header.starts_with(encoded, b"\x89PNG"),
        # The channels as they are: asked for four, TensorFlow gives photos of
        # at most 16 colours an alpha near 0.
        lambda: _as_rgb(tf.io.decode_png(encoded, 0)),
      ),
    ],
    default=lambda: _decode_other(encoded),
  )
  photo = tf.ensure_shape(photo, [None, None, 3])
  return photo_header.upright(photo, orientation)


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
  # The first frame of what moves. The channels as they are: asked for three,
  # the WebP decoder refuses a photo with transparency.
  photo = tf.io.decode_image(
    photo_header.still(encoded), expand_animations=False
  )
  return _as_rgb(photo)


def _as_rgb(photo: tf.Tensor) -> tf.Tensor:
  """uint8[h, w, 1..4] -> uint8[h, w, 3]: grey repeated, alpha on white."""
  channels = tf.shape(photo)[-1]
  has_alpha = tf.equal(channels % 2, 0)
  colors = tf.where(has_alpha, channels - 1, channels)
  shape = [*tf.unstack(tf.shape(photo)[:2]), 3]
  color = tf.broadcast_to(photo[..., :colors], shape)
  return tf.cond(
    has_alpha,
    lambda: _on_white(tf.concat([color, photo[..., colors:]], -1)),
    lambda: color,
  )


def _on_white(photo: tf.Tensor) -> tf.Tensor:
  """uint8[h, w, 4] -> uint8[h, w, 3], transparency laid on white."""
  photo = tf.cast(photo, tf.int32)
  color, alpha = photo[..., :3], photo[..., 3:]
  return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
