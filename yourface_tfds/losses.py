"""Losses and running accuracies, with unknown labels left out of both."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from yourface_tfds import labels

Batch = Mapping[str, tf.Tensor]
"""`image` and one label tensor for each head, as from `input_pipeline`."""


def masked_losses(
  batch: Batch, probabilities: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
  """Returns each head's cross-entropy over the examples whose label is known.

  Args:
    batch: int64[batch] per head, -1 where unknown.
    probabilities: float32[batch, classes] per head, rows sum to 1.

  Returns:
    A scalar per head, in nats; 0 where a batch has no known label.
  """
  losses = {}
  for head in labels.HEADS:
    known = tf.cast(batch[head] >= 0, tf.float32)
    # -1 would be out of range; its weight is 0.
    index = tf.maximum(batch[head], 0)
    each = keras.losses.sparse_categorical_crossentropy(
      index, probabilities[head]
    )
    losses[head] = tf.math.divide_no_nan(
      tf.reduce_sum(each * known), tf.reduce_sum(known)
    )
  return losses


def hits(
  batch: Batch, probabilities: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
  """Returns bool[batch] per head: whether the likeliest class is the label."""
  return {
    head: tf.equal(tf.argmax(probabilities[head], -1), batch[head])
    for head in labels.HEADS
  }


class Sums:
  """Running sums of loss, hits and known labels over an epoch."""

  def __init__(self) -> None:
    self._loss = 0.0
    self._images = 0
    self._hits = dict.fromkeys(labels.HEADS, 0)
    self._known = dict.fromkeys(labels.HEADS, 0)

  def add(
    self, loss: float, batch: Batch, hits: Mapping[str, tf.Tensor]
  ) -> None:
    """Adds a batch: its mean loss, labels and `hits`."""
    size = int(batch["image"].shape[0] or 0)
    self._loss += loss * size
    self._images += size
    for head in labels.HEADS:
      known = batch[head].numpy() >= 0
      self._hits[head] += int((hits[head].numpy() & known).sum())
      self._known[head] += int(known.sum())

  def figures(self, prefix: str = "") -> dict[str, float]:
    """Returns the mean loss and the accuracy of each head with labels."""
    figures = {f"{prefix}loss": self._loss / max(self._images, 1)}
    for head in labels.HEADS:
      if self._known[head]:
        figures[f"{prefix}{head}"] = self._hits[head] / self._known[head]
    return figures
