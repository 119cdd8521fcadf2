"""Files and folders wherever they lie: this disk, gs://, s3://, ...

  run = storage.path("s3://bucket/run")
  storage.write_text(run / "figures.json", text)   # whole or not at all
  with storage.local_file(run / "best.weights.h5") as path:
    model.load_weights(path)   # h5py knows this disk only

Whatever `etils.epath` knows, which asks TensorFlow's file systems. A library
that can only write to this disk does so in a temporary folder, and what it
wrote is copied.

Paths of this disk are `pathlib`'s: what it does and says there is what it does
and says anywhere in Python.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, cast

from etils import epath

from yourface_tfds import cli

Anywhere = str | os.PathLike[str]
"""A path, of this disk or with a scheme before it."""

Path = pathlib.Path | epath.Path
"""The same, to work with: what both have in common."""

_PIECE = 16 << 20  # Bytes copied at a time.


def is_local(place: Anywhere) -> bool:
  """Returns whether a path is on a disk of this machine."""
  return "://" not in os.fspath(place)


def path(place: Anywhere) -> Path:
  """Returns a path to work with; `pathlib.Path` would make gs:/b of gs://b.

  Raises:
    UserError: nobody knows its scheme.
  """
  if is_local(place):
    return pathlib.Path(place)
  try:
    return epath.Path(place)
  except KeyError:
    scheme, _, _ = os.fspath(place).partition("://")
    raise cli.UserError(
      f"got {os.fspath(place)!r}, allowed: a path of this disk, or one of "
      f"gs://, s3://, az:// and hf://; nobody knows {scheme}://"
    ) from None


def only_local(place: Anywhere, what: str) -> pathlib.Path:
  """Returns a path of this disk.

  Args:
    place: as the user gave it.
    what: what it is, for the error.

  Raises:
    UserError: it is elsewhere.
  """
  if not is_local(place):
    raise cli.UserError(
      f"{what}: got {os.fspath(place)!r}, allowed: a path of this disk; give "
      "one, and copy it yourself"
    )
  return pathlib.Path(place)


def absolute(place: Anywhere) -> str:
  """Returns a path that means the same in every folder."""
  if not is_local(place):
    return os.fspath(place)
  return os.path.realpath(place)


def cache_dir(kind: str, place: Anywhere) -> pathlib.Path:
  """Returns where this user keeps what belongs to a folder; not made.

  Args:
    kind: what is kept.
    place: the folder it belongs to.

  Raises:
    RuntimeError: the user has no home.
  """
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  name = pathlib.Path(place).absolute() if is_local(place) else path(place)
  digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
  return pathlib.Path(base) / "yourface_tfds" / kind / digest


def copy(source: Anywhere, target: Anywhere) -> None:
  """Copies a file from anywhere to anywhere, 16 MB at a time."""
  with path(source).open("rb") as reader, path(target).open("wb") as writer:
    cast(Any, writer).write(b"")  # Else TensorFlow makes no empty file.
    shutil.copyfileobj(cast(Any, reader), cast(Any, writer), _PIECE)


def files(folder: Anywhere) -> list[str]:
  """Returns the files below a folder, relative to it, in order; links too."""
  root = path(folder)
  if isinstance(root, pathlib.Path):
    found = root.rglob("*")
    return sorted(
      one.relative_to(root).as_posix()
      for one in found
      if one.is_symlink() or not one.is_dir()
    )
  return sorted(
    (parent / name).relative_to(root).as_posix()
    for parent, _, names in root.walk()
    for name in names
  )


def size(place: Anywhere) -> int:
  """Returns the bytes of a file."""
  target = path(place)
  if isinstance(target, pathlib.Path):
    return target.stat().st_size
  return target.stat().length


def sha256(place: Anywhere) -> str:
  """Returns the SHA-256 of a file, in hexadecimal."""
  digest = hashlib.sha256()
  with path(place).open("rb") as file:
    while piece := file.read(1 << 20):
      digest.update(piece)
  return digest.hexdigest()


def copy_tree(source: Anywhere, target: Anywhere) -> None:
  """Copies the files of a folder from anywhere to anywhere."""
  for name in files(source):
    to = path(target) / name
    to.parent.mkdir(parents=True, exist_ok=True)
    copy(path(source) / name, to)


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
  if isinstance(beside, pathlib.Path):
    try:
      yield beside
      beside.replace(target)
    finally:
      beside.unlink(missing_ok=True)
    return
  with tempfile.TemporaryDirectory(prefix="your_face.") as folder:
    temporary = pathlib.Path(folder) / target.name
    yield temporary
    try:
      # Not straight to `place`: a store may publish half of what is sent.
      copy(temporary, beside)
      beside.replace(target)
    except BaseException:
      with contextlib.suppress(Exception):  # The store said why already.
        beside.unlink(missing_ok=True)
      raise


def write_text(place: Anywhere, text: str) -> None:
  """Writes a UTF-8 text file, whole or not at all.

  Raises:
    OSError: it names the file, on a full disk too.
  """
  with replaced_file(place) as temporary:
    try:
      temporary.write_text(text, encoding="utf-8")
    except OSError as error:
      if error.filename is None and error.errno:
        raise OSError(error.errno, error.strerror, os.fspath(place)) from error
      raise


@contextlib.contextmanager
def replaced_dir(place: Anywhere) -> Iterator[pathlib.Path]:
  """Yields an empty folder of this disk that takes `place` on success.

  On any error, Ctrl-C included, it is removed and `place` stays as it was. A
  store without folders renames file by file: there, who looks in between finds
  nothing, or a part. On this disk, what killed processes left is removed.
  """
  target = path(place)
  target.parent.mkdir(parents=True, exist_ok=True)
  prefix = f".{target.name}.incomplete."
  parent = None
  if isinstance(target, pathlib.Path):
    _sweep(target, prefix)
    parent = target.parent
  temporary = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
  try:
    with _in_use(temporary):
      yield temporary
      if isinstance(target, pathlib.Path):
        temporary.chmod(0o755)  # mkdtemp makes it private; a result is not.
        _take_place(temporary, target)
      else:
        _send(temporary, target)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _in_use(folder: pathlib.Path) -> Iterator[bool]:
  """Marks a folder until this process ends; yields whether it was free."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
      is_free = True
    except OSError:  # In use, or a disk without locks.
      is_free = False
    yield is_free
  finally:
    os.close(handle)


def _sweep(target: pathlib.Path, prefix: str) -> None:
  """Removes leftovers; what a killed process had put aside goes back."""
  for leftover in target.parent.glob(f"{glob.escape(prefix)}*"):
    with contextlib.suppress(OSError), _in_use(leftover) as is_free:
      if is_free and leftover.suffix == ".old" and not target.exists():
        leftover.rename(target)
      elif is_free:
        shutil.rmtree(leftover)


def _take_place(temporary: pathlib.Path, target: pathlib.Path) -> None:
  if not target.exists():
    temporary.rename(target)
    return
  old = temporary.with_name(temporary.name + ".old")
  with _in_use(target):  # And so it stays under its other name.
    target.rename(old)
    try:
      temporary.rename(target)
    except BaseException:
      old.rename(target)
      raise
    shutil.rmtree(old)


def _send(folder: pathlib.Path, target: epath.Path) -> None:
  """Takes the place of a folder, which a store can only do file by file."""
  # Always the same name: what a killed process left goes with the next.
  beside = target.with_name(f".incomplete.{target.name}")
  try:
    beside.rmtree(missing_ok=True)
    copy_tree(folder, beside)
    target.rmtree(missing_ok=True)
    for name in files(beside):
      (target / name).parent.mkdir(parents=True, exist_ok=True)
      (beside / name).replace(target / name)
  except BaseException:
    with contextlib.suppress(Exception):  # The store said why already.
      beside.rmtree(missing_ok=True)
    raise
  beside.rmtree(missing_ok=True)
