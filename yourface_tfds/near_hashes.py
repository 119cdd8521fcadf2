"""Finds hashes that differ in few bits, without comparing all with all.

  near_hashes.visit(
    hashes, lambda photos: groups[photos], join, distance=16, orders=(149,))

Hashes that are near agree in one of their bands at least; who shares a band is
in one bucket, and only within a bucket is compared. Members of one group are
not: a bucket may hold thousands of frames of one film.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

BANDS, BAND_BITS = 17, 15

_LARGE = 256  # Members of a bucket that are worth a loop of their own.
_COMPARED = 1 << 16  # Pairs at a time: 8 MB.
_HANDED = 4096  # Pairs to the caller at a time: 60 MB if it takes patches.

Groups = Callable[[np.ndarray], np.ndarray]
Join = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def visit(
  hashes: np.ndarray,
  groups: Groups,
  join: Join,
  *,
  distance: int,
  orders: Sequence[int],
) -> None:
  """Hands each near pair to `join` once, but for those in one group already.

  Args:
    hashes: uint8[photos, 2, 32]; the second one is the mirror image's first.
    groups: returns the group of each photo asked for, int[n], as it is now.
    join: takes i, j and whether j is mirrored, of pairs; it may join groups.
    distance: bits that each of the two hashes may differ in.
    orders: odd multipliers of the bits' numbers, each dealt to bands anew.
  """
  pairs = _Pairs(hashes, groups, join, distance)
  # Row i is photo i as it is, row count + i its mirror image.
  bits = np.unpackbits(np.concatenate([hashes[:, 0], hashes[:, 1]]), axis=1)
  for multiplier, band in itertools.product(orders, range(BANDS)):
    pairs.begin_band()
    first = band * BAND_BITS
    chosen = np.arange(first, first + BAND_BITS) * multiplier % 256
    keys = bits[:, chosen].astype(np.int32) @ (1 << np.arange(BAND_BITS))
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    large = sizes > _LARGE
    for start, size in zip(starts[large], sizes[large], strict=True):
      pairs.compare_large(order[start : start + size])
    small = (sizes > 1) & ~large
    for ones, others in _all_pairs(order, starts[small], sizes[small]):
      pairs.compare(ones, others)


def _all_pairs(
  order: np.ndarray, starts: np.ndarray, sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields the pairs of rows within each bucket, the smaller row first."""
  begun = 0
  ends = np.cumsum(sizes * (sizes - 1) // 2)
  while begun < len(starts):
    until = max(
      begun + 1,
      int(np.searchsorted(ends, (ends[begun - 1] if begun else 0) + _COMPARED)),
    )
    size = sizes[begun:until]
    places = np.repeat(starts[begun:until], size) + _counted(size)
    left = np.repeat(size, size) - 1 - _counted(size)  # Behind it.
    first = np.repeat(places, left)
    yield order[first], order[first + 1 + _counted(left)]
    begun = until


def _counted(sizes: np.ndarray) -> np.ndarray:
  """Returns 0, 1, ... up to each size, one after the other."""
  ends = np.cumsum(sizes)
  return np.arange(ends[-1] if len(ends) else 0) - np.repeat(
    ends - sizes, sizes
  )


class _Pairs:
  """Compares rows, and remembers which near pairs were not joined."""

  def __init__(
    self,
    hashes: np.ndarray,
    groups: Groups,
    join: Join,
    distance: int,
  ) -> None:
    self._count = len(hashes)
    both = np.concatenate([hashes, hashes[:, ::-1]])
    self._words = np.ascontiguousarray(both).view(np.uint64).reshape(-1, 2, 4)
    self._groups, self._join, self._distance = groups, join, distance
    self._joined = 0
    # Sorted; -1 is no pair. A pair comes once in a band.
    self._refused, self._lately = np.full(1, -1), []

  def begin_band(self) -> None:
    """Takes note of the pairs of the band before."""
    self._refused = np.sort(np.concatenate([self._refused, *self._lately]))
    self._lately.clear()

  def compare(self, ones: np.ndarray, others: np.ndarray) -> None:
    """Compares pairs of rows; the first of each is the smaller.

    Straight with straight, and straight with mirrored: the rest is the same
    seen in a mirror.
    """
    count = self._count
    wanted = (others < count) | ((ones < count) & (others - count > ones))
    ones, others = self._apart(ones[wanted], others[wanted])
    # The one hash holds where grey rises, the other where it falls: both must
    # agree, or plain pictures with one edge in common would be the same.
    bits = np.bitwise_count(self._words[ones] ^ self._words[others])
    near = (bits.sum(axis=2, dtype=np.int32) <= self._distance).all(axis=1)
    if near.any():
      self._hand_over(ones[near], others[near])

  def compare_large(self, bucket: np.ndarray) -> None:
    """Compares all rows of a bucket, many of which may be of one group."""
    left = bucket
    while True:
      groups = self._groups(left % self._count)
      names, sizes = np.unique(groups, return_counts=True)
      if len(names) < 2:
        return
      joined = self._joined
      # The members of the largest need not meet each other.
      for one in left[groups != names[np.argmax(sizes)]]:
        left = left[left != one]
        for start in range(0, len(left), _COMPARED):
          part = left[start : start + _COMPARED]
          self.compare(np.minimum(one, part), np.maximum(one, part))
        if self._joined != joined:
          break

  def _apart(
    self, ones: np.ndarray, others: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs that are not in one group already."""
    apart = self._groups(ones) != self._groups(others % self._count)
    return ones[apart], others[apart]

  def _hand_over(self, ones: np.ndarray, others: np.ndarray) -> None:
    twice = 2 * self._count
    codes = ones * twice + others
    at = np.searchsorted(self._refused, codes)
    is_new = self._refused.take(at, mode="clip") != codes
    codes = codes[is_new]
    for start in range(0, len(codes), _HANDED):
      part = codes[start : start + _HANDED]
      ones, others = self._apart(*np.divmod(part, twice))
      if not len(ones):
        continue
      self._join(ones, others % self._count, others >= self._count)
      refused, by = self._apart(ones, others)
      self._joined += len(ones) - len(refused)
      self._lately.append(refused * twice + by)
