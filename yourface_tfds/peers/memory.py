"""What a process and its children hold in memory.

with memory.Peak() as peak:
  ...
peak.mb   # the most that was seen
"""

import pathlib
import threading
import time
from typing import Any

_PERIOD = 0.02  # Seconds between two looks.
_SHARE = 0.05  # Of a core, at most, for looking.
_CHILDREN_EVERY = 10  # Looks; a walk over all threads costs more than a look.


def held_mb(process: str = "self") -> float:
  """Returns MB, millions of bytes, of anonymous and shared memory.

  Of children too.

  Files in the page cache do not count: the system takes them back when it
  needs to.
  """
  return _held(process, _children(process))


def _held(process: str, children: list[str]) -> float:
  if not children:
    return _sum(process, "status", ("RssAnon", "RssShmem"))
  # A forked worker shares pages with its parent: each holds its part.
  return sum(
    _sum(one, "smaps_rollup", ("Pss_Anon", "Pss_Shmem"))
    for one in (process, *children)
  )


def _sum(process: str, file: str, fields: tuple[str, ...]) -> float:
  try:
    text = pathlib.Path("/proc", process, file).read_text()
  except OSError:  # It has ended since.
    return 0
  return sum(
    int(line.split()[1]) * 1024 / 1e6  # The kernel's kB are 1,024 bytes.
    for line in text.splitlines()
    if line.partition(":")[0] in fields
  )


def _children(process: str = "self") -> list[str]:
  """Returns the ids of all processes below one."""
  found = []
  for file in pathlib.Path("/proc", process, "task").glob("*/children"):
    try:
      ids = file.read_text().split()
    except OSError:
      continue
    for child in ids:
      found += [child, *_children(child)]
  return found


class Peak:
  """Looks at the memory every 20 ms from a thread, while it is entered.

  May be entered again; the most of all times counts.
  """

  def __init__(self, process: str = "self") -> None:
    """Takes the id of the process to look at."""
    self.mb = 0.0
    self._process = process
    self._ends = threading.Event()
    self._thread = threading.Thread()

  def __enter__(self) -> "Peak":
    self.mb = max(self.mb, held_mb(self._process))
    self._ends.clear()
    self._thread = threading.Thread(target=self._look, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *error: Any) -> None:
    self._ends.set()
    self._thread.join()

  def _look(self) -> None:
    looks, children, pause = 0, [], 0.0
    while not self._ends.wait(pause):
      start = time.perf_counter()
      # A forked worker that is overlooked hides its part of what is shared.
      if children or looks % _CHILDREN_EVERY == 0:
        children = _children(self._process)
      looks += 1
      self.mb = max(self.mb, _held(self._process, children))
      pause = max(_PERIOD, (time.perf_counter() - start) / _SHARE)
