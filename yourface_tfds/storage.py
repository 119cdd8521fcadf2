"""Files and folders wherever they lie: this disk, gs://, s3://, ...

  run = storage.path("s3://bucket/run")
  storage.write_text(run / "figures.json", text)   # whole or not at all
  with storage.local_file(run / "best.weights.h5") as path:
    model.load_weights(path)   # h5py knows this disk only

Whatever `etils.epath` knows, which asks TensorFlow's file systems. A library
that can only write to this disk does so in a temporary folder, and what it
wrote is copied.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, cast

from etils import epath

Anywhere = str | os.PathLike[str]
"""A path, of this disk or with a scheme before it."""

_PIECE = 16 << 20  # Bytes copied at a time.


def is_local(place: Anywhere) -> bool:
  """Returns whether a path is on a disk of this machine."""
  return "://" not in os.fspath(place)


def path(place: Anywhere) -> epath.Path:
  """Returns a path to work with; `pathlib.Path` would make gs:/b of gs://b."""
  return epath.Path(place)


def absolute(place: Anywhere) -> str:
  """Returns a path that means the same in every folder."""
  if not is_local(place):
    return os.fspath(place)
  return os.path.realpath(place)


def copy(source: Anywhere, target: Anywhere) -> None:
  """Copies a file from anywhere to anywhere, 16 MB at a time."""
  with path(source).open("rb") as reader, path(target).open("wb") as writer:
    shutil.copyfileobj(cast(Any, reader), cast(Any, writer), _PIECE)


def copy_tree(source: pathlib.Path, target: epath.Path) -> None:
  """Copies a folder of this disk to anywhere."""
  target.mkdir(parents=True, exist_ok=True)
  for entry in sorted(source.iterdir()):
    if entry.is_dir():
      copy_tree(entry, target / entry.name)
    else:
      copy(entry, target / entry.name)


@contextlib.contextmanager
def local_file(place: Anywhere) -> Iterator[pathlib.Path]:
  """Yields the file where this disk's libraries can open it.

  Raises:
    FileNotFoundError: there is none.
  """
  if is_local(place):
    yield pathlib.Path(place)
    return
  with tempfile.TemporaryDirectory(prefix="your_face.") as folder:
    local = pathlib.Path(folder) / path(place).name
    copy(place, local)
    yield local


@contextlib.contextmanager
def replaced_file(place: Anywhere) -> Iterator[pathlib.Path]:
  """Yields a path on this disk; what is written there takes `place` on success.

  It keeps the ending, by which libraries choose a format. On any error, Ctrl-C
  included, it is removed and `place` stays as it was.
  """
  target = path(place)
  target.parent.mkdir(parents=True, exist_ok=True)
  beside = target.with_name(f".incomplete.{target.name}")
  with contextlib.ExitStack() as stack:
    if is_local(place):
      temporary = pathlib.Path(beside)
    else:
      folder = tempfile.TemporaryDirectory(prefix="your_face.")
      temporary = pathlib.Path(stack.enter_context(folder)) / target.name
    try:
      yield temporary
      if not is_local(place):
        # Not straight to `place`: a store may publish half of what is sent.
        copy(temporary, beside)
      beside.replace(target)
    finally:
      beside.unlink(missing_ok=True)


def write_text(place: Anywhere, text: str) -> None:
  """Writes a UTF-8 text file, whole or not at all."""
  with replaced_file(place) as temporary:
    temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replaced_dir(place: Anywhere) -> Iterator[pathlib.Path]:
  """Yields an empty folder of this disk that takes `place` on success.

  On any error, Ctrl-C included, it is removed and `place` stays as it was. A
  store without folders renames file by file: there, who looks in between finds
  nothing, or a part.
  """
  target = path(place)
  target.parent.mkdir(parents=True, exist_ok=True)
  prefix = f".{target.name}.incomplete."
  parent = target.parent if is_local(place) else None
  temporary = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
  try:
    yield temporary
    if is_local(place):
      temporary.chmod(0o755)  # mkdtemp makes it private; a result is not.
      _take_place(temporary, pathlib.Path(target))
    else:
      _send(temporary, target)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: pathlib.Path, target: pathlib.Path) -> None:
  if not target.exists():
    temporary.rename(target)
    return
  old = temporary.with_name(temporary.name + ".old")
  target.rename(old)
  try:
    temporary.rename(target)
  except BaseException:
    old.rename(target)
    raise
  shutil.rmtree(old)


def _send(folder: pathlib.Path, target: epath.Path) -> None:
  beside = target.with_name(folder.name)
  try:
    copy_tree(folder, beside)
    if target.exists():
      target.rmtree()
    beside.rename(target)
  finally:
    if beside.exists():
      beside.rmtree()
