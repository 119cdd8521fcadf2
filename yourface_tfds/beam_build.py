"""The build on Apache Beam: the same work, on as many machines as there are.

Two pipelines, because near-duplicates and splits need all photos at once:
  1. each worker looks at chunks of files and writes what it found as JSON lines
     (5 kB a photo);
  2. this process groups and deals, as a local build does;
  3. each worker cuts its photos again, and TFDS's Beam writer shards them.

Workers must see `manual_dir` under the same path. Where they also see the
folder of the detection cache, they use it.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from yourface_tfds import (
  build_settings,
  cli,
  collected,
  curate,
  detections,
  examples,
  mtcnn,
  photo_worker,
  photos,
  prepare,
  pseudonyms,
  storage,
)

_CHUNK = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What the second pipeline writes.

  Attributes:
    rows: one for every file under photos/, under the names of the dataset.
    people: person -> head -> class index.
    found: what is in each accepted photo, by the path of its row.
    files: the file of each accepted photo, by the path of its row.
    digests: hash of its content, by the path of its row.
    settings: of the build.
  """

  rows: Sequence[curate.PhotoRow]
  people: Mapping[str, Mapping[str, int]]
  found: Mapping[str, detections.Detections]
  files: Mapping[str, photos.PhotoFile]
  digests: Mapping[str, str]
  settings: build_settings.BuildSettings

  def transform(self, split: str) -> beam.PTransform:
    """Returns what makes the examples of a split: (key, example) each."""
    tasks = [
      (
        row,
        self.files[row.path],
        self.found[row.path].to_json(),
        self.digests[row.path],
        dict(self.people[row.person]),
      )
      for row in self.rows
      if row.split == split
    ]
    return (
      f"{split} photos" >> beam.Create(tasks)
      | f"{split} spread" >> beam.Reshuffle()
      | f"{split} cut" >> beam.ParDo(_Cut(self.settings))
    )


def plan(
  manual_dir: str | os.PathLike[str],
  settings: build_settings.BuildSettings,
  *,
  work_dir: str | os.PathLike[str],
  shared_dir: storage.Path,
  options: Any,
  runner: Any,
) -> Plan:
  """Runs the first pipeline, then groups and deals.

  Args:
    manual_dir: holds people.csv and photos/<person>/.
    settings: of the build.
    work_dir: an existing folder for the cache of detections; workers that see
      it under the same path use it.
    shared_dir: a folder that all workers can write to.
    options: Beam's `PipelineOptions`.
    runner: a Beam runner or its name; None: as the options say.

  Raises:
    UserError: as `prepare.prepare`.
  """
  persons, files = prepare.read_input(manual_dir, settings)
  salt = pseudonyms.read_salt(manual_dir) if settings.hash_names else b""
  known = [file for file in files if file.person in persons]
  rows = [
    prepare.unknown_person(file).row
    for file in files
    if file.person not in persons
  ]
  found: dict[str, detections.Detections] = {}
  digests: dict[str, str] = {}
  cache_path = pathlib.Path(work_dir) / prepare.CACHE_NAME
  with detections.DetectionCache(cache_path, mtcnn.DetectorSettings()) as cache:
    for record in _look(
      known, settings, cache_path, shared_dir, options, runner
    ):
      row = _row(record)
      rows.append(row)
      if record["digest"]:
        found[row.path] = detections.Detections.from_json(record["found"])
        digests[row.path] = record["digest"]
    cache.put({digests[path]: one for path, one in found.items()})
  prints = [found[row.path].prints for row in rows if row.group]
  rows = prepare.deal(rows, prints, persons, settings)
  prepare.check_any_accepted(rows, manual_dir)
  names = pseudonyms.Names(rows, salt)
  return Plan(
    rows=names.rows(rows),
    people=names.by_person(persons),
    found=names.by_path(found),
    files=names.by_path({file.path: file for file in known}),
    digests=names.by_path(digests),
    settings=settings,
  )


def _row(record: Mapping[str, Any]) -> curate.PhotoRow:
  cells = record["row"]
  cells["box"] = tuple(cells["box"])
  cells["group"] = record["digest"][: collected.DIGEST]
  return curate.PhotoRow(**cells)


def _look(
  files: Sequence[photos.PhotoFile],
  settings: build_settings.BuildSettings,
  cache_path: pathlib.Path,
  shared_dir: storage.Path,
  options: Any,
  runner: Any,
) -> Iterator[dict[str, Any]]:
  """Yields a record for each file."""
  chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
  with _shared_folder(shared_dir) as folder:
    with beam.Pipeline(runner=runner, options=options) as pipeline:
      _ = (
        pipeline
        | beam.Create(list(enumerate(chunks)))
        | beam.Reshuffle()
        | beam.ParDo(_Look(settings, cache_path, os.fspath(folder)))
      )
    for number in range(len(chunks)):
      text = (folder / f"{number}.jsonl").read_bytes().decode()
      yield from map(json.loads, text.splitlines())


@contextlib.contextmanager
def _shared_folder(parent: storage.Path) -> Iterator[storage.Path]:
  """Yields a new folder there, which is removed."""
  if isinstance(parent, pathlib.Path):
    with tempfile.TemporaryDirectory(
      prefix="beam.", dir=parent, ignore_cleanup_errors=True
    ) as folder:
      yield pathlib.Path(folder)
    return
  folder = parent / f"beam.{uuid.uuid4().hex}"
  try:
    yield folder
  finally:
    folder.rmtree(missing_ok=True)


@functools.cache
def _worker(
  settings: build_settings.BuildSettings, cache_path: pathlib.Path | None
) -> photo_worker.PhotoWorker:
  """Returns the one worker of this process: its graph takes seconds to load."""
  cache = None
  if cache_path and cache_path.is_file():
    cache = detections.DetectionCache(cache_path, mtcnn.DetectorSettings())
  return photo_worker.PhotoWorker(settings, cache)


class _Look(beam.DoFn):
  """Numbered chunks of files -> a file of JSON lines each, one for each file.

  Beam's own writers know other stores than TensorFlow does.
  """

  def __init__(
    self,
    settings: build_settings.BuildSettings,
    cache_path: pathlib.Path,
    folder: str,
  ) -> None:
    self._settings = settings
    self._cache_path = cache_path
    self._folder = folder

  def process(self, element: tuple[int, Sequence[photos.PhotoFile]]) -> None:
    number, files = element
    worker = _worker(self._settings, self._cache_path)
    lines = [
      json.dumps(
        {
          "row": dataclasses.asdict(outcome.row),
          "digest": outcome.digest,
          "found": outcome.found.to_json() if outcome.found else "",
        }
      )
      for outcome in worker.work(files)
    ]
    # A runner may give two workers the same chunk: each file is whole.
    folder = storage.path(self._folder)
    temporary = folder / f"{uuid.uuid4().hex}.part"
    folder.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes("\n".join(lines).encode())
    temporary.replace(folder / f"{number}.jsonl")


class _Cut(beam.DoFn):
  """Accepted photos -> examples as TFDS encodes them."""

  def __init__(self, settings: build_settings.BuildSettings) -> None:
    self._settings = settings

  def process(
    self,
    element: tuple[
      curate.PhotoRow, photos.PhotoFile, str, str, Mapping[str, int]
    ],
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    row, file, found, digest, labels = element
    worker = _worker(self._settings, None)
    try:
      outcome = worker.cut(file, detections.Detections.from_json(found))
    except photos.RejectedError:
      outcome = None
    if not outcome or outcome.landmarks is None or outcome.digest != digest:
      # The row would tell of another picture than the shard holds.
      raise cli.UserError(
        f"{file.root / file.path}: changed while the build ran; let the photos "
        "be, the same command goes on with the faces found so far"
      )
    example = examples.example(row, labels, outcome.landmarks, outcome.pixels)
    yield examples.key(row), examples.encodable(example, self._settings)
