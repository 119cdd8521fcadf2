"""Losses over three heads: unknown labels count for nothing.

targets = losses.targets(batch)              # float32[batch, classes] a head
each = losses.head_losses(targets, model(images), settings)
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from yourface_tfds import labels

Batch = Mapping[str, tf.Tensor]
"""`image` and one label tensor for each head, as from `input_pipeline`."""

_TINY = 1e-7  # Keras's epsilon: the logarithm of no probability is infinite.


def class_weights(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns weights under which all classes of a head weigh the same.

  The weight of class c is N / (K n_c) for N examples with a known label in K
  classes that occur: the mean over the examples is 1, so that the loss keeps
  its size.

  Args:
    counts: int64[classes] per head, as from `input_pipeline.class_counts`.

  Returns:
    float32[classes] per head; 1 for a class that does not occur.
  """
  weights = {}
  for head, each in counts.items():
    occurring = np.count_nonzero(each)
    weights[head] = np.where(
      each > 0, each.sum() / np.maximum(occurring * each, 1), 1.0
    ).astype(np.float32)
  return weights


def targets(batch: Batch) -> dict[str, tf.Tensor]:
  """Returns what each head shall say.

  Args:
    batch: int64[batch] per head, -1 where unknown.

  Returns:
    float32[batch, classes] per head: 1 at the label, all 0 where unknown.
  """
  # one_hot of -1 is all zeros.
  return {
    head: tf.one_hot(batch[head], len(vocabulary.names))
    for head, vocabulary in labels.HEADS.items()
  }


def head_losses(
  targets: Mapping[str, tf.Tensor],
  probabilities: Mapping[str, tf.Tensor],
  *,
  weights: Mapping[str, np.ndarray] | None = None,
  label_smoothing: float = 0.0,
) -> dict[str, tf.Tensor]:
  """Returns each head's cross-entropy over the examples whose label is known.

  Args:
    targets: float32[batch, classes] per head; a row sums to 1, to 0 where the
      label is unknown, or to between where images were mixed.
    probabilities: float32[batch, classes] per head, rows sum to 1.
    weights: float32[classes] per head, see `class_weights`.
    label_smoothing: share of each target that is spread over all classes
      (Szegedy et al. 2016, section 7).

  Returns:
    A scalar per head, in nats: the weighted sum over the sum of the known; 0
    where a batch has no known label.
  """
  losses = {}
  for head, target in targets.items():
    known = tf.reduce_sum(target, axis=-1)
    classes = len(labels.HEADS[head].names)
    smooth = (
      target * (1 - label_smoothing)
      + known[:, None] * label_smoothing / classes
    )
    logs = tf.math.log(tf.clip_by_value(probabilities[head], _TINY, 1.0))
    each = -tf.reduce_sum(smooth * logs, axis=-1)
    if weights is not None:
      weighted = tf.reduce_sum(target * weights[head], axis=-1)
      each *= tf.math.divide_no_nan(weighted, known)
    losses[head] = tf.math.divide_no_nan(
      tf.reduce_sum(each), tf.reduce_sum(known)
    )
  return losses
