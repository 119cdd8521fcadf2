"""Batches of the fast path as a `tf.data.Dataset`.

The dataset is a range of steps, and each step one call of the reader. That is
all the state there is: a checkpoint of its iterator holds a step, and starting
anywhere costs nothing.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  batch_buffers,
  batch_reader,
  permutation,
  record_index,
  record_numbers,
)

# Batches filled at a time. Two threads reach what memory feeds; the third fills
# the gaps while the others wait for each other and for the consumer.
_CALLS = 3
_AHEAD = 1  # Finished batches waiting: 17 MB of 256 faces each.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """Which records make which batch.

  Attributes:
    numbers: the records that take part, in stored order.
    batch_size: records a batch, of each worker.
    seed: of the order; None: stored order.
    epoch, epochs: the first epoch, and how many.
    start_step: batches of the first epoch that are left out.
    drop_remainder: whether an epoch's last batch is left out if it is smaller.
    workers, worker: how many share each step, and which of them this is.
  """

  numbers: record_numbers.RecordNumbers
  batch_size: int
  seed: int | None = None
  epoch: int = 0
  epochs: int = 1
  start_step: int = 0
  drop_remainder: bool = False
  workers: int = 1
  worker: int = 0

  @property
  def steps_per_epoch(self) -> int:
    """Batches in an epoch."""
    together = self.batch_size * self.workers
    if self.drop_remainder:
      return len(self.numbers) // together
    return -(-len(self.numbers) // together)

  def records(self, step: int) -> np.ndarray:
    """Returns the records of a step, counted from the first epoch's start.

    All workers together have the records that one worker would have with a
    batch as large as all of theirs. The last ones of an epoch are shared as
    evenly as can be, so that a worker may have none.
    """
    epoch, step = divmod(step, self.steps_per_epoch)
    together = self.batch_size * self.workers
    begin = step * together
    count = min(together, len(self.numbers) - begin)
    start = begin + count * self.worker // self.workers
    stop = begin + count * (self.worker + 1) // self.workers
    if self.seed is None:
      return self.numbers.at(np.arange(start, stop))
    places = permutation.examples_at(
      len(self.numbers),
      start,
      stop,
      seed=self.seed,
      epoch=self.epoch + epoch,
    )
    return self.numbers.at(places)


def make(
  reader: batch_reader.BatchReader,
  layout: record_index.Layout,
  plan: Plan,
  *,
  with_strings: bool,
) -> tf.data.Dataset:
  """Returns the batches of a plan.

  Args:
    reader: of the records.
    layout: of the records; names the elements.
    plan: which records.
    with_strings: whether the text features are given too.

  Returns:
    Batches of image, uint8[batch, S, S, 3], int64[batch] per label and, if
    asked for, string[batch] per text feature.
  """
  heads = layout.integers
  strings = layout.strings if with_strings else ()
  buffers = batch_buffers.BatchBuffers(plan.batch_size, layout.size)

  def read(step: np.ndarray) -> list[np.ndarray]:
    numbers = plan.records(int(step))
    batch = reader.read(numbers, buffers, with_strings=with_strings)
    return [batch.images, *batch.labels, *batch.strings]

  def element(step: tf.Tensor) -> dict[str, tf.Tensor]:
    kinds = [tf.uint8, *[tf.int64] * len(heads), *[tf.string] * len(strings)]
    # Not stateful: the same step gives the same batch, which is what lets
    # tf.data save its iterator as a step instead of the batches in flight.
    image, *others = tf.numpy_function(read, [step], kinds, stateful=False)
    count = plan.batch_size if plan.drop_remainder else None
    image.set_shape([count, layout.size, layout.size, 3])
    for tensor in others:
      tensor.set_shape([count])
    return {
      "image": image,
      **dict(zip((*heads, *strings), others, strict=True)),
    }

  steps = plan.epochs * plan.steps_per_epoch
  # deterministic costs nothing here: batches take equally long.
  return (
    tf.data.Dataset.range(plan.start_step, steps)
    .map(element, num_parallel_calls=_CALLS, deterministic=True)
    .prefetch(_AHEAD)
    .with_options(options())
  )


def options() -> tf.data.Options:
  """Returns what makes a dataset small to save and quick to its end."""
  chosen = tf.data.Options()
  # With it on, the end of an epoch waited: half the speed was measured.
  chosen.autotune.enabled = False
  chosen.experimental_symbolic_checkpoint = True
  return chosen
