"""Random changes of training images, on the device, inside the train step.

One affine warp for flip, shift, rotation and zoom together (one resampling, no
repeated blur), then brightness and contrast. A pure function of its seed:
nothing here is a layer, so nothing of it can reach an exported model.

  images = augment.augment(batch["image"], seed=[run_seed, step])
"""

import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSettings:
  """How far images may be changed.

  Attributes:
    flip: whether half of them are mirrored left to right.
    shift: up to this part of the side, 0..1.
    rotation: up to this many degrees either way.
    zoom: scale of 1 - zoom to 1 + zoom.
    brightness: up to this part of the range 255 is added or taken.
    contrast: factor of 1 - contrast to 1 + contrast around the image's mean.
  """

  flip: bool = True
  shift: float = 0.06
  rotation: float = 8.0
  zoom: float = 0.1
  brightness: float = 0.1
  contrast: float = 0.2


def augment(
  images: tf.Tensor,
  seed: tf.Tensor,
  settings: AugmentSettings = AugmentSettings(),
) -> tf.Tensor:
  """Returns the images, each changed in its own random way.

  Args:
    images: uint8 or float32[batch, height, width, 3], 0..255.
    seed: int32[2]; the same seed gives the same images.
    settings: how far.

  Returns:
    float32[batch, height, width, 3], 0..255. The edge pixels are repeated where
    the warp looks beyond the image.
  """
  batch = tf.shape(images)[0]
  random = tf.random.stateless_uniform([8, batch], seed, -1.0, 1.0)
  matrices = affine_matrices(random[:5], tf.shape(images)[1:3], settings)
  warped = tf.raw_ops.ImageProjectiveTransformV3(
    images=tf.cast(images, tf.float32),
    transforms=matrices,
    output_shape=tf.shape(images)[1:3],
    fill_value=0.0,
    interpolation="BILINEAR",
    fill_mode="NEAREST",
  )
  factor = 1.0 + settings.contrast * random[5][:, None, None, None]
  offset = 255.0 * settings.brightness * random[6][:, None, None, None]
  mean = tf.reduce_mean(warped, axis=[1, 2, 3], keepdims=True)
  changed = (warped - mean) * factor + mean + offset
  return tf.ensure_shape(tf.clip_by_value(changed, 0.0, 255.0), images.shape)


def affine_matrices(
  random: tf.Tensor, shape: tf.Tensor, settings: AugmentSettings
) -> tf.Tensor:
  """Returns the warps as ImageProjectiveTransformV3 takes them.

  Args:
    random: float32[5, batch] in -1..1: angle, zoom, two shifts, flip.
    shape: int32[2], height and width.
    settings: how far.

  Returns:
    float32[batch, 8], from output pixels to input pixels, about the centre.
  """
  angle, zoom, shift_x, shift_y, flip = tf.unstack(random)
  height, width = tf.unstack(tf.cast(shape, tf.float32))
  angle *= settings.rotation * math.pi / 180
  scale = 1.0 + settings.zoom * zoom
  sign = tf.where(settings.flip & (flip > 0), -1.0, 1.0)
  cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
  center_x, center_y = (width - 1) / 2, (height - 1) / 2
  a0, a1, b0, b1 = cos * sign, -sin, sin * sign, cos
  a2 = (
    center_x - a0 * center_x - a1 * center_y + settings.shift * shift_x * width
  )
  b2 = (
    center_y - b0 * center_x - b1 * center_y + settings.shift * shift_y * height
  )
  zero = tf.zeros_like(a0)
  return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
