"""Memory of image batches that is used again once nobody looks at it.

A fresh buffer of 17 MB (256 faces of 150x150) costs its page faults each time,
which is most of what a copy costs; see the input benchmark.

  images = buffers.lend(batch_size)   # uint8[batch_size, S, S, 3]
"""

import collections
import mmap
import weakref

import numpy as np


class BatchBuffers:
  """Lends arrays and takes their memory back when they are gone.

  An array is gone when nothing refers to it or to a view of it: TensorFlow
  holds a reference for as long as a tensor shares its memory. Nothing is
  counted or guessed, Python's own weak references tell.
  """

  def __init__(self, rows: int, size: int, *, keep: int = 6) -> None:
    """Makes no buffer yet.

    Args:
      rows: images in the largest batch.
      size: side of the images, pixels.
      keep: how many unused buffers are kept for later, at most.
    """
    self._shape = (rows, size, size, 3)
    self._keep = keep
    # Appending and popping are atomic: no lock on the way of every batch.
    self._free: collections.deque[mmap.mmap] = collections.deque()
    self._lent: dict[int, weakref.ref] = {}

  def lend(self, rows: int) -> np.ndarray:
    """Returns an array of unspecified content.

    Args:
      rows: at most the rows given at the start.

    Returns:
      uint8[rows, size, size, 3], at the start of a page, so that TensorFlow
      takes it without a copy (it wants 64 bytes).
    """
    try:
      memory = self._free.pop()
    except IndexError:
      memory = _new_memory(int(np.prod(self._shape)))
    # An array of its own, not a view of a longer living one: NumPy makes it
    # the base of every view, so that its end is the end of them all.
    array = np.ndarray((rows, *self._shape[1:]), np.uint8, memory)

    def take_back(reference: weakref.ref) -> None:
      del self._lent[id(reference)]
      if len(self._free) < self._keep:
        self._free.append(memory)

    reference = weakref.ref(array, take_back)
    self._lent[id(reference)] = reference
    return array


def _new_memory(size: int) -> mmap.mmap:
  memory = mmap.mmap(-1, max(size, 1))
  if hasattr(mmap, "MADV_HUGEPAGE"):
    memory.madvise(mmap.MADV_HUGEPAGE)  # 9 page faults instead of 4,219.
  return memory
