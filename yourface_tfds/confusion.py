"""Accuracy, balanced accuracy and macro F1 from a confusion matrix.

Every function takes any leading axes, so that the 2,000 matrices of a
bootstrap are one call.

  counts = confusion.matrix(truth, answers, classes=2)
  confusion.balanced_accuracy(counts)
"""

from collections.abc import Callable, Mapping

import numpy as np


def matrix(
  truth: np.ndarray, answers: np.ndarray, *, classes: int
) -> np.ndarray:
  """Counts which class was answered for which.

  Args:
    truth: int[examples], 0..classes-1.
    answers: the same.
    classes: how many there are.

  Returns:
    int64[classes, classes]; rows are the truth, columns the answers.

  Raises:
    ValueError: a class is out of its range.
  """
  for name, values in (("truth", truth), ("answers", answers)):
    if len(values) and not 0 <= values.min() <= values.max() < classes:
      raise ValueError(
        f"Got {name} from {values.min()} to {values.max()}; classes are 0 to "
        f"{classes - 1}, leave unknown ones out."
      )
  cells = np.bincount(truth * classes + answers, minlength=classes**2)
  return cells.reshape(classes, classes)


def accuracy(counts: np.ndarray) -> np.ndarray:
  """Share of right answers: counts [..., C, C] -> float64[...]."""
  return _ratio(_diagonal(counts).sum(-1), counts.sum((-2, -1)))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
  """Mean recall of the classes that occur in the truth.

  Brodersen et al. 2010, "The balanced accuracy and its posterior
  distribution". A constant answer reaches one over the number of classes.

  Args:
    counts: [..., C, C], rows are the truth.

  Returns:
    float64[...]; NaN where a matrix is empty.
  """
  truths = counts.sum(-1)
  recalls = _ratio(_diagonal(counts), truths, empty=0.0)
  return _ratio(recalls.sum(-1), (truths > 0).sum(-1))


def macro_f1(counts: np.ndarray) -> np.ndarray:
  """Mean F1 of the classes that occur in the truth or in the answers.

  F1 of a class is 2 TP / (2 TP + FP + FN); the mean is that of Opitz and Burst
  2019, "Macro F1 and Macro F1", section 2, the mean of F1 scores.

  Args:
    counts: [..., C, C], rows are the truth.

  Returns:
    float64[...]; NaN where a matrix is empty.
  """
  # Truths and answers of a class together: 2 TP + FP + FN.
  both = counts.sum(-1) + counts.sum(-2)
  scores = _ratio(2 * _diagonal(counts), both, empty=0.0)
  return _ratio(scores.sum(-1), (both > 0).sum(-1))


STATISTICS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
  "accuracy": accuracy,
  "balanced_accuracy": balanced_accuracy,
  "macro_f1": macro_f1,
}
"""Name in the figures -> function of counts [..., C, C]."""


def _diagonal(counts: np.ndarray) -> np.ndarray:
  return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(
  part: np.ndarray, whole: np.ndarray, empty: float = np.nan
) -> np.ndarray:
  part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
  result = np.full(np.broadcast(part, whole).shape, empty)
  return np.divide(part, whole, out=result, where=whole > 0)
