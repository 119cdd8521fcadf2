"""Whether files come from a disk or from the page cache."""

import resource

RECENT = 64
"""Calls for which a read from a disk is lately."""


class DiskReads:
  """Tells whether this process lately read from a disk.

  If all comes from the page cache, asking the system ahead costs half a
  millisecond a batch for nothing. If not, a mapped face is read in pieces of 4
  kB, one after the other: a ninth of the speed was measured.
  """

  def __init__(self) -> None:
    self._blocks = -1
    self._left = 0

  def are_recent(self) -> bool:
    """Returns whether it did within the last `RECENT` calls, or may have."""
    blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    if blocks != self._blocks:
      self._blocks = blocks
      self._left = RECENT
    self._left -= 1
    return self._left >= 0
