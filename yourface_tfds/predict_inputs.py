"""Which photos a command line means, and their bytes.

  found = predict_inputs.find(["a.jpg", "folder", "**/*.png", "-"])
  for batch in predict_inputs.batches(found):
    for photo in batch:
      photo.path, photo.content, photo.error

Nothing is believed of a file but its content: folders give every file in them,
and what is no image is told apart by who decodes it.
"""

import dataclasses
import fnmatch
import os
import pathlib
import re
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from yourface_tfds import cli, photos, storage

STDIN = "-"
"""The argument, and the name, of one photo on standard input."""

MAX_BYTES = 100_000_000
"""Larger files are not read."""

BATCH_SIZE = 16
"""Photos a batch."""

BATCH_BYTES = 64_000_000
"""A batch that holds this much takes no further file."""

_MAGIC = re.compile(r"[*?[]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
  """One photo that was asked for.

  Attributes:
    path: as it is shown: the argument, or the path that it led to.
    error: "" when fine, else why there are no bytes: `unreadable: ...` or
      `too_large: ...`.
    content: the bytes of the file, once it was read; b"" on error.
  """

  path: str
  error: str = ""
  content: bytes = b""


def find(arguments: Sequence[str]) -> list[Photo]:
  """Returns the photos that arguments stand for, in their order.

  A folder stands for the files in it and below, sorted by path. A pattern with
  `*`, `?`, `[...]` or `**` that no file has as its name stands for what it
  matches, sorted, each once. Both leave out names that begin with a dot. Names
  are compared in Unicode NFC, which macOS does not write. Links to folders
  below a folder are not followed; each gives an error.

  Args:
    arguments: files, folders, patterns, or `-` for standard input.

  Raises:
    UserError: there are none, one matches nothing, or `-` stands there twice.
  """
  if not arguments:
    raise cli.UserError(
      "got no photo; write the paths of photos behind the flags"
    )
  if arguments.count(STDIN) > 1:
    raise cli.UserError(
      "got - twice, allowed: once, as standard input holds one photo; give the "
      "others as files"
    )
  return [photo for argument in arguments for photo in _found(argument)]


def _found(argument: str) -> list[Photo]:
  if argument == STDIN:
    return [Photo(path=STDIN)]
  is_there = os.path.lexists(argument)
  if not is_there:
    storage.only_local(argument, "PHOTO")
  paths = [argument] if is_there else _matches(argument)
  if not paths:
    what = "pattern that matches nothing"
    if not _MAGIC.search(argument):
      what = "path that does not exist"
    raise cli.UserError(
      f"got {argument!r}, a {what}, allowed: files, folders, patterns, - for "
      "standard input; mend it, or leave it out"
    )
  found: dict[str, Photo] = {}
  for path in paths:
    below = _below(path) if _is_folder(path) else [Photo(path=path)]
    for photo in below:
      # `**` matches a folder and what lies in it.
      found.setdefault(os.path.normpath(photo.path), photo)
  if not found:
    raise cli.UserError(
      f"got {argument!r}, which holds no file (hidden ones do not count); name "
      "a folder with photos"
    )
  return list(found.values())


def _is_folder(path: str | os.PathLike[str]) -> bool:
  try:
    return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - any OSError.
  except (OSError, ValueError):
    return False


def _below(folder: str) -> list[Photo]:
  """Returns the files below a folder, sorted by path."""
  found: list[Photo] = []

  def fail(error: OSError) -> None:
    found.append(Photo(path=str(error.filename), error=_unreadable(error)))

  for parent, folders, names in os.walk(folder, onerror=fail):
    folders[:] = [name for name in folders if not name.startswith(".")]
    for name in folders:
      path = pathlib.Path(parent, name)
      if path.is_symlink():
        error = "unreadable: a link to a folder; name it as an argument"
        found.append(Photo(path=str(path), error=error))
    found += [
      Photo(path=str(pathlib.Path(parent, name)))
      for name in names
      if not name.startswith(".")
    ]
  return sorted(found, key=lambda photo: photo.path)


def _matches(pattern: str) -> list[str]:
  """Returns the sorted paths that match a pattern."""
  path = pathlib.Path(_composed(pattern))
  start = pathlib.Path(path.anchor)
  parts = [part for part in path.parts if part != path.anchor]
  return sorted({str(found) for found in _walk(start, parts)})


def _walk(folder: pathlib.Path, parts: list[str]) -> Iterator[pathlib.Path]:
  if not parts:
    yield folder
    return
  part, rest = parts[0], parts[1:]
  if part == "**":
    if rest[:1] == ["**"]:  # The same, but each path would come twice.
      rest = rest[1:]
    yield from _walk(folder, rest)
    for child in _children(folder, "*"):
      if _is_folder(child) and not child.is_symlink():
        yield from _walk(child, [part, *rest])
    return
  for child in _children(folder, part):
    if not rest or _is_folder(child):
      yield from _walk(child, rest)


def _children(folder: pathlib.Path, part: str) -> list[pathlib.Path]:
  """Returns what in a folder has a name, or else matches a pattern."""
  if os.path.lexists(folder / part):
    return [folder / part]
  try:
    names = [path.name for path in folder.iterdir()]
  except OSError:
    return []
  return [
    folder / name
    for name in names
    if fnmatch.fnmatchcase(_composed(name), part)
    and (part.startswith(".") or not name.startswith("."))
  ]


def _composed(text: str) -> str:
  return unicodedata.normalize("NFC", text)


def batches(
  found: Iterable[Photo], size: int = BATCH_SIZE
) -> Iterator[list[Photo]]:
  """Yields the photos with their content, in order.

  Args:
    found: from `find`.
    size: photos a batch at most; fewer where they hold `BATCH_BYTES`.
  """
  batch: list[Photo] = []
  held = 0
  for photo in map(read, found):
    batch.append(photo)
    held += len(photo.content)
    if len(batch) == size or held >= BATCH_BYTES:
      yield batch
      batch, held = [], 0
  if batch:
    yield batch


def read(photo: Photo) -> Photo:
  """Returns the photo with the bytes of its file, or with an error."""
  if photo.error:
    return photo
  try:
    content = _from_stdin() if photo.path == STDIN else _from_file(photo.path)
  except photos.RejectedError as rejected:
    error = f"{rejected.status}: {rejected}"
    return dataclasses.replace(photo, error=error)
  except OSError as error:
    return dataclasses.replace(photo, error=_unreadable(error))
  return dataclasses.replace(photo, content=content)


def _unreadable(error: OSError) -> str:
  return f"unreadable: {error.strerror or type(error).__name__}"


def _from_file(path: str) -> bytes:
  # A pipe without a writer would be waited for before it can be looked at.
  def without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)

  with open(path, "rb", opener=without_waiting) as file:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
      raise photos.RejectedError(
        "unreadable", "neither a file nor a link to one"
      )
    if status.st_size > MAX_BYTES:
      raise _too_large()
    return _at_most(file)


def _from_stdin() -> bytes:
  if sys.stdin.isatty():
    raise cli.UserError(
      "got - for standard input, which is the terminal; send a photo there: "
      "python -m export.predict --model=E/saved_model - < a.jpg"
    )
  return _at_most(sys.stdin.buffer)


def _at_most(file: IO[bytes]) -> bytes:
  """Reads a file that may be endless, or have grown."""
  content = file.read(MAX_BYTES + 1)
  if len(content) > MAX_BYTES:
    raise _too_large()
  return content


def _too_large() -> photos.RejectedError:
  return photos.RejectedError("too_large", f"more than {MAX_BYTES:,} bytes")
