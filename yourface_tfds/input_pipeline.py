"""From TFRecord shards to batches of uint8 images and labels.

Reads what `tfds build` wrote, whatever wrote the builder's code: no builder
module is imported. The stock record path, tuned: records are shuffled while
still serialized (a JPEG face is 11 kB, decoded 67.5 kB), and each batch is
parsed and decoded in one call, which beats `tfds.load` about 1.8 times.

  dataset = input_pipeline.open_dataset(data_dir, "jpeg")
  for batch in input_pipeline.make_for_train(
      dataset, batch_size=64, seed=0, epoch=3):
    batch["image"]   # uint8[64, 150, 150, 3], 0..255
    batch["gender"]  # int64[64], -1 where unknown
"""

import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from yourface_tfds import cli, labels

NAME = "your_face"
"""The dataset's name, its folder under `data_dir`."""

SHUFFLE_BUFFER = 10_000
"""Records held for shuffling: 110 MB of JPEG, 675 MB of raw faces."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """A built dataset, opened for reading.

  Attributes:
    info: TFDS's description: features, splits, shards.
    image_size: side of the images in pixels.
    is_raw: whether images are stored as plain uint8 instead of JPEG.
    margin, min_score: how its faces were cut out, see
      `build_settings.BuildSettings`.
  """

  info: tfds.core.DatasetInfo
  image_size: int
  is_raw: bool
  margin: float
  min_score: float

  def num_examples(self, split: str) -> int:
    """Returns the number of examples of a split, `train[:10%]` included."""
    self._check_split(split)
    return self.info.splits[split].num_examples

  def has_split(self, split: str) -> bool:
    """Returns whether the split exists."""
    return split.partition("[")[0] in self.info.splits

  def records(self, split: str) -> tf.data.Dataset:
    """Returns the serialized `tf.train.Example`s of a split, in shard order."""
    self._check_split(split)
    parts = [
      tf.data.TFRecordDataset(part.filename).skip(part.skip).take(part.take)
      for part in self.info.splits[split].file_instructions
    ]
    if not parts:
      raise cli.UserError(
        f"--split: got {split!r}, which holds no example of "
        f"{self.info.full_name}"
      )
    records = parts[0]
    for part in parts[1:]:
      records = records.concatenate(part)
    return records

  def _check_split(self, split: str) -> None:
    if not self.has_split(split):
      raise cli.UserError(
        f"--split: got {split!r}, allowed: {', '.join(self.info.splits)} "
        f"(splits of {self.info.full_name})"
      )


def open_dataset(data_dir: str | os.PathLike[str], config: str) -> Dataset:
  """Opens a dataset that `tfds build` wrote.

  Args:
    data_dir: the same as for `tfds build`.
    config: its config, for example `jpeg`.

  Raises:
    UserError: there is no such dataset, or it is no your_face.
  """
  try:
    builder = tfds.builder(f"{NAME}/{config}", data_dir=os.fspath(data_dir))
    if not builder.is_prepared():
      # Where the builder's code is imported, TFDS knows it before it is built.
      raise tfds.core.DatasetNotFoundError(f"{builder.data_path} is not built")
  except (tfds.core.DatasetNotFoundError, ValueError) as error:
    raise cli.UserError(
      f"--data_dir: no dataset {NAME}/{config} in {os.fspath(data_dir)!r}; "
      "build it with: tfds build builders/your_face --config="
      f"{config} --manual_dir=M --data_dir={os.fspath(data_dir)}"
    ) from error
  features: Any = builder.info.features or {}
  missing = {"image", "person", "photo", *labels.HEADS} - set(features)
  metadata: Any = builder.info.metadata or {}
  missing |= {"margin", "min_score"} - set(metadata)
  if missing:
    raise cli.UserError(
      f"{builder.data_path}: no {', '.join(sorted(missing))}; this was "
      "built by something else, build it again with builders/your_face"
    )
  for head, vocabulary in labels.HEADS.items():
    names = tuple(features[head].names)
    if names != vocabulary.names:
      raise cli.UserError(
        f"{builder.data_path}: {head} holds {', '.join(names)}; this version "
        f"knows {', '.join(vocabulary.names)}; build it again"
      )
  return Dataset(
    info=builder.info,
    image_size=features["image"].shape[0],
    is_raw=not isinstance(features["image"], tfds.features.Image),
    margin=metadata["margin"],
    min_score=metadata["min_score"],
  )


def make_for_train(
  dataset: Dataset, *, batch_size: int, seed: int, epoch: int
) -> tf.data.Dataset:
  """Returns one epoch of the train split.

  The order depends on (seed, epoch) alone. The last batch may be smaller.

  Args:
    dataset: from `open_dataset`.
    batch_size: images a batch.
    seed: of the run, 0 or more.
    epoch: which epoch, from 0.

  Returns:
    Batches of image, uint8[batch, size, size, 3], and int64[batch] per head.
  """
  count = dataset.num_examples("train")
  records = dataset.records("train").shuffle(
    min(count, SHUFFLE_BUFFER), seed=(seed << 20) + epoch
  )
  keys = ("image", *labels.HEADS)
  return _batches(dataset, records, keys, batch_size)


def make_for_eval(
  dataset: Dataset, split: str, *, batch_size: int
) -> tf.data.Dataset:
  """Returns a split once, in its stored order.

  Returns:
    As `make_for_train`, and string[batch] person and photo.
  """
  keys = ("image", "person", "photo", *labels.HEADS)
  return _batches(dataset, dataset.records(split), keys, batch_size)


def class_counts(dataset: Dataset, split: str) -> dict[str, np.ndarray]:
  """Returns how often each known class occurs: head -> int64[classes]."""
  spec = {head: tf.io.FixedLenFeature([], tf.int64) for head in labels.HEADS}
  counts = {
    head: np.zeros(len(vocabulary.names), np.int64)
    for head, vocabulary in labels.HEADS.items()
  }
  for records in dataset.records(split).batch(1024):
    for head, indices in tf.io.parse_example(records, spec).items():
      known = indices.numpy()[indices.numpy() >= 0]
      counts[head] += np.bincount(known, minlength=len(counts[head]))
  return counts


def sample_faces(dataset: Dataset, split: str, count: int) -> np.ndarray:
  """Returns the first images of a split: uint8[at most count, S, S, 3]."""
  batches = make_for_eval(dataset, split, batch_size=count)
  return next(iter(batches))["image"].numpy()


def _batches(
  dataset: Dataset,
  records: tf.data.Dataset,
  keys: tuple[str, ...],
  batch_size: int,
) -> tf.data.Dataset:
  spec = {
    key: tf.io.FixedLenFeature(
      [], tf.int64 if key in labels.HEADS else tf.string
    )
    for key in keys
  }

  def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    batch = tf.io.parse_example(serialized, spec)
    batch["image"] = decode_images(
      batch["image"], size=dataset.image_size, is_raw=dataset.is_raw
    )
    return batch

  # Two calls ahead: more would hold more batches (17 MB of 256 faces each).
  # AUTOTUNE is off the table, see tensorflow#33516 and horovod#4296.
  return (
    records.batch(batch_size)
    .map(parse, num_parallel_calls=2, deterministic=True)
    .prefetch(2)
  )


def decode_images(encoded: tf.Tensor, *, size: int, is_raw: bool) -> tf.Tensor:
  """Decodes a batch of stored images.

  Args:
    encoded: string[batch], JPEG or plain uint8.
    size: side of every image, pixels.
    is_raw: which of the two.

  Returns:
    uint8[batch, size, size, 3], 0..255.
  """
  if is_raw:
    pixels = tf.io.decode_raw(encoded, tf.uint8, fixed_length=size * size * 3)
    return tf.reshape(pixels, [-1, size, size, 3])

  def decode(data: tf.Tensor) -> tf.Tensor:
    # INTEGER_ACCURATE equals Pillow's pixels and costs no time; TensorFlow's
    # default is up to two levels off.
    image = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, [size, size, 3])

  return tf.map_fn(decode, encoded, fn_output_signature=tf.uint8)
