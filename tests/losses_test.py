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


def test_each_loss_is_the_mean_over_known_labels():
  got = losses.masked_losses(
    _batch([0, -1, 1], face_type=(10, 0, 3)), _probabilities()
  )
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
    got = losses.masked_losses(
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
    loss = losses.masked_losses(_batch([0, -1, 1]), probabilities)["gender"]
  gradient = tape.gradient(loss, logits).numpy()
  np.testing.assert_array_equal(gradient[1], [0, 0])
  # Softmax minus one-hot, halved: two labels are known.
  expected = tf.nn.softmax(logits).numpy()[[0, 2]] - [[1, 0], [0, 1]]
  np.testing.assert_allclose(gradient[[0, 2]], expected / 2, atol=1e-6)


def test_certain_and_wrong_is_finite():
  got = losses.masked_losses(_batch([0, 0, 0], job=(0, 0, 1)), _probabilities())
  # Keras keeps probabilities 1e-7 away from 0.
  assert float(got["job"]) == pytest.approx(
    -(math.log(0.5) + math.log(0.25) + math.log(1e-7)) / 3, rel=1e-3
  )


def test_hits():
  got = losses.hits(_batch([0, -1, 1], job=(1, 1, 0)), _probabilities())
  assert got["gender"].numpy().tolist() == [True, False, False]
  # A tie goes to the first class.
  assert got["job"].numpy().tolist() == [False, True, True]
  assert got["face_type"].numpy().tolist() == [False] * 3


def test_sums_are_over_all_batches():
  sums = losses.Sums()
  probabilities = _probabilities()
  for loss, gender in ((1.0, (0, 1, 1)), (3.0, (-1, -1, 0))):
    batch = _batch(gender)
    sums.add(loss, batch, losses.hits(batch, probabilities))
  batch = {key: value[:1] for key, value in _batch([0]).items()}
  first = {key: value[:1] for key, value in probabilities.items()}
  sums.add(7.0, batch, losses.hits(batch, first))
  assert sums.figures() == {
    "loss": pytest.approx((3 * 1 + 3 * 3 + 1 * 7) / 7),
    "gender": pytest.approx(4 / 5),
    "job": 1.0,
  }
  assert list(sums.figures("validation_")) == [
    "validation_loss",
    "validation_gender",
    "validation_job",
  ]


def test_sums_of_nothing():
  assert losses.Sums().figures() == {"loss": 0.0}
