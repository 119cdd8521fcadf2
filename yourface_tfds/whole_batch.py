"""A device's rows of a batch, and what the whole batch makes of them.

With one device each of these gives back what it got. With several, the losses
are those of the whole batch: its known labels are counted together, so that the
sum of the devices' gradients is the gradient that one device would have.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from yourface_tfds import devices, losses

Targets = dict[str, tf.Tensor]


def mix(
  images: tf.Tensor,
  targets: Mapping[str, tf.Tensor],
  *,
  mix: Callable[
    [tf.Tensor, Mapping[str, tf.Tensor]], tuple[tf.Tensor, Targets]
  ],
  rows: tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None,
) -> tuple[tf.Tensor, Targets]:
  """Returns images and targets, mixed as in the whole batch.

  A row's share depends on its place there, so the mixing sees as many rows as
  the whole batch has; those of other devices are copies of the neighbour, which
  stands before the first own row or, before the batch's first, at its end.

  Args:
    images: float32[rows, height, width, 3]; the neighbour, then the own ones.
    targets: head -> float32[rows, classes], likewise.
    mix: of whole batches, see `mixing.mix`.
    rows: own ones from, to, and how many there are in all: int64[]. None: all
      are here, without a neighbour.
  """
  if rows is None:
    return mix(images, targets)
  first, stop, count = rows
  places = tf.range(count)
  is_own = (places >= first) & (places < stop)
  which = tf.where(is_own, places - first + 1, 0)
  images, mixed = mix(
    tf.gather(images, which),
    {head: tf.gather(target, which) for head, target in targets.items()},
  )
  return images[first:stop], {
    head: target[first:stop] for head, target in mixed.items()
  }


def weigh(
  each: dict[str, tf.Tensor],
  targets: Mapping[str, tf.Tensor],
  where: devices.Devices,
) -> dict[str, tf.Tensor]:
  """Returns a device's parts of the losses of the whole batch.

  Args:
    each: a scalar per head, mean over the device's known labels.
    targets: head -> float32[rows, classes], all 0 where unknown.
    where: all devices.
  """
  if where.replicas == 1:
    return each
  known = tf.stack([tf.reduce_sum(targets[head]) for head in each])
  (total,) = where.total([known])
  shares = tf.unstack(tf.math.divide_no_nan(known, total))
  return {
    head: loss * share
    for (head, loss), share in zip(each.items(), shares, strict=True)
  }


def join(
  batch: losses.Batch,
  each: Mapping[str, tf.Tensor],
  probabilities: Mapping[str, tf.Tensor],
  count: tf.Tensor,
  where: devices.Devices,
) -> tuple[losses.Batch, Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]]:
  """Returns labels, losses and probabilities of the whole batch, for all.

  They are some numbers a row: every device may sum up all of them, in the same
  order as a single one, and none has to be asked for its figures.

  Args:
    batch: int64[rows] per head, of this device.
    each: a scalar per head, as from `weigh`.
    probabilities: float32[rows, classes] per head, of this device.
    count: int64[], rows of the whole batch.
    where: all devices.
  """
  if where.replicas == 1:
    return batch, each, probabilities
  heads = list(each)
  # Labels are exact in float32, as all whole numbers below 2**24.
  columns = [tf.cast(batch[head] + 1, tf.float32)[:, None] for head in heads]
  columns += [tf.cast(probabilities[head], tf.float32) for head in heads]
  first, stop = where.share(count)
  # Elsewhere 0, so that sums are exact.
  table = tf.concat(columns, 1) * where.speaks(count)
  table = tf.pad(table, [[first, count - stop], [0, 0]])
  table, total = where.total([table, tf.stack(list(each.values()))])
  columns = tf.split(table, [column.shape[1] for column in columns], axis=1)
  stored, answers = columns[: len(heads)], columns[len(heads) :]
  return (
    {
      head: tf.cast(column[:, 0], tf.int64) - 1
      for head, column in zip(heads, stored, strict=True)
    },
    dict(zip(heads, tf.unstack(total), strict=True)),
    dict(zip(heads, answers, strict=True)),
  )
