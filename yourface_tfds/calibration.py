"""Whether a model is as sure as it is right, and how to mend it.

One temperature for each head, fitted on `validation` (Guo et al. 2017, "On
Calibration of Modern Neural Networks"). It changes no answer, only how sure
the model says it is.

  temperature = calibration.fit_temperature(probabilities, truth)
  sure = calibration.soften(probabilities, temperature.value)
"""

import dataclasses
from typing import Any

import numpy as np

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0

_SMALLEST = float(np.finfo(np.float32).tiny)
"""A float32 softmax that answers 0 means less than this."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Temperature:
  """The temperature of one head.

  Attributes:
    value: what log-probabilities are divided by; above 1 makes less sure.
    status: `fitted`; `limit`, where the best one lies beyond `MIN_TEMPERATURE`
      or `MAX_TEMPERATURE`; `separated`, where no class was likelier than the
      true one on any photo (all answers are right): the loss falls on and on
      towards temperature 0, so the value stays 1.
    examples: how many it was fitted on.
    log_loss_before, log_loss_after: on those examples.
  """

  value: float
  status: str
  examples: int
  log_loss_before: float
  log_loss_after: float


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
  """Divides log-probabilities by a temperature and normalises again.

  Args:
    probabilities: float[examples, classes], rows sum to 1.
    temperature: above 0; 1 changes nothing but rounding.

  Returns:
    float64[examples, classes].
  """
  scaled = _log(probabilities) / temperature
  scaled -= scaled.max(axis=1, keepdims=True)
  powers = np.exp(scaled)
  return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, truth: np.ndarray) -> float:
  """Returns the mean of -ln p(truth), in nats.

  A probability of 0 counts as float32's smallest normal one: 87 nats.

  Args:
    probabilities: float[examples, classes].
    truth: int[examples].
  """
  right = probabilities[np.arange(len(truth)), truth]
  return float(-_log(right).mean())


def fit_temperature(
  probabilities: np.ndarray, truth: np.ndarray
) -> Temperature:
  """Finds the temperature with the lowest log loss.

  The loss is convex in 1/T, so its slope there has one root, found by
  bisection in ln(1/T) to float64's precision.

  Args:
    probabilities: float[examples, classes].
    truth: int[examples], no unknown ones.

  Raises:
    ValueError: there is no example.
  """
  if not len(truth):
    raise ValueError("Got no example; a temperature needs at least one.")
  logs = _log(probabilities)
  right = logs[np.arange(len(truth)), truth]
  if (right >= logs.max(axis=1)).all():
    value, status = 1.0, "separated"
  else:
    value, status = _best(logs, right)
  return Temperature(
    value=value,
    status=status,
    examples=len(truth),
    log_loss_before=log_loss(probabilities, truth),
    log_loss_after=log_loss(soften(probabilities, value), truth),
  )


def _best(logs: np.ndarray, right: np.ndarray) -> tuple[float, str]:
  low, high = np.log(1 / MAX_TEMPERATURE), np.log(1 / MIN_TEMPERATURE)
  if _slope(logs, right, float(np.exp(low))) >= 0:
    return MAX_TEMPERATURE, "limit"
  if _slope(logs, right, float(np.exp(high))) <= 0:
    return MIN_TEMPERATURE, "limit"
  for _ in range(60):  # 6 / 2^60 is below float64's spacing here.
    middle = (low + high) / 2
    if _slope(logs, right, float(np.exp(middle))) > 0:
      high = middle
    else:
      low = middle
  return float(np.exp(-(low + high) / 2)), "fitted"


def _slope(logs: np.ndarray, right: np.ndarray, inverse: float) -> float:
  """The derivative of the log loss by 1/T: mean of E[ln p] - ln p(truth)."""
  powers = np.exp(inverse * (logs - logs.max(axis=1, keepdims=True)))
  expected = (powers * logs).sum(axis=1) / powers.sum(axis=1)
  return float((expected - right).mean())


def reliability(
  confidence: np.ndarray, hits: np.ndarray, *, bins: int = BINS
) -> list[dict[str, Any]]:
  """Sorts answers into equal-width bins of confidence, (low, high].

  Args:
    confidence: float[examples], 0..1.
    hits: bool[examples], whether each answer is right.
    bins: how many.

  Returns:
    low, high, examples, and the mean confidence and accuracy of each bin, None
    where it is empty.
  """
  edges = np.arange(bins + 1) / bins
  place = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
  counts = np.bincount(place, minlength=bins)
  sure = np.bincount(place, weights=confidence, minlength=bins)
  right = np.bincount(place, weights=hits, minlength=bins)
  return [
    {
      "low": float(edges[i]),
      "high": float(edges[i + 1]),
      "examples": int(count),
      "confidence": float(sure[i] / count) if count else None,
      "accuracy": float(right[i] / count) if count else None,
    }
    for i, count in enumerate(counts)
  ]


def expected_error(bins: list[dict[str, Any]]) -> float:
  """Returns the ECE: the mean of |accuracy - confidence|, weighted by examples.

  Guo et al. 2017, equation 3.

  Args:
    bins: as from `reliability`, with at least one example.
  """
  total = sum(one["examples"] for one in bins)
  gaps = (
    one["examples"] * abs(one["accuracy"] - one["confidence"])
    for one in bins
    if one["examples"]
  )
  return sum(gaps) / total


def _log(probabilities: np.ndarray) -> np.ndarray:
  return np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
