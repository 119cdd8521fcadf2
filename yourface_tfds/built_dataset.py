"""A dataset that `tfds build` wrote, opened for reading.

Whatever wrote the builder's code: no builder module is imported.

  dataset = built_dataset.open_dataset(data_dir, "jpeg")
  dataset.num_examples("train"), dataset.image_size
"""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from yourface_tfds import (
  batch_reader,
  cli,
  info_files,
  labels,
  record_index,
  record_numbers,
  shard_copies,
  storage,
  tfrecord,
)

NAME = "your_face"
"""The dataset's name, its folder under `data_dir`."""
_MAJOR = 1  # Of the versions whose examples this code reads.
_SPLIT = re.compile(r"\w+(\[.*\])?")


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
  _indexes: dict[str, np.ndarray] = dataclasses.field(
    default_factory=dict, repr=False, compare=False
  )
  _copies: dict[str, list[record_index.Shard] | shard_copies.NoCopiesError] = (
    dataclasses.field(default_factory=dict, repr=False, compare=False)
  )
  _readers: dict[Any, batch_reader.BatchReader] = dataclasses.field(
    default_factory=dict, repr=False, compare=False
  )

  def num_examples(self, split: str) -> int:
    """Returns the number of examples of a split, `train[:10%]` included."""
    self._check_split(split)
    return self.info.splits[split].num_examples

  def has_split(self, split: str) -> bool:
    """Returns whether the split exists."""
    return _SPLIT.fullmatch(split) is not None and (
      _base(split) in self.info.splits
    )

  @property
  def layout(self) -> record_index.Layout:
    """What a record holds."""
    return record_index.Layout(
      size=self.image_size,
      is_raw=self.is_raw,
      integers=tuple(labels.HEADS),
      strings=("person", "photo"),
    )

  def shards(self, split: str) -> list[record_index.Shard]:
    """Returns the files of a whole split, in order."""
    return [
      record_index.Shard(path=part.filename, records=part.examples_in_shard)
      for part in self.info.splits[_base(split)].file_instructions
    ]

  def local_shards(self, split: str) -> list[record_index.Shard]:
    """Returns the same on this disk: copies, where they are elsewhere.

    Raises:
      shard_copies.NoCopiesError: there cannot be any.
    """
    shards = self.shards(split)
    if all(storage.is_local(shard.path) for shard in shards):
      return shards
    base = _base(split)
    if base not in self._copies:
      try:
        copies = shard_copies.fetch(shards, self.info.data_dir, base)
      except shard_copies.NoCopiesError as error:
        copies = error  # Asked again, the answer and so the order is the same.
      self._copies[base] = copies
    found = self._copies[base]
    if isinstance(found, shard_copies.NoCopiesError):
      raise found
    return found

  @contextlib.contextmanager
  def blaming_copies(self, split: str) -> Iterator[None]:
    """Removes copies of shards that are found damaged, and says so.

    Raises:
      tfrecord.CorruptError: see `shard_copies.blamed`.
    """
    shards = self.shards(split)
    copies = self._copies.get(_base(split), shards)
    if isinstance(copies, shard_copies.NoCopiesError):
      copies = shards
    with shard_copies.blamed(shards, copies):
      yield

  def compression(self, split: str) -> str:
    """Returns the compression of a split's files: "", GZIP or ZLIB.

    Raises:
      UserError: a file is missing, or there is no such split.
    """
    for path, *_ in self.parts(split):
      try:
        with tf.io.gfile.GFile(path, "rb") as file:
          found = tfrecord.compression(file.read(tfrecord.HEADER))
      except tf.errors.NotFoundError as error:
        raise cli.UserError(
          f"{path}: is missing; build the dataset again or copy it again"
        ) from error
      if found:
        return found
    return ""

  def parts(self, split: str) -> list[tuple[str, int, int]]:
    """Returns what a split takes of its files, in order.

    Returns:
      Path, records to leave out at the file's start, records to take.

    Raises:
      UserError: there is no such split, or nothing in it.
    """
    self._check_split(split)
    found = [
      (part.filename, part.skip, part.take)
      for part in self.info.splits[split].file_instructions
    ]
    if not found:
      raise cli.UserError(
        f"--split: got {split!r}, which holds no example of "
        f"{self.info.full_name}"
      )
    return found

  def numbers(self, split: str) -> record_numbers.RecordNumbers:
    """Returns which records of the whole split take part.

    Raises:
      UserError: there is no such split, or nothing in it.
    """
    starts, start = {}, 0
    parts = self.parts(split)
    for shard in self.shards(split):
      starts[shard.path] = start
      start += shard.records
    return record_numbers.RecordNumbers(
      [(starts[path] + skip, take) for path, skip, take in parts]
    )

  def index(self, split: str) -> np.ndarray:
    """Returns the index of a whole split, see `record_index`.

    Raises:
      shard_copies.NoCopiesError: the shards are elsewhere.
    """
    base = _base(split)
    if base not in self._indexes:
      shards = self.local_shards(base)
      folder = pathlib.Path(self.info.data_dir)
      if not storage.is_local(self.info.data_dir):
        folder = shard_copies.folder(self.info.data_dir)
      with self.blaming_copies(base):
        self._indexes[base] = record_index.open_index(
          shards, self.layout, folder / ".index", base
        )
    return self._indexes[base]

  def reader(
    self, split: str, settings: batch_reader.ReadSettings
  ) -> batch_reader.BatchReader:
    """Returns the reader of a whole split, the same one each time.

    So that a record that was verified is known to be, epoch after epoch.
    """
    key = (_base(split), settings)
    if key not in self._readers:
      self._readers[key] = batch_reader.BatchReader(
        self.local_shards(split), self.index(split), self.layout, settings
      )
    return self._readers[key]

  def check_unchanged(self) -> None:
    """Checks that what was read so far is of one build.

    Raises:
      tfrecord.CorruptError: a shard was written to since it was opened.
    """
    for reader in self._readers.values():
      reader.check_unchanged()

  def _check_split(self, split: str) -> None:
    if not self.has_split(split):
      raise cli.UserError(
        f"--split: got {split!r}, allowed: {', '.join(self.info.splits)} "
        f"(splits of {self.info.full_name})"
      )


def _base(split: str) -> str:
  """Returns `train` of `train[:10%]`."""
  return split.partition("[")[0]


def open_dataset(data_dir: str | os.PathLike[str], config: str) -> Dataset:
  """Opens a dataset that `tfds build` wrote.

  Args:
    data_dir: the same as for `tfds build`.
    config: its config, for example `jpeg`.

  Raises:
    UserError: there is no such dataset, it is no your_face, or a file that
      describes it is damaged.
  """
  try:
    builder = tfds.builder(f"{NAME}/{config}", data_dir=os.fspath(data_dir))
    if not builder.is_prepared():
      # Where the builder's code is imported, TFDS knows it before it is built.
      raise tfds.core.DatasetNotFoundError(f"{builder.data_path} is not built")
    info_files.check(builder)
  except info_files.ERRORS as error:
    info_files.blame(storage.path(data_dir) / NAME / config, error)
    raise cli.UserError(
      f"--data_dir: no dataset {NAME}/{config} in {os.fspath(data_dir)!r}; "
      "build it with: tfds build builders/your_face --config="
      f"{config} --manual_dir=M --data_dir={os.fspath(data_dir)}"
    ) from error
  version = builder.info.version
  if version is None or version.major != _MAJOR:
    raise cli.UserError(
      f"{builder.data_path}: version {version}, this code reads {_MAJOR}.*.*; "
      "build it again with builders/your_face"
    )
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
