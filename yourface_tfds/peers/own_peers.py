"""This project's own input, and the floor that no input gets below."""

import functools
import itertools
import mmap
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from yourface_tfds.peers import peer

_EPOCHS = 1 << 20  # One dataset for all epochs, as in training.


def _own(
  source: peer.Source,
  folder: pathlib.Path,
  batch_size: int,
  *,
  is_raw: bool,
  **settings: Any,
) -> peer.Epoch:
  from yourface_tfds import built_dataset, input_pipeline

  dataset = built_dataset.open_dataset(
    source.data_dir, source.raw_config if is_raw else source.jpeg_config
  )
  batches = input_pipeline.make_for_train(
    dataset,
    batch_size=batch_size,
    seed=0,
    epochs=_EPOCHS,
    settings=input_pipeline.ReadSettings(**settings),
    path="fast",
  )
  steps = -(-dataset.num_examples("train") // batch_size)
  iterator = iter(batches)

  def epoch(seed: int) -> Iterator[tuple[Any, Any]]:
    for batch in itertools.islice(iterator, steps):
      yield batch["image"], tuple(batch[name] for name in peer.LABELS)

  return epoch


def _memcpy(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  """Copies the stored faces in order into buffers that are used again."""
  images = source.raw()
  flat = images.reshape(len(images), -1)
  size = batch_size * flat.shape[1]
  buffers = [
    np.frombuffer(mmap.mmap(-1, size), np.uint8).reshape(batch_size, -1)
    for _ in range(2)
  ]
  labels = source.labels()

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    for step, start in enumerate(range(0, len(flat), batch_size)):
      part = flat[start : start + batch_size]
      buffer = buffers[step % 2][: len(part)]
      np.copyto(buffer, part)
      yield (
        buffer.reshape(-1, *images.shape[1:]),
        labels[start : start + batch_size],
      )

  return epoch


_MODULES = ("tensorflow", "tensorflow_datasets", "simplejpeg")

PEERS = (
  peer.Peer(
    name="memcpy",
    title="memcpy, in order (a floor)",
    encoding="raw",
    shuffle="none",
    modules=(),
    prepare=peer.nothing,
    make=_memcpy,
    note="one thread, one mapped file, two buffers",
  ),
  peer.Peer(
    name="own_raw",
    title="yourface_tfds, raw",
    encoding="raw",
    shuffle="global",
    modules=_MODULES,
    prepare=peer.nothing,
    make=functools.partial(_own, is_raw=True),
    note="checksums verified the first time a record is read",
  ),
  peer.Peer(
    name="own_raw_verify",
    title="yourface_tfds, raw, every checksum",
    encoding="raw",
    shuffle="global",
    modules=_MODULES,
    prepare=peer.nothing,
    make=functools.partial(_own, is_raw=True, verify="always"),
    note="checksums verified each time",
  ),
  peer.Peer(
    name="own_jpeg",
    title="yourface_tfds, JPEG",
    encoding="jpeg",
    shuffle="global",
    modules=_MODULES,
    prepare=peer.nothing,
    make=functools.partial(_own, is_raw=False),
    note="accurate DCT: pixels equal Pillow's",
  ),
  peer.Peer(
    name="own_jpeg_fast",
    title="yourface_tfds, JPEG, fast DCT",
    encoding="jpeg",
    shuffle="global",
    modules=_MODULES,
    prepare=peer.nothing,
    make=functools.partial(_own, is_raw=False, fast_dct=True),
    note="the decoder settings of FFCV",
  ),
)
