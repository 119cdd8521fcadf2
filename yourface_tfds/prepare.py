"""From photos on disk to examples: every file looked at, dealt, accounted for.

`prepare` hands the files to `photo_worker` in threads and keeps the crops in
an unnamed temporary file, as what near-duplicates are known by; memory holds
the rows, .7 kB a photo. The splits are known only when all have been seen.

  prepared = prepare(manual_dir, settings, work_dir=data_dir / "your_face")
  for row in prepared.members("train"):
    prepared.example(row)
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import tqdm

from yourface_tfds import (
  build_settings,
  cli,
  collected,
  curate,
  detections,
  duplicates,
  examples,
  heap,
  mtcnn,
  people,
  photo_worker,
  photos,
  pseudonyms,
  shards,
  spooled_prints,
)

CACHE_NAME = "detections.sqlite3"
"""Beside the configs of the dataset: they share it, and rebuilds use it."""

# Photos after which freed memory is given back: those of many sizes leave gaps.
_TRIMMED = 1024
_SECONDS_UNSAID = 2
"""That near-duplicates may take before there is a bar: most take less."""
_CHUNK = 64
"""Files a thread works on at a time: enough of one shape to share a batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
  """All photos, looked at.

  Attributes:
    rows: one for every file under photos/, sorted by path.
    settings: of the build.
    people: person -> head -> class index.
    numbers: of the files in `pictures`, by path.
    pictures: crops as the dataset holds them, and JPEG thumbnails.
    spool: the file that holds them.
    detected: how many photos were not known from the cache.
  """

  rows: Sequence[curate.PhotoRow]
  settings: build_settings.BuildSettings
  people: Mapping[str, Mapping[str, int]]
  numbers: Mapping[str, int]
  pictures: collected.Pictures
  spool: BinaryIO
  detected: int

  def close(self) -> None:
    """Gives the disk of the crops back; only the rows are left."""
    self.spool.close()

  def splits(self) -> list[str]:
    """Returns the splits that have examples, in the order of `SPLITS`."""
    present = {row.split for row in self.rows}
    return [split for split in curate.SPLITS if split in present]

  def members(self, split: str) -> list[curate.PhotoRow]:
    """Returns the rows of a split, sorted by path."""
    return [row for row in self.rows if row.split == split]

  def picture(self, row: curate.PhotoRow) -> bytes:
    """Returns a photo's crop or thumbnail; b"" where it has neither."""
    start, length = self.pictures.place(self.numbers[row.path])
    return os.pread(self.spool.fileno(), length, start)

  def landmarks(self, row: curate.PhotoRow) -> np.ndarray:
    """Returns float32[5, 2] of an accepted photo, y x, 0..1 of it."""
    return self.pictures.landmarks(self.numbers[row.path])

  def record_length(self, row: curate.PhotoRow) -> int:
    """Returns the bytes that the record of an accepted photo will have."""
    _, length = self.pictures.place(self.numbers[row.path])
    return len(shards.serialize(self._example(row, bytes(length))))

  def example(self, row: curate.PhotoRow) -> dict[str, Any]:
    """Returns the example of an accepted photo, by feature.

    The image is bytes: JPEG, or with the encoding `raw` the pixels.
    """
    return self._example(row, self.picture(row))

  def _example(self, row: curate.PhotoRow, image: bytes) -> dict[str, Any]:
    landmarks = self.landmarks(row)
    return examples.example(row, self.people[row.person], landmarks, image)


def prepare(
  manual_dir: str | os.PathLike[str],
  settings: build_settings.BuildSettings,
  *,
  work_dir: str | os.PathLike[str],
) -> Prepared:
  """Looks at every photo under `manual_dir`.

  Args:
    manual_dir: holds people.csv and photos/<person>/.
    settings: of the build.
    work_dir: an existing folder for the cache of detections, whose disk also
      takes the crops for the time of the build.

  Raises:
    UserError: people.csv or the folders are not as they must be, or no photo
      has a usable face. A bad photo raises nothing.
  """
  persons, files = read_input(manual_dir, settings)
  if settings.hash_names:
    pseudonyms.read_salt(manual_dir)  # Before the work, not after it.
  spool = tempfile.TemporaryFile(dir=work_dir)  # noqa: SIM115 (returned)
  try:
    with spooled_prints.SpooledPrints(work_dir) as prints:
      found = collected.Collected(spool, prints)
      detected = _look(persons, files, settings, found, work_dir)
      del files
      heap.give_back()
      numbers = {row.path: number for number, row in enumerate(found.rows)}
      rows = deal(found.rows, prints, persons, settings)
      found.rows.clear()  # Each row has a copy by now.
    check_any_accepted(rows, manual_dir)
    salt = pseudonyms.read_salt(manual_dir) if settings.hash_names else b""
  except KeyboardInterrupt as error:
    spool.close()
    raise KeyboardInterrupt(
      "faces found so far are, the same command goes on from there"
    ) from error
  except BaseException:
    spool.close()
    raise
  names = pseudonyms.Names(rows, salt)
  return Prepared(
    rows=names.rows(rows),
    settings=settings,
    people=names.by_person(persons),
    numbers=names.by_path(numbers),
    pictures=found.pictures,
    spool=spool,
    detected=detected,
  )


def _look(
  persons: Mapping[str, Mapping[str, int]],
  files: Sequence[photos.PhotoFile],
  settings: build_settings.BuildSettings,
  found: collected.Collected,
  work_dir: str | os.PathLike[str],
) -> int:
  """Collects what becomes of all files; returns how many were detected."""
  cache_path = pathlib.Path(work_dir) / CACHE_NAME
  with detections.DetectionCache(cache_path, mtcnn.DetectorSettings()) as cache:
    worker = photo_worker.PhotoWorker(settings, cache)
    with tqdm.tqdm(total=len(files), unit=" photos", desc="Detecting") as bar:
      known = [file for file in files if file.person in persons]
      strangers = [file for file in files if file.person not in persons]
      for outcomes in itertools.chain(
        [[unknown_person(file) for file in strangers]], work(worker, known)
      ):
        found.add(outcomes)
        bar.update(len(outcomes))
        bar.set_postfix(rejected=found.rejected)
        if len(found.rows) % _TRIMMED < len(outcomes):
          heap.give_back()
  return worker.detected


def read_input(
  manual_dir: str | os.PathLike[str],
  settings: build_settings.BuildSettings,
) -> tuple[dict[str, dict[str, int]], list[photos.PhotoFile]]:
  """Returns the people and every file under photos/, sorted by path.

  Raises:
    UserError: people.csv or the folders are not as they must be.
  """
  manual_dir = pathlib.Path(manual_dir)
  csv_path = manual_dir / "people.csv"
  persons = people.read(csv_path)
  files = photos.scan(manual_dir / "photos")
  if settings.strict_people:
    people.check_folders(persons, files, csv_path)
  return persons, files


def unknown_person(file: photos.PhotoFile) -> photo_worker.Outcome:
  """Returns the outcome of a file that is in no known person's folder."""
  return photo_worker.Outcome(
    row=curate.PhotoRow(
      path=file.path,
      person=file.person,
      status="unknown_person",
      detail="no row in people.csv" if file.person else "in no person's folder",
    )
  )


def deal(
  rows: Sequence[curate.PhotoRow],
  prints: Sequence[Mapping[str, bytes]],
  persons: Mapping[str, Mapping[str, int]],
  settings: build_settings.BuildSettings,
) -> list[curate.PhotoRow]:
  """Groups near-duplicates, rejects label conflicts, deals the splits.

  Args:
    rows: of all files; the group of each decoded photo is the hash of its
      content, that of the others "".
    prints: what near-duplicates are known by, of each row with a group.
    persons: person -> head -> class index.
    settings: of the build.

  Returns:
    The rows sorted by path.
  """
  decoded = [row for row in rows if row.group]
  order = sorted(range(len(decoded)), key=lambda number: decoded[number].path)
  with tqdm.tqdm(
    total=duplicates.STEPS,
    unit=" steps",
    desc="Looking for near-duplicates",
    delay=_SECONDS_UNSAID,
  ) as bar:
    groups = iter(
      duplicates.find_groups(
        spooled_prints.Picked(prints, order),
        [decoded[number].group for number in order],
        bar.update,
      )
    )
  grouped = [
    dataclasses.replace(row, group=next(groups)) if row.group else row
    for row in sorted(rows, key=lambda row: row.path)
  ]
  return curate.assign_splits(
    curate.reject_shared(grouped), persons, settings.split_settings()
  )


def check_any_accepted(
  rows: Sequence[curate.PhotoRow], manual_dir: str | os.PathLike[str]
) -> None:
  """Raises `UserError` where no photo has a usable face."""
  if not any(row.split for row in rows):
    raise cli.UserError(
      f"{pathlib.Path(manual_dir) / 'photos'}: none of {len(rows)} files has a "
      f"usable face ({curate.summary(rows)}); add photos that show one"
    )


def work(
  worker: photo_worker.PhotoWorker, files: Sequence[photos.PhotoFile]
) -> Iterator[list[photo_worker.Outcome]]:
  """Yields outcomes as they come, from one thread a core."""
  starts = range(0, len(files), _CHUNK)
  chunks = collections.deque(files[i : i + _CHUNK] for i in starts)
  threads = (os.cpu_count() or 1) + 1  # One may wait for Python's lock.
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    waiting: set[concurrent.futures.Future[list[photo_worker.Outcome]]] = set()
    try:
      while chunks or waiting:
        # One chunk more than threads, so that none waits for this loop.
        while chunks and len(waiting) <= threads:
          waiting.add(pool.submit(worker.work, chunks.popleft()))
        done, waiting = concurrent.futures.wait(
          waiting, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
          yield future.result()
    finally:  # On Ctrl-C the threads end with the chunk they are at.
      for future in waiting:
        future.cancel()
