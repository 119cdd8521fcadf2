"""Tests of disk_reads, by reading from a disk."""

import mmap
import os

import pytest

from yourface_tfds import disk_reads


def test_asks_until_nothing_was_read_for_long():
  reads = disk_reads.DiskReads()
  found = [reads.are_recent() for _ in range(3 * disk_reads.RECENT)]
  assert all(found[: disk_reads.RECENT])
  # Something else in this process may read once, not all the time.
  assert not found[-1]


def test_a_read_from_the_disk_is_seen(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(bytes(1 << 16))
  reads = disk_reads.DiskReads()
  while reads.are_recent():
    pass
  try:
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)  # Past the page cache.
  except (OSError, AttributeError):
    pytest.skip(f"{tmp_path} is on no disk that can be read past the cache")
  try:
    os.fsync(file)
    os.preadv(file, [mmap.mmap(-1, 1 << 16)], 0)
  finally:
    os.close(file)
  assert reads.are_recent()
