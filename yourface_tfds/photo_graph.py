"""Encoded photos to face crops, all in the graph: the front of the export.

Detection and crops are the functions that the build calls, at the resolutions
that the build decodes at, so a model sees in use what it saw in training.

  found = photo_graph.find_main(finder, encoded)     # the main face of each
  faces = photo_graph.find_all(finder, encoded_one)  # every face of one
"""

from typing import NamedTuple

import tensorflow as tf

from yourface_tfds import crop, faces, mtcnn, photo_decode

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
  """Photos that are decoded as far as the detector needs them.

  Attributes:
    files: what they were decoded from.
    shrink: int64[B], by how much they were decoded smaller.
    decoded: string[B], see `photo_decode.decode_all`.
    errors: string[B], "" when fine.
  """

  files: photo_decode.Files
  shrink: tf.Tensor
  decoded: tf.Tensor
  errors: tf.Tensor


class _Fitted(NamedTuple):
  """Faces in pixels of the fitted photo they were found in.

  Attributes:
    photo: int64[n], the row of the photo.
    shapes: int32[n, 2], height and width of the photo as it was decoded.
    sizes: int32[n, 2], height and width of the fitted photo.
    boxes: float32[n, 4].
    landmarks: float32[n, 5, 2].
    scores: float32[n].
  """

  photo: tf.Tensor
  shapes: tf.Tensor
  sizes: tf.Tensor
  boxes: tf.Tensor
  landmarks: tf.Tensor
  scores: tf.Tensor


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

  def look(
    decoded: tf.Tensor, orientation: tf.Tensor
  ) -> tuple[mtcnn.MainFaces, tf.Tensor, tf.Tensor]:
    # One at a time: a photo padded for another would be found a little
    # elsewhere, since the pyramid's sides are rounded.
    photo = photo_decode.parse(decoded, orientation)
    image, size = finder.fit(photo)
    main = finder.locate(image[tf.newaxis], size[tf.newaxis])
    main = mtcnn.MainFaces(*(values[0] for values in main))
    return main, tf.shape(photo)[:2], size

  one = mtcnn.MainFaces(
    found=tf.TensorSpec([], tf.bool),
    boxes=tf.TensorSpec([4], tf.float32),
    scores=tf.TensorSpec([], tf.float32),
    landmarks=tf.TensorSpec([5, 2], tf.float32),
    count=tf.TensorSpec([], tf.int64),
    area_ratio=tf.TensorSpec([], tf.float32),
  )
  two = tf.TensorSpec([2], tf.int32)
  main, shapes, sizes = tf.map_fn(
    lambda row: look(*row),
    (seen.decoded, seen.files.headers.orientation),
    fn_output_signature=(one, two, two),
    parallel_iterations=2,
  )
  rows = tf.where(main.found & tf.equal(seen.errors, ""))[:, 0]
  fitted = _Fitted(
    rows,
    *(tf.gather(values, rows) for values in (shapes, sizes)),
    *(tf.gather(v, rows) for v in (main.boxes, main.landmarks, main.scores)),
  )
  found, fine = _cut(finder, seen, fitted)
  errors = tf.where(
    tf.equal(seen.errors, "") & ~main.found, NO_FACE, seen.errors
  )
  broken = tf.boolean_mask(rows, ~fine)[:, tf.newaxis]
  errors = tf.tensor_scatter_nd_update(
    errors, broken, tf.fill(tf.shape(broken)[:1], photo_decode.UNREADABLE)
  )
  batch = tf.shape(encoded, tf.int64)[:1]
  spread = Faces(
    *(
      tf.scatter_nd(
        rows[:, tf.newaxis],
        values,
        tf.concat([batch, tf.shape(values, tf.int64)[1:]], 0),
      )
      for values in found
    )
  )
  return (
    Faces(*(values[:wanted] for values in spread)),
    tf.where(tf.equal(errors, ""), main.count, 0)[:wanted],
    errors[:wanted],
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
  orientation = seen.files.headers.orientation
  pixels = photo_decode.parse(seen.decoded[0], orientation[0])
  image, size = finder.fit(pixels)
  every = finder.detector.detect(image[tf.newaxis], size[tf.newaxis])
  kept = (every.scores >= finder.min_score) & tf.equal(seen.errors[0], "")
  rows = tf.where(kept)[:, 0]
  boxes, landmarks, scores = (
    tf.gather(values, rows)
    for values in (every.boxes, every.landmarks, every.scores)
  )
  shapes, sizes = (
    tf.repeat(shape[tf.newaxis], tf.size(rows), 0)
    for shape in (tf.shape(pixels)[:2], size)
  )
  photo = tf.zeros_like(rows)
  fitted = _Fitted(photo, shapes, sizes, boxes, landmarks, scores)
  found, fine = _cut(finder, seen, fitted)
  rows = tf.where(fine)[:, 0]
  found = Faces(*(tf.gather(values, rows) for values in found))
  wrong = tf.where(tf.reduce_all(fine), NO_FACE, photo_decode.UNREADABLE)
  wrong = tf.where(tf.equal(seen.errors[0], ""), wrong, seen.errors[0])
  return found, tf.where(tf.size(rows) > 0, "", wrong)


def _see(finder: faces.FaceFinder, encoded: tf.Tensor) -> _Seen:
  files = photo_decode.examine(encoded)
  size = finder.detector.settings.input_size
  shrink = photo_decode.shrinking(files, size)
  return _Seen(files, shrink, *photo_decode.decode_all(files, shrink))


def _cut(
  finder: faces.FaceFinder, seen: _Seen, fitted: _Fitted
) -> tuple[Faces, tf.Tensor]:
  """Cuts faces out, as many as there are.

  Returns:
    One row a face, and bool[n]: whether its photo could be decoded once more,
    where the face is so small in it that the crop needs more pixels.
  """
  decoded = _fine_enough(finder, seen, fitted)
  fine = tf.not_equal(decoded, "")
  side = finder.crop_settings.image_size

  def cut(
    photo: tf.Tensor, orientation: tf.Tensor, *where: tf.Tensor
  ) -> tf.Tensor:
    return finder.cut(photo_decode.parse(photo, orientation), *where)[0]

  crops = tf.map_fn(
    lambda row: cut(*row),
    (
      tf.where(fine, decoded, photo_decode.BLACK_PIXEL),
      tf.gather(seen.files.headers.orientation, fitted.photo),
      fitted.sizes,
      fitted.boxes,
      fitted.landmarks,
    ),
    fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
    parallel_iterations=2,
  )
  sizes = tf.cast(fitted.sizes, tf.float32)
  return Faces(
    boxes=fitted.boxes / tf.tile(sizes, [1, 2]),
    landmarks=fitted.landmarks / sizes[:, tf.newaxis],
    scores=fitted.scores,
    crops=crops,
  ), fine


def _fine_enough(
  finder: faces.FaceFinder, seen: _Seen, fitted: _Fitted
) -> tf.Tensor:
  """Returns for each face its photo with no fewer pixels than a crop can show.

  Mostly the one that the detector saw. Decoded once more, larger, is a JPEG of
  twice the detector's size with a small face: the build's choice too.

  Returns:
    string[n], as of `photo_decode.decode_all`; "" where that failed.
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
  again = tf.where((shrink > 1) & (have < wanted))[:, 0]
  decoded = tf.gather(seen.decoded, fitted.photo)

  def with_finer() -> tf.Tensor:
    photo = tf.gather(fitted.photo, again)
    files = photo_decode.take(seen.files, photo)
    needed = tf.cast(tf.gather(wanted, again), tf.int64)
    finer = photo_decode.shrinking(files, needed)
    # Several faces of one photo mostly ask for the same.
    keys, place = tf.unique(photo * _KEY + finer)
    files = photo_decode.take(seen.files, keys // _KEY)
    larger, errors = photo_decode.decode_all(files, keys % _KEY)
    larger = tf.where(tf.equal(errors, ""), larger, "")
    return tf.tensor_scatter_nd_update(
      decoded, again[:, tf.newaxis], tf.gather(larger, place)
    )

  # Even a dataset of nothing takes time to set up.
  return tf.cond(tf.size(again) > 0, with_finer, lambda: decoded)
