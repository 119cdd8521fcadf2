"""A peer in its own process, as the one that asks it sees it.

child = bench_child.Child("own_raw", source_file, folder, batch_size=256)
child.ready()
child.ask("epoch 1")   # what `peers.child` answers
child.close()
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

_PATIENCE = 10  # Seconds to end by itself.


class FailedError(Exception):
  """Why a peer did not run."""


class Child:
  """A process of `peers.child`, with a process group of its own.

  So that Ctrl-C reaches only the one who asks, and that a peer's own workers
  end with it.
  """

  def __init__(
    self,
    name: str,
    source_file: pathlib.Path,
    folder: pathlib.Path,
    *,
    batch_size: int,
    prepare: bool = False,
  ) -> None:
    """Starts it; what it prints beside answers is in a .log file."""
    self._log = folder.with_name(f"{folder.name}.log")
    command = [
      sys.executable,
      "-m",
      "yourface_tfds.peers.child",
      f"--peer={name}",
      f"--source={source_file}",
      f"--folder={folder}",
      f"--batch_size={batch_size}",
      *(["--prepare"] if prepare else []),
    ]
    with self._log.open("wb") as log:
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
        start_new_session=True,
      )

  def ask(self, line: str) -> dict[str, Any]:
    """Returns the answer to a line.

    Raises:
      FailedError: it ended instead.
    """
    requests: Any = self._process.stdin
    with contextlib.suppress(BrokenPipeError):  # The log says why.
      requests.write(line + "\n")
      requests.flush()
    return self._answer()

  def ready(self) -> dict[str, Any]:
    """Waits until it has opened, or prepared, its data.

    Raises:
      FailedError: it cannot run here, or ended.
    """
    answer = self._answer()
    if "reason" in answer:
      raise FailedError(answer["reason"])
    return answer

  def _answer(self) -> dict[str, Any]:
    answers: Any = self._process.stdout
    line = answers.readline()
    if not line:
      raise FailedError(self._last_words())
    return json.loads(line)

  def _last_words(self) -> str:
    # Not reaped yet: its number is still its own, and so is its group's.
    os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
    self._kill_group()
    code = self._process.wait()
    said = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
    words = [line.strip() for line in said if line.strip()]
    if code < 0:  # Killed: what it said last is not why.
      return f"ended by {signal.Signals(-code).name}"
    return words[-1] if words else f"ended with exit code {code}"

  def close(self) -> None:
    """Ends it, by force where it does not end by itself."""
    self._close_pipe(self._process.stdin)
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(_PATIENCE)
    self.kill()

  def kill(self) -> None:
    """Ends it and its workers at once, if it has not ended."""
    if self._process.poll() is None:
      self._kill_group()
      self._process.wait()
    self._close_pipe(self._process.stdin)
    self._close_pipe(self._process.stdout)

  def _kill_group(self) -> None:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)

  def _close_pipe(self, pipe: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
      pipe.close()
