"""Tests of calibration: against brute force and loops."""

import numpy as np
import pytest

from yourface_tfds import calibration


def _softmax(logits):
  powers = np.exp(logits - logits.max(axis=1, keepdims=True))
  return powers / powers.sum(axis=1, keepdims=True)


def _too_sure(seed, *, classes=5, count=400, factor=3.0):
  """Probabilities whose logits are `factor` times those of the truth."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, classes)) * 1.5
  truth = np.array([rng.choice(classes, p=row) for row in _softmax(logits)])
  return _softmax(factor * logits).astype(np.float32), truth


def _slow_loss(probabilities, truth, temperature):
  total = 0.0
  for row, label in zip(probabilities.tolist(), truth.tolist(), strict=True):
    powers = [max(p, 1.2e-38) ** (1 / temperature) for p in row]
    total -= np.log(powers[label] / sum(powers))
  return total / len(truth)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_temperature_equals_brute_force(factor):
  probabilities, truth = _too_sure(1, factor=factor)
  got = calibration.fit_temperature(probabilities, truth)
  assert (got.status, got.examples) == ("fitted", 400)
  around = got.value * np.array([0.98, 0.995, 0.999, 1, 1.001, 1.005, 1.02])
  losses = [_slow_loss(probabilities, truth, t) for t in around]
  assert int(np.argmin(losses)) == 3
  assert got.log_loss_after == pytest.approx(losses[3], rel=1e-6)
  grid = np.exp(np.linspace(np.log(0.06), np.log(19), 60))
  assert min(_slow_loss(probabilities, truth, t) for t in grid) >= losses[3]
  # It finds what the logits were multiplied with.
  assert got.value == pytest.approx(factor, rel=0.2)
  assert got.log_loss_after <= got.log_loss_before


def test_temperature_of_a_case_solved_by_hand():
  # Odds of 9 to 1, right on three of four: 9^(1/T) must be 3.
  probabilities = np.array([[0.9, 0.1]] * 4)
  got = calibration.fit_temperature(probabilities, np.array([0, 0, 0, 1]))
  assert got.value == pytest.approx(2, rel=1e-9)
  np.testing.assert_allclose(
    calibration.soften(probabilities, got.value)[:, 0], 0.75
  )


def test_nothing_wrong_leaves_one():
  probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
  got = calibration.fit_temperature(probabilities, np.array([0, 1]))
  assert (got.value, got.status) == (1.0, "separated")
  assert got.log_loss_after == pytest.approx(got.log_loss_before)


def test_worse_than_chance_ends_at_the_limit():
  probabilities = np.array([[0.9, 0.1]] * 4)
  got = calibration.fit_temperature(probabilities, np.array([1, 1, 1, 0]))
  assert (got.value, got.status) == (calibration.MAX_TEMPERATURE, "limit")


def test_nearly_separated_ends_at_the_other_limit():
  probabilities = np.array([[0.51, 0.49]] * 10_000 + [[0.5001, 0.4999]])
  truth = np.array([0] * 10_000 + [1])
  got = calibration.fit_temperature(probabilities, truth)
  assert (got.value, got.status) == (calibration.MIN_TEMPERATURE, "limit")


def test_no_example():
  with pytest.raises(ValueError, match="Got no example"):
    calibration.fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_certain_answers_stay_finite():
  probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
  truth = np.array([0, 1, 1])
  got = calibration.fit_temperature(probabilities, truth)
  assert np.isfinite([got.value, got.log_loss_before, got.log_loss_after]).all()
  assert got.log_loss_before == pytest.approx(87.3 / 3, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_softening_keeps_the_answers(temperature):
  probabilities, _ = _too_sure(2)
  got = calibration.soften(probabilities, temperature)
  assert got.dtype == np.float64
  np.testing.assert_allclose(got.sum(axis=1), 1)
  assert (got.argmax(axis=1) == probabilities.argmax(axis=1)).all()
  if temperature == 1:
    np.testing.assert_allclose(got, probabilities, atol=1e-6)


def _slow_ece(confidence, hits, bins):
  total = 0.0
  for m in range(1, bins + 1):
    inside = [
      (c, h)
      for c, h in zip(confidence, hits, strict=True)
      if (m - 1) / bins < c <= m / bins
    ]
    if inside:
      sure = sum(c for c, _ in inside) / len(inside)
      right = sum(h for _, h in inside) / len(inside)
      total += len(inside) / len(hits) * abs(right - sure)
  return total


@pytest.mark.parametrize("bins", [15, 4])
def test_ece_equals_a_slow_one(bins):
  probabilities, truth = _too_sure(3)
  confidence = probabilities.max(axis=1)
  hits = probabilities.argmax(axis=1) == truth
  found = calibration.reliability(confidence, hits, bins=bins)
  assert len(found) == bins
  assert sum(one["examples"] for one in found) == 400
  slow = _slow_ece(confidence.tolist(), hits.tolist(), bins)
  assert calibration.expected_error(found) == pytest.approx(slow, abs=1e-9)
  assert slow > 0.05


def test_bins_hold_their_upper_edge():
  found = calibration.reliability(
    np.array([0.2, 0.2000001, 1.0, 0.0]), np.array([1, 0, 1, 0]), bins=5
  )
  assert [one["examples"] for one in found] == [2, 1, 0, 0, 1]
  assert found[0]["accuracy"] == 0.5
  assert found[2] == {
    "low": 0.4,
    "high": 0.6,
    "examples": 0,
    "confidence": None,
    "accuracy": None,
  }


def test_calibration_helps_on_other_examples():
  fitted = calibration.fit_temperature(*_too_sure(4))
  probabilities, truth = _too_sure(5)
  hits = probabilities.argmax(axis=1) == truth
  before, after = (
    calibration.expected_error(calibration.reliability(p.max(axis=1), hits))
    for p in (probabilities, calibration.soften(probabilities, fitted.value))
  )
  assert after < before / 2


def test_log_loss():
  probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
  got = calibration.log_loss(probabilities, np.array([1, 0]))
  assert got == pytest.approx((np.log(2) + np.log(4)) / 2)
