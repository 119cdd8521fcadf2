"""JSON that a command wrote and another one reads: whole, or one line.

settings = json_files.read("W/settings.json", "copy it again")
"""

import errno
import json
import os
from typing import Any

from yourface_tfds import cli, storage


def read(place: storage.Anywhere, mend: str) -> dict[str, Any]:
  """Returns the object that a JSON file holds.

  Args:
    place: of the file.
    mend: what to do if it is damaged, for the error.

  Raises:
    FileNotFoundError: there is none.
    UserError: it cannot be read, or holds something else than an object.
  """
  path = storage.path(place)
  if not path.exists():  # TensorFlow's file systems raise errors of their own.
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise damaged(path, cli.one_line(error), mend) from error
  except RecursionError as error:  # 100,000 brackets; its words are Python's.
    raise damaged(path, "too deeply nested", mend) from error
  if not isinstance(content, dict):
    kind = type(content).__name__
    raise damaged(path, f"got a JSON {kind}, allowed: an object", mend)
  return content


def damaged(place: storage.Anywhere, why: str, mend: str) -> cli.UserError:
  """Returns the error for a file that is not as it was written."""
  return cli.UserError(f"{storage.path(place)}: is damaged ({why}); {mend}")
