"""Devices that train one model together.

  devices = strategies.open_devices("mirrored")
  with devices.scope():
    model = ...
  step = tf.function(devices.each(train))   # train(batch): of one replica
  for batch in devices.batches(make):       # each replica has its rows
    step(batch)

Every replica has a slice of each global batch and the same weights; sums over
the replicas make of their gradients those of the whole batch. Keras's own `fit`
raises under MultiWorkerMirroredStrategy (Keras 3.15), a loop of ours does not.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from yourface_tfds import cli, fast_input

Make = Callable[[tf.distribute.InputContext | None, str | None], Iterable[Any]]
"""Makes the batches of a replica: of which, on which device."""

_SEED_STEP = 1_000_003  # Between the seeds of replicas.


class Devices:
  """One device, without any of TensorFlow's strategies.

  Attributes:
    replicas: models that are trained together, on all machines.
    is_chief: whether this process writes the workdir.
    are_several: whether there are other processes.
  """

  replicas: int = 1
  is_chief: bool = True
  are_several: bool = False

  def check(self, batch_size: int) -> None:
    """Raises UserError if the batch cannot be divided by the replicas."""
    over = batch_size % self.replicas
    if over:
      below = batch_size - over
      allowed = [str(size) for size in (below, below + self.replicas) if size]
      raise cli.UserError(
        f"--batch_size: got {batch_size}, allowed with {self.replicas} "
        f"replicas: multiples of {self.replicas}; give {' or '.join(allowed)}"
      )

  def scope(self) -> contextlib.AbstractContextManager[Any]:
    """Returns within what variables are made."""
    return contextlib.nullcontext()

  def each(self, function: Callable[..., None]) -> Callable[..., None]:
    """Returns a function that calls one on every replica of this process."""
    return function

  def batches(self, make: Make) -> Iterator[Any]:
    """Returns batches, of every replica of this process its rows."""
    return iter(make(None, None))

  def share(self, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns which rows of a whole batch this replica has: from, to.

    Args:
      count: int64[], rows of the whole batch.
    """
    return tf.zeros_like(count), count

  def speaks(self, count: tf.Tensor) -> tf.Tensor:
    """Returns 1.0 where this replica shall tell of its rows, else 0.0.

    Args:
      count: int64[], rows of the whole batch. With fewer than replicas, all of
        them have all rows.
    """
    return tf.ones_like(count, tf.float32)

  def total(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the sums over all replicas; called by each of them."""
    return tensors

  def prepare(self, model: keras.Model) -> None:
    """Makes BatchNorm take its statistics from the whole batch."""

  def part_seeds(self, variables: Sequence[keras.Variable]) -> None:
    """Gives every replica numbers of its own for dropout.

    Args:
      variables: of a model; all replicas have the same of each.
    """

  def summed_before(self, optimizer: keras.optimizers.Optimizer) -> None:
    """Tells an optimizer that gradients are sums over the replicas already."""

  def told_by_chief(self, make: Callable[[], bytes]) -> bytes:
    """Returns what `make` returns on the chief, or raises its UserError."""
    return make()

  def check_equal(self, mine: Mapping[str, Any]) -> None:
    """Raises UserError where a worker was started with other settings."""

  def watched(self) -> contextlib.AbstractContextManager[None]:
    """Returns within what waiting for a worker that is gone ends.

    Raises:
      UserError: one is.
    """
    return contextlib.nullcontext()

  def leave(self) -> None:
    """Goes on alone, once all workers have come so far."""


ONE = Devices()
"""The first GPU, without any the processor."""


class Replicas(Devices):
  """The devices of a strategy of TensorFlow."""

  def __init__(
    self, distribution: tf.distribute.Strategy, rank: int = 0
  ) -> None:
    """Takes them.

    Args:
      distribution: the strategy.
      rank: of this process among all that take part.
    """
    self.distribution = distribution
    self.replicas = distribution.num_replicas_in_sync
    self._devices = distribution.extended.worker_devices
    self._first = rank * len(self._devices)

  def scope(self) -> contextlib.AbstractContextManager[Any]:
    """See `Devices`."""
    return self.distribution.scope()

  def each(self, function: Callable[..., None]) -> Callable[..., None]:
    """See `Devices`."""
    return lambda *arguments: self.distribution.run(function, arguments)

  def batches(self, make: Make) -> Iterator[Any]:
    """See `Devices`."""
    iterators = []
    for number, device in enumerate(self._devices, self._first):
      context = tf.distribute.InputContext(self.replicas, number, self.replicas)
      iterators.append(iter(make(context, device)))
    for parts in zip(*iterators, strict=True):
      yield self.values(parts)

  def values(self, parts: Sequence[Any]) -> Any:
    """Returns a value of which each replica of this process has its part."""
    return self.distribution.experimental_distribute_values_from_function(
      lambda replica: parts[replica.replica_id_in_sync_group - self._first]
    )

  def share(self, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `Devices`."""
    replica = tf.cast(_replica(), tf.int64)
    return fast_input.share_with_rows(count, replica, self.replicas)

  def speaks(self, count: tf.Tensor) -> tf.Tensor:
    """See `Devices`."""
    is_first = tf.equal(_replica(), 0)
    return tf.cast((count >= self.replicas) | is_first, tf.float32)

  def total(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """See `Devices`."""
    return tf.distribute.get_replica_context().all_reduce(
      tf.distribute.ReduceOp.SUM, tensors
    )

  def prepare(self, model: keras.Model) -> None:
    """See `Devices`."""
    for layer in model._flatten_layers():
      if isinstance(layer, keras.layers.BatchNormalization):
        layer.synchronized = True

  def part_seeds(self, variables: Sequence[keras.Variable]) -> None:
    """See `Devices`."""
    seeds = [v for v in variables if v.path.endswith("seed_generator_state")]

    def part() -> None:
      for seed in seeds:
        apart = tf.stack([_replica() * _SEED_STEP, 0])
        seed.assign(seed.value + tf.cast(apart, seed.value.dtype))

    if seeds:
      tf.function(self.each(part))()

  def summed_before(self, optimizer: keras.optimizers.Optimizer) -> None:
    """See `Devices`.

    Keras 3.15 sums after it has clipped; but the length of a slice's gradient
    is not that of the whole batch's.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = list


def _replica() -> Any:
  return tf.distribute.get_replica_context().replica_id_in_sync_group
