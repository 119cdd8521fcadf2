"""Ctrl-C and SIGTERM that wait for the end of a training step.

  with stopping.between_steps():
    for batch in batches:
      train(batch)
      if stopping.is_asked():
        raise stopping.StoppedError   # caught where the state can be saved

A step that is cut in two leaves weights that no uninterrupted run ever has.
"""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class StoppedError(Exception):
  """Somebody asked for the end, and the step before it is whole."""


_asked: list[int] = []


def is_asked() -> bool:
  """Returns whether the end was asked for."""
  return bool(_asked)


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
  """Makes the first Ctrl-C or SIGTERM wait; a second one does not."""
  before: dict[int, Any] = {}

  def ask(number: int, frame: Any) -> None:
    _asked.append(number)
    signal.signal(number, before[number])

  try:
    for number in (signal.SIGINT, signal.SIGTERM):
      before[number] = signal.getsignal(number)
      signal.signal(number, ask)
  except ValueError:  # Not the main thread: no signal comes here.
    before.clear()
  try:
    yield
  finally:
    _asked.clear()
    for number, handler in before.items():
      signal.signal(number, handler)
