"""Tests of running_sums: sums over batches, within graphs and without."""

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import labels, running_sums


def _batch(gender, job, face_type):
  return {
    "image": tf.zeros([len(gender), 4, 4, 3], tf.uint8),
    "gender": tf.constant(gender, tf.int64),
    "job": tf.constant(job, tf.int64),
    "face_type": tf.constant(face_type, tf.int64),
  }


def _probabilities(answers):
  return {
    head: tf.one_hot(answers, len(vocabulary.names))
    for head, vocabulary in labels.HEADS.items()
  }


def _losses(gender, job=0.0, face_type=0.0):
  values = {"gender": gender, "job": job, "face_type": face_type}
  return {head: tf.constant(value) for head, value in values.items()}


@pytest.mark.parametrize("in_graph", [False, True])
def test_sums_are_over_all_batches(in_graph):
  sums = running_sums.RunningSums()
  add = tf.function(sums.add, reduce_retracing=True) if in_graph else sums.add
  unknown = [-1, -1, -1]
  first = _batch([0, 1, 1], [1, 1, -1], unknown)
  add(
    first,
    _losses(2.0, 4.0),
    _probabilities([0, 1, 0]),
    tf.constant(0, tf.int64),
  )
  second = _batch([1], [-1], [-1])
  add(second, _losses(6.0), _probabilities([1]), tf.constant(1, tf.int64))
  gender, job = (3 * 2 + 6) / 4, 4.0
  assert sums.figures() == {
    "loss": pytest.approx((gender + job) / 2),
    "gender": pytest.approx(3 / 4),
    "job": pytest.approx(1 / 2),
  }
  assert list(sums.figures("validation_")) == [
    "validation_loss",
    "validation_gender",
    "validation_job",
  ]
  assert int(sums.bad_step) == -1
  kept = sums.get()
  sums.reset()
  assert sums.figures() == {"loss": 0.0}
  sums.set(kept)
  assert sums.figures()["gender"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_first_bad_step_is_kept(value):
  sums = running_sums.RunningSums()
  batch, answers = _batch([0], [0], [0]), _probabilities([0])
  for step, loss in enumerate([1.0, value, 1.0, np.nan]):
    sums.add(batch, _losses(loss), answers, tf.constant(step, tf.int64))
  assert int(sums.bad_step) == 1
