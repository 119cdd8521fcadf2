"""Where every record of a split lies: made once, kept beside the shards.

  rows = record_index.open_index(shards, layout, folder)
  rows["offset"], rows["image"], rows["labels"]   # one row a record

The file is mapped, not loaded: its memory is the page cache, however many
records there are. Its name holds a fingerprint of the shards and a checksum of
itself, so that an index of other shards, or a damaged one, is never used.
"""

import contextlib
import dataclasses
import hashlib
import mmap
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import google_crc32c
import numpy as np
import simplejpeg
import tqdm

from yourface_tfds import storage, tfrecord

_VERSION = 1
_CHUNK = 4096  # Rows written at a time: 0.2 MB.
_ENDS = 4096  # Bytes of each end of a shard that its fingerprint covers.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
  """One file of a split.

  Attributes:
    path: of the file.
    records: how many it must hold, by the dataset's description.
  """

  path: str
  records: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """What a record must hold.

  Attributes:
    size: side of the image, pixels.
    is_raw: whether the image is plain uint8 instead of JPEG.
    integers: names of the label features.
    strings: names of the text features.
  """

  size: int
  is_raw: bool
  integers: tuple[str, ...]
  strings: tuple[str, ...]

  @property
  def row(self) -> np.dtype:
    """A row: places are start and length within the record's payload."""
    return np.dtype(
      [
        ("shard", "<u4"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("image", "<u4", (2,)),
        ("strings", "<u4", (len(self.strings), 2)),
        ("labels", "<i4", (len(self.integers),)),
      ]
    )


def map_file(path: str) -> np.ndarray:
  """Returns a file as uint8[size], mapped read-only.

  Raises:
    OSError: it is missing or cannot be read.
  """
  if not os.path.getsize(path):  # noqa: PTH202 (a str, one call)
    return np.zeros(0, np.uint8)
  with pathlib.Path(path).open("rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
  if hasattr(mmap, "MADV_HUGEPAGE"):
    # It is read from end to end, and what is large in the page cache now is
    # quicker to copy from later. Refused where the kernel has no such pages.
    with contextlib.suppress(OSError):
      mapped.madvise(mmap.MADV_HUGEPAGE)
  return np.frombuffer(mapped, np.uint8)


def open_index(
  shards: Sequence[Shard], layout: Layout, folder: pathlib.Path, name: str
) -> np.ndarray:
  """Returns the rows of a split's records, in stored order.

  Args:
    shards: the files of the split, in order.
    layout: what each record must hold.
    folder: where the index is kept; if nothing can be written there, in the
      user's cache folder, and if not there either, nowhere.
    name: of the split.

  Returns:
    `layout.row`[records], mapped read-only.

  Raises:
    tfrecord.CorruptError: a shard is damaged, cut short or of another dataset.
    OSError: a shard is missing, or there is no room for the index anywhere.
  """
  key = f"{name}.{_fingerprint(shards, layout)}"
  folders = [folder]
  with contextlib.suppress(RuntimeError):
    folders.append(storage.cache_dir("index", folder))
  for place in folders:
    rows = _stored(place, key, layout)
    if rows is not None:
      return rows
  for place in folders:
    with contextlib.suppress(PermissionError, _ReadOnlyError):
      return _written(place, name, key, shards, layout)
  with tempfile.TemporaryDirectory(prefix="yourface_index") as scratch:
    try:
      # A mapped file lives on after its name is gone.
      return _written(pathlib.Path(scratch), name, key, shards, layout)
    except _ReadOnlyError as error:
      raise OSError(
        f"{folder}: the index of {name} cannot be written, there or in the "
        f"cache folder or {tempfile.gettempdir()}: {error.__cause__}; make room"
      ) from error


class _ReadOnlyError(Exception):
  """Nothing, or no more, can be written to a folder."""


def _fingerprint(shards: Sequence[Shard], layout: Layout) -> str:
  digest = hashlib.blake2b(repr((_VERSION, layout)).encode(), digest_size=12)
  for shard in shards:
    with pathlib.Path(shard.path).open("rb") as file:
      stat = os.fstat(file.fileno())
      name = pathlib.Path(shard.path).name
      facts = (name, shard.records, stat.st_size, stat.st_mtime_ns)
      digest.update(repr(facts).encode() + file.read(_ENDS))
      file.seek(max(0, stat.st_size - _ENDS))
      digest.update(file.read(_ENDS))
  return digest.hexdigest()


def _stored(
  folder: pathlib.Path, key: str, layout: Layout
) -> np.ndarray | None:
  """Returns the index of that name, if it is there and undamaged."""
  with contextlib.suppress(OSError):
    for path in folder.glob(f"{key}.*.index"):
      data = map_file(str(path))
      crc = google_crc32c.extend(google_crc32c.value(key.encode()), data)
      if path.name == f"{key}.{crc:08x}.index":
        return data.view(layout.row)
  return None


def _written(
  folder: pathlib.Path,
  name: str,
  key: str,
  shards: Sequence[Shard],
  layout: Layout,
) -> np.ndarray:
  """Reads the shards and writes their index, whole or not at all."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix=".incomplete.", dir=folder)
  except OSError as error:
    raise _ReadOnlyError from error
  temporary = pathlib.Path(path)
  crc = google_crc32c.value(key.encode())
  try:
    with os.fdopen(handle, "wb", buffering=0) as file:
      for rows in _rows(shards, layout, name):
        crc = google_crc32c.extend(crc, rows.tobytes())
        _write(file, rows.tobytes())
    made = map_file(path).view(layout.row)
    temporary.chmod(0o644)  # mkstemp makes it private; the shards are not.
    for old in folder.glob(f"{name}.*.index"):
      old.unlink(missing_ok=True)
    target = folder / f"{key}.{crc:08x}.index"
    temporary.replace(target)
  finally:
    temporary.unlink(missing_ok=True)
  return made


def _write(file: BinaryIO, data: bytes) -> None:
  left = memoryview(data)
  try:
    while left:
      left = left[file.write(left) :]
  except OSError as error:  # The disk is full.
    raise _ReadOnlyError from error


def _rows(
  shards: Sequence[Shard], layout: Layout, name: str
) -> Iterator[np.ndarray]:
  total = sum(shard.records for shard in shards)
  with tqdm.tqdm(
    total=total,
    unit=" records",
    desc=f"Indexing {name}",
    leave=False,
    delay=1,
  ) as bar:
    for number, shard in enumerate(shards):
      rows: list[tuple] = []
      count = 0
      data = map_file(shard.path)
      for offset, length in tfrecord.records(shard.path, data):
        rows.append(_row(shard.path, data, count, offset, length, layout))
        count += 1
        if len(rows) == _CHUNK:
          yield _array(rows, number, layout)
          rows = []
          bar.update(_CHUNK)
      bar.update(len(rows))
      yield _array(rows, number, layout)
      if count != shard.records:
        raise tfrecord.other_count(shard.path, count, shard.records)


def _array(rows: list[tuple], shard: int, layout: Layout) -> np.ndarray:
  made = np.zeros(len(rows), layout.row)
  made["shard"] = shard
  for name, values in zip(
    (layout.row.names or ())[1:], zip(*rows, strict=True), strict=False
  ):
    if made[name].size:
      made[name] = values
  return made


def _row(
  path: str,
  data: np.ndarray,
  number: int,
  offset: int,
  length: int,
  layout: Layout,
) -> tuple:
  """Returns a record's row without the shard, or raises CorruptError."""
  payload = tfrecord.payload(data, offset, length)
  try:
    found = tfrecord.features(payload)
    start, size = found["image"].span
    labels = tuple(found[name].integer for name in layout.integers)
    strings = tuple(found[name].span for name in layout.strings)
    if (0, 0) in strings:
      raise KeyError(layout.strings[strings.index((0, 0))])
    if any(not -(2**31) <= (label or 0) < 2**31 for label in labels):
      raise ValueError("a label does not fit 32 bits; it is of another dataset")
    if None in labels:
      raise KeyError(layout.integers[labels.index(None)])
    _check_image(payload[start : start + size], layout)
  except KeyError as error:
    why = f"it has no {error}; it is of another dataset"
    raise tfrecord.CorruptError(f"{path}: record {number}: {why}") from error
  except ValueError as error:
    raise tfrecord.CorruptError(f"{path}: record {number}: {error}") from error
  return offset, length, (start, size), strings, labels


def _check_image(image: np.ndarray, layout: Layout) -> None:
  side = layout.size
  if layout.is_raw:
    if len(image) != side * side * 3:
      raise ValueError(
        f"its image holds {len(image)} bytes, {side}x{side} pixels are "
        f"{side * side * 3}; it is of another dataset"
      )
    return
  height, width, *_ = simplejpeg.decode_jpeg_header(image)
  if (height, width) != (side, side):
    raise ValueError(
      f"its image is {width}x{height} pixels, the dataset says {side}x{side}; "
      "it is of another dataset"
    )
