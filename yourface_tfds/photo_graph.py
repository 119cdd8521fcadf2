"""Encoded photos to face crops, all in the graph: the front of the export.

Does what `photos` and `prepare` do in the build with TensorFlow's decoders:
decode, first frame of an animation, EXIF orientation of JPEG, detection, crop.
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
  count = tf.shape(encoded)[0]
  side = finder.detector.settings.input_size
  uint8 = tf.uint8

  # Decoded once: the full photos wait in a list of tensors of any size.
  originals = tf.TensorArray(
    uint8, count, element_shape=[None, None, 3], infer_shape=False
  )
  fitted = tf.TensorArray(uint8, count, element_shape=[side, side, 3])
  sizes = tf.TensorArray(tf.int32, count, element_shape=[2])
  errors = tf.TensorArray(tf.string, count, element_shape=[])

  def read(i: tf.Tensor, *arrays: tf.TensorArray) -> tuple:
    photo, error = decode(encoded[i])
    image, size = finder.fit(photo)
    values = (photo, image, size, error)
    pairs = zip(arrays, values, strict=True)
    return (i + 1, *(array.write(i, value) for array, value in pairs))

  _, originals, fitted, sizes, errors = tf.while_loop(
    lambda i, *_: i < count,
    read,
    (0, originals, fitted, sizes, errors),
    parallel_iterations=2,
  )
  fitted_sizes, errors = sizes.stack(), errors.stack()
  main = finder.locate(fitted.stack(), fitted_sizes)
  found = main.found & (errors == "")

  crop_side = finder.crop_settings.image_size
  crops = tf.TensorArray(uint8, count, element_shape=[crop_side, crop_side, 3])
  boxes = tf.TensorArray(tf.float32, count, element_shape=[4])

  def cut(i: tf.Tensor, *arrays: tf.TensorArray) -> tuple:
    photo = originals.read(i)
    pixels, box, _ = finder.cut(
      photo, fitted_sizes[i], main.boxes[i], main.landmarks[i]
    )
    shape = tf.cast(tf.shape(photo)[:2], tf.float32)
    values = (
      tf.where(found[i], pixels, 0),
      tf.where(found[i], box / tf.tile(shape, [2]), 0.0),
    )
    pairs = zip(arrays, values, strict=True)
    return (i + 1, *(array.write(i, value) for array, value in pairs))

  _, crops, boxes = tf.while_loop(
    lambda i, *_: i < count, cut, (0, crops, boxes), parallel_iterations=2
  )
  errors = tf.where((errors == "") & ~found, NO_FACE, errors)
  return FoundFaces(
    found=found[:wanted],
    boxes=boxes.stack()[:wanted],
    scores=tf.where(found, main.scores, 0.0)[:wanted],
    counts=tf.where(found, main.count, 0)[:wanted],
    crops=crops.stack()[:wanted],
    errors=errors[:wanted],
  )


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes one photo into upright RGB.

  Args:
    encoded: string[], the bytes of a file.

  Returns:
    uint8[height, width, 3], one black pixel on error, and string[]: "" or what
    is wrong.
  """
  header = photo_header.read(encoded)
  is_image = tf.reduce_any(
    [
      photo_header.starts_with(encoded, magic, offset)
      for magic, offset in _MAGICS
    ]
  )
  too_large = header.pixels > photos.MAX_PIXELS
  nothing = tf.zeros([0, 0, 3], tf.uint8)
  # A graph has no try: a dataset of one element whose failure is dropped, and
  # the initial value that is left then.
  photo = tf.cond(
    is_image & ~too_large,
    lambda: (
      tf.data.Dataset.from_tensors((encoded, header.orientation))
      .map(_decode_upright)
      .ignore_errors(log_warning=False)
      .reduce(nothing, lambda _, image: image)
    ),
    lambda: nothing,
  )
  failed = tf.equal(tf.size(photo), 0)
  error = tf.where(failed, UNREADABLE, "")
  error = tf.where(too_large, TOO_LARGE, error)
  error = tf.where(is_image, error, NOT_AN_IMAGE)
  pixel = tf.zeros([1, 1, 3], tf.uint8)
  return tf.cond(failed, lambda: pixel, lambda: photo), error


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
        lambda: _on_white(tf.io.decode_png(encoded, 4)),
      ),
    ],
    default=lambda: _decode_other(encoded),
  )
  photo = tf.ensure_shape(photo, [None, None, 3])
  return photo_header.upright(photo, orientation)


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
  # The first frame of what moves. The channels as they are: asked for three,
  # the WebP decoder refuses a photo with transparency.
  photo = tf.io.decode_image(encoded, expand_animations=False)
  return tf.cond(
    tf.equal(tf.shape(photo)[-1], 4),
    lambda: _on_white(photo),
    # Grey is repeated, three channels stay.
    lambda: tf.broadcast_to(photo, [*tf.unstack(tf.shape(photo)[:2]), 3]),
  )


def _on_white(photo: tf.Tensor) -> tf.Tensor:
  """uint8[h, w, 4] -> uint8[h, w, 3], transparency laid on white."""
  photo = tf.cast(photo, tf.int32)
  color, alpha = photo[..., :3], photo[..., 3:]
  return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
