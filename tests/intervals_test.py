"""Tests of intervals: against bootstraps drawn person by person."""

import time

import numpy as np
import pytest

from yourface_tfds import confusion, intervals


def _slow_intervals(truth, answers, people, classes, draws=3000, seed=1):
  """The same, drawn person by person with Python's own lists."""
  rng = np.random.default_rng(seed)
  names = sorted(set(people))
  photos = {
    name: [i for i, p in enumerate(people) if p == name] for name in names
  }
  values = {name: [] for name in confusion.STATISTICS}
  for _ in range(draws):
    drawn = [i for name in rng.choice(names, len(names)) for i in photos[name]]
    counts = confusion.matrix(truth[drawn], answers[drawn], classes=classes)
    for name, statistic in confusion.STATISTICS.items():
      values[name].append(float(statistic(counts)))
  return {name: np.percentile(v, [2.5, 97.5]) for name, v in values.items()}


def _people_and_hits(rng, people=20):
  """Photos of people who are each recognised well or badly."""
  owner, hits = [], []
  for person in range(people):
    count = rng.integers(1, 12)
    rate = rng.beta(1.4, 0.6)  # Mean 0.7.
    owner += [f"p{person}"] * count
    hits += (rng.random(count) < rate).tolist()
  return np.array(hits), owner


def _answers(rng, classes=4):
  hits, people = _people_and_hits(rng)
  truth = rng.integers(classes, size=len(hits))
  answers = np.where(hits, truth, rng.integers(classes, size=len(hits)))
  return truth, answers, people


def test_intervals_equal_a_slow_bootstrap():
  truth, answers, people = _answers(np.random.default_rng(0))
  got = intervals.confusion_intervals(truth, answers, people, classes=4)
  slow = _slow_intervals(truth, answers, people, 4)
  assert list(got) == list(confusion.STATISTICS)
  counts = confusion.matrix(truth, answers, classes=4)
  for name, interval in got.items():
    assert all(isinstance(value, float) for value in interval)
    # Both are drawn: 2,000 draws leave about .01 of noise.
    np.testing.assert_allclose(interval, slow[name], atol=0.025)
    assert interval[0] < float(confusion.STATISTICS[name](counts)) < interval[1]


def test_accuracy_has_the_same_interval_either_way():
  truth, answers, people = _answers(np.random.default_rng(3))
  both = intervals.confusion_intervals(truth, answers, people, classes=4)
  alone = intervals.cluster_interval(truth == answers, people)
  assert alone == pytest.approx(both["accuracy"], abs=1e-12)


def test_classes_beyond_those_that_occur_change_nothing():
  truth, answers, people = _answers(np.random.default_rng(4))
  few = intervals.confusion_intervals(truth, answers, people, classes=4)
  many = intervals.confusion_intervals(truth, answers, people, classes=11)
  for name, interval in few.items():
    assert many[name] == pytest.approx(interval, abs=1e-12)


def test_interval_depends_on_its_seed_alone():
  hits, people = _people_and_hits(np.random.default_rng(1))
  first = intervals.cluster_interval(hits, people, seed=4)
  assert intervals.cluster_interval(hits, people, seed=4) == first
  assert intervals.cluster_interval(hits, people, seed=5) != first
  # Nor on the order of the photos.
  order = np.random.default_rng(2).permutation(len(hits))
  shuffled = [people[i] for i in order]
  assert intervals.cluster_interval(hits[order], shuffled, seed=4) == first


def test_interval_of_one_person():
  hits = np.array([True, False, True, True])
  assert intervals.cluster_interval(hits, ["p"] * 4) == (0.75, 0.75)


def test_interval_of_people_all_alike():
  hits = np.ones(6, bool)
  assert intervals.cluster_interval(hits, list("aabbcc")) == (1, 1)


def test_interval_is_wider_than_one_over_photos():
  # Ten people, twenty photos each, each person all right or all wrong.
  hits = np.tile(np.arange(10) % 2 == 0, 20)
  low, high = intervals.cluster_interval(hits, list("abcdefghij" * 20))
  over_photos = 2 * 1.96 * np.sqrt(0.25 / 200)
  assert high - low > 3 * over_photos


def test_interval_covers_the_truth():
  # The truth is accuracy over photos, whose number is drawn regardless of
  # the person: .7. A percentile bootstrap over 20 people is a little narrow.
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(200):
    low, high = intervals.cluster_interval(*_people_and_hits(rng))
    covered += low <= 0.7 <= high
  assert 0.87 <= covered / 200 <= 0.98


def test_many_people_are_quick():
  rng = np.random.default_rng(0)
  truth = rng.integers(11, size=10_000)
  answers = np.where(rng.random(10_000) < 0.7, truth, 0)
  people = [f"p{i}" for i in rng.integers(1000, size=10_000)]
  started = time.perf_counter()
  intervals.confusion_intervals(truth, answers, people, classes=11)
  assert time.perf_counter() - started < 5  # 1.1 s on 2 busy cores.
