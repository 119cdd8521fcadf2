"""From photos on disk to examples: decode, detect, crop, curate, account.

`prepare` looks at every file once and keeps its crop in an unnamed temporary
file, so that memory does not grow with the number of photos; the splits are
known only when all have been seen.

  prepared = prepare(manual_dir, settings, spool_dir=data_dir)
  prepared.rows                      # photos.csv, one row for every file
  for key, example in prepared.examples("train", "jpeg"): ...
"""

import concurrent.futures
import dataclasses
import hashlib
import io
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import tqdm
from PIL import Image

from yourface_tfds import (
  build_settings,
  cli,
  crop,
  curate,
  duplicates,
  faces,
  people,
  photos,
)

JPEG_QUALITY = 95
"""About 11 kB a face of 150x150, a sixth of raw."""

_BATCH = 16
_BATCH_PIXELS = 48_000_000  # Decoded photos held at once: 144 MB as RGB.


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Decoded:
  """A photo on its way to the detector."""

  file: photos.PhotoFile
  digest: str
  picture_hash: np.ndarray
  photo: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
  """All photos, looked at.

  Attributes:
    rows: one for every file under photos/, sorted by path.
    settings: of the build.
    people: person -> head -> class index.
    landmarks: float[5, 2] of each cropped photo, y and x, 0..1, by path; in
      the order of the crops in `spool`.
    spool: the crops, uint8[image_size, image_size, 3] one after the other.
  """

  rows: Sequence[curate.PhotoRow]
  settings: build_settings.BuildSettings
  people: Mapping[str, Mapping[str, int]]
  landmarks: Mapping[str, np.ndarray]
  spool: BinaryIO

  def splits(self) -> list[str]:
    """Returns the splits that have examples, in the order of `SPLITS`."""
    present = {row.split for row in self.rows}
    return [split for split in curate.SPLITS if split in present]

  def examples(
    self, split: str, encoding: str
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields key and example, ready for `builders/your_face`'s features."""
    side = self.settings.image_size
    position = {path: i for i, path in enumerate(self.landmarks)}
    for row in self.rows:
      if row.split != split:
        continue
      self.spool.seek(position[row.path] * side * side * 3)
      pixels = np.frombuffer(self.spool.read(side * side * 3), np.uint8)
      image = pixels.reshape(side, side, 3)
      path = row.path.encode("utf-8", "backslashreplace").decode()
      yield (
        path,
        {
          "image": encode_jpeg(image) if encoding == "jpeg" else image,
          **self.people[row.person],
          "person": row.person,
          "photo": path,
          "box": np.array(row.box, np.float32),
          "landmarks": self.landmarks[row.path].astype(np.float32),
          "score": row.score,
          "faces": row.faces,
        },
      )


def encode_jpeg(image: np.ndarray) -> bytes:
  """Returns uint8[height, width, 3] as JPEG bytes, quality `JPEG_QUALITY`."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, "JPEG", quality=JPEG_QUALITY)
  return out.getvalue()


def prepare(
  manual_dir: str | os.PathLike[str],
  settings: build_settings.BuildSettings,
  *,
  spool_dir: str | os.PathLike[str],
) -> Prepared:
  """Looks at every photo under `manual_dir`.

  Args:
    manual_dir: holds people.csv and photos/<person>/.
    settings: of the build.
    spool_dir: an existing folder whose disk takes the crops for the time of
      the build, 3 * image_size^2 bytes each.

  Raises:
    UserError: people.csv or the folders are not as they must be, or no photo
      has a usable face. A bad photo raises nothing.
  """
  manual_dir = pathlib.Path(manual_dir)
  csv_path = manual_dir / "people.csv"
  persons = people.read(csv_path)
  files = photos.scan(manual_dir / "photos")
  if settings.strict_people:
    people.check_folders(persons, files, csv_path)

  spool = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115 (returned)
  worker = _Preparation(settings, spool)
  with tqdm.tqdm(total=len(files), unit=" photos", desc="Detecting") as bar:
    for batch in _batches(_decode_all(files, persons, worker, bar)):
      worker.detect(batch)
      bar.update(len(batch))
      bar.set_postfix(rejected=worker.rejected)
  rows = worker.rows_in_order(files)
  rows = curate.assign_splits(rows, persons, settings.split_settings())
  if not any(row.split for row in rows):
    raise cli.UserError(
      f"{manual_dir / 'photos'}: none of {len(rows)} files has a usable face "
      f"({curate.summary(rows)}); add photos that show one"
    )
  return Prepared(
    rows=rows,
    settings=settings,
    people=persons,
    landmarks=worker.landmarks,
    spool=spool,
  )


class _Preparation:
  """The rows so far, and the one place that adds to them."""

  def __init__(
    self, settings: build_settings.BuildSettings, spool: BinaryIO
  ) -> None:
    self.landmarks: dict[str, np.ndarray] = {}
    self._settings = settings
    self._spool = spool
    self._finder = faces.FaceFinder(
      settings.crop_settings(), min_score=settings.min_score
    )
    self.rejected = 0
    self._rows: dict[str, curate.PhotoRow] = {}
    self._hashes: dict[str, tuple[np.ndarray, str]] = {}

  def reject(self, file: photos.PhotoFile, status: str, detail: str) -> None:
    """Records a file that never came to the detector."""
    self._add(
      curate.PhotoRow(
        path=file.path, person=file.person, status=status, detail=detail
      )
    )

  def _add(self, row: curate.PhotoRow) -> None:
    self._rows[row.path] = row
    self.rejected += row.status != curate.ACCEPTED

  def detect(self, batch: Sequence[_Decoded]) -> None:
    """Finds the faces of a batch of photos and spools the crops."""
    found = self._finder.find([item.photo for item in batch])
    for item, face in zip(batch, found, strict=True):
      path = item.file.path
      self._hashes[path] = item.picture_hash, item.digest
      row = self._judge(item, face)
      if row.status == curate.ACCEPTED:
        self.landmarks[path] = face.landmarks / item.photo.shape[:2]
        self._spool.write(face.crop.tobytes())
      self._add(row)

  def _judge(self, item: _Decoded, face: faces.Face) -> curate.PhotoRow:
    settings = self._settings
    row = curate.PhotoRow(
      path=item.file.path, person=item.file.person, status=curate.ACCEPTED
    )
    if not face.found:
      detail = f"nothing scored {settings.min_score} or more"
      return dataclasses.replace(row, status="no_face", detail=detail)
    row = dataclasses.replace(
      row,
      faces=face.count,
      area_ratio=face.area_ratio,
      score=face.score,
      box=tuple((face.box / np.tile(item.photo.shape[:2], 2)).tolist()),
      source_side=float(crop.source_side(face.box, settings.margin)),
    )
    side = max(face.box[2:] - face.box[:2])
    if side < settings.min_face_size:
      detail = f"{side:.0f} pixels, needed: {settings.min_face_size}"
      return dataclasses.replace(row, status="face_too_small", detail=detail)
    return row

  def rows_in_order(
    self, files: Sequence[photos.PhotoFile]
  ) -> list[curate.PhotoRow]:
    """Returns a row for every file, grouped, label conflicts rejected."""
    paths = [file.path for file in files if file.path in self._hashes]
    hashes = np.array([self._hashes[path][0] for path in paths], np.uint8)
    digests = [self._hashes[path][1] for path in paths]
    groups = duplicates.find_groups(hashes, digests)
    for path, group in zip(paths, groups, strict=True):
      self._rows[path] = dataclasses.replace(self._rows[path], group=group)
    return curate.reject_shared([self._rows[file.path] for file in files])


def _decode_all(
  files: Sequence[photos.PhotoFile],
  persons: Mapping[str, Mapping[str, int]],
  worker: _Preparation,
  bar: tqdm.tqdm,
) -> Iterator[_Decoded]:
  """Decodes in threads a little ahead of the detector, in order."""
  known = []
  for file in files:
    if file.person in persons:
      known.append(file)
    else:
      detail = (
        "no row in people.csv" if file.person else "in no person's folder"
      )
      worker.reject(file, "unknown_person", detail)
      bar.update()
  with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
    waiting: list[concurrent.futures.Future[_Decoded]] = []
    position = 0
    while waiting or position < len(known):
      while position < len(known) and len(waiting) < _BATCH:
        waiting.append(pool.submit(_decode_one, known[position]))
        position += 1
      file = known[position - len(waiting)]
      try:
        yield waiting.pop(0).result()
      except photos.RejectedError as error:
        worker.reject(file, error.status, cli.one_line(error))
        bar.update()


def _decode_one(file: photos.PhotoFile) -> _Decoded:
  data = file.read()
  photo = photos.decode(data)
  return _Decoded(
    file=file,
    digest=hashlib.sha256(data).hexdigest()[:16],
    picture_hash=duplicates.picture_hash(photo),
    photo=photo,
  )


def _batches(decoded: Iterator[_Decoded]) -> Iterator[list[_Decoded]]:
  batch: list[_Decoded] = []
  pixels = 0
  for item in decoded:
    batch.append(item)
    pixels += item.photo.shape[0] * item.photo.shape[1]
    if len(batch) == _BATCH or pixels >= _BATCH_PIXELS:
      yield batch
      batch, pixels = [], 0
  if batch:
    yield batch
