"""A process whose day and time jump, in C and in Python alike.

faults.start(words, environment=jumping_clock.environment())
"""

import functools
import pathlib

from tests import native


@functools.cache
def _built() -> pathlib.Path:
  """Returns the library, or skips."""
  return native.built("jumping_clock", ["-ldl"])


def environment() -> dict[str, str]:
  """Returns what makes the clock of a process and its children jump."""
  return {"LD_PRELOAD": str(_built())}
