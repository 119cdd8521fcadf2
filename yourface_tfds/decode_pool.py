"""Threads that decode, without a lock that all of them share.

  pool = decode_pool.DecodePool(2)
  tasks = [pool.submit(decode, part) for part in parts]
  concurrent.futures.wait(tasks)

Those of `concurrent.futures.ThreadPoolExecutor` take one lock of the whole
process with each task. If Python's collector runs just then and finds a left
iterator of tf.data, it waits for that iterator's threads, which may be waiting
for the lock: a program was seen to hang so.
"""

import concurrent.futures
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

_Tasks = queue.SimpleQueue[Any]


class DecodePool:
  """Threads that end with the last reference to it, or with the program."""

  def __init__(self, threads: int) -> None:
    """Starts so many threads."""
    # Written in C: taking it cannot be interrupted by the collector.
    self._tasks: _Tasks = queue.SimpleQueue()
    for _ in range(threads):
      threading.Thread(
        target=_work, args=(self._tasks,), name="decode", daemon=True
      ).start()
    weakref.finalize(self, _end, self._tasks, threads).atexit = False

  def submit(
    self, function: Callable[..., Any], *arguments: Any
  ) -> concurrent.futures.Future[Any]:
    """Has a thread call a function; returns what will have its result."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    self._tasks.put((future, function, arguments))
    return future


def _work(tasks: _Tasks) -> None:
  while (task := tasks.get()) is not None:
    future, function, arguments = task
    try:
      result = function(*arguments)
    except BaseException as error:
      future.set_exception(error)
    else:
      future.set_result(result)
    # Else it would keep a batch in memory until the next one comes.
    del task, future, function, arguments


def _end(tasks: _Tasks, threads: int) -> None:
  for _ in range(threads):
    tasks.put(None)
