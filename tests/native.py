"""C libraries that tests load into programs they run."""

import atexit
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

import pytest


def built(name: str, flags: Sequence[str]) -> pathlib.Path:
  """Compiles tests/NAME.c; returns NAME.so in a folder of its own, or skips."""
  compiler = shutil.which("cc") or shutil.which("gcc")
  if compiler is None:
    pytest.skip(f"no C compiler for tests/{name}.c")
  folder = pathlib.Path(tempfile.mkdtemp(prefix=f"your_face_{name}."))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  source = pathlib.Path(__file__).with_name(f"{name}.c")
  library = folder / f"{name}.so"
  subprocess.run(
    [compiler, "-O1", "-shared", "-fPIC", source, "-o", library, *flags],
    check=True,
  )
  return library
