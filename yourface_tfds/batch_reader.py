"""Batches of images straight from the shards in the page cache.

  reader = BatchReader(shards, rows, layout)
  buffers = batch_buffers.BatchBuffers(256, layout.size)
  batch = reader.read(np.array([17, 4, 99]), buffers)   # in any order
  batch.images   # uint8[3, S, S, 3]

Plain faces are copied by one native call, JPEGs are decoded by several threads;
neither holds Python's lock meanwhile. Nothing is kept between batches
but the buffers.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg

from yourface_tfds import (
  batch_buffers,
  decode_pool,
  disk_reads,
  gather,
  record_index,
  record_rows,
  shard_file,
  tfrecord,
)

VERIFY = ("first", "always", "never")
"""When the checksum of a record is verified as it is read."""

_ROWS_A_TASK = 16  # JPEGs that a thread decodes at a time, about 2 ms.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadSettings:
  """How records are read.

  Attributes:
    verify: "first": the first time this reader reads it; "always"; "never".
      All were verified when the index was made.
    fast_dct: decode JPEGs with libjpeg's quicker, less exact DCT; else pixels
      equal Pillow's.
    threads: that decode JPEGs; 0: one a core.
  """

  verify: str = "first"
  fast_dct: bool = False
  threads: int = 0

  def __post_init__(self) -> None:
    """Raises ValueError if `verify` is none of `VERIFY`."""
    if self.verify not in VERIFY:
      raise ValueError(
        f"verify: got {self.verify!r}, allowed: {', '.join(VERIFY)}"
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
  """What was read.

  Attributes:
    images: uint8[n, S, S, 3], 0..255.
    labels: int64[heads, n], -1 where unknown.
    strings: object[n] of bytes for each text feature; empty if not asked for.
  """

  images: np.ndarray
  labels: np.ndarray
  strings: tuple[np.ndarray, ...]


class BatchReader:
  """Reads records by number. May be used by several threads at a time."""

  def __init__(
    self,
    shards: Sequence[record_index.Shard],
    rows: np.ndarray,
    layout: record_index.Layout,
    settings: ReadSettings,
  ) -> None:
    """Opens the shards.

    Args:
      shards: the files that the rows point into.
      rows: of `record_index.open_index`.
      layout: of the records.
      settings: how.

    Raises:
      OSError: a shard is missing.
    """
    self._rows = rows
    self._layout = layout
    self._settings = settings
    self._files = [
      shard_file.ShardFile(shard.path, is_mapped=layout.is_raw)
      for shard in shards
    ]
    self._addresses = np.array([f.address for f in self._files], np.uint64)
    # A byte a record: the only memory that grows with the data.
    self._read_before = np.zeros(len(rows), np.bool_)
    self._disk = disk_reads.DiskReads()
    self._check_places()
    self._threads = None
    if not layout.is_raw:
      self._threads = decode_pool.DecodePool(
        settings.threads or len(os.sched_getaffinity(0))
      )

  def _check_places(self) -> None:
    """Raises CorruptError if a place is beyond the end of its file.

    Native code copies from there, and would end the process.
    """
    # Shard by shard: nothing here may grow with the data.
    borders = np.searchsorted(
      self._rows["shard"], np.arange(len(self._files) + 1)
    )
    for number, file in enumerate(self._files):
      rows = self._rows[borders[number] : borders[number + 1]]
      ends = rows["offset"] + rows["length"] + tfrecord.HEADER + tfrecord.FOOTER
      if len(rows) and int(ends.max()) > file.size:
        raise tfrecord.CorruptError(
          f"{file.path}: became shorter than its index says, {file.size} bytes "
          f"of {int(ends.max())}; build it again or copy it again"
        )
      images = rows["image"].astype(np.int64)
      is_inside = images.sum(1) <= rows["length"]
      if self._layout.is_raw:
        is_inside &= images[:, 1] == self._layout.size**2 * 3
      if not is_inside.all():
        row = rows[int(np.argmin(is_inside))]
        raise tfrecord.CorruptError(
          f"{file.path}: its index says that an image has bytes "
          f"{row['image'][0]} to {row['image'].sum()} of a record of "
          f"{row['length']}; remove the index and start again"
        )

  def check_unchanged(self) -> None:
    """Raises CorruptError if a shard was written to since it was opened."""
    for file in self._files:
      file.check_unchanged()

  def read(
    self,
    numbers: np.ndarray,
    buffers: batch_buffers.BatchBuffers,
    *,
    with_strings: bool = False,
  ) -> Batch:
    """Reads records.

    Args:
      numbers: int64[n], which.
      buffers: for at least n images, which take them.
      with_strings: whether the text features are read too.

    Raises:
      tfrecord.CorruptError: a record is damaged, or a shard is shorter now.
    """
    rows = self._rows[numbers]
    for file in self._files:
      file.check()
    images = buffers.lend(len(rows))
    records = record_rows.RecordRows(rows)
    unread = np.flatnonzero(~self._read_before[numbers]).tolist()
    if self._disk.are_recent():
      # All are asked for at once, before the first is waited for.
      for i in range(len(rows)):
        file = self._files[records.shards[i]]
        file.will_need(records.image_starts[i], records.image_lengths[i])
    verify = {
      "first": unread,
      "always": range(len(rows)),
      "never": (),
    }[self._settings.verify]
    if self._threads is None:
      self._copy(records, images, verify)
    else:
      self._decode(records, images, verify)
    strings = tuple(
      self._strings(records, which)
      for which in range(len(self._layout.strings) if with_strings else 0)
    )
    self._read_before[numbers] = True
    labels = rows["labels"].T.astype(np.int64, order="C")
    return Batch(images=images, labels=labels, strings=strings)

  def _copy(
    self,
    records: record_rows.RecordRows,
    images: np.ndarray,
    verify: Sequence[int],
  ) -> None:
    """Copies plain images from the mapped shards."""
    size = self._layout.size**2 * 3
    shards = records.rows["shard"]
    gather.rows(self._addresses[shards] + records.image_places, images)
    for i in verify:
      file, offset = self._files[records.shards[i]], records.offsets[i]
      start, begin = records.image_starts[i], offset + tfrecord.HEADER
      end = begin + records.lengths[i]
      copied = images[i].reshape(-1)
      copied.flags.writeable = False
      # The copy is still in the processor's cache, and it is what is handed on.
      found = tfrecord.masked_crc(
        file.data[begin:start],
        copied,
        file.data[start + size : end],
      )
      if found != tfrecord.stored_crc(file.data, end):
        raise self._corrupt(file, offset)

  def _decode(
    self,
    records: record_rows.RecordRows,
    images: np.ndarray,
    verify: Sequence[int],
  ) -> None:
    """Decodes JPEGs, several threads a batch."""
    checked = frozenset(verify)
    # Made here once instead of by each thread.
    _ = records.shards, records.offsets, records.lengths
    _ = records.image_starts, records.image_lengths
    threads: Any = self._threads
    tasks = [
      threads.submit(
        self._decode_some,
        records,
        images,
        checked,
        range(start, min(start + _ROWS_A_TASK, len(images))),
      )
      for start in range(0, len(images), _ROWS_A_TASK)
    ]
    concurrent.futures.wait(tasks)
    for task in tasks:
      task.result()

  def _decode_some(
    self,
    records: record_rows.RecordRows,
    images: np.ndarray,
    verify: frozenset[int],
    which: range,
  ) -> None:
    fast, decode = self._settings.fast_dct, simplejpeg.decode_jpeg
    for i in which:
      file = self._files[records.shards[i]]
      if i in verify:
        jpeg = self._verified(file, records, i)
      else:
        jpeg = file.bytes_at(records.image_starts[i], records.image_lengths[i])
      try:
        # By position: names cost microseconds, 256 times a batch.
        decode(jpeg, "RGB", fast, False, 0, 0, 1, images[i])
      except ValueError as error:
        file.check()
        why = f"its JPEG: {error}"
        raise self._corrupt(file, records.offsets[i], why) from error

  def _verified(
    self,
    file: shard_file.ShardFile,
    records: record_rows.RecordRows,
    i: int,
  ) -> bytes:
    """Returns the JPEG of a record whose checksum is right."""
    offset, length = records.offsets[i], records.lengths[i]
    record = file.payload(offset, length)
    found = tfrecord.masked_crc(record[:length])
    if found != tfrecord.stored_crc(record, length):
      raise self._corrupt(file, offset)
    start = records.image_starts[i] - offset - tfrecord.HEADER
    return record[start : start + records.image_lengths[i]]

  def _strings(self, records: record_rows.RecordRows, which: int) -> np.ndarray:
    found = np.empty(len(records.offsets), object)
    for i, (start, length) in enumerate(records.strings(which)):
      file = self._files[records.shards[i]]
      begin = records.offsets[i] + tfrecord.HEADER + start
      found[i] = file.bytes_at(begin, length)
    return found

  def _corrupt(
    self,
    file: shard_file.ShardFile,
    offset: int,
    why: str = "its checksum differs",
  ) -> tfrecord.CorruptError:
    shard = self._files.index(file)
    mine = self._rows["shard"] == shard
    number = int(np.count_nonzero(self._rows["offset"][mine] < offset))
    return tfrecord.corrupt(file.path, number, offset, why)
