"""Which records of a split take part, without a number for each of them."""

from collections.abc import Iterator, Sequence

import numpy as np


class RecordNumbers:
  """Runs of consecutive numbers, one after another.

  A whole split is one run, a slice of it at most one a shard: what it takes
  does not grow with the records.
  """

  def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
    """Joins runs.

    Args:
      runs: first number and count of each, in order.
    """
    joined: list[tuple[int, int]] = []
    for first, count in runs:
      if joined and sum(joined[-1]) == first:
        joined[-1] = (joined[-1][0], joined[-1][1] + count)
      elif count:
        joined.append((first, count))
    self._first = np.array([first for first, _ in joined], np.int64)
    self._ends = np.cumsum([count for _, count in joined], dtype=np.int64)

  def __len__(self) -> int:
    return int(self._ends[-1]) if len(self._ends) else 0

  def at(self, places: np.ndarray) -> np.ndarray:
    """Returns the numbers at places.

    Args:
      places: int64[n], each from 0 to below the length.

    Returns:
      int64[n].
    """
    runs = np.searchsorted(self._ends, places, "right")
    starts = np.concatenate([[0], self._ends])[runs]
    return self._first[runs] + (places - starts)

  def slices(self) -> Iterator[slice]:
    """Yields the runs as slices of the numbers of all records."""
    counts = np.diff(self._ends, prepend=0)
    for first, count in zip(self._first.tolist(), counts.tolist(), strict=True):
      yield slice(first, first + count)
