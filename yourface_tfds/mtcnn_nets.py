"""The three nets of MTCNN, as TensorFlow ops on pixels of 0..255.

The inner half of `mtcnn_graph`. Weights, their order and the layers are those
of mtcnn 1.0.0; the nets are those of arXiv:1604.02878.

Each net answers with the same columns: the logit of the score (a softmax of two
classes is the sigmoid of their difference), four offsets of the box, y before
x, and from O-Net five landmarks, y x each.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

Weights = Sequence[Sequence[np.ndarray]]
"""The arrays of P-Net, R-Net and O-Net, each in the order of its layers."""

CELL = 12
"""Side of the window that P-Net judges, pixels."""

STRIDE = 2
"""From one window of P-Net to the next, pixels."""

GRAY = 127.5
"""Normalises to 0: what the nets expect outside of a photo."""

_Pools = Sequence[tuple[int, str] | None]
_PNET_POOLS: _Pools = ((2, "SAME"), None, None)
_CROP_POOLS: dict[int, _Pools] = {  # R-Net, O-Net by the side of their crops.
  24: ((3, "SAME"), (3, "VALID"), None),
  48: ((3, "SAME"), (3, "VALID"), (2, "SAME"), None),
}


def propose(images: tf.Tensor, weights: Sequence[np.ndarray]) -> tf.Tensor:
  """Judges every window of 12x12 pixels by P-Net.

  Args:
    images: float32 [batch, height, width, 3], even sides of at least `CELL`.
    weights: of P-Net.

  Returns:
    float32 [batch, height / 2 - 5, width / 2 - 5, 5]; row i, column j is the
    window that starts at pixel 2 i, 2 j.
  """
  maps = _features(images, weights, _PNET_POOLS)
  return _convolve(maps, *_heads(weights[9:]))


def judge(
  images: tf.Tensor,
  photo: tf.Tensor,
  boxes: tf.Tensor,
  side: int,
  weights: Sequence[np.ndarray],
) -> tf.Tensor:
  """Judges candidates by R-Net or O-Net.

  Args:
    images: uint8 [batch, height, width, 3].
    photo: int32 [n], the row of the batch each candidate is in.
    boxes: float32 [n, 4], y_min x_min y_max x_max, pixels of the images.
    side: 24 for R-Net, 48 for O-Net.
    weights: of that net.

  Returns:
    float32 [n, 5] or [n, 15].
  """
  # One more crop, dropped below: oneDNN's fused convolution fails on an empty
  # batch ("Incompatible shapes", TF 2.21), which is what a photo without any
  # candidate would be.
  boxes = tf.pad(boxes, [[0, 1], [0, 0]])
  extent = tf.cast(tf.shape(images)[1:3], tf.float32)
  crops = tf.image.crop_and_resize(
    images,
    boxes / tf.tile(extent, [2]),
    tf.pad(photo, [[0, 1]]),
    [side, side],
    extrapolation_value=GRAY,
  )
  return answer(crops, weights)[:-1]


def answer(crops: tf.Tensor, weights: Sequence[np.ndarray]) -> tf.Tensor:
  """Judges crops by R-Net or O-Net.

  Args:
    crops: float32 [n, side, side, 3], 0..255, side 24 for R-Net, 48 for O-Net.
    weights: of that net.

  Returns:
    float32 [n, 5] or [n, 15].
  """
  pools = _CROP_POOLS[int(crops.shape[1])]
  maps = _features(crops, weights, pools)
  # The weights come from Caffe by way of Matlab: columns before rows.
  flat = tf.transpose(maps, [0, 2, 1, 3])
  kernel, bias, slope = weights[3 * len(pools) :][:3]
  flat = tf.reshape(flat, [-1, kernel.shape[0]])
  flat = _prelu(tf.matmul(flat, kernel) + bias, slope)
  kernel, bias = _heads(weights[3 * len(pools) + 3 :])
  return tf.matmul(flat, kernel) + bias


def logit(probability: float) -> float:
  """Returns what the nets answer for a score of 0..1."""
  return math.log(probability / (1 - probability))


def _features(
  images: tf.Tensor, weights: Sequence[np.ndarray], pools: _Pools
) -> tf.Tensor:
  """Returns the feature maps of pixels 0..255: one convolution per pool."""
  maps = images
  for layer, pool in enumerate(pools):
    kernel, bias, slope = weights[3 * layer : 3 * layer + 3]
    if layer == 0:
      # (pixel - 127.5) / 128, done by the convolution.
      bias = bias - (GRAY / 128) * kernel.sum((0, 1, 2))
      kernel = kernel / 128
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
    Kernel and bias for the columns that every net answers with.
  """
  order = [4, 1, 0, 3, 2, *(5 + i + x for i in range(5) for x in (5, 0))]
  merged = []
  for part in (weights[0::2], weights[1::2]):
    face = part[-1][..., 1:] - part[-1][..., :1]
    values = np.concatenate([part[0], face, *part[1:-1]], -1)
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
  # Each op is one more pass over the maps. By rows: a product with a slope for
  # each channel takes twice as long when ten channels are the innermost axis.
  shape, static = tf.shape(values), values.shape
  if len(static) == 4:
    values = tf.reshape(values, [shape[0], shape[1], -1])
    factor = tf.tile(slope.reshape(-1), shape[2:3])
  else:
    factor = tf.constant(slope)
  if slope.max() <= 1:
    values = tf.maximum(values, factor * values)
  else:
    values += (factor - 1) * tf.minimum(values, 0.0)
  return tf.ensure_shape(tf.reshape(values, shape), static)
