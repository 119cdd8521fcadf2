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
_HANDED = 256  # Pairs to the caller at a time: patches that fit a cache.

Groups = Callable[[np.ndarray], np.ndarray]
Join = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def visit(
  hashes: np.ndarray,
  groups: Groups,
  join: Join,
  *,
  distance: int,
  orders: Sequence[int],
  progress: Callable[[], object] = lambda: None,
) -> None:
  """Hands each near pair to `join` once, but for those in one group already.

  Args:
    hashes: uint8[photos, 2, 32]; the second one is the mirror image's first.
    groups: returns the group of each photo asked for, int[n], as it is now.
    join: takes i, j and whether j is mirrored, of pairs; it may join groups.
    distance: bits that each of the two hashes may differ in.
    orders: odd multipliers of the bits' numbers, each dealt to bands anew.
    progress: called after each of the `len(orders) * BANDS` bands.
  """
  pairs = _Pairs(hashes, groups, join, distance)
  for multiplier, band in itertools.product(orders, range(BANDS)):
    first = band * BAND_BITS
    chosen = np.arange(first, first + BAND_BITS) * multiplier % 256
    pairs.begin_band(chosen)
    keys = _keys(hashes, chosen)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    large = sizes > _LARGE
    for start, size in zip(starts[large], sizes[large], strict=True):
      pairs.compare_large(order[start : start + size])
    small = (sizes > 1) & ~large
    for ones, others in _all_pairs(order, starts[small], sizes[small]):
      pairs.compare(ones, others)
    progress()


def _keys(hashes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  """Returns the bits of a band as a number, int32[2 * photos].

  Row i is photo i as it is, row count + i its mirror image.
  """
  keys = np.zeros(hashes.shape[:2], np.int32)
  for place, bit in enumerate(chosen.tolist()):
    # np.unpackbits' order; unpacked at once they would be 512 bytes a photo.
    is_set = hashes[:, :, bit // 8] >> (7 - bit % 8) & 1
    keys |= is_set.astype(np.int32) << place
  return keys.T.reshape(-1)


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
    first, second = _with_those_behind(places, left)
    yield order[first], order[second]
    begun = until


def _with_those_behind(
  places: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the pairs of each place and as many places right behind it."""
  first = np.repeat(places, counts)
  return first, first + 1 + _counted(counts)


def _counted(sizes: np.ndarray) -> np.ndarray:
  """Returns 0, 1, ... up to each size, one after the other."""
  ends = np.cumsum(sizes)
  return np.arange(ends[-1] if len(ends) else 0) - np.repeat(
    ends - sizes, sizes
  )


class _Pairs:
  """Compares rows, and hands each near pair over once.

  A pair may meet in many bands. Only the first counts, which its own bits tell:
  pairs that are remembered grow with the square of photos that are alike.
  """

  def __init__(
    self,
    hashes: np.ndarray,
    groups: Groups,
    join: Join,
    distance: int,
  ) -> None:
    self._count = len(hashes)
    # Row 2 i is the first hash of photo i, row 2 i + 1 its second.
    self._words = np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, 4)
    self._groups, self._join, self._distance = groups, join, distance
    self._joined = 0
    self._earlier: list[np.ndarray] = []
    self._band = np.zeros(4, np.uint64)

  def begin_band(self, chosen: np.ndarray) -> None:
    """Takes note of the band that comes: the numbers of its bits, int[n]."""
    if self._band.any():
      self._earlier.append(self._band)
    bits = np.zeros(256, np.uint8)
    bits[chosen] = 1
    self._band = np.packbits(bits).view(np.uint64)

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
    for half in (0, 1):
      differ = self._half(ones, half) ^ self._half(others, half)
      bits = np.bitwise_count(differ).T
      # Three times as fast as a sum of rows of four.
      near = bits[0] + bits[1].astype(np.int16) + bits[2] + bits[3]
      near = near <= self._distance
      ones, others = ones[near], others[near]
    ones, others = self._new(ones, others)
    for start in range(0, len(ones), _HANDED):
      part = slice(start, start + _HANDED)
      self._hand_over(ones[part], others[part])

  def compare_large(self, bucket: np.ndarray) -> None:
    """Compares all rows of a bucket, many of which may be of one group."""
    left = bucket
    while True:
      groups = self._groups(left % self._count)
      names, sizes = np.unique(groups, return_counts=True)
      if len(names) < 2:
        return
      # The members of the largest need not meet each other.
      others = groups != names[np.argmax(sizes)]
      left = np.concatenate([left[others], left[~others]])
      met = self._meet_those_behind(left, int(others.sum()))
      left = left[met:]

  def _meet_those_behind(self, rows: np.ndarray, count: int) -> int:
    """Compares the first rows with all behind them, until some are joined.

    Args:
      rows: of a bucket.
      count: how many are to be compared.

    Returns:
      How many were.
    """
    joined = self._joined
    # As many at a time as make arrays that are worth NumPy's calls.
    step = max(_COMPARED // len(rows), 1)
    for start in range(0, count, step):
      until = min(start + step, count)
      behind = len(rows) - 1 - np.arange(start, until)
      first, second = _with_those_behind(np.arange(start, until), behind)
      for begin in range(0, len(first), _COMPARED):
        part = slice(begin, begin + _COMPARED)
        one, other = rows[first[part]], rows[second[part]]
        self.compare(np.minimum(one, other), np.maximum(one, other))
      if self._joined != joined:
        return until
    return count

  def _half(self, rows: np.ndarray, half: int) -> np.ndarray:
    """Returns one of the two hashes of each row, uint64[n, 4]."""
    is_mirrored = rows >= self._count
    places = 2 * (rows - is_mirrored * self._count) + (is_mirrored ^ half)
    return self._words.take(places, axis=0)  # Five times as fast as [places].

  def _apart(
    self, ones: np.ndarray, others: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs that are not in one group already."""
    apart = self._groups(ones) != self._groups(others % self._count)
    return ones[apart], others[apart]

  def _new(
    self, ones: np.ndarray, others: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs that met in no earlier band."""
    differ = self._half(ones, 0) ^ self._half(others, 0)
    words = np.ascontiguousarray(differ.T)
    is_new = np.ones(len(ones), bool)
    for band in self._earlier:
      # Ten times as fast as any() of rows of four.
      apart = words[0] & band[0]
      for word, bits in zip(words[1:], band[1:], strict=True):
        apart |= word & bits
      is_new &= apart != 0
    return ones[is_new], others[is_new]

  def _hand_over(self, ones: np.ndarray, others: np.ndarray) -> None:
    ones, others = self._apart(ones, others)
    if not len(ones):
      return
    self._join(ones, others % self._count, others >= self._count)
    refused, _ = self._apart(ones, others)
    self._joined += len(ones) - len(refused)
