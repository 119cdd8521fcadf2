"""The batches of the fast path, made by other machines: tf.data service.

What is sent is a graph of TensorFlow's own operations, which reads single
records by their place, so that workers need TensorFlow and the shards, nothing
of ours. They take steps as they get to them, and a worker that is killed takes
its own with it: tf.data service promises each step at most once, in any order.
`in_order.InOrder` makes of it every step exactly once, in order.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  batch_buffers,
  batch_reader,
  fast_input,
  graph_order,
  in_order,
  last_calls,
  record_index,
  stock_input,
)

STEP = "step"
"""The element's number among its batches, int64[]."""

# Bytes read at a time; a JPEG face is 11 kB, a plain one 67.5 kB.
_BUFFERS = {False: 16 << 10, True: 128 << 10}
_RECORDS_AT_ONCE = 10


def make(
  served: tf.data.Dataset,
  reader: batch_reader.BatchReader,
  layout: record_index.Layout,
  plan: fast_input.Plan,
  address: str,
) -> tf.data.Dataset:
  """Returns the batches of a plan, made by the workers of a dispatcher.

  Args:
    served: of `graph`, with the same plan.
    reader: makes those that do not come.
    layout: of the records; names the elements.
    plan: which records make which batch.
    address: HOST:PORT of the dispatcher.

  Returns:
    As `fast_input.make`, the same elements in the same order. A checkpoint of
    its iterator holds nothing: start at `plan.start_step`.

  Raises:
    UserError: when it is iterated, and the workers cannot read the shards.
  """
  buffers = batch_buffers.BatchBuffers(plan.most_rows, layout.size)

  def arrivals() -> Iterator[tuple[int, in_order.Batch]]:
    for batch in distributed(served, address):
      yield int(batch.pop(STEP)), batch

  def make_here(step: int) -> in_order.Batch:
    batch = reader.read(plan.records(step), buffers)
    labels = dict(zip(layout.integers, batch.labels, strict=True))
    return {"image": batch.images, **labels}

  steps = in_order.InOrder(arrivals, make_here, name=address)
  return _ordered(steps, layout, plan)


def _ordered(
  steps: in_order.InOrder, layout: record_index.Layout, plan: fast_input.Plan
) -> tf.data.Dataset:
  """Returns the steps as a dataset, which one iterator at a time may read.

  Not `from_generator`: TensorFlow calls Python to end its iterators, and hung
  at the end of one program in two that had one left.
  """
  start, end = plan.start_step, plan.epochs * plan.steps_per_epoch
  state: list[Any] = [start, None]  # The step that comes next, and where from.
  alone = threading.Lock()  # Not waited for.

  def read(step: np.ndarray) -> list[np.ndarray]:
    if not alone.acquire(blocking=False):
      raise _several(step)
    try:
      if step == start:
        state[:] = start, steps.steps(start, end)
      if step != state[0]:
        raise _several(step)
      batch = next(state[1])
      state[0] += 1
      if state[0] == end:
        state[1].close()  # Which says how many were made here.
    finally:
      alone.release()
    return [batch["image"], *(batch[name] for name in layout.integers)]

  guarded = last_calls.guarded(read)
  kinds = [tf.uint8, *[tf.int64] * len(layout.integers)]
  count = plan.full_batch if plan.drop_remainder else None

  def element(step: tf.Tensor) -> dict[str, tf.Tensor]:
    image, *labels = tf.numpy_function(guarded, [step], kinds)
    image.set_shape([count, layout.size, layout.size, 3])
    for tensor in labels:
      tensor.set_shape([count])
    return {"image": image, **dict(zip(layout.integers, labels, strict=True))}

  return (
    tf.data.Dataset.range(start, max(start, end))
    .map(element)
    .prefetch(1)
    .with_options(fast_input.untuned())
  )


def _several(step: np.ndarray) -> ValueError:
  return ValueError(
    f"--data_service: step {step} was asked for, but another iterator of this "
    "dataset was begun; allowed: one at a time; make a dataset for each"
  )


def graph(
  paths: Sequence[str],
  rows: np.ndarray,
  layout: record_index.Layout,
  plan: fast_input.Plan,
  *,
  fast_dct: bool,
) -> tf.data.Dataset:
  """Returns the batches of a plan by TensorFlow's own operations alone.

  Args:
    paths: of the shards, as all workers see them.
    rows: of `record_index.open_index`. Their places, 12 bytes a record, are
      part of the graph, which must stay below 2 GB.
    layout: of the records.
    plan: which records make which batch.
    fast_dct: as in `batch_reader.ReadSettings`.

  Returns:
    As `fast_input.make`, and the number of each batch as `STEP`.
  """
  names = tf.constant(list(paths))
  shards = tf.constant(rows["shard"].astype(np.int32))
  places = tf.constant(rows["offset"].astype(np.int64))
  size = tf.constant(_BUFFERS[layout.is_raw], tf.int64)

  def read(record: tf.Tensor) -> tf.Tensor:
    variant = tf.raw_ops.TFRecordDatasetV2(
      filenames=tf.gather(names, shards[record])[None],
      compression_type="",
      buffer_size=size,
      byte_offsets=places[record][None],
    )
    records = tf.data.experimental.from_variant(
      variant, tf.TensorSpec([], tf.string)
    )
    return records.take(1).get_single_element()

  def element(step: tf.Tensor) -> dict[str, tf.Tensor]:
    serialized = tf.map_fn(
      read,
      graph_order.records(plan, step),
      fn_output_signature=tf.string,
      parallel_iterations=_RECORDS_AT_ONCE,
    )
    batch = stock_input.parse(serialized, layout, fast_dct=fast_dct)
    return {STEP: step, **batch}

  steps = plan.epochs * plan.steps_per_epoch
  # As many at once as the worker that runs it has cores, and 16 at most: what
  # TensorFlow begins with, and untuned stays at. No slower, six runs of each.
  return (
    tf.data.Dataset.range(plan.start_step, steps)
    .map(element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    .with_options(fast_input.untuned())
  )


def distributed(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
  """Returns batches in any order, each made by some worker or lost.

  Args:
    batches: of `graph`.
    address: HOST:PORT of the dispatcher.
  """
  service = tf.data.experimental.service
  arriving = batches.apply(
    service.distribute(
      # A step goes to whichever worker asks next.
      processing_mode=service.ShardingPolicy.DYNAMIC,
      service=f"grpc://{address}",
      # Faces as pixels or JPEG do not shrink; snappy would only take time.
      compression=None,
    )
  )
  # Options of the batches are of the workers alone; these are of this process.
  return arriving.with_options(fast_input.untuned())
