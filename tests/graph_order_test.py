"""The order of an epoch in a graph is that of numpy, number by number."""

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import fast_input, graph_order, record_numbers


def _plan(runs, **changes):
  given = {"batch_size": 7, "seed": 3, "epochs": 3, **changes}
  return fast_input.Plan(numbers=record_numbers.RecordNumbers(runs), **given)


_PLANS = [
  _plan([(0, 50)]),
  _plan([(0, 50)], seed=None),
  _plan([(5, 20), (40, 1), (90, 44)], seed=2**40 + 1, epoch=70_000),
  _plan([(0, 5)], batch_size=5, seed=0),
  _plan([(0, 1)], batch_size=1),
  _plan([(0, 46_560)], batch_size=256, drop_remainder=True),
  _plan([(0, 3_000_000_000)], batch_size=16),
  *(
    _plan([(3, 31)], workers=4, worker=worker, batch_size=2, **more)
    for worker in range(4)
    for more in ({}, {"with_neighbour": True}, {"has_rows": True})
  ),
]


@pytest.mark.parametrize("plan", _PLANS)
def test_same_as_numpy(plan):
  last = plan.steps_per_epoch * plan.epochs - 1
  steps = sorted({*range(min(12, last + 1)), last // 2, last})
  expected = [plan.records(step) for step in steps]

  for step, numbers in zip(steps, expected, strict=True):
    got = graph_order.records(plan, tf.constant(step, tf.int64))
    np.testing.assert_array_equal(got, numbers)
    assert got.dtype == tf.int64

  dataset = tf.data.Dataset.from_tensor_slices(np.array(steps, np.int64))
  dataset = dataset.map(lambda step: graph_order.records(plan, step))
  for got, numbers in zip(dataset, expected, strict=True):
    np.testing.assert_array_equal(got, numbers)
