"""Tests of coverage: against a loop over every number of answers."""

import itertools

import numpy as np
import pytest

from yourface_tfds import coverage


def test_curve_equals_a_slow_one():
  rng = np.random.default_rng(0)
  confidence = rng.random(37)
  hits = rng.random(37) < confidence
  got = coverage.curve(confidence, hits)
  pairs = sorted(zip(confidence, hits, strict=True), reverse=True)
  accuracies = [sum(h for _, h in pairs[:k]) / k for k in range(1, 38)]
  assert got["area"] == pytest.approx(sum(accuracies) / 37)
  assert [p[1] for p in got["points"]] == pytest.approx(accuracies)
  assert [p[0] for p in got["points"]] == pytest.approx(
    [k / 37 for k in range(1, 38)]
  )
  # 50 % of 37 is 19 photos, 80 % 30, 90 % 34.
  for share, count in ((50, 19), (80, 30), (90, 34), (100, 37)):
    at = got["at"][str(share)]
    assert at["examples"] == count
    assert at["accuracy"] == pytest.approx(accuracies[count - 1])
    assert at["threshold"] == pytest.approx(pairs[count - 1][0])
  assert got["at"]["100"]["accuracy"] == pytest.approx(hits.mean())


def test_equal_confidence_counts_as_every_order_on_average():
  confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.2])
  hits = np.array([True, True, False, False, True])
  got = [p[1] for p in coverage.curve(confidence, hits)["points"]]
  orders = [
    [True, *middle, True]
    for middle in itertools.permutations([True, False, False])
  ]
  expected = [
    np.mean([sum(order[:k]) / k for order in orders]) for k in range(1, 6)
  ]
  assert got == pytest.approx(expected)


def test_no_information_is_the_accuracy():
  hits = np.arange(10) < 7
  got = coverage.curve(np.full(10, 0.5), hits)
  assert got["area"] == pytest.approx(0.7)
  assert got["area_random"] == pytest.approx(0.7)


def test_best_possible_area():
  hits = np.arange(10) < 7
  got = coverage.curve(np.linspace(1, 0, 10), hits)
  assert got["area"] == pytest.approx(got["area_best"])
  assert got["area_best"] == pytest.approx((7 + 7 / 8 + 7 / 9 + 7 / 10) / 10)
  worst = coverage.curve(np.linspace(0, 1, 10), hits)
  assert worst["area"] < worst["area_random"] < worst["area_best"]


def test_many_examples_are_thinned():
  rng = np.random.default_rng(0)
  got = coverage.curve(rng.random(5000), rng.random(5000) < 0.8)
  assert len(got["points"]) == 100
  assert got["points"][-1] == [
    1.0,
    pytest.approx(got["at"]["100"]["accuracy"]),
  ]


def test_one_example():
  got = coverage.curve(np.array([0.6]), np.array([False]))
  assert got["points"] == [[1.0, 0.0]]
  assert got["at"]["50"] == {
    "accuracy": 0.0,
    "examples": 1,
    "threshold": 0.6,
  }
