"""What came back from the workers: rows in memory, what is large on disk.

found = collected.Collected(spool, prints)
found.add(worker.work(files))
"""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from yourface_tfds import curate, photo_worker, spooled_prints

DIGEST = 16
"""Letters of a photo's hash that are kept: they name its group."""


class Collected:
  """All outcomes so far.

  Attributes:
    rows: of all files, in the order they came.
    prints: what near-duplicates are known by, of each decoded photo by path.
    digests: the first letters of the hash of its content, likewise.
    landmarks: float32[5, 2] of each accepted photo, y x, 0..1, by path.
    places: start and bytes of each crop or thumbnail in the spool, by path.
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
    self.digests: dict[str, str] = {}
    self.landmarks: dict[str, np.ndarray] = {}
    self.places: dict[str, tuple[int, int]] = {}
    self.rejected = 0
    self._spool = spool
    self._end = 0

  def add(self, outcomes: Sequence[photo_worker.Outcome]) -> None:
    """Keeps what became of some files."""
    for outcome in outcomes:
      path = outcome.row.path
      self.rows.append(outcome.row)
      self.rejected += outcome.row.status != curate.ACCEPTED
      if outcome.found is not None:
        self.prints.add(path, outcome.found.prints)
        self.digests[path] = outcome.digest[:DIGEST]
      if outcome.landmarks is not None:
        self.landmarks[path] = outcome.landmarks
      content = outcome.pixels or outcome.thumbnail
      self.places[path] = self._end, len(content)
      self._spool.write(content)
      self._end += len(content)
    self._spool.flush()  # `Prepared.picture` reads past Python's buffer.
