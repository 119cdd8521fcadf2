"""The C heap of the process.

glibc keeps what was freed between blocks that are still used, in each thread's
arena; TensorFlow, NumPy and Pillow all live there.
"""

import ctypes

try:
  _TRIM = ctypes.CDLL(None).malloc_trim
except (AttributeError, OSError):  # musl and macOS give back by themselves.
  _TRIM = None


def give_back() -> None:
  """Gives freed memory back to the system, from the gaps too.

  Takes milliseconds, in which threads that allocate wait.
  """
  if _TRIM is not None:
    _TRIM(0)
