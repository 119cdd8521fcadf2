"""One affine warp of a batch of images: bilinear, edge pixels repeated.

  warped = warp.warp(images, matrices)   # float32[256, 150, 150, 3], 0..255

What `tf.raw_ops.ImageProjectiveTransformV3` does with BILINEAR and NEAREST, but
of gathers, so that XLA can compile it: one loop over the pixels, no
intermediate in memory. Only this function is compiled, whatever calls it: a
whole model under XLA trains slower on a CPU.
"""

from typing import Any

import tensorflow as tf


def warp(images: Any, matrices: Any) -> tf.Tensor:
  """Returns each image seen through its matrix.

  Output pixel (x, y) is the input at (a0 x + a1 y + a2, b0 x + b1 y + b2),
  clamped to the image, between the four pixels around it. For the same matrices
  this is ImageProjectiveTransformV3 (BILINEAR, NEAREST) to within 0.01 of 255
  for images up to 150 pixels a side, 0.05 up to 512: V3 rounds its coordinates
  to float32, this does not. An identity matrix gives the very pixels.

  Works eagerly, in a graph, in `tf.data`'s map and inside a function that is
  compiled as a whole. XLA compiles once for each shape of the batch.

  Args:
    images: uint8 or float32[batch, height, width, channels], 0..255. As uint8 a
      quarter of the bytes cross to the device; the cast is in the loop.
    matrices: float32[batch, 6] of (a0, a1, a2, b0, b1, b2), or [batch, 8] as V3
      takes them; the last two, its perspective, are not read.

  Returns:
    float32[batch, height, width, channels], 0..255.

  Raises:
    ValueError: images are not of four dimensions, or matrices not of two with 6
      or 8 numbers.
  """
  images = tf.convert_to_tensor(images)
  matrices = tf.convert_to_tensor(matrices, tf.float32)
  if images.shape.rank != 4:
    raise ValueError(f"images: got shape {images.shape}, allowed: [b, h, w, c]")
  if matrices.shape.rank != 2 or matrices.shape[1] not in (6, 8):
    raise ValueError(
      f"matrices: got shape {matrices.shape}, allowed: [batch, 6 or 8]"
    )
  return tf.ensure_shape(_compiled(images, matrices), images.shape)


def _warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
  shape = tf.shape(images)
  height, width = shape[1], shape[2]
  x, y = _coordinates(matrices, height, width)
  left, top = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
  to_right = tf.cast(x - tf.cast(left, x.dtype), tf.float32)[..., None]
  to_bottom = tf.cast(y - tf.cast(top, y.dtype), tf.float32)[..., None]
  right = tf.minimum(left + 1, width - 1)
  bottom = tf.minimum(top + 1, height - 1)
  pixels = tf.reshape(images, [shape[0], height * width, shape[3]])

  def row(y: tf.Tensor) -> tf.Tensor:
    first, second = (
      tf.cast(tf.gather(pixels, y * width + x, batch_dims=1), tf.float32)
      for x in (left, right)
    )
    return first + (second - first) * to_right

  above = row(top)
  return above + (row(bottom) - above) * to_bottom


_compiled = tf.function(_warp, jit_compile=True, reduce_retracing=True)


def _coordinates(
  matrices: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns where each output pixel looks: x and y, float64[batch, h, w].

  XLA computes them again in every loop that needs them, one with fused
  multiply-adds, another without. In float32 the two now and then fall on
  different sides of a whole number, and a pixel gets one's index with the
  other's weight: 3 of 17 million numbers wrong by up to 187 of 255, in a
  compiled function that put two warps together. In float64 the product of a
  float32 and a whole number is exact, so both ways round alike.
  """
  matrices = tf.cast(matrices, tf.float64)
  size_x, size_y = tf.cast(width, tf.float64), tf.cast(height, tf.float64)
  x = tf.range(size_x)[None, None, :]
  y = tf.range(size_y)[None, :, None]
  a0, a1, a2, b0, b1, b2 = (matrices[:, i, None, None] for i in range(6))
  return (
    tf.clip_by_value(a0 * x + a1 * y + a2, 0.0, size_x - 1),
    tf.clip_by_value(b0 * x + b1 * y + b2, 0.0, size_y - 1),
  )
