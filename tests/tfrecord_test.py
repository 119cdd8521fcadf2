"""Tests of tfrecord: what TensorFlow writes is found, damage is named."""

import itertools
import struct

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import record_index, shards, tfrecord

_PAYLOADS = [b"first", b"", bytes(range(256)) * 5, "사람".encode(), b"x"]
_property = hypothesis.settings(
  max_examples=300, deadline=None, derandomize=True
)


def _write(path, payloads, compression=""):
  options = tf.io.TFRecordOptions(compression_type=compression)
  with tf.io.TFRecordWriter(str(path), options) as file:
    for payload in payloads:
      file.write(payload)
  return path


def _read_only(content):
  return np.frombuffer(bytes(content), np.uint8)


def _payloads(data, name="a"):
  return [
    bytes(tfrecord.payload(data, offset, length))
    for offset, length in tfrecord.records(name, data)
  ]


def test_records_are_those_of_tensorflow(tmp_path):
  generator = np.random.default_rng(0)
  sizes = [0, 1, 127, 128, 65_535, 65_536, *generator.integers(0, 5000, 50)]
  written = [generator.bytes(size) for size in sizes]
  path = _write(tmp_path / "a.tfrecord", written)
  stock = [one.numpy() for one in tf.data.TFRecordDataset([str(path)])]
  data = record_index.map_file(str(path))
  assert _payloads(data) == stock == written
  places = list(tfrecord.records("a", data))
  assert [length for _, length in places] == sizes
  assert places[0][0] == 0
  for (offset, length), (following, _) in itertools.pairwise(places):
    assert following == offset + 12 + length + 4
  assert sum(places[-1]) + 16 == len(data)


def test_checksums_are_those_of_tensorflow(tmp_path):
  path = _write(tmp_path / "a.tfrecord", _PAYLOADS)
  content = path.read_bytes()
  offset = 0
  for payload in _PAYLOADS:
    length, crc = struct.unpack_from("<QI", content, offset)
    assert length == len(payload)
    assert tfrecord.masked_crc(content[offset : offset + 8]) == crc
    end = offset + 12 + length
    expected = struct.unpack_from("<I", content, end)[0]
    assert tfrecord.masked_crc(payload) == expected
    assert tfrecord.stored_crc(content, end) == expected
    assert tfrecord.stored_crc(_read_only(content), end) == expected
    for cut in range(0, length + 1, 7):
      parts = [payload[:cut], b"", _read_only(payload[cut:])]
      assert tfrecord.masked_crc(*parts) == expected
    offset = end + 4
  assert offset == len(content)


def test_a_file_without_records_has_none(tmp_path):
  path = _write(tmp_path / "a.tfrecord", [])
  assert path.stat().st_size == 0
  data = record_index.map_file(str(path))
  assert list(tfrecord.records("a", data)) == []


def _message(name, number, offset, why):
  return (
    f"{name}: record {number} at byte {offset}: {why}; the file was changed or "
    "damaged after it was written, build it again or copy it again"
  )


_STARTS = [0, 21, 37, 1333, 1355]  # Of _PAYLOADS: each 16 bytes longer.


@pytest.mark.parametrize("number", range(len(_PAYLOADS)))
def test_any_flipped_bit_is_found_and_placed(tmp_path, number):
  path = _write(tmp_path / "a.tfrecord", _PAYLOADS)
  content = bytearray(path.read_bytes())
  start = _STARTS[number]
  stop = [*_STARTS, len(content)][number + 1]
  for place in range(start, stop):
    in_length = place - start < 12
    damaged = content.copy()
    damaged[place] ^= 1 << place % 8
    found = []
    with pytest.raises(tfrecord.CorruptError) as caught:
      for record in tfrecord.records("데이터/a.tfrecord", _read_only(damaged)):
        found.append(record)
    why = "its checksum differs"
    if in_length:
      why = "the checksum of its length differs"
    assert str(caught.value) == _message(
      "데이터/a.tfrecord", number, start, why
    )
    assert len(found) == number


def test_a_file_cut_anywhere_is_found(tmp_path):
  path = _write(tmp_path / "a.tfrecord", _PAYLOADS)
  content = path.read_bytes()
  for size in range(len(content)):
    cut = _read_only(content[:size])
    if size in _STARTS:  # Nothing tells, but the number of records.
      assert _payloads(cut) == _PAYLOADS[: _STARTS.index(size)]
      continue
    with pytest.raises(tfrecord.CorruptError) as caught:
      list(tfrecord.records("a", cut))
    number = int(np.searchsorted(_STARTS, size)) - 1
    assert str(caught.value) == _message(
      "a",
      number,
      _STARTS[number],
      f"the file ends inside it, at byte {size}",
    )


def test_bytes_after_the_last_record_are_found(tmp_path):
  content = _write(tmp_path / "a.tfrecord", _PAYLOADS).read_bytes()
  size = len(content)
  for junk, why in [
    (b"\0", f"the file ends inside it, at byte {size + 1}"),
    (b"\0" * 12, "the checksum of its length differs"),
  ]:
    with pytest.raises(tfrecord.CorruptError) as caught:
      list(tfrecord.records("a", _read_only(content + junk)))
    assert str(caught.value) == _message("a", len(_PAYLOADS), size, why)


def test_a_false_length_with_its_right_checksum_is_found():
  for length in (100, 2**31, 2**63, 2**64 - 1):
    head = struct.pack("<Q", length)
    head += struct.pack("<I", tfrecord.masked_crc(head))
    with pytest.raises(tfrecord.CorruptError) as caught:
      list(tfrecord.records("a", _read_only(head + b"short")))
    assert str(caught.value) == _message(
      "a", 0, 0, "the file ends inside it, at byte 17"
    )


def test_errors_of_files_are_value_errors():
  assert issubclass(tfrecord.CorruptError, ValueError)


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_the_compression_is_seen_from_the_head(tmp_path, compression):
  generator = np.random.default_rng(1)
  for size in (0, 1, 300, 100_000):
    path = _write(tmp_path / "a", [generator.bytes(size)] * 3, compression)
    for length in (12, 64, 4096):
      head = path.read_bytes()[:length]
      assert tfrecord.compression(head) == compression
      assert tfrecord.is_plain(head) == (compression == "")


def test_heads_of_other_files_have_no_compression():
  for head in (b"", b"\x1f", b"\x78", b"not a record", b"\x78\x00" * 8):
    assert not tfrecord.is_plain(head)
    assert tfrecord.compression(head) == ""


def test_every_way_of_zlib_is_seen(tmp_path):
  for level, bits in itertools.product(range(10), range(9, 16)):
    options = tf.io.TFRecordOptions(
      "ZLIB", compression_level=level, window_bits=bits
    )
    with tf.io.TFRecordWriter(str(tmp_path / "a"), options) as file:
      file.write(b"content")
    head = (tmp_path / "a").read_bytes()
    assert tfrecord.compression(head) == "ZLIB"


def _varint(value):
  value &= (1 << 64) - 1
  parts = bytearray()
  while value > 127:
    parts.append(value & 127 | 128)
    value >>= 7
  return bytes([*parts, value])


def _field(number, content):
  return _varint(number << 3 | 2) + _varint(len(content)) + content


def _feature(value, is_packed=True):
  if isinstance(value, bytes):
    return _field(1, _field(1, value))
  if isinstance(value, int):
    if is_packed:
      return _field(3, _field(1, _varint(value)))
    return _field(3, _varint(1 << 3) + _varint(value))
  return _field(2, _field(1, np.array(value, "<f4").tobytes()))


_UNKNOWN = [
  b"",
  _varint(15 << 3) + _varint(2**64 - 1),  # A number of ten bytes.
  _varint(1000 << 3 | 1) + b"12345678",
  _varint(15 << 3 | 5) + b"1234",
  _field(2**20, b"unknown" * 30),
]


def _entry(name, value, *, is_turned=False, is_packed=True, unknown=b""):
  """Returns an entry of the map; unknown fields are put into its Feature."""
  feature = unknown + _feature(value, is_packed) + unknown
  parts = [_field(1, name.encode()), _field(2, feature)]
  return _field(1, b"".join(reversed(parts) if is_turned else parts))


def _check(content, expected):
  """Asserts that protobuf and we find the same in a serialized example."""
  stock = tf.train.Example.FromString(content).features.feature
  found = tfrecord.features(_read_only(content))
  assert set(found) == set(stock) == set(expected)
  for name, value in expected.items():
    start, size = found[name].span
    if isinstance(value, bytes):
      assert list(stock[name].bytes_list.value) == [value]
      assert content[start : start + size] == value
      assert found[name].integer is None
    elif isinstance(value, int):
      assert list(stock[name].int64_list.value) == [value]
      assert found[name].integer == value
      assert (start, size) == (0, 0)
    else:
      assert found[name] == tfrecord.Feature(span=(0, 0), integer=None)


_EXAMPLE = {
  "image": bytes(range(256)) * 2,
  "gender": -1,
  "job": 3,
  "person": "사람 1".encode(),
}


@pytest.mark.parametrize("unknown", _UNKNOWN, ids=range(len(_UNKNOWN)))
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("is_packed", [False, True])
def test_features_are_found_in_any_order(unknown, is_turned, is_packed):
  for names in itertools.permutations(_EXAMPLE):
    entries = [
      _entry(
        name,
        _EXAMPLE[name],
        is_turned=is_turned,
        is_packed=is_packed,
        unknown=unknown,
      )
      for name in names
    ]
    whole = _field(1, unknown + unknown.join(entries))
    _check(unknown + whole + unknown, _EXAMPLE)


def test_features_split_over_two_messages_are_merged():
  entries = [_entry(name, value) for name, value in _EXAMPLE.items()]
  content = _field(1, b"".join(entries[:2])) + _field(1, b"".join(entries[2:]))
  _check(content, _EXAMPLE)


def test_the_last_of_two_entries_counts():
  entries = _entry("job", 1) + _entry("image", b"old") + _entry("job", 2)
  content = _field(1, entries + _entry("image", b"new"))
  _check(content, {"job": 2, "image": b"new"})


_values = st.one_of(
  st.binary(max_size=300),
  st.integers(-(2**63), 2**63 - 1),
  st.sampled_from([0, 1, 127, 128, -1, 2**63 - 1, -(2**63)]),
  st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
)
_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=140)


@_property
@hypothesis.given(
  example=st.dictionaries(_names, _values, max_size=8),
  is_turned=st.booleans(),
  is_packed=st.booleans(),
  unknown=st.sampled_from(_UNKNOWN),
  random=st.randoms(use_true_random=False),
)
def test_any_example_is_read_as_by_protobuf(
  example, is_turned, is_packed, unknown, random
):
  names = list(example)
  random.shuffle(names)
  entries = [
    _entry(
      name,
      example[name],
      is_turned=is_turned,
      is_packed=is_packed,
      unknown=unknown,
    )
    for name in names
  ]
  _check(unknown + _field(1, b"".join(entries)), example)


@_property
@hypothesis.given(example=st.dictionaries(_names, _values, max_size=8))
def test_what_our_writer_and_protobuf_write_is_read(example):
  message = tf.train.Example()
  message.features.SetInParent()
  for name, value in example.items():
    feature = message.features.feature[name]
    if isinstance(value, bytes):
      feature.bytes_list.value.append(value)
    elif isinstance(value, int):
      feature.int64_list.value.append(value)
    else:
      feature.float_list.value.extend(value)
  _check(message.SerializeToString(), example)
  floats = {
    name: np.array(value) if isinstance(value, list) else value
    for name, value in example.items()
  }
  _check(shards.serialize(floats), example)


def test_a_feature_without_a_value_has_none():
  content = _field(
    1,
    _field(1, _field(1, b"a"))  # No Feature at all.
    + _field(1, _field(1, b"b") + _field(2, b""))  # No kind.
    + _field(1, _field(1, b"c") + _field(2, _field(1, b"")))  # No bytes.
    + _field(1, _field(1, b"d") + _field(2, _field(3, b"")))  # No integer.
    + _entry("z", 7),
  )
  assert len(tf.train.Example.FromString(content).features.feature) == 5
  found = tfrecord.features(_read_only(content))
  nothing = tfrecord.Feature(span=(0, 0), integer=None)
  assert [found[name] for name in "abcd"] == [nothing] * 4
  assert found["z"].integer == 7


@pytest.mark.parametrize("unknown", _UNKNOWN[1:], ids=range(1, len(_UNKNOWN)))
def test_unknown_fields_within_a_list_are_passed_over(unknown):
  content = _field(
    1,
    _field(
      1,
      _field(1, b"image")
      + _field(2, _field(1, unknown + _field(1, b"content") + unknown)),
    )
    + _field(
      1,
      _field(1, b"job")
      + _field(2, _field(3, unknown + _field(1, b"\x05") + unknown)),
    ),
  )
  _check(content, {"image": b"content", "job": 5})


def test_an_empty_packed_list_has_no_integer():
  # The bytes that follow it are of the next entry.
  entry = _field(1, b"job") + _field(2, _field(3, _field(1, b"")))
  content = _field(1, _field(1, entry) + _entry("z", 7))
  stock = tf.train.Example.FromString(content).features.feature
  assert list(stock["job"].int64_list.value) == []
  found = tfrecord.features(_read_only(content))
  assert found["z"].integer == 7
  assert found["job"].integer is None


def test_empty_bytes_have_a_place():
  _check(
    _field(1, _entry("person", b"") + _entry("z", b"1")),
    {
      "person": b"",
      "z": b"1",
    },
  )


def test_an_example_without_features_has_none():
  for content in (b"", _field(1, b""), tf.train.Example().SerializeToString()):
    assert tfrecord.features(_read_only(content)) == {}


@pytest.mark.parametrize(
  "content",
  [
    b"\x0a",  # No length.
    b"\x0a\x05abc",  # Longer than what is there.
    b"\x0a" + b"\xff" * 5 + b"\x0f",
    b"\x0b\x0c",  # A group: of no Example.
    b"\x0f",  # No such wire type.
    b"\xff" * 11,
    b"\x78" + b"\xff" * 11 + b"\x01",  # A number of more than ten bytes.
    b"\x09\x00",  # Eight bytes, of which one is there.
    _field(1, b"\x0a\x7f"),  # An entry that leaves its Features.
    _field(1, _field(1, b"\x0a\x09abc")) + b"\x12\x10" + b"x" * 16,
    _field(1, _field(1, _field(1, b"\xff\xfe"))),  # Its name is no UTF-8.
    _field(1, _field(1, _field(2, b"\x0a\x02"))),
  ],
)
def test_what_is_no_example_is_refused(content):
  with pytest.raises(ValueError) as caught:
    tfrecord.features(_read_only(content))
  assert str(caught.value) == "no tf.train.Example"


@_property
@hypothesis.given(content=st.binary(max_size=200))
def test_garbage_is_refused_or_read_but_never_an_accident(content):
  _read_or_refuse(content)


@_property
@hypothesis.given(data=st.data())
def test_damaged_examples_are_refused_or_read(data):
  content = bytearray(shards.serialize(_EXAMPLE))
  for _ in range(data.draw(st.integers(1, 3))):
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
  _read_or_refuse(bytes(content[: data.draw(st.integers(0, len(content)))]))


def _read_or_refuse(content):
  try:
    found = tfrecord.features(_read_only(content))
  except ValueError as error:
    assert str(error) == "no tf.train.Example"
    return
  for feature in found.values():
    start, size = feature.span
    assert 0 <= start <= start + size <= len(content)
