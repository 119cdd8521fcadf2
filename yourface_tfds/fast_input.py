"""Batches of the fast path as a `tf.data.Dataset`.

The dataset is a range of steps, and each step one call of the reader. That is
all the state there is: a checkpoint of its iterator holds a step, and starting
anywhere costs nothing.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  batch_buffers,
  batch_reader,
  last_calls,
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
    with_neighbour: whether the row before a worker's own ones comes first, and
      before the step's first row its last one: what `mixing` mixes it with.
    has_rows: whether all workers have all rows of a step that has fewer rows
      than there are workers. oneDNN's convolution of no rows gives its input
      back, in TensorFlow 2.21.
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
  with_neighbour: bool = False
  has_rows: bool = False

  @property
  def steps_per_epoch(self) -> int:
    """Batches in an epoch."""
    together = self.batch_size * self.workers
    if self.drop_remainder:
      return len(self.numbers) // together
    return -(-len(self.numbers) // together)

  @property
  def full_batch(self) -> int:
    """Rows of a batch that is not an epoch's last one."""
    return self.batch_size + self.with_neighbour

  @property
  def most_rows(self) -> int:
    """Rows of the largest batch, maybe with `has_rows` an epoch's last one."""
    return max(self.batch_size, self.workers - 1) + self.with_neighbour

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
    start, stop = self.share(count)
    own = self._at(begin + start, begin + stop, epoch)
    if not self.with_neighbour:
      return own
    before = begin + (start - 1) % count
    return np.concatenate([self._at(before, before + 1, epoch), own])

  def share(self, count: Any) -> tuple[Any, Any]:
    """Returns which of a step's rows are this worker's: from, to."""
    part = share_with_rows if self.has_rows else share
    return part(count, self.worker, self.workers)

  def _at(self, start: int, stop: int, epoch: int) -> np.ndarray:
    """Returns the records at positions of an epoch, counted from the first."""
    if self.seed is None:
      return self.numbers.at(np.arange(start, stop))
    places = permutation.examples_at(
      len(self.numbers), start, stop, seed=self.seed, epoch=self.epoch + epoch
    )
    return self.numbers.at(places)


def of_workers(context: tf.distribute.InputContext | None) -> dict[str, Any]:
  """Returns the fields of a plan that say which worker it is for."""
  if context is None:
    return {}
  return {
    "workers": context.num_input_pipelines,
    "worker": context.input_pipeline_id,
  }


def share(count: Any, worker: Any, workers: int) -> tuple[Any, Any]:
  """Returns which rows of a step one worker has: from, to.

  Args:
    count: rows of the step, of all workers together; int or int64[].
    worker: which; likewise.
    workers: how many.
  """
  return count * worker // workers, count * (worker + 1) // workers


def share_with_rows(count: Any, worker: Any, workers: int) -> tuple[Any, Any]:
  """Returns the same as `share`, but all rows if they are too few for all."""
  start, stop = share(count, worker, workers)
  if tf.is_tensor(count):
    is_few = tf.cast(count < workers, count.dtype)
  else:
    is_few = int(count < workers)
  return start * (1 - is_few), stop + (count - stop) * is_few


def shares(batches: tf.data.Dataset, plan: Plan) -> tf.data.Dataset:
  """Returns one worker's rows of batches of all workers' rows.

  Args:
    batches: tensors by name, as `make` returns them for one worker.
    plan: says which worker.
  """

  def part(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    count = tf.shape(batch["image"], tf.int64)[0]
    start, stop = plan.share(count)
    rows = tf.range(start, stop)
    if plan.with_neighbour:
      rows = tf.concat([[(start - 1) % count], rows], 0)
    return {name: tf.gather(tensor, rows) for name, tensor in batch.items()}

  return batches.map(part)


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
  buffers = batch_buffers.BatchBuffers(plan.most_rows, layout.size)

  def read(step: np.ndarray) -> list[np.ndarray]:
    numbers = plan.records(int(step))
    batch = reader.read(numbers, buffers, with_strings=with_strings)
    return [batch.images, *batch.labels, *batch.strings]

  guarded = last_calls.guarded(read)

  def element(step: tf.Tensor) -> dict[str, tf.Tensor]:
    kinds = [tf.uint8, *[tf.int64] * len(heads), *[tf.string] * len(strings)]
    # Not stateful: the same step gives the same batch, which is what lets
    # tf.data save its iterator as a step instead of the batches in flight.
    image, *others = tf.numpy_function(guarded, [step], kinds, stateful=False)
    count = plan.full_batch if plan.drop_remainder else None
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
  chosen = untuned()
  chosen.experimental_symbolic_checkpoint = True
  return chosen


def untuned() -> tf.data.Options:
  """Returns what makes a dataset quick to its end.

  TensorFlow tunes in a thread that looks at the time of day. An iterator that
  goes waits for it, now and then until its next look: half the speed of short
  epochs was measured, and no end where the clock was set back meanwhile.
  """
  chosen = tf.data.Options()
  chosen.autotune.enabled = False
  return chosen
