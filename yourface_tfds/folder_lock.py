"""One writer a folder: who else wants it ends at once, with one line.

  with folder_lock.writing(workdir, "--workdir"):
    ...   # nobody else writes or reads here
  with folder_lock.reading(workdir, "--workdir"):
    ...   # nobody writes here; others may read

The kernel drops the lock of a process that ends, however it ends. Folders that
are not on a disk of this machine, and disks that know no locks, have none.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator

from yourface_tfds import cli, storage

# What network disks answer that have no locks, or none for folders.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


@contextlib.contextmanager
def writing(folder: storage.Anywhere, flag: str) -> Iterator[None]:
  """Keeps all others out of a folder, which is made if it is missing.

  A folder in which nothing was written is removed again.

  Args:
    folder: to write to.
    flag: that names it, for errors.

  Raises:
    UserError: another process writes or reads there, or it is not writable.
  """
  if not storage.is_local(folder):
    yield
    return
  path = pathlib.Path(folder)
  missing = [p for p in (path, *path.parents) if not p.exists()]
  try:
    path.mkdir(parents=True, exist_ok=True)
    is_writable = os.access(path, os.W_OK | os.X_OK)
  except OSError:
    is_writable = False
  if not is_writable:
    raise cli.UserError(
      f"{flag}: got {path}, where nothing can be written, allowed: a folder "
      "that is yours; change its rights or name another"
    )
  try:
    with _locked(path, flag, fcntl.LOCK_EX):
      yield
  finally:
    for one in missing:
      with contextlib.suppress(OSError):
        one.rmdir()


@contextlib.contextmanager
def reading(folder: storage.Anywhere, flag: str) -> Iterator[None]:
  """Keeps those who write out of a folder; it may be missing.

  Args:
    folder: to read.
    flag: that names it, for errors.

  Raises:
    UserError: another process writes there.
  """
  if not storage.is_local(folder) or not os.access(folder, os.R_OK):
    yield  # What reads it says what is wrong.
    return
  with _locked(pathlib.Path(folder), flag, fcntl.LOCK_SH):
    yield


@contextlib.contextmanager
def from_to(
  workdir: storage.Anywhere, folder: storage.Anywhere, flag: str
) -> Iterator[None]:
  """Reads a run and writes to a folder, which may be the run's own.

  Args:
    workdir: to read, of `--workdir`.
    folder: to write to.
    flag: that names it, for errors.

  Raises:
    UserError: as `reading` and `writing`.
  """
  with contextlib.ExitStack() as stack:
    if storage.absolute(workdir) != storage.absolute(folder):
      stack.enter_context(reading(workdir, "--workdir"))
    stack.enter_context(writing(folder, flag))
    yield


@contextlib.contextmanager
def _locked(path: pathlib.Path, flag: str, kind: int) -> Iterator[None]:
  handle = os.open(path, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
      doing = "writes to it" if kind == fcntl.LOCK_SH else "is at work in it"
      raise cli.UserError(
        f"{flag}: got {path}, but another command {doing}; wait for it to end, "
        "or name another folder"
      ) from error
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
    yield
  finally:
    os.close(handle)
