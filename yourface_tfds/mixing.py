"""Images mixed in pairs, their labels with them: mixup and CutMix.

  images, targets = mixing.mix(
    images, targets, seed=run_seed, step=step,
    settings=mixing.MixSettings(kind="mixup", alpha=0.2))

mixup is Zhang et al., arXiv 1710.09412; CutMix is Yun et al., arXiv 1905.04899.
Each image is mixed with the one before it in the batch, the first with the
last, by a share of its own. Nothing is remembered: the shares are a pure
function of (seed, step, row). Of plain operations, which XLA can compile.
"""

import dataclasses
import math
from collections.abc import Mapping

import tensorflow as tf

from yourface_tfds import augment

KINDS = ("none", "mixup", "cutmix")
"""What `MixSettings.kind` may be."""

_DRAWS = 4  # Numbers a row: two for the share, two for the box.
# So that the numbers are others than those of `augment` for the same seed.
_PURPOSE = 0x6D6978  # "mix"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixSettings:
  """How images are mixed.

  Attributes:
    kind: one of `KINDS`.
    alpha: shares are drawn from Beta(alpha, alpha), above 0: small ones mix
      little, 1 mixes by any share alike. The papers' best on ImageNet: 0.2 for
      mixup, 1 for CutMix.

  Raises:
    ValueError: there is no such kind, or alpha is outside its range.
  """

  kind: str = "none"
  alpha: float = 0.2

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise ValueError(f"kind: got {self.kind!r}, allowed: {', '.join(KINDS)}")
    if not (self.alpha > 0 and math.isfinite(self.alpha)):
      raise ValueError(f"alpha: got {self.alpha}, allowed: above 0")


def mix(
  images: tf.Tensor,
  targets: Mapping[str, tf.Tensor],
  *,
  seed: int | tf.Tensor,
  step: int | tf.Tensor,
  settings: MixSettings,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the images and targets, mixed.

  Args:
    images: float32[batch, height, width, 3].
    targets: head -> float32[batch, classes]. A row is all zeros where the label
      is unknown, else it sums to the example's weight.
    seed: of the run.
    step: of the run; another one draws other shares.
    settings: how.

  Returns:
    The same shapes and dtypes. Row i is `share` of its own plus 1 - share of
    row i - 1, targets of every head by the same share. Where one of the two
    labels is unknown, only the other's share of the weight is left.
  """
  if settings.kind == "none":
    return images, dict(targets)
  rows = tf.range(tf.shape(images)[0], dtype=tf.int64)
  keys = tf.stack(
    [
      tf.fill(tf.shape(rows), tf.constant(_PURPOSE, tf.int64)),
      tf.fill(tf.shape(rows), tf.cast(step, tf.int64)),
      rows,
    ],
    axis=1,
  )
  random = augment.uniform(seed, keys, _DRAWS, bits=52)
  shares = beta(random[:, 0], random[:, 1], settings.alpha)
  others = tf.roll(images, 1, axis=0)
  if settings.kind == "mixup":
    shares = tf.cast(shares, images.dtype)
    mixed = _blend(images, others, shares[:, None, None, None])
  else:
    shape = tf.shape(images)
    box, shares = boxes(shares, random[:, 2], random[:, 3], shape[1], shape[2])
    mixed = tf.where(box[..., None], others, images)
  return mixed, {
    head: _blend(
      own, tf.roll(own, 1, axis=0), tf.cast(shares, own.dtype)[:, None]
    )
    for head, own in targets.items()
  }


def _blend(own: tf.Tensor, other: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
  return own * shares + other * (1 - shares)


def beta(first: tf.Tensor, second: tf.Tensor, alpha: float) -> tf.Tensor:
  """Returns numbers of Beta(alpha, alpha).

  Exact, of two uniform numbers each and without rejection: Devroye, Random
  Variate Generation in One Line of Code (WSC 1996), the symmetric beta by way
  of Bailey's generator of Student's t.

  Args:
    first: float64[batch], multiples of 2**-52 from 0 to below 1.
    second: likewise, independent.
    alpha: above 0.

  Returns:
    float64[batch], 0..1.
  """
  half = 2.0**-53  # Keeps 0, whose power is infinite, away.
  cos = tf.cos(2 * math.pi * (second + half))
  # u**(-1/alpha) - 1, which overflows to infinity for small alpha, as it may.
  odds = tf.math.expm1(-tf.math.log(first + half) / alpha) * cos * cos
  return 0.5 + tf.sign(cos) * 0.5 / tf.sqrt(1 + 1 / odds)


def boxes(
  shares: tf.Tensor,
  x: tf.Tensor,
  y: tf.Tensor,
  height: int | tf.Tensor,
  width: int | tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns where CutMix takes the other image's pixels.

  A box of sqrt(1 - share) of both sides about a centre that is anywhere in the
  image; what stands out is cut off, and the share corrected to the box that is
  left, as in the paper's code.

  Args:
    shares: float[batch], 0..1: of the image that keeps the rest.
    x: float[batch], 0 to below 1: the centre.
    y: likewise.
    height: of the images, pixels.
    width: likewise.

  Returns:
    bool[batch, height, width], true inside the box, and float64[batch]: the
    share of pixels outside.
  """

  def inside(center: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    length = tf.cast(size, tf.float64)
    side = tf.cast(length * tf.sqrt(1 - shares), tf.int32)
    middle = tf.cast(center * length, tf.int32)
    first = (middle - side // 2)[:, None]
    pixels = tf.range(size)[None, :]
    return (pixels >= first) & (pixels < (middle + side // 2)[:, None])

  shares, x, y = (tf.cast(value, tf.float64) for value in (shares, x, y))
  box = inside(y, height)[:, :, None] & inside(x, width)[:, None, :]
  taken = tf.reduce_mean(tf.cast(box, tf.float64), axis=[1, 2])
  return box, 1 - taken
