"""How often a JPEG goes over its picture, told without decoding it.

Each scan of a progressive JPEG changes every pixel and may be 75 bytes long.
libjpeg-turbo leaves a limit to its callers, and Pillow 12 sets none:
https://bugzilla.redhat.com/show_bug.cgi?id=1344214

  jpeg_scans.are_more_than(100, data)
"""

import re

_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# Between scans; \xff\x00 and the restart marks are part of one.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def are_more_than(most: int, data: bytes) -> bool:
  """Returns whether the first picture of a JPEG has more than `most` scans.

  Args:
    most: allowed scans.
    data: of the file. Pictures inside metadata and whatever follows the first
      picture, such as the film of a phone's photo, are not counted.
  """
  if data.count(_SCAN) <= most:  # True of nearly all, and a fast look.
    return False
  scans = place = 0
  while scans <= most and (mark := _MARKER.search(data, place)):
    place = mark.end()
    if mark[0] == _END:
      break
    if mark[0] != _START:  # Which alone has no length.
      scans += mark[0] == _SCAN
      place += int.from_bytes(data[place : place + 2], "big")
  return scans > most
