"""Tests of losses: unknown labels count nowhere."""

import math

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import labels, losses

_GENDER = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
_JOB = [[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]


def _batch(gender, job=(0, 1, 0), face_type=(-1, -1, -1)):
  return {
    "image": tf.zeros([len(gender), 4, 4, 3], tf.uint8),
    "gender": tf.constant(gender, tf.int64),
    "job": tf.constant(job, tf.int64),
    "face_type": tf.constant(face_type, tf.int64),
  }


def _probabilities(gender=_GENDER, job=_JOB):
  classes = len(labels.HEADS["face_type"].names)
  return {
    "gender": tf.constant(gender, tf.float32),
    "job": tf.constant(job, tf.float32),
    "face_type": tf.fill([3, classes], 1 / classes),
  }


def _losses(batch, probabilities, **settings):
  return losses.head_losses(losses.targets(batch), probabilities, **settings)


def test_each_loss_is_the_mean_over_known_labels():
  got = _losses(_batch([0, -1, 1], face_type=(10, 0, 3)), _probabilities())
  assert list(got) == list(labels.HEADS)
  assert float(got["gender"]) == pytest.approx(
    -(math.log(0.9) + math.log(0.4)) / 2
  )
  assert float(got["job"]) == pytest.approx(
    -(math.log(0.5) + math.log(0.75) + math.log(1)) / 3, abs=1e-6
  )
  assert float(got["face_type"]) == pytest.approx(math.log(11))


def test_all_unknown_gives_zero_and_no_gradient():
  logits = tf.Variable([[1.0, 2.0], [0.0, -1.0], [3.0, 3.0]])
  with tf.GradientTape() as tape:
    got = _losses(
      _batch([-1, -1, -1]), _probabilities() | {"gender": tf.nn.softmax(logits)}
    )
    loss = tf.add_n(list(got.values()))
  assert float(got["gender"]) == 0
  assert float(got["face_type"]) == 0
  np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros([3, 2]))


def test_unknown_examples_have_no_gradient():
  logits = tf.Variable([[1.0, 2.0], [0.0, -1.0], [3.0, 2.0]])
  with tf.GradientTape() as tape:
    probabilities = _probabilities() | {"gender": tf.nn.softmax(logits)}
    loss = _losses(_batch([0, -1, 1]), probabilities)["gender"]
  gradient = tape.gradient(loss, logits).numpy()
  np.testing.assert_array_equal(gradient[1], [0, 0])
  # Softmax minus one-hot, halved: two labels are known.
  expected = tf.nn.softmax(logits).numpy()[[0, 2]] - [[1, 0], [0, 1]]
  np.testing.assert_allclose(gradient[[0, 2]], expected / 2, atol=1e-6)


def test_certain_and_wrong_is_finite():
  got = _losses(_batch([0, 0, 0], job=(0, 0, 1)), _probabilities())
  # Probabilities count as 1e-7 at least.
  assert float(got["job"]) == pytest.approx(
    -(math.log(0.5) + math.log(0.25) + math.log(1e-7)) / 3, rel=1e-3
  )


def test_targets():
  got = losses.targets(_batch([0, -1, 1]))
  assert got["gender"].numpy().tolist() == [[1, 0], [0, 0], [0, 1]]
  assert got["face_type"].numpy().sum() == 0


def test_label_smoothing_is_that_of_keras():
  got = _losses(_batch([0, -1, 1]), _probabilities(), label_smoothing=0.1)
  truth = np.array([[1, 0], [0, 1]]) * 0.9 + 0.05
  each = -(truth * np.log(np.array(_GENDER)[[0, 2]])).sum(1)
  assert float(got["gender"]) == pytest.approx(each.mean(), rel=1e-6)


def test_class_weights_have_mean_one_and_even_out():
  counts = {"gender": np.array([30, 10]), "job": np.array([0, 7])}
  got = losses.class_weights(counts)
  assert got["gender"].dtype == np.float32
  np.testing.assert_allclose(got["gender"], [40 / 60, 40 / 20])
  for head, weights in got.items():
    occurring = counts[head] > 0
    weighed = (counts[head] * weights)[occurring]
    assert len(set(weighed.round(4))) == 1
    assert weighed.sum() == pytest.approx(counts[head].sum())
  np.testing.assert_array_equal(got["job"], [1, 1])
  nothing = losses.class_weights({"job": np.array([0, 0])})
  np.testing.assert_array_equal(nothing["job"], [1, 1])


def test_weights_multiply_each_example():
  weights = {
    head: np.linspace(0.5, 2, len(vocabulary.names)).astype(np.float32)
    for head, vocabulary in labels.HEADS.items()
  }
  got = _losses(
    _batch([0, -1, 1]), _probabilities(), weights=weights, label_smoothing=0.2
  )
  truth = np.array([[1, 0], [0, 1]]) * 0.8 + 0.1
  each = -(truth * np.log(np.array(_GENDER)[[0, 2]])).sum(1)
  expected = (0.5 * each[0] + 2 * each[1]) / 2
  assert float(got["gender"]) == pytest.approx(expected, rel=1e-6)


def test_mixed_targets():
  # Seven tenths of a first class, and three tenths of an unknown label.
  mixed = losses.targets(_batch([0, 1, 1]))
  mixed["gender"] = tf.constant([[0.7, 0.0], [0.4, 0.6], [0.0, 0.0]])
  got = losses.head_losses(mixed, _probabilities())
  expected = -(0.7 * math.log(0.9) + 0.4 * math.log(0.2) + 0.6 * math.log(0.8))
  assert float(got["gender"]) == pytest.approx(expected / 1.7, rel=1e-6)
