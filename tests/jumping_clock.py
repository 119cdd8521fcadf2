"""A process whose day and time jump, in C and in Python alike.

faults.start(words, environment=jumping_clock.environment())
"""

import atexit
import functools
import pathlib
import shutil
import subprocess
import tempfile

import pytest


@functools.cache
def _built() -> pathlib.Path:
  """Returns the library, or skips."""
  compiler = shutil.which("cc") or shutil.which("gcc")
  if compiler is None:
    pytest.skip("no C compiler for tests/jumping_clock.c")
  folder = pathlib.Path(tempfile.mkdtemp(prefix="your_face_clock."))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  library = folder / "jumping_clock.so"
  source = pathlib.Path(__file__).with_name("jumping_clock.c")
  subprocess.run(
    [compiler, "-O1", "-shared", "-fPIC", source, "-o", library, "-ldl"],
    check=True,
  )
  return library


def environment() -> dict[str, str]:
  """Returns what makes the clock of a process and its children jump."""
  return {"LD_PRELOAD": str(_built())}
