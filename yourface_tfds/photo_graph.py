"""Encoded photos to face crops, all in the graph: the front of the export.

Detection and crops are the functions that the build calls, at the resolutions
that the build decodes at, so a model sees in use what it saw in training.

  found = photo_graph.find_main(finder, encoded)     # the main face of each
  faces = photo_graph.find_all(finder, encoded_one)  # every face of one
"""

from typing import NamedTuple

import tensorflow as tf

from yourface_tfds import crop, faces, photo_decode

NO_FACE = "no_face: no face was found"

_KEY = 16
"""Photo and shrink as one number: photo * 16 + shrink."""


class Faces(NamedTuple):
  """Faces, one row each; zeros and black in a row without one.

  Attributes:
    boxes: float32[n, 4], y_min, x_min, y_max, x_max, 0..1 of the upright photo.
    landmarks: float32[n, 5, 2], y x, 0..1 of the upright photo: the eye on the
      left of the image, the one on the right, nose, mouth left, mouth right.
    scores: float32[n], 0..1.
    crops: uint8[n, S, S, 3].
  """

  boxes: tf.Tensor
  landmarks: tf.Tensor
  scores: tf.Tensor
  crops: tf.Tensor


class _Seen(NamedTuple):
  """Photos, one row each.

  Attributes:
    files: what they are decoded from.
    shrink: int64[B], by how much they are decoded smaller.
  """

  files: photo_decode.Files
  shrink: tf.Tensor


class _Fitted(NamedTuple):
  """Faces in pixels of the fitted photo they were found in.

  Attributes:
    photo: int64[n], the row of the photo.
    shapes: int32[n, 2], height and width of the photo as it was decoded.
    sizes: int32[n, 2], height and width of the fitted photo.
    boxes: float32[n, 4].
    landmarks: float32[n, 5, 2].
    scores: float32[n].
    crops: uint8[n, S, S, 3], cut from the photo as it was decoded.
  """

  photo: tf.Tensor
  shapes: tf.Tensor
  sizes: tf.Tensor
  boxes: tf.Tensor
  landmarks: tf.Tensor
  scores: tf.Tensor
  crops: tf.Tensor


def find_main(
  finder: faces.FaceFinder, encoded: tf.Tensor
) -> tuple[Faces, tf.Tensor, tf.Tensor]:
  """Finds the main face of each photo.

  Args:
    finder: detector and crop.
    encoded: string[B], the bytes of photo files.

  Returns:
    One row a photo; int64[B], how many faces it has; string[B], what is wrong
    with the photo, "" where there is a face.
  """
  # An empty batch breaks the detector's convolutions; it gets a row, which is
  # dropped again.
  wanted = tf.shape(encoded)[0]
  encoded = tf.cond(
    tf.equal(wanted, 0), lambda: tf.fill([1], ""), lambda: encoded
  )
  seen = _see(finder, encoded)
  every, counts = _main_faces(finder, seen)
  decodable = tf.equal(seen.files.errors, "")
  errors = tf.where(decodable, photo_decode.UNREADABLE, seen.files.errors)
  errors = tf.tensor_scatter_nd_update(
    errors, every.photo[:, tf.newaxis], tf.where(counts > 0, "", NO_FACE)
  )
  rows = tf.where(counts > 0)[:, 0]
  fitted = _Fitted(*(tf.gather(values, rows) for values in every))
  found, fine = _finish(finder, seen, fitted)
  rows = fitted.photo[:, tf.newaxis]
  errors = tf.tensor_scatter_nd_update(
    errors, rows, tf.where(fine, "", photo_decode.UNREADABLE)
  )
  batch = tf.shape(encoded, tf.int64)[:1]

  def spread(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    shape = tf.concat([batch, tf.shape(values, tf.int64)[1:]], 0)
    return tf.scatter_nd(rows, values, shape)[:wanted]

  counts = spread(every.photo[:, tf.newaxis], counts)
  errors = errors[:wanted]
  return (
    Faces(*(spread(rows, values) for values in found)),
    tf.where(tf.equal(errors, ""), counts, 0),
    errors,
  )


def _see(finder: faces.FaceFinder, encoded: tf.Tensor) -> _Seen:
  files = photo_decode.examine(encoded)
  long_side = finder.detector.settings.input_size
  return _Seen(files, photo_decode.shrinking(files, long_side))


def _main_faces(
  finder: faces.FaceFinder, seen: _Seen
) -> tuple[_Fitted, tf.Tensor]:
  """Returns a row for each photo that can be decoded, and how many faces."""

  def look(row: tf.Tensor, photo: tf.Tensor) -> tuple[_Fitted, tf.Tensor]:
    # One at a time: a photo padded for another would be found a little
    # elsewhere, since the pyramid's sides are rounded.
    image, size = finder.fit(photo)
    main = finder.locate(image[tf.newaxis], size[tf.newaxis])
    box, landmarks = main.boxes[0], main.landmarks[0]
    crop, _, _ = finder.cut(photo, size, box, landmarks)
    shape = tf.shape(photo)[:2]
    fitted = _Fitted(row, shape, size, box, landmarks, main.scores[0], crop)
    return fitted, main.count[0]

  return photo_decode.collect(
    photo_decode.decoded(*seen).map(
      look, num_parallel_calls=photo_decode.PARALLEL
    ),
    tf.size(seen.shrink, tf.int64),
  )


def find_all(
  finder: faces.FaceFinder, encoded: tf.Tensor
) -> tuple[Faces, tf.Tensor]:
  """Finds every face of one photo, the largest first.

  Args:
    finder: detector and crop.
    encoded: string[], the bytes of a photo file.

  Returns:
    One row a face; string[], what is wrong with the photo, "" where there is a
    face.
  """
  seen = _see(finder, encoded[tf.newaxis])
  pixels, errors = photo_decode.decode_all(*seen)
  photo = photo_decode.parse(pixels[0])
  image, size = finder.fit(photo)
  every = finder.detector.detect(image[tf.newaxis], size[tf.newaxis])
  kept = (every.scores >= finder.min_score) & tf.equal(errors[0], "")
  rows = tf.where(kept)[:, 0]
  boxes, landmarks, scores = (
    tf.gather(values, rows)
    for values in (every.boxes, every.landmarks, every.scores)
  )
  shapes, sizes = (
    tf.repeat(shape[tf.newaxis], tf.size(rows), 0)
    for shape in (tf.shape(photo)[:2], size)
  )
  side = finder.crop_settings.image_size
  crops = tf.map_fn(
    lambda row: finder.cut(photo, size, *row)[0],
    (boxes, landmarks),
    fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
    parallel_iterations=2,
  )
  fitted = _Fitted(
    tf.zeros_like(rows), shapes, sizes, boxes, landmarks, scores, crops
  )
  found, fine = _finish(finder, seen, fitted)
  wrong = tf.where(tf.reduce_all(fine), NO_FACE, photo_decode.UNREADABLE)
  wrong = tf.where(tf.equal(errors[0], ""), wrong, errors[0])
  rows = tf.where(fine)[:, 0]
  found = Faces(*(tf.gather(values, rows) for values in found))
  return found, tf.where(tf.size(rows) > 0, "", wrong)


def _finish(
  finder: faces.FaceFinder, seen: _Seen, fitted: _Fitted
) -> tuple[Faces, tf.Tensor]:
  """Cuts anew what needs more pixels, and brings all to 0..1.

  A JPEG of twice the detector's size or more was decoded smaller. A face that
  is small in it shows more at a larger size: the build's choice too.

  Returns:
    One row a face, and bool[n]: whether its photo could be decoded again, where
    that was needed.
  """
  rows, wanted = _too_coarse(finder, seen, fitted)
  fine = tf.ones_like(fitted.photo, tf.bool)
  crops, fine = tf.cond(
    # Even a dataset of nothing takes time to set up.
    tf.size(rows) > 0,
    lambda: _cut_anew(finder, seen, fitted, rows, wanted),
    lambda: (fitted.crops, fine),
  )
  sizes = tf.cast(fitted.sizes, tf.float32)
  return Faces(
    boxes=fitted.boxes / tf.tile(sizes, [1, 2]),
    landmarks=fitted.landmarks / sizes[:, tf.newaxis],
    scores=fitted.scores,
    crops=crops,
  ), fine


def _too_coarse(
  finder: faces.FaceFinder, seen: _Seen, fitted: _Fitted
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns faces whose crop can show more than was decoded.

  Returns:
    int64[k], their rows; int64[k], how many pixels the longer side of each
    photo needs.
  """
  shrink = tf.gather(seen.shrink, fitted.photo)
  # What is not shrunk is as large as it was decoded; a frame of an animation
  # may be smaller than its header says.
  full = tf.gather(seen.files.headers.upright_size(), fitted.photo)
  full = tf.where(shrink[:, tf.newaxis] > 1, full, fitted.shapes)
  factors = tf.cast(full, tf.float32) / tf.cast(fitted.sizes, tf.float32)
  boxes = fitted.boxes * tf.tile(factors, [1, 2])
  settings = finder.crop_settings
  sides = crop.source_side(boxes, settings.margin)
  longest = tf.cast(tf.reduce_max(full, 1), tf.float32)
  wanted = tf.math.ceil(longest * settings.image_size / sides)
  have = tf.math.ceil(longest / tf.cast(shrink, tf.float32))
  rows = tf.where((shrink > 1) & (have < wanted))[:, 0]
  return rows, tf.cast(tf.gather(wanted, rows), tf.int64)


def _cut_anew(
  finder: faces.FaceFinder,
  seen: _Seen,
  fitted: _Fitted,
  rows: tf.Tensor,
  wanted: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns all crops, those of some rows from their photos at a larger size.

  Returns:
    uint8[n, S, S, 3]; bool[n], false where decoding failed.
  """
  photo = tf.gather(fitted.photo, rows)
  shrink = photo_decode.shrinking(photo_decode.take(seen.files, photo), wanted)
  # Several faces of one photo mostly ask for the same.
  keys, place = tf.unique(photo * _KEY + shrink)
  files = photo_decode.take(seen.files, keys // _KEY)
  pixels, errors = photo_decode.decode_all(files, keys % _KEY)

  def cut(place: tf.Tensor, *where: tf.Tensor) -> tf.Tensor:
    larger = photo_decode.parse(pixels[place])
    return finder.cut(larger, *where)[0]

  side = finder.crop_settings.image_size
  crops = tf.map_fn(
    lambda row: cut(*row),
    (
      place,
      *(
        tf.gather(values, rows)
        for values in (fitted.sizes, fitted.boxes, fitted.landmarks)
      ),
    ),
    fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
    parallel_iterations=2,
  )
  fine = tf.ones_like(fitted.photo, tf.bool)
  return (
    tf.tensor_scatter_nd_update(fitted.crops, rows[:, tf.newaxis], crops),
    tf.tensor_scatter_nd_update(
      fine, rows[:, tf.newaxis], tf.equal(tf.gather(errors, place), "")
    ),
  )
