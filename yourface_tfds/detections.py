"""What was found in one photo, and the cache that finds it only once.

Detection is half of a build's time. Its outcome depends on the photo's bytes
and the detector alone, so it is kept under a hash of both: a build that was
killed goes on where it was, and one with another crop size, margin, score or
split detects nothing.

  with DetectionCache("D/your_face/detections.sqlite3", settings) as cache:
    found = cache.get(digest) or detect(photo)
    cache.put({digest: found})
"""

import dataclasses
import json
import os
import pathlib
import sqlite3
import sys
import threading
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL
import tensorflow as tf

from yourface_tfds import cli, mtcnn, mtcnn_weights

_FORMAT = 1  # To be raised whenever a record would come out differently.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
  """The main face of a photo.

  Attributes:
    box: float32[4], y_min x_min y_max x_max, pixels of the fitted photo.
    landmarks: float32[5, 2], y x, pixels of the fitted photo.
    score: the detector's confidence, 0..1.
    count: how many faces reached the lowest score.
    area_ratio: second largest face to this one, 0 for a single face.
  """

  box: np.ndarray
  landmarks: np.ndarray
  score: float
  count: int
  area_ratio: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detections:
  """All faces of a photo, and what its near-duplicates are known by.

  Attributes:
    size: height and width of the photo at full resolution.
    fitted: height and width of it as the detector saw it.
    boxes: float32[n, 4], as `Face.box`, the largest first.
    landmarks: float32[n, 5, 2], as `Face.landmarks`.
    scores: float32[n], 0..1.
    prints: what `duplicates.prints` returned.
  """

  size: tuple[int, int]
  fitted: tuple[int, int]
  boxes: np.ndarray
  landmarks: np.ndarray
  scores: np.ndarray
  prints: Mapping[str, bytes]

  def main(self, min_score: float) -> Face | None:
    """Returns the largest face that scored at least `min_score`."""
    rows = np.flatnonzero(self.scores >= np.float32(min_score))
    if not len(rows):
      return None
    sides = self.boxes[rows, 2:] - self.boxes[rows, :2]
    areas = sides[:, 0] * sides[:, 1]
    return Face(
      box=self.boxes[rows[0]],
      landmarks=self.landmarks[rows[0]],
      score=float(self.scores[rows[0]]),
      count=len(rows),
      area_ratio=float(areas[1] / areas[0]) if len(rows) > 1 else 0.0,
    )

  def to_json(self) -> str:
    """Returns all of it as one line; floats come back bit by bit."""
    return json.dumps(
      {
        "size": self.size,
        "fitted": self.fitted,
        "boxes": self.boxes.tolist(),
        "landmarks": self.landmarks.tolist(),
        "scores": self.scores.tolist(),
        "prints": {name: value.hex() for name, value in self.prints.items()},
      },
      separators=(",", ":"),
    )

  @classmethod
  def from_json(cls, text: str) -> "Detections":
    """Returns what `to_json` wrote."""
    values: dict[str, Any] = json.loads(text)
    return cls(
      size=tuple(values["size"]),
      fitted=tuple(values["fitted"]),
      boxes=np.array(values["boxes"], np.float32).reshape(-1, 4),
      landmarks=np.array(values["landmarks"], np.float32).reshape(-1, 5, 2),
      scores=np.array(values["scores"], np.float32),
      prints={
        name: bytes.fromhex(value) for name, value in values["prints"].items()
      },
    )


def _check(text: str) -> str:
  return f"{zlib.crc32(text.encode()):08x}"


class DetectionCache:
  """Detections on disk, by content hash; safe to share between threads.

  SQLite's journal makes each `put` whole or absent, after `kill -9` and after
  a power cut, and lets two builds use one file. A file that is no database any
  more (a full disk, a bad copy) is put aside with one line and begun anew: it
  holds nothing that cannot be found again.
  """

  def __init__(
    self, path: str | os.PathLike[str], settings: mtcnn.DetectorSettings
  ) -> None:
    self._path = pathlib.Path(path)
    self._path.parent.mkdir(parents=True, exist_ok=True)
    # Another decoder or another TensorFlow may find a face elsewhere.
    versions = f"{_FORMAT} {tf.__version__} {PIL.__version__}"
    weights = " ".join(mtcnn_weights.WEIGHTS_SHA256.values())
    self._detector = f"{versions} {settings} {weights}"
    self._lock = threading.Lock()
    try:
      self._database = self._open()
    except sqlite3.DatabaseError as error:
      if isinstance(error, sqlite3.OperationalError):
        raise OSError(f"{self._path}: {cli.one_line(error)}") from error
      aside = self._path.with_name(f"{self._path.name}.broken")
      self._path.replace(aside)
      print(
        f"warning: {self._path}: {cli.one_line(error)}; moved to {aside.name}, "
        "faces are detected again",
        file=sys.stderr,
      )
      self._database = self._open()

  def _open(self) -> sqlite3.Connection:
    database = sqlite3.connect(
      self._path, timeout=60, check_same_thread=False, isolation_level=None
    )
    try:
      database.execute(
        "CREATE TABLE IF NOT EXISTS detections (detector TEXT, photo TEXT, "
        "found TEXT, PRIMARY KEY (detector, photo)) WITHOUT ROWID"
      )
      problem = database.execute("PRAGMA quick_check(1)").fetchone()[0]
      if problem != "ok":
        raise sqlite3.DatabaseError(problem)
    except BaseException:
      database.close()
      raise
    return database

  def get(self, digest: str) -> Detections | None:
    """Returns what was found in the photo of that content hash, if known.

    A record that a disk has damaged is unknown.
    """
    query = "SELECT found FROM detections WHERE detector = ? AND photo = ?"
    with self._lock:
      try:
        row = self._database.execute(query, (self._detector, digest)).fetchone()
      except sqlite3.DatabaseError:  # Not text any more, for one.
        return None
    if not row:
      return None
    check, text = row[0][:8], row[0][8:]
    return Detections.from_json(text) if check == _check(text) else None

  def put(self, found: Mapping[str, Detections]) -> None:
    """Records detections by content hash, all of them or none.

    Raises:
      OSError: the disk is full or may not be written, or another build has
        held the file for a minute.
    """
    rows = [
      (self._detector, digest, _check(text) + text)
      for digest, text in (
        (digest, one.to_json()) for digest, one in found.items()
      )
    ]
    with self._lock:
      try:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
          "INSERT OR REPLACE INTO detections VALUES (?, ?, ?)", rows
        )
        self._database.execute("COMMIT")
      except sqlite3.Error as error:
        if self._database.in_transaction:  # Other threads may come after.
          self._database.execute("ROLLBACK")
        raise OSError(f"{self._path}: {cli.one_line(error)}") from error

  def close(self) -> None:
    """Closes the file; what was put is in it."""
    with self._lock:
      self._database.close()

  def __enter__(self) -> "DetectionCache":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()
