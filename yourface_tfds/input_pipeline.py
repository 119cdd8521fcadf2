"""From the shards of `tfds build` to batches of uint8 images and labels.

  dataset = built_dataset.open_dataset(data_dir, "raw")
  for batch in input_pipeline.make_for_train(
      dataset, batch_size=256, seed=0, epochs=30):
    batch["image"]   # uint8[256, 150, 150, 3], 0..255
    batch["gender"]  # int64[256], -1 where unknown

Each epoch is a random permutation of all examples that depends on (seed, epoch)
alone; nothing is buffered for it. The fast path reads local shards by their
index (`record_index`, `batch_reader`); where that cannot be, TensorFlow's own
operations give the same elements (`stock_input`).
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from yourface_tfds import (
  batch_reader,
  built_dataset,
  cli,
  fast_input,
  labels,
  served_input,
  shard_copies,
  shard_errors,
  stock_input,
  storage,
)

PATHS = ("auto", "fast", "stock")
"""How shards are read: auto takes the fast path where it can."""

ReadSettings = batch_reader.ReadSettings
_DEFAULT = ReadSettings()

plain_errors = shard_errors.plain_errors


def make_for_train(
  dataset: built_dataset.Dataset,
  *,
  batch_size: int,
  seed: int,
  epoch: int = 0,
  epochs: int = 1,
  start_step: int = 0,
  split: str = "train",
  drop_remainder: bool = False,
  input_context: tf.distribute.InputContext | None = None,
  with_neighbour: bool = False,
  has_rows: bool = False,
  settings: ReadSettings = _DEFAULT,
  path: str = "auto",
  data_service: str = "",
) -> tf.data.Dataset:
  """Returns epochs of a split, each in an order of its own.

  The order depends on (seed, epoch) alone: not on the batch size, the machine
  or the number of workers. `(seed, epoch, step)` is all the state there is:
  `start_step`, or a `tf.train.Checkpoint` of the iterator (below 1 kB), goes
  on with exactly the batch that would have come. (On the stock path, a
  checkpoint holds its shuffle buffer.)

  Args:
    dataset: from `built_dataset.open_dataset`.
    batch_size: images a batch; of each worker, if there are several.
    seed: of the run, 0 or more.
    epoch: the first epoch, from 0.
    epochs: how many.
    start_step: batches of the first epoch that are left out; may reach into
      later ones.
    split: or a slice of one, `train[:10%]`.
    drop_remainder: whether the last batch of each epoch is left out if it is
      smaller.
    input_context: which worker this is, see
      `tf.distribute.Strategy.distribute_datasets_from_function`. Together the
      workers have, step by step, the batches of a single one.
    with_neighbour: see `fast_input.Plan`.
    has_rows: likewise.
    settings: how records are read.
    path: one of `PATHS`.
    data_service: HOST:PORT of tf.data service, whose workers then make the
      batches: the same ones, see `served_input`.

  Returns:
    Batches of image, uint8[batch, size, size, 3], and int64[batch] per head.

  Raises:
    UserError: there is no such split, it has fewer examples than a batch, a
      shard is missing, or the path cannot be taken.
    tfrecord.CorruptError: a shard is damaged.
  """
  plan = fast_input.Plan(
    numbers=dataset.numbers(split),
    batch_size=batch_size,
    seed=seed,
    epoch=epoch,
    epochs=epochs,
    start_step=start_step,
    drop_remainder=drop_remainder,
    with_neighbour=with_neighbour,
    has_rows=has_rows,
    **fast_input.of_workers(input_context),
  )
  together = batch_size * plan.workers
  if together > len(plan.numbers):
    raise cli.UserError(
      f"--batch_size: got {together}, allowed: at most the "
      f"{len(plan.numbers)} examples of {split} in {dataset.info.full_name}"
    )
  if data_service:
    return _served(dataset, split, plan, settings, data_service)
  return _make(dataset, split, plan, settings, path, with_strings=False)


def make_for_eval(
  dataset: built_dataset.Dataset,
  split: str,
  *,
  batch_size: int,
  input_context: tf.distribute.InputContext | None = None,
  has_rows: bool = False,
  settings: ReadSettings = _DEFAULT,
  path: str = "auto",
) -> tf.data.Dataset:
  """Returns a split once, in its stored order.

  Returns:
    As `make_for_train`, and string[batch] person and photo.
  """
  plan = fast_input.Plan(
    numbers=dataset.numbers(split),
    batch_size=batch_size,
    has_rows=has_rows,
    **fast_input.of_workers(input_context),
  )
  return _make(dataset, split, plan, settings, path, with_strings=True)


def _served(
  dataset: built_dataset.Dataset,
  split: str,
  plan: fast_input.Plan,
  settings: ReadSettings,
  address: str,
) -> tf.data.Dataset:
  compression, why_not = obstacle(dataset, split)
  if compression:
    raise cli.UserError(
      f"--data_service: got {address}, but {why_not}, and its workers read "
      "single records; build the dataset uncompressed"
    )
  served = served_input.graph(
    [shard.path for shard in dataset.shards(split)],
    dataset.index(split),
    dataset.layout,
    plan,
    fast_dct=settings.fast_dct,
  )
  reader = dataset.reader(split, settings)
  return served_input.make(served, reader, dataset.layout, plan, address)


def _make(
  dataset: built_dataset.Dataset,
  split: str,
  plan: fast_input.Plan,
  settings: ReadSettings,
  path: str,
  *,
  with_strings: bool,
) -> tf.data.Dataset:
  if path not in PATHS:
    raise cli.UserError(f"path: got {path!r}, allowed: {', '.join(PATHS)}")
  if path == "stock":
    compression, why_not = dataset.compression(split), ""
  else:
    compression, why_not = obstacle(dataset, split)
  if why_not and path == "fast":
    raise cli.UserError(f"path: got 'fast', but {why_not}; give 'auto'")
  if why_not and path == "auto":
    _log_once(
      f"{dataset.info.full_name}: {why_not}; read by TensorFlow's own "
      "operations, which are slower and shuffle through a buffer of "
      f"{stock_input.SHUFFLE_BUFFER:,} records"
    )
  if why_not or path == "stock":
    whole = dataclasses.replace(
      plan, batch_size=plan.batch_size * plan.workers, workers=1, worker=0
    )
    batches = stock_input.make(
      dataset.parts(split),
      dataset.layout,
      whole,
      compression=compression,
      with_strings=with_strings,
      fast_dct=settings.fast_dct,
    )
    # Every worker decodes all rows: its own ones only are known afterwards.
    return fast_input.shares(batches, plan) if plan.workers > 1 else batches
  reader = dataset.reader(split, settings)
  return fast_input.make(
    reader, dataset.layout, plan, with_strings=with_strings
  )


def obstacle(dataset: built_dataset.Dataset, split: str) -> tuple[str, str]:
  """Returns the compression of the shards, and why not the fast path.

  Shards that are elsewhere are copied to this disk, see `shard_copies`.
  """
  compression = dataset.compression(split)
  if compression:
    return compression, f"the shards are compressed ({compression})"
  try:
    dataset.local_shards(split)
  except shard_copies.NoCopiesError as error:
    return "", str(error)
  return "", ""


@functools.cache
def _log_once(text: str) -> None:
  logging.warning(text)


def to_device(
  batches: tf.data.Dataset, device: str | None = None
) -> tf.data.Dataset:
  """Has the next two batches copied to a GPU ahead of time, if there is one.

  As uint8, a quarter of the bytes of float32.

  Args:
    batches: to be copied.
    device: where to; None: the first GPU.
  """
  if device is None:
    gpus = tf.config.list_logical_devices("GPU")
    device = gpus[0].name if gpus else ""
  if not device or "GPU" not in device:
    return batches
  copy = tf.data.experimental.prefetch_to_device(device, buffer_size=2)
  return batches.apply(copy)


def class_counts(
  dataset: built_dataset.Dataset, split: str
) -> dict[str, np.ndarray]:
  """Returns how often each known class occurs: head -> int64[classes]."""
  counts = {
    head: np.zeros(len(vocabulary.names), np.int64)
    for head, vocabulary in labels.HEADS.items()
  }
  for head, known in _known_labels(dataset, split):
    counts[head] += np.bincount(known, minlength=len(counts[head]))
  return counts


def _known_labels(
  dataset: built_dataset.Dataset, split: str
) -> Iterator[tuple[str, np.ndarray]]:
  if obstacle(dataset, split)[1]:
    with plain_errors(dataset, split):
      for batch in make_for_eval(dataset, split, batch_size=64):
        for head in labels.HEADS:
          values = batch[head].numpy()
          yield head, values[values >= 0]
    return
  stored = dataset.index(split)
  for part in dataset.numbers(split).slices():
    columns = stored["labels"][part].T
    for head, values in zip(labels.HEADS, columns, strict=True):
      yield head, values[values >= 0]


def sample_faces(
  dataset: built_dataset.Dataset, split: str, count: int
) -> np.ndarray:
  """Returns the first images of a split: uint8[at most count, S, S, 3]."""
  # A few faces are not worth copies of all.
  path = "auto" if storage.is_local(dataset.info.data_dir) else "stock"
  batches = make_for_eval(dataset, split, batch_size=count, path=path)
  with plain_errors(dataset, split):
    return next(iter(batches))["image"].numpy()
