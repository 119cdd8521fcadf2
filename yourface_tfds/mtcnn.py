"""Face detection: the whole MTCNN cascade in one TensorFlow graph.

P-Net, R-Net and O-Net of arXiv:1604.02878 with the weights of the `mtcnn`
package (1.0.0, MIT), but none of its code: a batch of padded photos goes in,
the faces of all come out, eagerly, in tf.data and in a SavedModel alike.

  detector = mtcnn.Detector()
  image, size = mtcnn.fit_photo(photo, detector.settings.input_size)
  faces = detector.detect(image[tf.newaxis], size[tf.newaxis])
  main = mtcnn.main_faces(faces, batch=1)    # one row for each photo

Contract:
  * Photos are uint8 RGB, 0..255, upright. `fit_photo` shrinks one and pads it
    below and to the right; only photos of one padded shape fit a batch.
  * Coordinates are continuous pixels of that input, y before x: the first
    pixel covers 0..1. Multiply them by (photo side / fitted side) to come back
    to the photo (`crop.to_photo_pixels`).
  * Boxes lie inside the valid area; landmarks may lie slightly outside.
  * A photo gives the same faces whatever else is in its batch: its padded shape
    depends on it alone, and so does every sum over its pixels. In case a
    machine's kernels sum in another order for another batch size, coordinates
    are rounded to 1/16 px and scores to 1e-4 besides.
"""

import dataclasses
import math
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from yourface_tfds import mtcnn_graph, mtcnn_nets, mtcnn_weights

UNIT = 48
"""Photos are padded to multiples of it, pixels, so that some share a batch."""

MIN_SCORE = 0.9
"""Faces below are often ears, hands or prints on shirts (mtcnn 1.0.0)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorSettings:
  """What the cascade looks for. The defaults are those of mtcnn 1.0.0.

  Except for `input_size` and `min_face`, chosen for speed: 30 px of 480 are 6 %
  of the long side, and of the main faces in photos of 600 px and more fewer
  than 5 % are smaller. On 364 photos from the web 361 main faces overlap those
  of the package by 0.7, and 358 by 0.8; its own do in 362 and 361 once a photo
  is cropped by 3 px. (Of 15 pairs of sizes tried on them the best; 480/24 and
  512/32 had one or two fewer.)

  Attributes:
    input_size: larger photos are shrunk to this long side, pixels.
    min_face: side of the smallest face to look for, pixels after that.
    thresholds: lowest score to pass P-Net, R-Net and O-Net, 0..1.
    overlaps: largest overlap between two faces, 0..1: within a pyramid level,
      across levels, after R-Net (all three as intersection over union), after
      O-Net (intersection over the smaller box).
    factor: from one level of the pyramid to the next, 0..1.

  Raises:
    ValueError: a value is out of its range.
  """

  input_size: int = 480
  min_face: int = 30
  thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8)
  overlaps: tuple[float, float, float, float] = (0.5, 0.7, 0.7, 0.7)
  factor: float = 0.709

  def __post_init__(self) -> None:
    if not mtcnn_nets.CELL <= self.min_face <= self.input_size:
      raise ValueError(
        f"Got min_face {self.min_face} and input_size {self.input_size}; "
        f"allowed: {mtcnn_nets.CELL} <= min_face <= input_size."
      )
    if len(self.thresholds) != 3 or len(self.overlaps) != 4:
      raise ValueError(
        f"Got {len(self.thresholds)} thresholds and {len(self.overlaps)} "
        "overlaps; give 3 and 4, one for each step."
      )
    fractions = (*self.thresholds, *self.overlaps, self.factor)
    if not all(0 < value < 1 for value in fractions):
      raise ValueError(
        f"Got thresholds {self.thresholds}, overlaps {self.overlaps} and "
        f"factor {self.factor}; each must be above 0 and below 1."
      )

  def scales(self) -> list[float]:
    """Returns the scales of the pyramid's levels to the input, largest first.

    Down to the one that has a window left of `input_size` pixels.
    """
    count = 1 + math.floor(
      math.log(self.min_face / self.input_size) / math.log(self.factor)
    )
    first = mtcnn_nets.CELL / self.min_face
    return [first * self.factor**level for level in range(count)]


class Faces(NamedTuple):
  """All faces of a batch, by photo, within a photo the largest first.

  Attributes:
    photo: int32 [n], the row of the batch that the face is in.
    boxes: float32 [n, 4], y_min x_min y_max x_max, pixels of the input.
    scores: float32 [n], 0..1.
    landmarks: float32 [n, 5, 2], y x in pixels of the input: the eye on the
      left of the image, the one on the right, nose, mouth left, mouth right.
  """

  photo: tf.Tensor
  boxes: tf.Tensor
  scores: tf.Tensor
  landmarks: tf.Tensor


class MainFaces(NamedTuple):
  """The main face of each photo; rows without one are zeros.

  Attributes:
    found: bool [batch].
    boxes: float32 [batch, 4], as in `Faces`.
    scores: float32 [batch], 0..1.
    landmarks: float32 [batch, 5, 2], as in `Faces`.
    count: int64 [batch], how many faces reached the score.
    area_ratio: float32 [batch], area of the second largest of them over that of
      the largest, 0..1; 0 where there is no second one.
  """

  found: tf.Tensor
  boxes: tf.Tensor
  scores: tf.Tensor
  landmarks: tf.Tensor
  count: tf.Tensor
  area_ratio: tf.Tensor


def fit_photo(photo: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
  """Shrinks a photo and fills it up to full units; never enlarges it.

  Args:
    photo: uint8 [h, w, 3].
    size: its longest side after it, pixels.

  Returns:
    uint8 [height, width, 3], gray outside of the photo, sides multiples of
    `UNIT` that depend on the photo alone; and int32 [2], height and width of
    the photo in it; both are rounded, so each axis has its own scale.
  """
  shape = tf.shape(photo)[:2]
  long_side = tf.reduce_max(shape)
  fitted = (2 * size * shape + long_side) // (2 * long_side)
  fitted = tf.minimum(shape, tf.maximum(fitted, 1))
  small = tf.cond(
    tf.reduce_all(tf.equal(shape, fitted)),
    lambda: photo,
    lambda: tf.cast(
      tf.round(tf.image.resize(photo, fitted, tf.image.ResizeMethod.AREA)),
      tf.uint8,
    ),
  )
  padding = tf.concat([-fitted % UNIT, [0]], 0)
  padded = tf.pad(
    small,
    tf.stack([tf.zeros_like(padding), padding], 1),
    constant_values=round(mtcnn_nets.GRAY),
  )
  return tf.ensure_shape(padded, [None, None, 3]), fitted


def fit_array(photo: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Does what `fit_photo` does, bit by bit, for NumPy arrays.

  Most photos from the web need no shrinking, and padding them needs no call
  into TensorFlow.
  """
  if max(photo.shape[:2]) > size:
    image, fitted = _fit_photo(photo, size)
    return image.numpy(), fitted.numpy()
  height, width = photo.shape[:2]
  padded = np.full(
    (height + -height % UNIT, width + -width % UNIT, 3),
    round(mtcnn_nets.GRAY),
    np.uint8,
  )
  padded[:height, :width] = photo
  return padded, np.array([height, width], np.int32)


@tf.function(reduce_retracing=True)
def _fit_photo(photo: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
  return fit_photo(photo, size)


def main_faces(
  faces: Faces, batch: int | tf.Tensor, min_score: float = MIN_SCORE
) -> MainFaces:
  """Picks the largest face of each photo that has at least `min_score`.

  Args:
    faces: what `Detector.detect` returned.
    batch: how many photos were in that batch.
    min_score: lowest score that counts, 0..1.
  """
  sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
  areas = sides[:, 0] * sides[:, 1]
  rows = tf.where(faces.scores >= min_score)[:, 0]
  rows = tf.gather(rows, tf.argsort(-tf.gather(areas, rows), stable=True))
  photo = tf.gather(faces.photo, rows)
  areas = tf.gather(areas, rows)
  rank = tf.range(tf.size(photo))
  count = tf.math.unsorted_segment_sum(tf.ones_like(rank), photo, batch)
  found = count > 0
  first = tf.math.unsorted_segment_min(rank, photo, batch)
  first = tf.where(found, first, tf.size(photo))
  others = tf.where(rank == tf.gather(first, photo), 0.0, areas)
  second = tf.math.unsorted_segment_max(others, photo, batch)

  def pick(values: tf.Tensor) -> tf.Tensor:
    # The row of zeros is for photos without a face.
    paddings = [[0, 1]] + [[0, 0]] * (len(values.shape) - 1)
    return tf.gather(tf.pad(values, paddings), first)

  return MainFaces(
    found=found,
    boxes=pick(tf.gather(faces.boxes, rows)),
    scores=pick(tf.gather(faces.scores, rows)),
    landmarks=pick(tf.gather(faces.landmarks, rows)),
    count=tf.cast(count, tf.int64),
    area_ratio=tf.where(
      count > 1, tf.math.divide_no_nan(second, pick(areas)), 0.0
    ),
  )


def use_one_thread_per_call() -> None:
  """Lets TensorFlow run every call on one thread: a fifth faster here.

  The threads of the build keep the cores busy; TensorFlow's own only wait for
  each other then. It holds for the whole process, and only before TensorFlow's
  first operation; after it nothing changes.
  """
  try:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(os.cpu_count() or 1)
  except RuntimeError:
    return


class Detector(tf.Module):
  """MTCNN for batches of padded photos.

  Attributes:
    settings: what it was made with.
    detect: the cascade, a `tf.function` of
      images: uint8 [batch, height, width, 3] from `fit_photo`, batch >= 1,
      sizes: int32 [batch, 2], height and width of the photo in each,
      that returns `Faces`. The first call compiles, about 2 s.
  """

  def __init__(
    self,
    settings: DetectorSettings | None = None,
    weights: mtcnn_nets.Weights | None = None,
  ) -> None:
    super().__init__(name="mtcnn")
    self.settings = settings or DetectorSettings()
    # In a closure: as an attribute, tf.Module would wrap and track the lists.
    nets = weights or mtcnn_weights.load_weights()

    def detect(images: tf.Tensor, sizes: tf.Tensor) -> Faces:
      return Faces(
        *mtcnn_graph.cascade(
          images,
          sizes,
          nets,
          scales=self.settings.scales(),
          thresholds=self.settings.thresholds,
          overlaps=self.settings.overlaps,
        )
      )

    self.detect = tf.function(
      detect,
      input_signature=[
        tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"),
        tf.TensorSpec([None, 2], tf.int32, name="sizes"),
      ],
      autograph=False,
    )
