"""Calls of Python by tf.data, all over before the interpreter ends.

  read = last_calls.guarded(read)
  dataset.map(lambda step: tf.numpy_function(read, [step], ...))

An iterator of tf.data that is left when a program ends goes with the
interpreter, and then waits for the calls that it began. These need the
interpreter, which by then lets no thread in: a script that stopped within an
epoch hung at its end, 4 times in 10. So at the end of the program calls fail at
once, which soon fills the buffers that they are made for, and it waits until
no more come.

  last_calls.start(collect, tell)

is for threads that call TensorFlow: one that comes back from there later is
ended where it stands, within TensorFlow's code, with the locks that it holds.
"""

import atexit
import collections
import functools
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

_POLL_SECONDS = 0.01
_QUIET_SECONDS = 0.1
_BUSY_SECONDS = 2.0  # Threads that work so long do not only come to a call.
_LONGEST_SECONDS = 10.0
_THREADS_SECONDS = 1.0  # To end in, for all threads together.

# Not counted under a lock: the collector may run within one and end an
# iterator, which would wait for a call that waits for the lock. To append and
# to pop is one step of the interpreter.
_running: collections.deque[None] = collections.deque()
_latest = [0.0]
_ends: list[bool] = []
_threads: dict[threading.Thread, Callable[[], None]] = {}


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


def start(run: Callable[[], None], tell: Callable[[], None]) -> None:
  """Starts a thread that ends before the interpreter does.

  Args:
    run: of the thread.
    tell: makes `run` return soon. If it does not within a second, for it waits
      for others in TensorFlow's code, the program ends without it.
  """

  def whole() -> None:
    try:
      run()
    finally:
      _threads.pop(thread, None)

  thread = threading.Thread(target=whole, daemon=True)
  _threads[thread] = tell
  thread.start()


def _end() -> None:
  _ends.append(True)
  threads = list(_threads.items())
  for _, tell in threads:
    tell()
  _wait()
  latest = time.monotonic() + _THREADS_SECONDS
  for thread, _ in threads:
    thread.join(max(latest - time.monotonic(), 0))


def _wait() -> None:
  start = _latest[0] = time.monotonic()
  while (now := time.monotonic()) < start + _LONGEST_SECONDS:
    if (
      not _running
      and now > _latest[0] + _QUIET_SECONDS
      and (now > start + _BUSY_SECONDS or _others_sleep())
    ):
      return
    time.sleep(_POLL_SECONDS)


def _others_sleep() -> bool:
  """Returns whether all other threads wait, as far as Linux tells.

  On a busy machine one that was woken to make a call may get no core for longer
  than `_QUIET_SECONDS`.
  """
  mine = str(threading.get_native_id())
  try:
    for task in pathlib.Path("/proc/self/task").iterdir():
      stat = (task / "stat").read_text(errors="replace")
      # The state follows the name, which may hold anything.
      if task.name != mine and stat.rpartition(")")[2].split()[0] in "RD":
        return False
  except OSError:  # Another system, or a thread that has just ended.
    return not pathlib.Path("/proc/self/task").is_dir()
  return True


atexit.register(_end)
