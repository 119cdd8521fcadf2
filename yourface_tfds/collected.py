"""What came back from the workers: rows in memory, what is large on disk.

found = collected.Collected(spool, prints)
found.add(worker.work(files))
"""

import array
import dataclasses
import math
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from yourface_tfds import curate, photo_worker, spooled_prints

DIGEST = 16
"""Letters of a photo's hash that are kept: they name its group."""

_NOWHERE = [math.nan] * 10


class Pictures:
  """Crops and thumbnails in the spool, and the landmarks of the crops.

  Arrays, not objects: 48 bytes a photo instead of 330.
  """

  def __init__(self, spool: BinaryIO) -> None:
    """Starts with nothing.

    Args:
      spool: empty.
    """
    self._spool = spool
    self._starts = array.array("q", [0])
    self._points = array.array("f")

  def add(self, content: bytes, landmarks: np.ndarray | None) -> None:
    """Writes the picture of the next file, b"" where it has none.

    Args:
      content: as `photo_worker.Outcome.pixels` or its thumbnail.
      landmarks: float32[5, 2] of an accepted photo.
    """
    self._spool.write(content)
    self._starts.append(self._starts[-1] + len(content))
    flat = _NOWHERE if landmarks is None else landmarks.ravel().tolist()
    self._points.extend(flat)

  def place(self, number: int) -> tuple[int, int]:
    """Returns where a picture starts in the spool, and its bytes."""
    start, end = self._starts[number : number + 2]
    return start, end - start

  def landmarks(self, number: int) -> np.ndarray:
    """Returns float32[5, 2], y x, 0..1; NaN unless accepted."""
    points = self._points[10 * number : 10 * number + 10]
    return np.array(points, np.float32).reshape(5, 2)


class Collected:
  """All outcomes so far, in the order they came.

  Attributes:
    rows: of all files; what could be decoded is a group of its own, named by
      the first letters of the hash of its content.
    prints: what near-duplicates are known by, of each row with a group.
    pictures: of each row.
    rejected: how many photos are not accepted.
  """

  def __init__(
    self, spool: BinaryIO, prints: spooled_prints.SpooledPrints
  ) -> None:
    """Starts with nothing.

    Args:
      spool: empty; takes the crops and thumbnails.
      prints: empty; takes the prints.
    """
    self.rows: list[curate.PhotoRow] = []
    self.prints = prints
    self.pictures = Pictures(spool)
    self.rejected = 0
    self._spool = spool

  def add(self, outcomes: Sequence[photo_worker.Outcome]) -> None:
    """Keeps what became of some files."""
    for outcome in outcomes:
      row = outcome.row
      if outcome.found is not None:
        self.prints.add(outcome.found.prints)
        row = dataclasses.replace(row, group=outcome.digest[:DIGEST])
      self.rows.append(row)
      self.rejected += row.status != curate.ACCEPTED
      content = outcome.pixels or outcome.thumbnail
      self.pictures.add(content, outcome.landmarks)
    self._spool.flush()  # `Prepared.picture` reads past Python's buffer.
