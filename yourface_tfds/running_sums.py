"""Sums of an epoch, kept on the device: no step waits for the one before.

sums = running_sums.RunningSums()
sums.add(batch, losses, probabilities, step)   # inside the train step
sums.figures()   # {"loss": ..., "gender": ...}, waits for the device
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from yourface_tfds import labels, losses


class RunningSums:
  """Sums of losses, hits and known labels.

  Attributes:
    bad_step: int64 variable, the first step whose loss was not finite, or -1.
  """

  def __init__(self) -> None:
    heads = len(labels.HEADS)
    # Rows: loss times known labels, known labels, hits.
    self._sums = tf.Variable(tf.zeros([3, heads], tf.float64), trainable=False)
    self.bad_step = tf.Variable(-1, trainable=False, dtype=tf.int64)

  def add(
    self,
    batch: losses.Batch,
    head_losses: Mapping[str, tf.Tensor],
    probabilities: Mapping[str, tf.Tensor],
    step: tf.Tensor,
  ) -> None:
    """Adds a batch.

    Args:
      batch: int64[batch] per head, -1 where unknown.
      head_losses: a scalar per head, mean over its known labels.
      probabilities: float32[batch, classes] per head.
      step: int64, of the run.
    """
    rows = []
    for head in labels.HEADS:
      known = tf.reduce_sum(tf.cast(batch[head] >= 0, tf.float64))
      hits = tf.equal(tf.argmax(probabilities[head], -1), batch[head])
      loss = tf.cast(head_losses[head], tf.float64)
      rows.append(
        [loss * known, known, tf.reduce_sum(tf.cast(hits, tf.float64))]
      )
    self._sums.assign_add(tf.transpose(tf.convert_to_tensor(rows)))
    total = tf.add_n([head_losses[head] for head in labels.HEADS])
    is_first = (self.bad_step < 0) & ~tf.math.is_finite(total)
    self.bad_step.assign(tf.where(is_first, step, self.bad_step))

  def figures(self, prefix: str = "") -> dict[str, float]:
    """Returns the mean loss of the heads with labels, and their accuracies."""
    loss, known, hits = self._sums.numpy()
    heads = [i for i, count in enumerate(known) if count]
    means = [loss[i] / known[i] for i in heads]
    figures = {f"{prefix}loss": float(np.mean(means)) if heads else 0.0}
    names = list(labels.HEADS)
    for i in heads:
      figures[f"{prefix}{names[i]}"] = float(hits[i] / known[i])
    return figures

  def reset(self) -> None:
    """Starts an epoch."""
    self._sums.assign(tf.zeros_like(self._sums))

  def get(self) -> np.ndarray:
    """Returns the sums, float64[3, heads], for `set`."""
    return self._sums.numpy()

  def set(self, sums: np.ndarray) -> None:
    """Goes on from sums that `get` gave."""
    self._sums.assign(sums)
