"""The places of a batch's records; lists where they are walked one by one."""

import functools

import numpy as np

from yourface_tfds import tfrecord


class RecordRows:
  """Rows of `record_index.Layout.row`.

  NumPy's scalars are slower than ints, but a list of 256 takes microseconds
  that hold Python's lock: only those asked for are made.
  """

  def __init__(self, rows: np.ndarray) -> None:
    self.rows = rows

  def __len__(self) -> int:
    return len(self.rows)

  @functools.cached_property
  def shards(self) -> list[int]:
    """Which file each record is in."""
    return self.rows["shard"].tolist()

  @functools.cached_property
  def offsets(self) -> list[int]:
    """Where each record starts in its file."""
    return self.rows["offset"].tolist()

  @functools.cached_property
  def lengths(self) -> list[int]:
    """Bytes of each payload."""
    return self.rows["length"].tolist()

  @functools.cached_property
  def image_places(self) -> np.ndarray:
    """uint64[n], where each image starts in its file."""
    in_payload = self.rows["image"][:, 0].astype(np.uint64)
    return self.rows["offset"] + np.uint64(tfrecord.HEADER) + in_payload

  @functools.cached_property
  def image_starts(self) -> list[int]:
    """The same as a list."""
    return self.image_places.tolist()

  @functools.cached_property
  def image_lengths(self) -> list[int]:
    """Bytes of each image."""
    return self.rows["image"][:, 1].tolist()

  def strings(self, which: int) -> list[tuple[int, int]]:
    """Returns start and length of a text feature in each payload."""
    return self.rows["strings"][:, which].tolist()
