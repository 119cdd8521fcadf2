"""Peers that hand one record after the other to Python: raw and JPEG alike.

Grain over ArrayRecord files, and MosaicML Streaming over MDS files.
"""

# None of their libraries is part of the project.
# pyright: reportMissingImports=false

import functools
import importlib
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import PIL.Image

from yourface_tfds.peers import peer


def _decoded(data: bytes) -> np.ndarray:
  return np.array(PIL.Image.open(io.BytesIO(data)))


def _stored(source: peer.Source, encoding: str) -> Iterator[bytes]:
  if encoding == "jpeg":
    return source.jpegs()
  return (image.tobytes() for image in source.raw())


_ARRAY_RECORD = "array_record.python.array_record_module"
_RECORDS = "faces.array_record"
_LABEL_BYTES = 8 * len(peer.LABELS)


def _prepare_grain(
  source: peer.Source, folder: pathlib.Path, *, encoding: str
) -> None:
  array_record: Any = importlib.import_module(_ARRAY_RECORD)

  # Groups of one: a record is found without unpacking its neighbours.
  writer = array_record.ArrayRecordWriter(
    str(folder / _RECORDS), "group_size:1"
  )
  for row, data in zip(source.labels(), _stored(source, encoding), strict=True):
    writer.write(row.tobytes() + data)
  writer.close()


def _make_grain(
  source: peer.Source, folder: pathlib.Path, batch_size: int, *, encoding: str
) -> peer.Epoch:
  import grain

  shape = (source.size, source.size, 3)

  def parse(record: bytes) -> tuple[np.ndarray, np.ndarray]:
    labels = np.frombuffer(record, np.int64, len(peer.LABELS))
    data = record[_LABEL_BYTES:]
    if encoding == "jpeg":
      return _decoded(data), labels
    return np.frombuffer(data, np.uint8).reshape(shape), labels

  records = grain.sources.ArrayRecordDataSource(str(folder / _RECORDS))

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    faces = grain.MapDataset.source(records).seed(seed).shuffle().map(parse)
    yield from faces.batch(batch_size).to_iter_dataset()

  return epoch


def _prepare_streaming(
  source: peer.Source, folder: pathlib.Path, *, encoding: str
) -> None:
  from yourface_tfds.peers import mosaic_streaming

  mosaic_streaming.write(
    folder / "mds", _stored(source, encoding), source.labels()
  )


def _make_streaming(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  import torch

  from yourface_tfds.peers import mosaic_streaming

  faces = mosaic_streaming.Faces(
    folder / "mds", (source.size, source.size, 3), batch_size
  )
  loader = torch.utils.data.DataLoader(
    faces,
    batch_size=batch_size,
    num_workers=source.workers,
    persistent_workers=source.workers > 0,
  )

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    yield from loader

  return epoch


def _grain(name: str, title: str, encoding: str) -> peer.Peer:
  return peer.Peer(
    name=name,
    title=title,
    encoding=encoding,
    shuffle="global",
    modules=("grain", _ARRAY_RECORD),
    prepare=functools.partial(_prepare_grain, encoding=encoding),
    make=functools.partial(_make_grain, encoding=encoding),
    note="ArrayRecord with groups of one; Grain's default threads and buffer",
  )


def _streaming(name: str, title: str, encoding: str) -> peer.Peer:
  return peer.Peer(
    name=name,
    title=title,
    encoding=encoding,
    shuffle="shard blocks",
    modules=("torch", "yourface_tfds.peers.mosaic_streaming", "streaming"),
    prepare=functools.partial(_prepare_streaming, encoding=encoding),
    make=_make_streaming,
    note="torch DataLoader whose workers stay; its epochs count themselves",
  )


PEERS = (
  _grain("grain", "Grain, JPEG", "jpeg"),
  _grain("grain_raw", "Grain, raw", "raw"),
  _streaming("streaming", "MosaicML Streaming, JPEG", "jpeg"),
  _streaming("streaming_raw", "MosaicML Streaming, raw", "raw"),
)
