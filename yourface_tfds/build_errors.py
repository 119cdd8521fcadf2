"""What a disk refuses during a build, as one line that says what to do."""

import contextlib
import errno
import os
from collections.abc import Iterator

import tensorflow as tf

from yourface_tfds import cli

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_GOES_ON = "the same command goes on with the faces found so far"


@contextlib.contextmanager
def plain(data_dir: str | os.PathLike[str]) -> Iterator[None]:
  """Raises what the system refuses as a `UserError`.

  Args:
    data_dir: named where the system names no file.

  Raises:
    UserError: instead of OSError and TensorFlow's errors, which is its cause.
  """
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    raise cli.UserError(_line(error, os.fspath(data_dir))) from error


def _line(error: Exception, data_dir: str) -> str:
  text = cli.one_line(error)
  number = getattr(error, "errno", None)
  if number is not None:
    where = getattr(error, "filename", None) or data_dir
    text = f"{where}: {os.strerror(number)}"
  elif isinstance(error, tf.errors.OpError):
    text = text.replace("; ", ": ", 1)  # TensorFlow writes path; reason.
  if _says(text, number, _FULL, "disk is full", "disk I/O error"):
    return (
      f"{text}; make room on that disk, or give another --data_dir; {_GOES_ON}"
    )
  if data_dir in text and _says(text, number, _CLOSED, "readonly"):
    return f"{text}; needed: a --data_dir that can be written"
  return f"{text}; mend it, {_GOES_ON}"


def _says(
  text: str, number: int | None, numbers: tuple[int, ...], *words: str
) -> bool:
  reasons = (*map(os.strerror, numbers), *words)
  return number in numbers or any(reason in text for reason in reasons)
