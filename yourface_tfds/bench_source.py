"""The faces of a built dataset in every form that peers start from.

  source = bench_source.make(dataset, "train", folder, examples=58_200)

Whichever encoding the dataset has, the other one is made from it. More examples
than it holds repeat them; fewer are its first ones.
"""

import itertools
import json
import os
import pathlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import simplejpeg
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm

from yourface_tfds import (
  built_dataset,
  cli,
  input_pipeline,
  photos,
  storage,
  tfrecord,
)
from yourface_tfds.peers import peer

_SHARD_BYTES = 150_000_000  # What TFDS advises: 100 to 250 MB.
_SAMPLED = 64  # JPEGs, to tell how large all of them will be.
_SPARE = 1.2  # Beside the images: labels, texts, JPEGs above the sample's mean.
_VERSION = "1.0.0"
# No config of the builder: where its code is imported, TFDS would take the
# features of a name that it knows from there.
_CONFIGS = {encoding: f"{encoding}-measured" for encoding in peer.ENCODINGS}


def make(
  dataset: built_dataset.Dataset,
  split: str,
  folder: pathlib.Path,
  *,
  examples: int = 0,
  encodings: Collection[str] = peer.ENCODINGS,
) -> peer.Source:
  """Writes the forms into a folder, and indexes what our input reads.

  Memory does not grow with the examples.

  Args:
    dataset: of either encoding.
    split: of it, or a slice.
    folder: an empty one, to write to.
    examples: how many; 0: all of the split.
    encodings: that are needed; the plain images of raw.npy always are.

  Raises:
    UserError: there is no such split, or not enough room in the folder.
    tfrecord.CorruptError: a shard is damaged.
  """
  count = examples or dataset.num_examples(split)
  with input_pipeline.plain_errors(dataset, split):
    _check_room(dataset, split, folder, count, encodings)
    forms = _Forms(dataset, folder, count, encodings)
    records = itertools.islice(_records(dataset, split), count)
    for record in _bar(records, count):
      forms.add(record, dataset.num_examples(split))
    shards = forms.close()
  data_dir = folder / "data"
  for encoding in shards:
    # Made now: a start is measured with an index.
    built_dataset.open_dataset(data_dir, _CONFIGS[encoding]).index("train")
  return peer.Source(
    folder=folder,
    raw_shards=shards.get("raw", ()),
    jpeg_shards=shards.get("jpeg", ()),
    data_dir=str(data_dir),
    raw_config=_CONFIGS["raw"],
    jpeg_config=_CONFIGS["jpeg"],
    size=dataset.image_size,
    count=count,
    workers=len(os.sched_getaffinity(0)),
  )


def _bar(records: Iterable[bytes], count: int) -> Iterable[bytes]:
  what: Any = {"desc": "Writing faces", "unit": " faces"}
  return tqdm.tqdm(records, total=count, leave=False, delay=1, **what)


def _records(dataset: built_dataset.Dataset, split: str) -> Iterator[bytes]:
  """Yields the records of a split again and again."""
  parts = dataset.parts(split)
  while True:
    for path, skip, take in parts:
      with tf.io.gfile.GFile(path, "rb") as file:
        compression = tfrecord.compression(file.read(tfrecord.HEADER))
      records: Any = tf.data.TFRecordDataset(path, compression)
      yield from records.skip(skip).take(take).as_numpy_iterator()


def _both(
  image: bytes, dataset: built_dataset.Dataset, *, with_jpeg: bool
) -> tuple[np.ndarray, bytes]:
  """Returns the pixels and the JPEG of a stored image."""
  if not dataset.is_raw:
    return simplejpeg.decode_jpeg(image, "RGB"), image
  pixels = np.frombuffer(image, np.uint8).reshape(
    dataset.image_size, dataset.image_size, 3
  )
  return pixels, photos.encode_jpeg(pixels) if with_jpeg else b""


def _check_room(
  dataset: built_dataset.Dataset,
  split: str,
  folder: pathlib.Path,
  count: int,
  encodings: Collection[str],
) -> None:
  plain = dataset.image_size**2 * 3
  each = plain * (1 + ("raw" in encodings))
  if "jpeg" in encodings:
    stored = min(_SAMPLED, dataset.num_examples(split))
    sizes = []
    for record in itertools.islice(_records(dataset, split), stored):
      image = _image(tf.train.Example.FromString(record)).value[0]
      sizes.append(len(_both(image, dataset, with_jpeg=True)[1]))
    each += 2 * sum(sizes) / len(sizes)
  needed, free = _SPARE * each * count, shutil.disk_usage(folder).free
  if needed > free:
    raise cli.UserError(
      f"--scratch_dir: {needed / 1e9:,.3f} GB are needed in {folder.parent} "
      f"for {count:,} examples, {free / 1e9:,.3f} GB are free there; name a "
      "folder with more room or fewer --examples"
    )


def _image(example: Any) -> Any:
  return example.features.feature["image"].bytes_list


class _Forms:
  """Writes the faces one by one, in each form."""

  def __init__(
    self,
    dataset: built_dataset.Dataset,
    folder: pathlib.Path,
    count: int,
    encodings: Collection[str],
  ) -> None:
    self._dataset = dataset
    side = dataset.image_size

    def mapped(name: str, kind: type, *shape: int) -> Any:
      return np.lib.format.open_memmap(
        folder / name, "w+", np.dtype(kind), (count, *shape)
      )

    self._raw = mapped("raw.npy", np.uint8, side, side, 3)
    self._labels = mapped("labels.npy", np.int64, len(peer.LABELS))
    self._ends = mapped("jpeg_ends.npy", np.int64)
    self._jpegs = (folder / "jpeg.bin").open("w+b")
    self._shards = {
      encoding: _Shards(
        folder / "data" / built_dataset.NAME / _CONFIGS[encoding] / _VERSION
      )
      for encoding in encodings
    }
    self._count = 0

  def add(self, record: bytes, distinct: int) -> None:
    """Adds a face; those beyond `distinct` are the first ones again."""
    example: Any = tf.train.Example.FromString(record)
    now = self._count
    if now < distinct:
      pixels, jpeg = _both(
        _image(example).value[0],
        self._dataset,
        with_jpeg="jpeg" in self._shards,
      )
    else:  # Encoding takes longer than all else.
      pixels, jpeg = self._raw[now % distinct], self._jpeg(now % distinct)
    self._raw[now] = pixels
    features = example.features.feature
    self._labels[now] = [
      features[name].int64_list.value[0] for name in peer.LABELS
    ]
    self._ends[now] = (self._ends[now - 1] if now else 0) + len(jpeg)
    self._jpegs.write(jpeg)
    for encoding, shards in self._shards.items():
      _image(example).value[0] = (
        jpeg if encoding == "jpeg" else pixels.tobytes()
      )
      shards.write(example.SerializeToString(deterministic=True))
    self._count += 1

  def _jpeg(self, number: int) -> bytes:
    self._jpegs.flush()
    start = self._ends[number - 1] if number else 0
    return os.pread(
      self._jpegs.fileno(), self._ends[number] - start, int(start)
    )

  def close(self) -> dict[str, tuple[str, ...]]:
    """Completes the files; returns the shards by encoding."""
    self._jpegs.close()
    for array in (self._raw, self._labels, self._ends):
      array.flush()
    return {
      encoding: shards.close(self._dataset, encoding)
      for encoding, shards in self._shards.items()
    }


class _Shards:
  """Writes the shards of one config, and what TFDS wants beside them."""

  def __init__(self, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    self._folder = folder
    self._lengths: list[int] = []
    self._bytes = 0
    self._left = 0
    self._writer: Any = None

  def write(self, record: bytes) -> None:
    """Adds a record; begins a shard where the last one is full."""
    if self._left <= 0:
      self._end()
      self._writer = tf.io.TFRecordWriter(
        str(self._folder / str(len(self._lengths)))
      )
      self._lengths.append(0)
      self._left = _SHARD_BYTES
    self._writer.write(record)
    self._lengths[-1] += 1
    self._left -= len(record)
    self._bytes += len(record)

  def _end(self) -> None:
    if self._writer is not None:
      self._writer.close()

  def close(
    self, dataset: built_dataset.Dataset, encoding: str
  ) -> tuple[str, ...]:
    """Describes the config; returns its shards."""
    self._end()
    paths = []
    for number in range(len(self._lengths)):
      name = f"{number:05}-of-{len(self._lengths):05}"
      path = self._folder / f"{built_dataset.NAME}-train.tfrecord-{name}"
      (self._folder / str(number)).rename(path)
      paths.append(str(path))
    _describe(dataset, encoding, self._folder, self._lengths, self._bytes)
    return tuple(paths)


def _describe(
  dataset: built_dataset.Dataset,
  encoding: str,
  folder: pathlib.Path,
  lengths: list[int],
  size: int,
) -> None:
  """Writes the files by which TFDS knows a config, after those of a dataset."""
  features: Any = dataset.info.features
  shape = (dataset.image_size, dataset.image_size, 3)
  image = (
    tfds.features.Image(shape=shape, encoding_format="jpeg")
    if encoding == "jpeg"
    else tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")
  )
  tfds.features.FeaturesDict({**features, "image": image}).save_config(
    str(folder)
  )
  split = {
    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    "name": "train",
    "numBytes": str(size),
    "shardLengths": [str(length) for length in lengths],
  }
  changes: dict[str, dict[str, Any]] = {
    "metadata.json": {"encoding": encoding},
    "dataset_info.json": {
      "configName": _CONFIGS[encoding],
      "configDescription": "Made to measure reading.",
      "version": _VERSION,
      "splits": [split],
    },
  }
  for name, change in changes.items():
    given = tf.io.gfile.join(os.fspath(dataset.info.data_dir), name)
    with tf.io.gfile.GFile(given) as file:
      facts = json.loads(file.read())
    storage.write_text(folder / name, cli.dump_json(facts | change))
