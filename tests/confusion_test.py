"""Tests of confusion: figures against loops over the examples."""

import numpy as np
import pytest

from yourface_tfds import confusion


def _examples(seed, classes=5, count=60):
  rng = np.random.default_rng(seed)
  # Class 1 never occurs in the truth, class 3 in neither.
  truth = rng.choice([0, 2, 4], count)
  answers = np.where(rng.random(count) < 0.5, truth, rng.choice([0, 1], count))
  return truth, answers


def _slow_figures(truth, answers):
  pairs = list(zip(truth.tolist(), answers.tolist(), strict=True))
  recalls, scores = [], []
  for label in range(10):
    hits = sum(t == a == label for t, a in pairs)
    truths = sum(t == label for t, _ in pairs)
    answered = sum(a == label for _, a in pairs)
    if truths:
      recalls.append(hits / truths)
    if truths or answered:
      recall = hits / truths if truths else 0
      precision = hits / answered if answered else 0
      both = precision + recall
      scores.append(2 * precision * recall / both if both else 0)
  return {
    "accuracy": sum(t == a for t, a in pairs) / len(pairs),
    "balanced_accuracy": sum(recalls) / len(recalls),
    "macro_f1": sum(scores) / len(scores),
  }


def test_rows_are_the_truth():
  got = confusion.matrix(np.array([0, 0, 1]), np.array([0, 1, 2]), classes=3)
  assert got.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_slow_ones(seed):
  truth, answers = _examples(seed)
  counts = confusion.matrix(truth, answers, classes=5)
  for name, slow in _slow_figures(truth, answers).items():
    got = confusion.STATISTICS[name](counts)
    assert float(got) == pytest.approx(slow, abs=1e-12), name


def test_by_hand():
  # Recalls 3/4 and 1/2; F1 of 6/(4+4) and 2/(2+2).
  counts = np.array([[3, 1], [1, 1]])
  assert float(confusion.accuracy(counts)) == pytest.approx(4 / 6)
  assert float(confusion.balanced_accuracy(counts)) == pytest.approx(0.625)
  assert float(confusion.macro_f1(counts)) == pytest.approx(0.625)


def test_a_constant_answer_has_one_over_the_classes():
  counts = np.zeros((11, 11))
  counts[:, 3] = np.arange(1, 12)
  assert float(confusion.balanced_accuracy(counts)) == pytest.approx(1 / 11)


def test_many_matrices_at_once():
  each = [confusion.matrix(*_examples(seed), classes=5) for seed in range(6)]
  stacked = np.stack(each).reshape(2, 3, 5, 5)
  for statistic in confusion.STATISTICS.values():
    expected = [float(statistic(counts)) for counts in each]
    np.testing.assert_allclose(statistic(stacked).ravel(), expected)


def test_nothing_has_no_figure():
  for statistic in confusion.STATISTICS.values():
    assert np.isnan(statistic(np.zeros((2, 2))))


@pytest.mark.parametrize(
  ("truth", "answers", "name"), [([-1, 0], [0, 0], "truth"), ([0], [3], "ans")]
)
def test_classes_out_of_range(truth, answers, name):
  with pytest.raises(ValueError, match=rf"Got {name}.*classes are 0 to 2"):
    confusion.matrix(np.array(truth), np.array(answers), classes=3)
