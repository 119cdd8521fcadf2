"""The folder of one config: one build at a time, and no leftovers.

with build_folder.claimed(builder.data_path): ...
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import sys
from collections.abc import Iterable, Iterator

from yourface_tfds import cli, storage


def work_dir(dataset: storage.Path) -> pathlib.Path:
  """Returns the folder of what builds keep and put aside, made if missing.

  A database, and crops that are read at any place, need a disk.

  Args:
    dataset: the folder of all configs. If it is on this disk, it is that one,
      else one in the user's cache folder.

  Raises:
    UserError: the user has no such folder.
  """
  place = dataset
  if not isinstance(place, pathlib.Path):
    try:
      place = storage.cache_dir("build", dataset)
    except RuntimeError as error:
      raise cli.UserError(
        f"{dataset}: what the detector finds is kept on this disk, where you "
        "have no home folder; let XDG_CACHE_HOME name one"
      ) from error
  place.mkdir(parents=True, exist_ok=True)
  return place


@contextlib.contextmanager
def claimed(unpublished: storage.Path) -> Iterator[None]:
  """Keeps other builds out of a config's folder, and removes dead ones.

  TFDS builds in `<config>/incomplete.XXXXXX_<version>`, which a build that was
  killed leaves for ever. The kernel drops the lock of a process that ends,
  however it ends, so that whoever holds it is the only one alive.

  A store has no locks: there, two builds may run, each in a folder of its own,
  and the one that ends second is refused by TFDS. What killed ones left cannot
  be told from what others write, and stays.

  Args:
    unpublished: the folder that TFDS made for this build.

  Raises:
    UserError: another build of this config is running, or has published the
      version since this one began.
  """
  folder = unpublished.parent
  if not isinstance(folder, pathlib.Path):
    _say_unclaimed(folder, unpublished.name)
    yield
    return
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


def check_whole(version: storage.Path, shards: Iterable[str]) -> None:
  """Refuses what is left of a version whose deletion was killed.

  TFDS's `--overwrite` deletes file by file, and takes any folder for a version.

  Args:
    version: the published folder, there or not.
    shards: the names of its shards, as far as known.

  Raises:
    UserError: the folder is there, but not all of its files.
  """
  if not version.exists():
    return
  there = {path.name for path in version.iterdir()}
  for name in ("dataset_info.json", "features.json", *shards):
    if name not in there:
      raise cli.UserError(
        f"{version}: {name} is missing, this is no whole version; build it "
        "anew with --overwrite"
      )


def _say_unclaimed(folder: storage.Path, own: str) -> None:
  others = sorted(
    path.name
    for path in folder.iterdir()
    if path.name.startswith("incomplete.") and path.name != own
  )
  there = f"; of killed or running ones: {', '.join(others)}" if others else ""
  # Under `tfds`, absl's warnings are not shown.
  print(
    f"note: {folder}: not on this disk, where a second build would be refused; "
    f"of two at once, the one that ends first is kept{there}",
    file=sys.stderr,
  )


def describe(folder: storage.Path) -> str:
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
  size = sum(map(storage.size, shards))
  lines.append(f"  {len(shards)} shards, {size / 1e6:,.1f} MB")
  return "\n".join(lines)
