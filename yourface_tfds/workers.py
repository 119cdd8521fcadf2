"""Processes on several machines that train one model together.

What has to be the same on all of them, the state to go on from and the figures
that decide, is told by one of them in sums to which the others add nothing: no
folder has to be shared but the dataset's.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute import collective_all_reduce_strategy
from tensorflow.python.eager import context

from yourface_tfds import cli, cluster, devices, quiet, worker_watch

_CHUNK = 1 << 20  # Bytes of a message at a time.
_LENGTH = 8  # Bytes that say how long it is.
_GOODBYE = 5.0  # Seconds at most that a worker stays for what others fetch.


def open_workers(worker_timeout: float) -> "Workers":
  """Returns the devices of all processes that TF_CONFIG names.

  Args:
    worker_timeout: seconds without an answer after which a worker is gone.

  Raises:
    UserError: TF_CONFIG is not as it shall be, or the address is taken.
  """
  found = cluster.from_environment()
  # `worker_watch` does what these two would: see there.
  tensorflow: Any = context.context()
  tensorflow.configure_coordination_service(service_type="")
  extended = collective_all_reduce_strategy.CollectiveAllReduceExtended
  extended._enable_check_health = False
  try:
    with quiet.without_greeting():
      distribution = tf.distribute.MultiWorkerMirroredStrategy()
  except tf.errors.OpError as error:
    raise cli.UserError(
      f"TF_CONFIG: got {found.names[found.rank]}, where this process cannot "
      f"listen ({cli.one_line(error)[:100]}); end what does, or name another"
    ) from error
  return Workers(distribution, found, worker_timeout)


class Workers(devices.Replicas):
  """The devices of several processes, of which this is one."""

  def __init__(
    self,
    distribution: tf.distribute.Strategy,
    found: cluster.Cluster,
    worker_timeout: float,
  ) -> None:
    """Takes them.

    Args:
      distribution: the strategy.
      found: all of them.
      worker_timeout: see `open_workers`.
    """
    super().__init__(distribution, found.rank)
    self.is_chief = found.rank == 0
    self.are_several = len(found.tasks) > 1
    self._found = found
    self._watch = worker_watch.WorkerWatch(found, worker_timeout)
    self._is_apart = not self.are_several

  def told_by(self, rank: int, data: bytes) -> bytes:
    """Returns what one of the processes has; all call it, and wait.

    Args:
      rank: whose `data` it is.
      data: any, of this process.
    """
    message = b""
    if self._found.rank == rank:
      message = len(data).to_bytes(_LENGTH, "little") + data
    told, end = bytearray(), 1
    while len(told) < end:
      part = message[len(told) :][:_CHUNK].ljust(_CHUNK, b"\0")
      told += self._sum(np.frombuffer(part, np.int64)).tobytes()
      end = _LENGTH + int.from_bytes(told[:_LENGTH], "little")
    return bytes(told[_LENGTH:end])

  def told_by_chief(self, make: Callable[[], bytes]) -> bytes:
    """See `Devices`."""
    if not self.are_several:
      return make()
    answer = b""
    if self.is_chief:
      try:
        answer = b"+" + make()
      except cli.UserError as error:
        answer = b"-" + str(error).encode()
    answer = self.told_by(0, answer)
    if answer.startswith(b"-"):
      self.leave()
      raise cli.UserError(answer[1:].decode())
    return answer[1:]

  def check_equal(self, mine: Mapping[str, Any]) -> None:
    """See `Devices`."""
    if not self.are_several:
      return
    ranks = range(len(self._found.tasks))
    packed = json.dumps(dict(mine)).encode()
    told = [json.loads(self.told_by(rank, packed)) for rank in ranks]
    for rank in ranks:
      for name, value in told[0].items():
        if told[rank].get(name) != value:
          self.leave()
          raise cli.UserError(
            f"{self._found.names[rank]} has {name}={told[rank].get(name)!r}, "
            f"{self._found.names[0]} has {value!r}; give the same command on "
            "all workers"
          )

  @functools.cached_property
  def _total(self) -> Callable[[Any], Any]:
    def total(values: tf.Tensor) -> tf.Tensor:
      # all_reduce has to know the device, which an argument has not.
      (summed,) = self.total([values + 0])
      return summed

    return tf.function(lambda values: self.distribution.run(total, (values,)))

  def _sum(self, numbers: np.ndarray) -> np.ndarray:
    """Returns the sum over all processes, int64 of one size."""
    others = [np.zeros_like(numbers)] * (len(self._devices) - 1)
    values = self.values([tf.constant(part) for part in (numbers, *others)])
    summed = self.distribution.experimental_local_results(self._total(values))
    return summed[0].numpy()

  def watched(self) -> contextlib.AbstractContextManager[None]:
    """See `Devices`."""
    return self._watch.watched() if self.are_several else super().watched()

  def leave(self) -> None:
    """See `Devices`.

    A process still fetches the end of a sum from another one that has it
    already: nobody may end before all are here.
    """
    if self._is_apart:
      return
    self._is_apart = True
    # Whoever gets an error knows that the others had all they needed.
    with contextlib.suppress(tf.errors.OpError):
      self.told_by(0, b"")
    self._watch.stop()
    if not self.is_chief:
      self._watch.linger(_GOODBYE)
