"""Copies on this disk of shards that lie elsewhere: gs://, s3://, ...

  copies = shard_copies.fetch(shards, "gs://bucket/your_face/jpeg/1.0.0",
                              "train")

A global shuffle reads records in any order, which of a store is a request for
each. So shards are copied once, whole, into the user's cache folder, and used
again as long as size, time and both ends of each agree with the store's. That
what came is what was written, the index made of the copies finds out: it
verifies the checksum of every record.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence

import tensorflow as tf
import tqdm
from absl import logging

from yourface_tfds import cli, record_index, storage, tfrecord

_PIECE = 8 << 20  # Bytes copied at a time.
_ENDS = 4096  # Bytes of each end of a shard that its fingerprint covers.
_UNFINISHED = ".incomplete."
_INDEX = 1.02  # Room needed a byte: an index takes .1 to .6 % of its shards.


class NoCopiesError(cli.UserError):
  """Why there cannot be copies."""


def folder(data_dir: storage.Anywhere) -> pathlib.Path:
  """Returns where the copies of a dataset and their indexes are.

  Args:
    data_dir: the folder of the shards.

  Raises:
    NoCopiesError: the user has no folder for such things.
  """
  try:
    return storage.cache_dir("shards", data_dir)
  except RuntimeError as error:
    raise _no_copies(
      data_dir, "you have no home folder for copies; set XDG_CACHE_HOME"
    ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Copy:
  """One shard's copy: where it belongs, if it is there or not."""

  source: record_index.Shard
  path: pathlib.Path
  size: int

  def is_there(self) -> bool:
    # A power cut may leave the name of a file without its content.
    return self.path.exists() and self.path.stat().st_size == self.size


def fetch(
  shards: Sequence[record_index.Shard], data_dir: storage.Anywhere, split: str
) -> list[record_index.Shard]:
  """Returns copies of shards, made where they are missing or outdated.

  Two processes that want the same ones copy them once; a copy appears under
  its name when it is complete. Copies of a former state of the split are
  removed: who has them open keeps them.

  Args:
    shards: of a whole split, in order.
    data_dir: the folder they are in.
    split: its name.

  Raises:
    NoCopiesError: there is no room, or nothing can be written.
    UserError: a shard is missing, or changed while it was copied.
    tf.errors.OpError: the store does not answer.
  """
  place = folder(data_dir) / split
  copies = [_copy_of(shard, place) for shard in shards]
  try:
    place.mkdir(parents=True, exist_ok=True)
    if not all(copy.is_there() for copy in copies):
      with _alone(place) as is_alone:
        _remove_others(place, copies, with_unfinished=is_alone)
        missing = [copy for copy in copies if not copy.is_there()]
        _check_room(place, missing, data_dir)
        _fill(missing, split)
  except OSError as error:  # Of this disk; a store's are TensorFlow's.
    why = f"copies cannot be kept in {place}: {error.strerror}"
    raise _no_copies(data_dir, why) from error
  return [
    record_index.Shard(path=str(copy.path), records=copy.source.records)
    for copy in copies
  ]


def _no_copies(data_dir: storage.Anywhere, why: str) -> NoCopiesError:
  return NoCopiesError(
    f"the shards are not on this disk ({os.fspath(data_dir)}) and {why}"
  )


@contextlib.contextmanager
def blamed(
  shards: Sequence[record_index.Shard], copies: Sequence[record_index.Shard]
) -> Iterator[None]:
  """Removes copies that are found damaged, and says whose they were.

  Args:
    shards: where they come from.
    copies: of them, in the same order; the shards themselves are let be.

  Raises:
    tfrecord.CorruptError: as it was raised inside, with both names.
  """
  try:
    yield
  except tfrecord.CorruptError as error:
    for shard, copy in zip(shards, copies, strict=True):
      if copy.path in str(error) and copy.path != shard.path:
        pathlib.Path(copy.path).unlink(missing_ok=True)
        raise tfrecord.CorruptError(
          f"{cli.one_line(error).replace(copy.path, shard.path)} (so says a "
          "copy of it, which was removed: the next start copies it again)"
        ) from error
    raise


def _copy_of(shard: record_index.Shard, place: pathlib.Path) -> _Copy:
  """Returns a copy whose name is another one once the shard has changed."""
  digest = hashlib.blake2b(shard.path.encode(), digest_size=12)
  try:
    stat = tf.io.gfile.stat(shard.path)
    digest.update(repr((stat.length, stat.mtime_nsec)).encode())
    with tf.io.gfile.GFile(shard.path, "rb") as file:
      digest.update(file.read(_ENDS))
      file.seek(max(0, stat.length - _ENDS))
      digest.update(file.read(_ENDS))
  except tf.errors.NotFoundError as error:
    raise cli.UserError(
      f"{shard.path}: is missing; build the dataset again or copy it again"
    ) from error
  name = f"{shard.path.rpartition('/')[2]}.{digest.hexdigest()}"
  return _Copy(source=shard, path=place / name, size=stat.length)


@contextlib.contextmanager
def _alone(place: pathlib.Path) -> Iterator[bool]:
  """Waits until no other process copies; yields whether that is certain."""
  handle = os.open(place, os.O_RDONLY)
  is_alone = True
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      logging.warning(
        "%s: another process copies shards; waiting for its copies", place
      )
      fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # A home on a network disk without locks.
      is_alone = False
    yield is_alone
  finally:
    os.close(handle)


def _remove_others(
  place: pathlib.Path, copies: Sequence[_Copy], *, with_unfinished: bool
) -> None:
  names = {copy.path.name for copy in copies}
  for path in place.iterdir():
    is_unfinished = path.name.startswith(_UNFINISHED)
    if path.name not in names and (with_unfinished or not is_unfinished):
      path.unlink(missing_ok=True)


def _check_room(
  place: pathlib.Path, missing: Sequence[_Copy], data_dir: storage.Anywhere
) -> None:
  size = sum(copy.size for copy in missing)
  free = shutil.disk_usage(place).free
  if free < size * _INDEX:
    raise _no_copies(
      data_dir,
      f"{size / 1e6:,.1f} MB of copies do not fit into the "
      f"{free / 1e6:,.1f} MB left in {place}; make room, or let "
      "XDG_CACHE_HOME name another folder",
    )


def _fill(missing: Sequence[_Copy], split: str) -> None:
  with tqdm.tqdm(
    total=sum(copy.size for copy in missing),
    unit="B",
    unit_scale=True,
    desc=f"Copying {split}",
    leave=False,
    delay=1,
  ) as bar:
    for copy in missing:
      _make(copy, bar)


def _make(copy: _Copy, bar: tqdm.tqdm) -> None:
  """Copies a shard; whole, or not at all."""
  place, source = copy.path.parent, copy.source.path
  handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=place)
  temporary = pathlib.Path(name)
  try:
    with (
      os.fdopen(handle, "wb", buffering=0) as writer,
      tf.io.gfile.GFile(source, "rb") as reader,
    ):
      while piece := reader.read(_PIECE):
        left = memoryview(piece)
        while left:
          left = left[writer.write(left) :]
        bar.update(len(piece))
    came = temporary.stat().st_size
    if _copy_of(copy.source, place) != copy or came != copy.size:
      raise cli.UserError(
        f"{source}: changed while it was copied ({came} bytes came of "
        f"{copy.size}); wait for who writes it, then give the same command "
        "again"
      )
    temporary.replace(copy.path)
  finally:
    temporary.unlink(missing_ok=True)
