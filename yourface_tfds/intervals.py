"""95 % intervals from a bootstrap over PEOPLE.

Photos of one person are not independent: whole people are drawn.

  intervals.cluster_interval(hits, people)
  intervals.confusion_intervals(truth, answers, people, classes=11)
"""

from collections.abc import Sequence

import numpy as np

from yourface_tfds import confusion

DRAWS = 2000
_CHUNK = 100
"""Draws at a time: 8 MB of weights for 10,000 people."""

Interval = tuple[float, float]


def cluster_interval(
  hits: np.ndarray, people: Sequence[str], *, seed: int = 0
) -> Interval:
  """Returns the 95 % interval of an accuracy, resampling whole people.

  Percentile bootstrap over clusters (Davison and Hinkley 1997, section 3.8).

  Args:
    hits: bool[examples].
    people: the person of each example.
    seed: of the draws.

  Returns:
    The 2.5 and 97.5 percentiles; the accuracy itself twice for one person.
  """
  tallies = np.stack([hits, np.ones(len(hits))], axis=1)
  sums = _drawn_sums(tallies, people, seed)
  return _percentiles(sums[:, 0] / sums[:, 1])


def confusion_intervals(
  truth: np.ndarray,
  answers: np.ndarray,
  people: Sequence[str],
  *,
  classes: int,
  seed: int = 0,
) -> dict[str, Interval]:
  """Returns the 95 % interval of each of `confusion.STATISTICS`.

  As `cluster_interval`, and the same interval of the accuracy. A draw that
  misses all people of a class leaves that class out of its mean, as a split
  without the class would.

  Args:
    truth: int[examples], 0..classes-1.
    answers: the same.
    people: the person of each example.
    classes: how many there are.
    seed: of the draws.
  """
  cells = truth * classes + answers
  # Most of the 121 cells of eleven classes are empty.
  used, column = np.unique(cells, return_inverse=True)
  sums = _drawn_sums(np.eye(len(used))[column], people, seed)
  counts = np.zeros((DRAWS, classes * classes))
  counts[:, used] = sums
  counts = counts.reshape(DRAWS, classes, classes)
  return {
    name: _percentiles(statistic(counts))
    for name, statistic in confusion.STATISTICS.items()
  }


def _drawn_sums(
  tallies: np.ndarray, people: Sequence[str], seed: int
) -> np.ndarray:
  """Sums [examples, k] over the people of each draw: float64[DRAWS, k]."""
  _, owner = np.unique(np.asarray(people), return_inverse=True)
  count = owner.max() + 1
  per_person = np.stack(
    [
      np.bincount(owner, weights=column, minlength=count)
      for column in tallies.T
    ],
    axis=1,
  )
  rng = np.random.default_rng(seed)
  parts = []
  for _ in range(DRAWS // _CHUNK):
    drawn = rng.integers(count, size=(_CHUNK, count))
    drawn += np.arange(_CHUNK)[:, None] * count
    times = np.bincount(drawn.ravel(), minlength=_CHUNK * count)
    parts.append(times.reshape(_CHUNK, count).astype(np.float64) @ per_person)
  return np.concatenate(parts)


def _percentiles(values: np.ndarray) -> Interval:
  low, high = np.percentile(values, [2.5, 97.5])
  return float(low), float(high)
