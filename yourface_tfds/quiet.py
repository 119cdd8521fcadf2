"""Keeps TensorFlow's greeting out of the way of a command's own words.

TensorFlow 2.21 writes up to ten lines on import (oneDNN, missing CUDA, CPU
instructions) from C++, before its log level is read. `install` drops exactly
those lines while TensorFlow is imported; everything else still appears.
"""

import contextlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence

_GREETING = re.compile(
  rb"WARNING: All log messages before absl::InitializeLog"
  rb"|[IWE]\d{4} .*(port|cudart_stub|cuda_platform|cpu_feature_guard)\.cc:"
  rb"|I\d{4} .*(service\.cc|device_compiler\.h):"
  rb"|W\d{4} .*op_level_cost_estimator\.cc:.*CropAndResize"
  rb"|To enable the following instructions: "
  rb"|INFO: Created TensorFlow Lite XNNPACK delegate|fully_quantize: "
)


class _QuietImport(importlib.abc.MetaPathFinder):
  """Wraps the first import of TensorFlow, then steps aside."""

  def find_spec(
    self,
    fullname: str,
    path: Sequence[str] | None,
    target: types.ModuleType | None = None,
  ) -> importlib.machinery.ModuleSpec | None:
    if fullname != "tensorflow":
      return None
    spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
    if spec is None or spec.loader is None:
      return spec
    execute = spec.loader.exec_module

    def quietly(module: types.ModuleType) -> None:
      # Not before: who only asks whether there is a TensorFlow imports none.
      if self in sys.meta_path:
        sys.meta_path.remove(self)
      with without_greeting():
        execute(module)

    spec.loader.exec_module = quietly
    return spec


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
  """Holds back what goes to file descriptor 2, then lets the rest through.

  Around the import of TensorFlow, around what XLA compiles first, around the
  first call of the detector, whose boxes its cost estimator cannot count, and
  around TFLite's converter and runtime.
  """
  with tempfile.TemporaryFile() as held:
    before = os.dup(2)
    os.dup2(held.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(before, 2)
      os.close(before)
      held.seek(0)
      for line in held:
        if not _GREETING.match(line):
          os.write(2, line)


def install() -> None:
  """Makes a later `import tensorflow` quiet; nothing if that has happened."""
  # Errors of C++ reach the user as Python exceptions; 3 leaves fatal ones.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  if "tensorflow" not in sys.modules:
    sys.meta_path.insert(0, _QuietImport())
