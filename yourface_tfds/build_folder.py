"""The folder of one config: one build at a time, and no leftovers.

with build_folder.claimed(builder.data_path): ...
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator

from yourface_tfds import cli


@contextlib.contextmanager
def claimed(unpublished: pathlib.Path) -> Iterator[None]:
  """Keeps other builds out of a config's folder, and removes dead ones.

  TFDS builds in `<config>/incomplete.XXXXXX_<version>`, which a build that was
  killed leaves for ever. The kernel drops the lock of a process that ends,
  however it ends, so that whoever holds it is the only one alive.

  Args:
    unpublished: the folder that TFDS made for this build.

  Raises:
    UserError: another build of this config is running, or has published the
      version since this one began.
  """
  folder = unpublished.parent
  handle = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise cli.UserError(
        f"{folder}: another build writes to it; wait for it to end, or give "
        "another --data_dir"
      ) from error
    version = unpublished.name.partition("_")[2]
    if version and (folder / version).exists():
      raise cli.UserError(
        f"{folder / version}: another build has published it meanwhile; it may "
        "be used, or built anew with --overwrite"
      )
    for leftover in folder.glob("incomplete.*"):
      if leftover.name != unpublished.name:
        shutil.rmtree(leftover, ignore_errors=True)
    yield
  finally:
    os.close(handle)


def describe(folder: pathlib.Path) -> str:
  """Returns what lies in the folder of a finished build, for people."""
  lines = [f"Files in {folder}:"]
  for name, what in (
    ("photos.csv", "every file and what became of it"),
    ("contact_sheet.jpg", "the crops and the rejected photos, to look at"),
    ("DATASET_CARD.md", "what is in it and what it is not for"),
    ("croissant.json", "the same for programs"),
  ):
    if (folder / name).exists():
      lines.append(f"  {name:<18}{what}")
  shards = [path for path in folder.iterdir() if ".tfrecord-" in path.name]
  size = sum(path.stat().st_size for path in shards)
  lines.append(f"  {len(shards)} shards, {size / 1e6:,.1f} MB")
  return "\n".join(lines)
