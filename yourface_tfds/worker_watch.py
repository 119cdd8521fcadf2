"""Notices workers that are gone, so that the others do not wait for ever.

TensorFlow's collective operations wait without an end for a process that was
killed or a machine that vanished; its coordination service (2.21) would end
them after its own heartbeat with the lines of its C++ log. This one asks each
worker by the same call as TensorFlow's older health check, which its network
threads answer however busy Python is, and then aborts what waits.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

from yourface_tfds import cli, cluster

_GRACE = 10.0  # Seconds that aborted operations have to come back.
_LOOKS = 3  # How often an error of the network is looked into.
_OF_THE_NETWORK = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
)


class WorkerWatch:
  """A thread that asks the other workers whether they are there."""

  def __init__(self, workers: cluster.Cluster, seconds: float) -> None:
    """Prepares it.

    Args:
      workers: all of them.
      seconds: without an answer, after which one is gone.
    """
    self._workers = workers
    self._seconds = seconds
    self._stop = threading.Event()
    self._gone = ""

  @contextlib.contextmanager
  def watched(self) -> Iterator[None]:
    """Waits for the workers, then watches them.

    Raises:
      UserError: a worker did not start or is gone, or the network between them
        broke.
    """
    self._meet()
    thread = threading.Thread(target=self._watch, daemon=True)
    thread.start()
    try:
      yield
    except _OF_THE_NETWORK as error:
      raise cli.UserError(self._gone or self._found(error)) from error
    finally:
      self.stop()

  def stop(self) -> None:
    """Lets the others go."""
    self._stop.set()

  def linger(self, seconds: float) -> None:
    """Waits until the chief is gone, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not self._silence(0):
      time.sleep(0.1)

  def _meet(self) -> None:
    # A sum that a worker is not there for yet fails at once.
    end = time.monotonic() + self._seconds
    for rank in self._others():
      while self._silence(rank):
        if time.monotonic() > end:
          raise cli.UserError(
            f"{self._workers.names[rank]} did not start within "
            f"{self._seconds:g} s (--worker_timeout); give the same command on "
            "all workers"
          )
        time.sleep(0.2)

  def _others(self) -> list[int]:
    return [
      rank
      for rank in range(len(self._workers.tasks))
      if rank != self._workers.rank
    ]

  def _watch(self) -> None:
    heard = dict.fromkeys(self._others(), time.monotonic())
    while not self._stop.wait(min(1.0, self._seconds / 10)):
      for rank in heard:
        if not self._silence(rank):
          heard[rank] = time.monotonic()
        elif time.monotonic() - heard[rank] > self._seconds:
          self._abort(rank)
          return

  def _silence(self, rank: int) -> str:
    """Returns why a worker does not answer, nothing if it does."""
    job, index, _ = self._workers.tasks[rank]
    try:
      _tensorflow().check_collective_ops_peer_health(
        f"/job:{job}/replica:0/task:{index}",
        timeout_in_ms=max(100, int(250 * self._seconds)),
      )
    except tf.errors.OpError as error:
      return cli.one_line(error) or type(error).__name__
    return ""

  def _abort(self, rank: int) -> None:
    self._gone = self._sentence(rank)
    _tensorflow().abort_collective_ops(tf.errors.UNAVAILABLE, self._gone)
    if not self._stop.wait(_GRACE):
      print(f"error: {self._gone}", file=sys.stderr, flush=True)
      os._exit(1)

  def _sentence(self, rank: int) -> str:
    return (
      f"{self._workers.names[rank]} is gone: it ended, or did not answer for "
      f"{self._seconds:g} s (--worker_timeout); its own last line says more; "
      "the same command on all workers goes on after the last saved step"
    )

  def _found(self, error: tf.errors.OpError) -> str:
    """Returns what is behind an error that came before the time was over."""
    for _ in range(_LOOKS):
      for rank in self._others():
        if self._silence(rank):
          return self._sentence(rank)
      time.sleep(0.5)
    return (
      f"the workers lost each other ({cli.one_line(error)[:200]}); the same "
      "command on all workers goes on after the last saved step"
    )


def _tensorflow() -> Any:
  return context.context()
