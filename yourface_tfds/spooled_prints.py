"""What near-duplicates are known by, on disk until all photos are known.

  with SpooledPrints(folder) as prints:
    prints.add("minji/1.jpg", duplicates.prints(photo, landmarks))
    groups = duplicates.find_groups(ByNumber(prints, paths), digests)

Of 58,200 photos that is 41 MB of disk instead of 69 MB of memory.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

_KINDS = (("picture", 64), ("face", 64), ("wide", 576))
"""The prints and their bytes: a photo has the first, or all of them."""

_ROOM = sum(size for _, size in _KINDS)


class SpooledPrints(Mapping[str, Mapping[str, bytes]]):
  """Prints by path, in an unnamed file."""

  def __init__(self, folder: str | os.PathLike[str]) -> None:
    """Makes the file.

    Args:
      folder: on the disk that takes it, 704 bytes a photo.
    """
    self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
    # Which of the photos in the file, and how much of its room is used.
    self._places: dict[str, tuple[int, int]] = {}

  def __enter__(self) -> "SpooledPrints":
    """Returns itself."""
    return self

  def __exit__(self, *error: object) -> None:
    """Gives the disk back."""
    self._file.close()

  def add(self, path: str, prints: Mapping[str, bytes]) -> None:
    """Writes what `duplicates.prints` returned, once for a photo."""
    number = len(self._places)
    content = b"".join(prints.get(name, b"") for name, _ in _KINDS)
    written = 0
    while written < len(content):
      written += os.pwrite(
        self._file.fileno(), content[written:], number * _ROOM + written
      )
    self._places[path] = number, len(content)

  def __getitem__(self, path: str) -> dict[str, bytes]:
    """Returns what was written."""
    number, size = self._places[path]
    content = os.pread(self._file.fileno(), size, number * _ROOM)
    found, start = {}, 0
    for name, length in _KINDS:
      if start < size:
        found[name] = content[start : start + length]
      start += length
    return found

  def __iter__(self) -> Iterator[str]:
    """Yields the paths in the order of writing."""
    return iter(self._places)

  def __len__(self) -> int:
    """Returns how many photos have prints."""
    return len(self._places)


class ByNumber(Sequence[Mapping[str, bytes]]):
  """Prints in the order of paths, read when asked for."""

  def __init__(
    self, prints: Mapping[str, Mapping[str, bytes]], paths: Sequence[str]
  ) -> None:
    """Reads nothing yet.

    Args:
      prints: by path.
      paths: of those wanted, in the order wanted.
    """
    self._prints, self._paths = prints, paths

  @overload
  def __getitem__(self, number: int) -> Mapping[str, bytes]: ...

  @overload
  def __getitem__(self, number: slice) -> "ByNumber": ...

  def __getitem__(
    self, number: int | slice
  ) -> "Mapping[str, bytes] | ByNumber":
    """Returns the prints of a photo, or those of a slice, unread."""
    if isinstance(number, slice):
      return ByNumber(self._prints, self._paths[number])
    return self._prints[self._paths[number]]

  def __len__(self) -> int:
    """Returns how many photos are wanted."""
    return len(self._paths)
