"""Calls of Python by tf.data, all over before the interpreter ends.

  read = last_calls.guarded(read)
  dataset.map(lambda step: tf.numpy_function(read, [step], ...))

An iterator of tf.data that is left when a program ends goes with the
interpreter, and then waits for the calls that it began. These need the
interpreter, which by then lets no thread in: a script that stopped within an
epoch hung at its end, 4 times in 10. So at the end of the program calls fail at
once, which soon fills the buffers that they are made for, and it waits until
no more come.
"""

import atexit
import collections
import functools
import time
from collections.abc import Callable
from typing import Any

_POLL_SECONDS = 0.01
_QUIET_SECONDS = 0.1
_LONGEST_SECONDS = 10.0

# Not counted under a lock: the collector may run within one and end an
# iterator, which would wait for a call that waits for the lock. To append and
# to pop is one step of the interpreter.
_running: collections.deque[None] = collections.deque()
_latest = [0.0]
_ends: list[bool] = []


def are_over() -> bool:
  """Returns whether the program is ending: who waits should stop."""
  return bool(_ends)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns the same for `tf.numpy_function`, but when the program ends.

  It then raises StopIteration, the one error that TensorFlow does not report.
  To be made outside of what `map` is given: autograph would translate it.
  """

  @functools.wraps(function)
  def call(*arguments: Any) -> Any:
    _running.append(None)
    _latest[0] = time.monotonic()
    try:
      if _ends:
        raise StopIteration
      return function(*arguments)
    finally:
      _running.pop()

  return call


def _wait() -> None:
  _ends.append(True)
  start = _latest[0] = time.monotonic()
  while (now := time.monotonic()) < start + _LONGEST_SECONDS:
    if not _running and now > _latest[0] + _QUIET_SECONDS:
      return
    time.sleep(_POLL_SECONDS)


atexit.register(_wait)
