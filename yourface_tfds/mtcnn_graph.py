"""What happens between the three nets of MTCNN, as TensorFlow ops.

The inner half of `mtcnn`, which documents the values that go in and out. The
steps and the odd pixel here and there follow mtcnn 1.0.0. Three things differ
on purpose: the pyramid starts at any face size (theirs loses photos above 21
px), suppression is greedy (theirs lets a suppressed box suppress others), and
P-Net sees all levels of the pyramid on one canvas.

Within this module a candidate is a row of
  photo: int32, the row of the batch it is in,
  boxes: float32 [4], y_min x_min y_max x_max, pixels of the input,
  scores: float32, 0..1,
and no op knows how many there are: neither zero nor another batch size traces
the graph anew.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from yourface_tfds import mtcnn_nets
from yourface_tfds.mtcnn_nets import CELL, GRAY, STRIDE

_GRID = 16.0  # Steps in a pixel that coordinates are rounded to.


class _Boxes(NamedTuple):
  """Candidates; see the top of this module."""

  photo: tf.Tensor
  boxes: tf.Tensor
  scores: tf.Tensor

  def rows(self, index: tf.Tensor) -> "_Boxes":
    return _Boxes(*(tf.gather(values, index) for values in self))


class _Canvas(NamedTuple):
  """All levels of the pyramid beside and below each other.

  Attributes:
    pixels: float32 [batch, height, width, 3].
    corners: int32 [levels, 2], y x of each level's first pixel.
    sides: int32 [levels, 2], height and width of each level.
    scales: float32 [levels, 2], pixels of the input to one of the level.
  """

  pixels: tf.Tensor
  corners: tf.Tensor
  sides: tf.Tensor
  scales: tf.Tensor


def cascade(
  images: tf.Tensor,
  sizes: tf.Tensor,
  nets: mtcnn_nets.Weights,
  *,
  scales: Sequence[float],
  thresholds: Sequence[float],
  overlaps: Sequence[float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Runs P-Net, R-Net and O-Net.

  Args:
    images: uint8 [batch, height, width, 3], photos in the top-left corner.
    sizes: int32 [batch, 2], height and width of each photo.
    nets: the weights.
    scales: of the pyramid's levels to the input, largest first.
    thresholds: lowest score to pass each of the three nets.
    overlaps: as in `mtcnn.DetectorSettings`.

  Returns:
    The fields of `mtcnn.Faces`.
  """
  pnet, rnet, onet = nets
  canvas = _canvas(images, scales)
  found, level = _propose(canvas, sizes, pnet, thresholds[0])
  tile = found.photo * len(scales) + level
  found = found.rows(_suppress(found, tile, overlaps[0]))
  found = found.rows(_suppress(found, found.photo, overlaps[1]))
  found = found._replace(boxes=_square(found.boxes))

  output = mtcnn_nets.judge(images, found.photo, found.boxes, 24, rnet)
  rows = tf.where(output[:, 0] > mtcnn_nets.logit(thresholds[1]))[:, 0]
  found = _refine(found.rows(rows), tf.gather(output, rows))
  found = found.rows(_suppress(found, found.photo, overlaps[2]))
  found = found._replace(boxes=_square(found.boxes))

  output = mtcnn_nets.judge(images, found.photo, found.boxes, 48, onet)
  rows = tf.where(output[:, 0] > mtcnn_nets.logit(thresholds[2]))[:, 0]
  output, found = tf.gather(output, rows), found.rows(rows)
  landmarks = _landmarks(found.boxes, output[:, 5:])
  found = _refine(found, output)
  rows = _suppress_nested(found, overlaps[3])
  return _finish(found.rows(rows), tf.gather(landmarks, rows), sizes)


def _canvas(images: tf.Tensor, scales: Sequence[float]) -> _Canvas:
  """Lays the pyramid out so that P-Net runs once, not once a level.

  One run on a canvas a tenth larger than the levels together, instead of nine
  runs: the small levels cost launches, not arithmetic. In columns: level
  0; level 1 above levels 4 to 6 in a row; level 2 above 3 above the rest. All
  sides are even, so that a window, which starts at an even pixel, is pooled as
  it would be alone.
  """
  shape = tf.cast(tf.shape(images)[1:3], tf.float32)
  level, levels, sides = images, [], []
  for scale in scales:
    side = 2 * tf.cast(tf.maximum(tf.round(shape * scale / 2), 1), tf.int32)
    # From the level before: 1.2 ms a photo, from the input 4.5 (2 CPU cores).
    level = tf.image.resize(level, side, "area")
    # The window must fit in, where it is larger than the photo too.
    levels.append(_pad_to(level, tf.maximum(side, CELL)))
    sides.append(side)

  columns, corners = [], [tf.zeros([2], tf.int32)] * len(scales)
  x = tf.constant(0)
  for shelves in ([[0]], [[1], [4, 5, 6]], [[2], [3], range(7, len(scales))]):
    rows, y = [], tf.constant(0)
    for shelf in shelves:
      members = [i for i in shelf if i < len(scales)]
      if not members:
        continue
      right = x
      for i in members:
        corners[i] = tf.stack([y, right])
        right += tf.shape(levels[i])[2]
      row = _joined([levels[i] for i in members], axis=2)
      rows.append(row)
      y += tf.shape(row)[1]
    if rows:
      columns.append(_joined(rows, axis=1))
      x += tf.shape(columns[-1])[2]
  full = tf.stack([tf.maximum(tf.shape(x)[1:3], CELL) for x in levels])
  scale = shape / tf.cast(tf.stack(sides), tf.float32)
  return _Canvas(_joined(columns, axis=2), tf.stack(corners), full, scale)


def _joined(images: Sequence[tf.Tensor], axis: int) -> tf.Tensor:
  """Puts images below (axis 1) or beside (2) each other, gray between."""
  if len(images) == 1:
    return images[0]
  full = tf.reduce_max(tf.stack([tf.shape(image)[1:3] for image in images]), 0)
  padded = []
  for image in images:
    own = tf.shape(image)[1:3]
    side = tf.stack([own[0], full[1]] if axis == 1 else [full[0], own[1]])
    padded.append(_pad_to(image, side))
  return tf.concat(padded, axis)


def _pad_to(images: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
  missing = tf.concat([[0], side - tf.shape(images)[1:3], [0]], 0)
  paddings = tf.stack([tf.zeros_like(missing), missing], 1)
  return tf.pad(images, paddings, constant_values=GRAY)


def _propose(
  canvas: _Canvas,
  sizes: tf.Tensor,
  weights: Sequence[tf.Tensor],
  threshold: float,
) -> tuple[_Boxes, tf.Tensor]:
  """Returns the candidates of P-Net, and the level that each is from."""
  maps = mtcnn_nets.propose(canvas.pixels, weights)
  cells = tf.where(maps[:, :, :, 0] > mtcnn_nets.logit(threshold))
  output = tf.gather_nd(maps, cells)
  cells = tf.cast(cells, tf.int32)
  starts = cells[:, tf.newaxis, 1:] * STRIDE
  # A window that lies across two levels sees no picture.
  ends = canvas.corners + canvas.sides
  inside = (starts >= canvas.corners) & (starts + CELL <= ends)
  inside = tf.reduce_all(inside, -1)
  level = tf.argmax(inside, 1, tf.int32)
  starts = starts[:, 0] - tf.gather(canvas.corners, level)
  corners = tf.cast(tf.tile(starts, [1, 2]), tf.float32)
  # A window from 1 to 12, and a width of 11 (mtcnn 1.0.0).
  boxes = corners + [1.0, 1.0, CELL, CELL] + output[:, 1:] * (CELL - 1)
  boxes *= tf.tile(tf.gather(canvas.scales, level), [1, 2])
  # What starts in the padding of a photo sees none either.
  limits = tf.cast(tf.gather(sizes, cells[:, 0]), tf.float32)
  kept = tf.reduce_any(inside, 1) & tf.reduce_all(boxes[:, :2] < limits, 1)
  rows = tf.where(kept)[:, 0]
  found = _Boxes(cells[:, 0], boxes, tf.sigmoid(output[:, 0]))
  return found.rows(rows), tf.gather(level, rows)


def _square(boxes: tf.Tensor) -> tf.Tensor:
  """Returns the boxes grown to squares around their centres."""
  half = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], 1, keepdims=True) / 2
  centres = (boxes[:, 2:] + boxes[:, :2]) / 2
  return tf.concat([centres - half, centres + half], 1)


def _refine(found: _Boxes, output: tf.Tensor) -> _Boxes:
  """Applies what a net answered: the box moves by fractions of its sides."""
  # Sides are one pixel longer than the difference (mtcnn 1.0.0).
  sides = tf.tile(found.boxes[:, 2:] - found.boxes[:, :2] + 1, [1, 2])
  return _Boxes(
    found.photo,
    found.boxes + output[:, 1:5] * sides,
    tf.sigmoid(output[:, 0]),
  )


def _landmarks(boxes: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
  """Returns y x of five points from their fractions of a box's sides."""
  corners, ends = boxes[:, tf.newaxis, :2], boxes[:, tf.newaxis, 2:]
  # The package subtracts 1 and counts from the centre of the first pixel, we
  # from its edge: at half the size its landmarks move by a quarter of a pixel.
  fractions = tf.reshape(output, [-1, 5, 2])
  return corners - 0.5 + fractions * (ends - corners + 1)


def _suppress(found: _Boxes, tile: tf.Tensor, overlap: float) -> tf.Tensor:
  """Returns the rows that no better row of the same tile overlaps too much.

  One greedy pass for all: every tile gets a place of the plane for itself.
  Steps of 1/16 px stay exact in float32 up to 3,000 tiles of 640 px, so the
  place cannot change the outcome.
  """
  boxes = tf.round(found.boxes * _GRID) / _GRID
  span = tf.reduce_max(tf.abs(tf.pad(boxes, [[0, 1], [0, 0]])))
  span = 2 * tf.math.ceil(span + 1)
  place = tf.stack([tile // 32, tf.math.mod(tile, 32)], 1)
  offsets = tf.tile(tf.cast(place, tf.float32) * span, [1, 2])
  return tf.image.non_max_suppression(
    boxes + offsets, found.scores, tf.size(found.scores), overlap
  )


def _suppress_nested(found: _Boxes, overlap: float) -> tf.Tensor:
  """As `_suppress`, by share of the smaller box: a face in a face goes."""
  order = tf.argsort(found.scores, direction="DESCENDING", stable=True)
  photo, boxes, _ = found.rows(order)
  corners, ends = boxes[:, :2], boxes[:, 2:]
  shared = tf.minimum(ends[:, tf.newaxis], ends) - tf.maximum(
    corners[:, tf.newaxis], corners
  )
  shared = tf.reduce_prod(tf.maximum(shared, 0.0), -1)
  areas = tf.reduce_prod(ends - corners, -1)
  share = shared / tf.minimum(areas[:, tf.newaxis], areas)
  worse = (share > overlap) & (photo[:, tf.newaxis] == photo)
  worse = tf.linalg.band_part(worse, 0, -1)
  worse = tf.linalg.set_diag(worse, tf.zeros_like(areas, tf.bool))
  return tf.gather(order, tf.where(~tf.reduce_any(worse, 0))[:, 0])


def _finish(
  found: _Boxes, landmarks: tf.Tensor, sizes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Rounds, clips to the photos, drops what is empty then, and sorts."""
  boxes = tf.round(found.boxes * _GRID) / _GRID
  limits = tf.tile(tf.cast(tf.gather(sizes, found.photo), tf.float32), [1, 2])
  boxes = tf.clip_by_value(boxes, 0.0, limits)
  areas = tf.reduce_prod(tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), 1)
  rows = tf.where(areas > 0)[:, 0]
  rows = tf.gather(rows, tf.argsort(-tf.gather(areas, rows), stable=True))
  photo = tf.gather(found.photo, rows)
  rows = tf.gather(rows, tf.argsort(photo, stable=True))
  return (
    tf.gather(found.photo, rows),
    tf.gather(boxes, rows),
    # Not / 1e4, which some graphs turn into this, one rounding off.
    tf.round(tf.gather(found.scores, rows) * 1e4) * 1e-4,
    tf.round(tf.gather(landmarks, rows) * _GRID) / _GRID,
  )
