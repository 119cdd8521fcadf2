"""TFRecord files without TensorFlow: where each record and each feature lies.

  for offset, length in tfrecord.records(path, data):
    payload = tfrecord.payload(data, offset, length)
    fields = tfrecord.features(payload)
    start, size = fields["image"].span     # within the payload
    label = fields["gender"].integer

The framing: uint64 length, its checksum, the payload, its checksum
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).
"""

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np

HEADER = 12
"""Bytes before a payload: its length and the length's checksum."""

FOOTER = 4
"""Bytes after it: its checksum."""

_LENGTH = struct.Struct("<QI")
_CRC = struct.Struct("<I")


class CorruptError(ValueError):
  """A file that is not what was written: names file, record and offset."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
  """One feature of a `tf.train.Example`.

  Attributes:
    span: start and length in the payload of its only bytes value; (0, 0) if it
      has none.
    integer: its only int64 value; None if it has none.
  """

  span: tuple[int, int]
  integer: int | None


def masked_crc(*parts: Any) -> int:
  """Returns the checksum that TFRecord stores for these bytes.

  Args:
    parts: read-only buffers that follow each other.
  """
  crc = 0
  for part in parts:
    crc = google_crc32c.extend(crc, part)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def stored_crc(data: Any, end: int) -> int:
  """Returns the checksum that follows a payload which ends there."""
  return _CRC.unpack_from(data, end)[0]


def is_plain(head: bytes) -> bool:
  """Returns whether a file that begins so is an uncompressed TFRecord file."""
  if len(head) < HEADER:
    return False
  _, crc = _LENGTH.unpack_from(head)
  return crc == masked_crc(head[:8])


def compression(head: bytes) -> str:
  """Returns what TensorFlow calls the compression of a file: "", GZIP, ZLIB."""
  if is_plain(head):
    return ""
  if head[:2] == b"\x1f\x8b":
    return "GZIP"
  # RFC 1950: the low bits of the first byte are 8, both are a multiple of 31.
  is_zlib = len(head) > 1 and head[0] & 15 == 8
  return "ZLIB" if is_zlib and (head[0] << 8 | head[1]) % 31 == 0 else ""


def records(name: str, data: np.ndarray) -> Iterator[tuple[int, int]]:
  """Walks the records of a file, and checks every checksum.

  Args:
    name: of the file, for errors.
    data: uint8[size], read-only.

  Yields:
    Where each record begins and how long its payload is, bytes.

  Raises:
    CorruptError: the file is cut short or a checksum differs.
  """
  offset, number = 0, 0
  view: Any = data
  while offset < len(data):
    if offset + HEADER > len(data):
      raise _cut_short(name, number, offset, len(data))
    length, crc = _LENGTH.unpack_from(view, offset)
    if crc != masked_crc(data[offset : offset + 8]):
      raise corrupt(name, number, offset, "the checksum of its length differs")
    if offset + HEADER + length + FOOTER > len(data):
      raise _cut_short(name, number, offset, len(data))
    found = masked_crc(payload(data, offset, length))
    if found != stored_crc(data, offset + HEADER + length):
      raise corrupt(name, number, offset, "its checksum differs")
    yield offset, length
    offset += HEADER + length + FOOTER
    number += 1


def payload(data: np.ndarray, offset: int, length: int) -> np.ndarray:
  """Returns the payload of the record at an offset: uint8[length], a view."""
  return data[offset + HEADER : offset + HEADER + length]


def corrupt(name: str, number: int, offset: int, why: str) -> CorruptError:
  """Returns the error of a record."""
  return CorruptError(
    f"{name}: record {number} at byte {offset}: {why}; the file was changed or "
    "damaged after it was written, build it again or copy it again"
  )


def other_count(name: str, count: int, expected: int) -> CorruptError:
  """Returns the error of a file with another number of records."""
  return CorruptError(
    f"{name}: holds {count} records, dataset_info.json says {expected}; the "
    "file is cut short or of another build, build it again or copy it again"
  )


def _cut_short(name: str, number: int, offset: int, size: int) -> CorruptError:
  return corrupt(
    name, number, offset, f"the file ends inside it, at byte {size}"
  )


def features(example: np.ndarray) -> dict[str, Feature]:
  """Returns where the features of a serialized `tf.train.Example` lie.

  Any order of the map and of the fields is read, see
  https://protobuf.dev/programming-guides/encoding. Values of a list beyond the
  first are not told apart: such a feature is not one of ours.

  Args:
    example: uint8[length].

  Raises:
    ValueError: it is no such message.
  """
  buffer: Any = example
  data = memoryview(buffer)
  found: dict[str, Feature] = {}
  try:
    for number, start, stop in _fields(data, 0, len(data)):
      if number == 1:  # Example.features
        for number, start_, stop_ in _fields(data, start, stop):
          if number == 1:  # Features.feature, an entry of the map.
            name, feature = _entry(data, start_, stop_)
            found[name] = feature
  except (IndexError, UnicodeDecodeError) as error:
    raise ValueError("no tf.train.Example") from error
  return found


def _entry(data: memoryview, start: int, stop: int) -> tuple[str, Feature]:
  name, span, integer = "", (0, 0), None
  for number, begin, end in _fields(data, start, stop):
    if number == 1:
      name = bytes(data[begin:end]).decode()
    elif number == 2:
      for kind, first, last in _fields(data, begin, end):
        if kind == 1:  # bytes_list
          for field, first_, last_ in _fields(data, first, last):
            if field == 1:
              span = (first_, last_ - first_)
        elif kind == 3:  # int64_list
          integer = _integer(data, first, last)
  return name, Feature(span=span, integer=integer)


def _integer(data: memoryview, start: int, stop: int) -> int | None:
  """Returns the value of an Int64List, packed or not."""
  value = None
  for field, begin, end in _fields(data, start, stop):
    if field != 1 or begin == end:
      continue
    value, _ = _varint(data, begin)
    if end - begin > 10:
      return None  # More than one.
  if value is not None and value >= 1 << 63:
    value -= 1 << 64
  return value


def _fields(
  data: memoryview, start: int, stop: int
) -> Iterator[tuple[int, int, int]]:
  """Yields number, start and end of the content of each field."""
  position = start
  while position < stop:
    # Nearly every tag and length is a single byte: read here, a call saved.
    tag = data[position]
    position += 1
    if tag > 127:
      tag, position = _varint(data, position - 1)
    wire = tag & 7
    if wire == 2:
      length = data[position]
      position += 1
      if length > 127:
        length, position = _varint(data, position - 1)
      end = position + length
    elif wire == 0:
      _, end = _varint(data, position)
    elif wire in (1, 5):
      end = position + (8 if wire == 1 else 4)
    else:
      raise ValueError("no tf.train.Example")
    if end > stop:
      raise ValueError("no tf.train.Example")
    yield tag >> 3, position, end
    position = end


def _varint(data: memoryview, position: int) -> tuple[int, int]:
  value, shift = 0, 0
  while True:
    byte = data[position]
    position += 1
    value |= (byte & 127) << shift
    if byte < 128:
      return value, position
    shift += 7
    if shift > 63:
      raise ValueError("no tf.train.Example")
