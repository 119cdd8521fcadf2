"""What was freed between blocks that are used goes back to the system."""

import ctypes
import pathlib

import pytest

from yourface_tfds import heap


def _anonymous_mb():
  status = pathlib.Path("/proc/self/status").read_text()
  (line,) = (x for x in status.splitlines() if x.startswith("RssAnon"))
  return int(line.split()[1]) / 1024


def test_gaps_are_given_back():
  library = ctypes.CDLL(None)
  if not hasattr(library, "malloc_trim"):
    pytest.skip("no glibc")
  library.malloc.restype = ctypes.c_void_p
  library.free.argtypes = [ctypes.c_void_p]
  # Below the size from which a block is a mapping of its own.
  size, count = 64 << 10, 2000
  blocks = [library.malloc(size) for _ in range(count)]
  for block in blocks:
    ctypes.memset(block, 1, size)
  full = _anonymous_mb()
  for block in blocks[::2]:
    library.free(block)
  heap.give_back()
  try:
    # A page at each end of a gap stays.
    assert _anonymous_mb() < full - 0.8 * size * count / 2 / 2**20
  finally:
    for block in blocks[1::2]:
      library.free(block)
