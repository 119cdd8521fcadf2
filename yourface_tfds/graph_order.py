"""`permutation` and `fast_input.Plan.records` as operations of a graph.

A graph can be sent to machines that have TensorFlow and nothing of ours.

  records = graph_order.records(plan, step)   # what plan.records(step) returns
"""

import tensorflow as tf

from yourface_tfds import fast_input, permutation, record_numbers


def records(plan: fast_input.Plan, step: tf.Tensor) -> tf.Tensor:
  """Returns the records of a step.

  Args:
    plan: which records make which batch.
    step: int64[], counted from the first epoch's start.

  Returns:
    int64[n], as `fast_input.Plan.records`.
  """
  total = tf.constant(len(plan.numbers), tf.int64)
  epoch = step // plan.steps_per_epoch
  together = plan.batch_size * plan.workers
  begin = step % plan.steps_per_epoch * together
  count = tf.minimum(tf.constant(together, tf.int64), total - begin)
  start, stop = plan.share(count)
  positions = begin + tf.range(start, stop)
  if plan.with_neighbour:
    before = begin + (start - 1) % count
    positions = tf.concat([before[None], positions], 0)
  if plan.seed is not None:
    keys = _keys(plan.seed, plan.epoch + epoch)
    positions = _order(len(plan.numbers), positions, keys)
  return _numbers(plan.numbers, positions)


def _numbers(
  numbers: record_numbers.RecordNumbers, places: tf.Tensor
) -> tf.Tensor:
  """Returns the numbers at places, int64[n], as `RecordNumbers.at`."""
  runs = list(numbers.slices())
  first = tf.constant([run.start for run in runs], tf.int64)
  counts = tf.constant([run.stop - run.start for run in runs], tf.int64)
  ends = tf.cumsum(counts)
  index = tf.searchsorted(ends, places, side="right")
  return tf.gather(first, index) + places - tf.gather(ends - counts, index)


def _order(count: int, positions: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
  """Returns which example stands at each position, as `permutation.Order`.

  Args:
    count: examples.
    positions: int64[n], 0..count - 1.
    keys: uint64[rounds] of the epoch.

  Returns:
    int64[n], 0..count - 1.
  """
  half = permutation.half_bits(count)

  def permuted(values: tf.Tensor) -> tf.Tensor:
    mask = tf.constant((1 << half) - 1, tf.uint64)
    left, right = _shifted(values, half), tf.bitwise.bitwise_and(values, mask)
    for number in range(permutation.ROUNDS):
      mixed = _mixed(right + keys[number])
      changed = tf.bitwise.bitwise_and(mixed, mask)
      left, right = right, tf.bitwise.bitwise_xor(left, changed)
    shift = tf.constant(half, tf.uint64)
    return tf.bitwise.bitwise_or(tf.bitwise.left_shift(left, shift), right)

  def is_outside(values: tf.Tensor) -> tf.Tensor:
    # Below 2^63, where signed and unsigned are the same.
    return tf.cast(values, tf.int64) >= count

  values = tf.while_loop(
    lambda values: tf.reduce_any(is_outside(values)),
    lambda values: [tf.where(is_outside(values), permuted(values), values)],
    [permuted(tf.cast(positions, tf.uint64))],
  )[0]
  return tf.cast(values, tf.int64)


def _keys(seed: int, epoch: tf.Tensor) -> tf.Tensor:
  """Returns the keys of an epoch, uint64[rounds]."""
  start = tf.constant(permutation.mixed(seed), tf.uint64)
  state = _salted(start + tf.cast(epoch, tf.uint64))
  rounds = tf.range(1, permutation.ROUNDS + 1, dtype=tf.int64)
  return _salted(state + tf.cast(rounds, tf.uint64))


def _salted(values: tf.Tensor) -> tf.Tensor:
  return _mixed(values + tf.constant(permutation.GAMMA, tf.uint64))


def _mixed(values: tf.Tensor) -> tf.Tensor:
  """The finalizer of SplitMix64, see `permutation`."""
  for shift, factor in zip((30, 27), permutation.FACTORS, strict=True):
    values = tf.bitwise.bitwise_xor(values, _shifted(values, shift))
    values = values * tf.constant(factor, tf.uint64)
  return tf.bitwise.bitwise_xor(values, _shifted(values, 31))


def _shifted(values: tf.Tensor, bits: int) -> tf.Tensor:
  return tf.bitwise.right_shift(values, tf.constant(bits, tf.uint64))
