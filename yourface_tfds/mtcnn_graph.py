"""The three nets of MTCNN and what happens between them, as TensorFlow ops.

The inner half of `mtcnn`, which documents the values that go in and out. The
steps, the odd pixel here and there and the order of the weights follow mtcnn
1.0.0; the nets are those of arXiv:1604.02878. Two things differ on purpose: the
pyramid starts at any face size (theirs loses photos above 21 px), and
suppression is greedy (theirs lets a suppressed box suppress others).

Within this module a candidate is a row of
  photo: int32, the row of the batch it is in,
  boxes: float32 [4], y_min x_min y_max x_max, pixels of the input,
  scores: float32, 0..1,
and no op knows how many there are: neither zero nor another batch size traces
the graph anew.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

Weights = Sequence[Sequence[np.ndarray]]
"""The arrays of P-Net, R-Net and O-Net, each in the order of its layers."""

CELL = 12
"""Side of the window that P-Net judges, pixels."""

_STRIDE = 2  # From one window to the next, pixels.
_GRID = 16.0  # Steps in a pixel that coordinates are rounded to.
_GRAY = 127.5  # Normalises to 0: what the nets expect outside of a photo.


class _Boxes(NamedTuple):
  """Candidates; see the top of this module."""

  photo: tf.Tensor
  boxes: tf.Tensor
  scores: tf.Tensor

  def rows(self, index: tf.Tensor) -> "_Boxes":
    return _Boxes(*(tf.gather(values, index) for values in self))


def cascade(
  images: tf.Tensor,
  sizes: tf.Tensor,
  nets: Weights,
  *,
  level_sides: Sequence[int],
  thresholds: Sequence[float],
  overlaps: Sequence[float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Runs P-Net, R-Net and O-Net.

  Args:
    images: uint8 [batch, side, side, 3], photos in the top-left corner.
    sizes: int32 [batch, 2], height and width of each photo.
    nets: the weights.
    level_sides: sides of the pyramid, largest first, pixels.
    thresholds: lowest score to pass each of the three nets.
    overlaps: as in `mtcnn.DetectorSettings`.

  Returns:
    The fields of `mtcnn.Faces`.
  """
  pnet, rnet, onet = nets
  side = int(images.shape[1])  # pyright: ignore[reportArgumentType]
  level, levels = images, []
  for level_side in level_sides:
    # From the level before: 1.2 ms a photo, from the input 4.5 (2 CPU cores).
    level = tf.image.resize(level, [level_side, level_side], "area")
    found = _propose(level, sizes, pnet, thresholds[0], side / level_side)
    levels.append(found.rows(_suppress(found, overlaps[0])))
  found = _Boxes(*(tf.concat(rows, 0) for rows in zip(*levels, strict=True)))
  found = found.rows(_suppress(found, overlaps[1]))
  found = found._replace(boxes=_square(found.boxes))

  pools = ((3, "SAME"), (3, "VALID"), None)
  output = _judge(images, found, 24, rnet, pools)
  rows = tf.where(output[:, 0] > _logit(thresholds[1]))[:, 0]
  found = _refine(found.rows(rows), tf.gather(output, rows))
  found = found.rows(_suppress(found, overlaps[2]))
  found = found._replace(boxes=_square(found.boxes))

  pools = ((3, "SAME"), (3, "VALID"), (2, "SAME"), None)
  output = _judge(images, found, 48, onet, pools)
  rows = tf.where(output[:, 0] > _logit(thresholds[2]))[:, 0]
  output, found = tf.gather(output, rows), found.rows(rows)
  landmarks = _landmarks(found.boxes, output[:, 5:])
  found = _refine(found, output)
  rows = _suppress_nested(found, overlaps[3])
  return _finish(found.rows(rows), tf.gather(landmarks, rows), sizes)


def _propose(
  level: tf.Tensor,
  sizes: tf.Tensor,
  weights: Sequence[np.ndarray],
  threshold: float,
  scale: float,
) -> _Boxes:
  """Returns the candidates of P-Net on a level, `scale` below the input."""
  maps = _features(level, weights, ((2, "SAME"), None, None))
  maps = _convolve(maps, *_heads(weights[9:]))
  cells = tf.where(maps[:, :, :, 0] > _logit(threshold))
  output = tf.gather_nd(maps, cells)
  corners = tf.cast(tf.tile(cells[:, 1:] * _STRIDE, [1, 2]), tf.float32)
  # A window from 1 to 12, and a width of 11 (mtcnn 1.0.0).
  boxes = corners + [1.0, 1.0, CELL, CELL] + output[:, 1:] * (CELL - 1)
  boxes *= scale
  photo = tf.cast(cells[:, 0], tf.int32)
  # What starts in the padding sees no photo.
  limits = tf.cast(tf.gather(sizes, photo), tf.float32)
  inside = tf.where(tf.reduce_all(boxes[:, :2] < limits, 1))[:, 0]
  return _Boxes(photo, boxes, tf.sigmoid(output[:, 0])).rows(inside)


def _judge(
  images: tf.Tensor,
  found: _Boxes,
  side: int,
  weights: Sequence[np.ndarray],
  pools: Sequence[tuple[int, str] | None],
) -> tf.Tensor:
  """Returns the outputs of R-Net or O-Net for each candidate, as `_heads`."""
  # One more crop, dropped below: oneDNN's fused convolution fails on an empty
  # batch ("Incompatible shapes", TF 2.21), which is what a photo without any
  # candidate would be.
  boxes = tf.pad(found.boxes, [[0, 1], [0, 0]])
  crops = tf.image.crop_and_resize(
    images,
    boxes / tf.cast(tf.shape(images)[1], tf.float32),
    tf.pad(found.photo, [[0, 1]]),
    [side, side],
    extrapolation_value=_GRAY,
  )
  maps = _features(crops, weights, pools)
  # The weights come from Caffe by way of Matlab: columns before rows.
  flat = tf.transpose(maps, [0, 2, 1, 3])
  kernel, bias, slope = weights[3 * len(pools) :][:3]
  flat = tf.reshape(flat, [-1, kernel.shape[0]])
  flat = _prelu(tf.matmul(flat, kernel) + bias, slope)
  kernel, bias = _heads(weights[3 * len(pools) + 3 :])
  return (tf.matmul(flat, kernel) + bias)[:-1]


def _features(
  images: tf.Tensor,
  weights: Sequence[np.ndarray],
  pools: Sequence[tuple[int, str] | None],
) -> tf.Tensor:
  """Returns the feature maps of pixels 0..255: one convolution per pool."""
  maps = (tf.cast(images, tf.float32) - _GRAY) / 128.0
  for layer, pool in enumerate(pools):
    kernel, bias, slope = weights[3 * layer : 3 * layer + 3]
    maps = _prelu(_convolve(maps, kernel, bias), slope)
    if pool:
      maps = tf.nn.max_pool2d(maps, pool[0], 2, pool[1])
  return maps


def _heads(weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Merges the heads of a net into one layer, y before x.

  Args:
    weights: kernels and biases for the box (x_min y_min x_max y_max), for the
      landmarks if any (five x, five y) and for the classes (no face, face).

  Returns:
    Kernel and bias for: the logit of the score (a softmax of two classes is the
    sigmoid of their difference), the box, the landmarks in pairs.
  """
  order = [4, 1, 0, 3, 2, *(5 + i + x for i in range(5) for x in (5, 0))]
  merged = []
  for part in (weights[0::2], weights[1::2]):
    logit = part[-1][..., 1:] - part[-1][..., :1]
    values = np.concatenate([part[0], logit, *part[1:-1]], -1)
    merged.append(values[..., order[: values.shape[-1]]])
  return merged[0], merged[1]


def _convolve(
  maps: tf.Tensor, kernel: np.ndarray, bias: np.ndarray
) -> tf.Tensor:
  # A BiasAdd, not a plain sum: this is what TensorFlow fuses into one op.
  return tf.nn.bias_add(
    tf.nn.conv2d(maps, kernel, 1, "VALID"), tf.constant(bias)
  )


def _prelu(values: tf.Tensor, slope: np.ndarray) -> tf.Tensor:
  # Some slopes are above 1, so max(x, slope * x) would not do.
  return tf.nn.relu(values) + slope * tf.minimum(values, 0.0)


def _logit(probability: float) -> float:
  return math.log(probability / (1 - probability))


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


def _suppress(found: _Boxes, overlap: float) -> tf.Tensor:
  """Returns the rows that no better row of the same photo overlaps too much.

  One greedy pass for the whole batch: every photo gets a tile of the plane for
  itself. Steps of 1/16 px stay exact in float32 up to 3,000 photos of 640 px,
  so the tile cannot change the outcome.
  """
  boxes = tf.round(found.boxes * _GRID) / _GRID
  span = tf.reduce_max(tf.abs(tf.pad(boxes, [[0, 1], [0, 0]])))
  span = 2 * tf.math.ceil(span + 1)
  tile = tf.stack([found.photo // 32, tf.math.mod(found.photo, 32)], 1)
  offsets = tf.tile(tf.cast(tile, tf.float32) * span, [1, 2])
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
    tf.round(tf.gather(found.scores, rows) * 1e4) / 1e4,
    tf.round(tf.gather(landmarks, rows) * _GRID) / _GRID,
  )
