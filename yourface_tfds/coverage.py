"""How right a model is where it may say "I do not know".

The photos it is least sure of are left out first: accuracy against coverage
(El-Yaniv and Wiener 2010).

  coverage.curve(confidence, hits)["at"]["80"]["accuracy"]
"""

from typing import Any

import numpy as np

SHARES = (50, 80, 90, 100)
"""Percent of the photos answered."""
_POINTS = 100


def curve(confidence: np.ndarray, hits: np.ndarray) -> dict[str, Any]:
  """Returns accuracy over the surest answers, from few to all.

  Answers of equal confidence come in no order: each counts as their mean.

  Args:
    confidence: float[examples], at least one.
    hits: bool[examples], whether each answer is right.

  Returns:
    area: mean accuracy over the coverages 1/n, 2/n .. 1.
    area_random, area_best: the same if confidence said nothing, and if every
      right answer came before every wrong one.
    at: percent of the photos -> accuracy, photos answered, and threshold, the
      lowest confidence among them.
    points: [coverage, accuracy], at most 100 of them.
  """
  order = np.argsort(-confidence, kind="stable")
  sure = confidence[order]
  _, group = np.unique(-sure, return_inverse=True)
  means = np.bincount(group, weights=hits[order]) / np.bincount(group)
  total = len(sure)
  answered_so_far = np.arange(1, total + 1)
  accuracies = np.cumsum(means[group]) / answered_so_far
  best = np.minimum(answered_so_far, hits.sum()) / answered_so_far
  at = {}
  for share in SHARES:
    answered = -(-share * total // 100)
    at[str(share)] = {
      "accuracy": float(accuracies[answered - 1]),
      "examples": answered,
      "threshold": float(sure[answered - 1]),
    }
  shown = np.unique(np.ceil(np.linspace(0, total, _POINTS + 1)[1:])).astype(int)
  return {
    "area": float(accuracies.mean()),
    "area_random": float(hits.mean()),
    "area_best": float(best.mean()),
    "at": at,
    "points": [[float(k / total), float(accuracies[k - 1])] for k in shown],
  }
