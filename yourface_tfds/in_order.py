"""Every step once and in order, of steps that come in any order or are lost.

A thread takes what comes; whoever wants step 7 gets it as soon as it is there.
A step that was overtaken by `WINDOW` others, or for which nothing at all comes
in `PATIENCE` seconds, is made here instead, and dropped if it comes after all.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

import tensorflow as tf
from absl import logging

from yourface_tfds import cli, last_calls

WINDOW = 16
"""Steps that wait for an earlier one: 17 MB each of 256 faces."""

PATIENCE = 10.0
"""Seconds without any step after which steps are made here until one comes."""

_LOOK = 0.5  # Seconds after which who waits looks whether the program ends.

# What passes, or never comes back: both are the same for who can do it here.
_GONE = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
)

Batch = dict[str, Any]


class InOrder:
  """Steps from elsewhere, and from here where none comes."""

  def __init__(
    self,
    arrivals: Callable[[], Iterable[tuple[int, Batch]]],
    make_here: Callable[[int], Batch],
    *,
    name: str,
    patience: float = PATIENCE,
  ) -> None:
    """Says where steps come from.

    Args:
      arrivals: starts to make them elsewhere; their numbers and batches.
      make_here: returns the same batch of a step.
      name: of the place elsewhere, for people.
      patience: see `PATIENCE`.
    """
    self._arrivals = arrivals
    self._make_here = make_here
    self._name = name
    self._patience = patience

  def steps(self, start: int, stop: int) -> Generator[Batch]:
    """Yields the batches of steps, start..stop - 1.

    Raises:
      UserError: those who make them cannot.
    """
    waiting = _Waiting(self._arrivals, start, self._patience)
    last_calls.start(waiting.collect, waiting.end)
    here = 0
    try:
      for step in range(start, stop):
        batch, why_not = waiting.take(step)
        if last_calls.are_over():
          return
        if batch is None:
          here += 1
          self._tell(step, why_not, is_first=here == 1)
          batch = self._make_here(step)
        yield batch
    except tf.errors.OpError as error:
      raise cli.UserError(
        f"--data_service: a worker of {self._name} could not make a batch "
        f"({cli.one_line(error)[:300]}); workers need the same shards under "
        "the same paths as here, whole"
      ) from error
    finally:
      waiting.end()
      if here:
        logging.warning(
          "--data_service: %d batches of %d were made here", here, stop - start
        )

  def _tell(self, step: int, why_not: str, *, is_first: bool) -> None:
    log = logging.warning if is_first else logging.info
    log(
      "--data_service: step %d did not come from %s (%s); it is made here, and "
      "so is every other that does not come",
      step,
      self._name,
      why_not,
    )


class _Waiting:
  """What has come and is not wanted yet."""

  def __init__(
    self,
    arrivals: Callable[[], Iterable[tuple[int, Batch]]],
    start: int,
    patience: float,
  ) -> None:
    self._arrivals = arrivals
    self._patience = patience
    self._batches: dict[int, Batch] = {}
    self._wanted = start
    self._since = time.monotonic()  # The collector waits.
    self._is_over = False
    self._error: tf.errors.OpError | None = None
    self._changed = threading.Condition()

  def collect(self) -> None:
    """Takes steps as they come, until all have or nobody wants them."""
    try:
      for step, batch in self._arrivals():
        with self._changed:
          if step >= self._wanted:
            self._batches[step] = batch
          self._changed.notify_all()
          while len(self._batches) >= WINDOW and not self._is_over:
            self._changed.wait()
          if self._is_over:
            return
          self._since = time.monotonic()
    except _GONE as error:
      logging.warning("--data_service: %s", cli.one_line(error)[:200])
    except tf.errors.OpError as error:
      self._error = error
    finally:
      with self._changed:
        self._is_over = True
        self._changed.notify_all()

  def take(self, step: int) -> tuple[Batch | None, str]:
    """Returns a step's batch once it is there, or why it is not waited for.

    Raises:
      tf.errors.OpError: those who make them cannot.
    """
    with self._changed:
      self._wanted = step
      why_not = ""
      while step not in self._batches and not why_not:
        why_not = self._why_not()
        if not why_not:
          left = self._since + self._patience - time.monotonic()
          self._changed.wait(max(min(left, _LOOK), 0))
      self._wanted = step + 1
      if len(self._batches) >= WINDOW:
        self._since = time.monotonic()  # Until now the collector was held up.
      batch = self._batches.pop(step, None)
      self._changed.notify_all()
      return batch, why_not

  def _why_not(self) -> str:
    if last_calls.are_over():
      return "the program ends"
    if self._error:
      raise self._error
    if self._is_over:
      return "nothing comes any more"
    if len(self._batches) >= WINDOW:
      return f"{WINDOW} later ones did"
    if time.monotonic() - self._since >= self._patience:
      return f"nothing came in {self._patience:g} seconds"
    return ""

  def end(self) -> None:
    """Says that nothing is wanted any more."""
    with self._changed:
      self._is_over = True
      self._batches.clear()
      self._changed.notify_all()
