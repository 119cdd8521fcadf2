"""One shard, open for reading at any place: mapped, or read piece by piece.

Mapped, a plain face is one copy; but a mapped file that becomes shorter kills
the process that reads beyond its end, so its size is looked at once a batch.
JPEGs are read with `pread`: 11 kB cost a microsecond or two, and nobody who
waits for a slow disk holds Python's lock.
"""

import mmap
import os
import weakref

import numpy as np

from yourface_tfds import tfrecord


class ShardFile:
  """A file of records.

  Attributes:
    path: of the file.
    size: bytes, when it was opened.
    data: uint8[size], read-only; empty if it is not mapped.
  """

  def __init__(self, path: str, *, is_mapped: bool) -> None:
    self.path = path
    self.data = np.zeros(0, np.uint8)
    self._file = os.open(path, os.O_RDONLY)
    weakref.finalize(self, os.close, self._file)
    stat = os.fstat(self._file)
    self.size, self._changed = stat.st_size, stat.st_mtime_ns
    self._map = None
    if is_mapped and self.size:
      self._map = mmap.mmap(self._file, self.size, prot=mmap.PROT_READ)
      self.data = np.frombuffer(self._map, np.uint8)
      if hasattr(mmap, "MADV_RANDOM"):
        # The system would read 128 kB around each place; we ask by record.
        self._map.madvise(mmap.MADV_RANDOM)

  @property
  def address(self) -> int:
    """Where `data` starts in memory."""
    return self.data.ctypes.data

  def check(self) -> None:
    """Raises `tfrecord.CorruptError` if the file has become shorter."""
    size = os.fstat(self._file).st_size
    if size < self.size:
      raise tfrecord.CorruptError(
        f"{self.path}: became shorter while it was read, {size} bytes of "
        f"{self.size}; build it again or copy it again"
      )

  def check_unchanged(self) -> None:
    """Raises `tfrecord.CorruptError` if somebody wrote to the file.

    What another build writes in its place has right checksums too, but other
    faces than the index has labels for. A file that was removed or replaced by
    another of its name is read on as it was.
    """
    if os.fstat(self._file).st_mtime_ns != self._changed:
      raise tfrecord.CorruptError(
        f"{self.path}: was written to while it was read; wait until that is "
        "done and start again"
      )

  def will_need(self, start: int, length: int) -> None:
    """Has the system read a part of the file ahead of its use."""
    if hasattr(os, "posix_fadvise"):
      os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)

  def payload(self, offset: int, length: int) -> bytes:
    """Returns a record's payload, and after it its stored checksum.

    Raises:
      tfrecord.CorruptError: the file ends before.
    """
    size = length + tfrecord.FOOTER
    data = self.bytes_at(offset + tfrecord.HEADER, size)
    if len(data) < size:
      self.check()
    return data

  def bytes_at(self, start: int, length: int) -> bytes:
    """Returns a piece of the file, shorter where the file ends."""
    return os.pread(self._file, length, start)
