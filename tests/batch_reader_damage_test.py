"""Tests of batch_reader: of what was damaged, an error names it."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests import indexed
from yourface_tfds import (
  batch_reader,
  tfrecord,
)

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def make_data(tmp_path):
  return lambda is_raw: indexed.Data(tmp_path, is_raw)


# First and last of a shard, the only one of another.
_SOME = [0, 7, 22, 23, 24, 63]


@indexed.encodings
@pytest.mark.parametrize("number", _SOME)
@pytest.mark.parametrize("verify", ["first", "always"])
def test_a_flipped_byte_is_found_as_it_is_first_read(
  make_data, is_raw, number, verify
):
  data = make_data(is_raw)
  reader = data.reader(verify=verify)
  others = [other for other in range(indexed.COUNT) if other != number]
  data.flip(number)
  indexed.check(data.read(reader, others), others, is_raw)
  # It is not taken for verified by having failed once.
  for _ in range(2):
    with pytest.raises(tfrecord.CorruptError) as caught:
      data.read(reader, [others[0], number, others[1]])
    assert str(caught.value) == data.message(number)
  indexed.check(data.read(reader, others), others, is_raw)
  data.flip(number)
  indexed.check(data.read(reader, [number]), [number], is_raw)


@indexed.encodings
def test_a_flipped_byte_anywhere_in_a_record_is_found(make_data, is_raw):
  data = make_data(is_raw)
  number = 30
  begin = int(data.rows["offset"][number]) + tfrecord.HEADER
  end = begin + int(data.rows["length"][number])
  image = data.place(number)
  for place in (
    begin,
    image - 1,
    image,
    image + int(data.rows["image"][number][1]) - 1,
    image + int(data.rows["image"][number][1]),
    data.place(number, "person"),
    data.place(number, "photo"),
    end - 1,
    end,  # Of the checksum itself.
    end + 3,
  ):
    data.flip(number, place)
    with pytest.raises(tfrecord.CorruptError) as caught:
      data.read(data.reader(), [1, 30, 30, 50])
    assert str(caught.value) == data.message(number)
    data.flip(number, place)
  indexed.check(data.read(data.reader(), [30]), [30], is_raw)


@indexed.encodings
def test_always_finds_what_happened_later(make_data, is_raw):
  data = make_data(is_raw)
  numbers = np.arange(indexed.COUNT)
  reader = data.reader(verify="always")
  indexed.check(data.read(reader, numbers), numbers, is_raw)
  data.flip(40)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, numbers)
  assert str(caught.value) == data.message(40)


def _wrong_once(data, reader, number):
  """Asserts that of the raw images only the flipped byte is wrong."""
  images = data.read(reader, np.arange(indexed.COUNT)).images
  expected = indexed.TRUE[True].copy()
  expected[number].reshape(-1)[50] ^= 0xFF
  np.testing.assert_array_equal(images, expected)


def test_first_does_not_look_twice(make_data):
  data = make_data(True)
  reader = data.reader(verify="first")
  data.read(reader, np.arange(indexed.COUNT))
  data.flip(40)
  _wrong_once(data, reader, 40)


def test_first_looks_once_for_each_record(make_data):
  data = make_data(True)
  reader = data.reader(verify="first")
  numbers = [number for number in range(indexed.COUNT) if number != 40]
  for number in numbers:
    data.read(reader, [number])
  data.flip(40)
  data.flip(41)
  data.read(reader, numbers)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, [41, 40])
  assert str(caught.value) == data.message(40)


def test_never_gives_the_wrong_byte(make_data):
  data = make_data(True)
  data.flip(40)
  _wrong_once(data, data.reader(verify="never"), 40)


def test_a_jpeg_that_cannot_be_decoded_is_named(make_data):
  data = make_data(False)
  reader = data.reader(verify="never")
  data.write(40, data.place(40), b"\0\0")
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, np.arange(indexed.COUNT))
  assert str(caught.value) == data.message(
    40,
    "its JPEG: tjDecompressHeader3(): Could not determine subsampling level of "
    "JPEG image",
  )
  # Its middle is not there: the header is, its pixels are not.
  number, size = 23, int(data.rows["image"][23][1])
  data.write(number, data.place(number) + size - 100, bytes(100))
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, [1, number, 2])
  assert str(caught.value) == data.message(
    number, "its JPEG: Premature end of JPEG file"
  )
  indexed.check(data.read(reader, [1, 2, 39, 41]), [1, 2, 39, 41], False)


def test_the_first_of_two_damaged_jpegs_is_named(make_data):
  data = make_data(False)
  for number in (60, 5):
    data.flip(number)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(data.reader(), np.arange(indexed.COUNT))
  assert str(caught.value) == data.message(5)


def test_an_error_leaves_the_reader_usable(make_data):
  data = make_data(False)
  reader = data.reader(threads=2)
  data.flip(0)
  data.flip(33)
  numbers = np.arange(1, 33)
  for _ in range(20):
    with pytest.raises(tfrecord.CorruptError):
      data.read(reader, np.arange(indexed.COUNT))
    indexed.check(data.read(reader, numbers), numbers, False)


def _shorter(data, number, size, was):
  return (
    f"{data.path(number)}: became shorter while it was read, {size} bytes of "
    f"{was}; build it again or copy it again"
  )


# A mapped file that became shorter kills who reads it: not pytest, please.
_PROCESS = """
import os, pathlib, sys
import numpy as np
from yourface_tfds import batch_buffers, batch_reader, record_index, tfrecord
kind, verify, size, *paths = sys.argv[1:]
layout = record_index.Layout(
  size=30, is_raw=kind == "raw", integers=("gender", "job", "face_type"),
  strings=("person", "photo"),
)
shards = [
  record_index.Shard(path=path, records=count)
  for path, count in zip(paths, (23, 1, 40), strict=True)
]
folder = pathlib.Path(paths[0]).parent / ".index"
rows = record_index.open_index(shards, layout, folder, "train")
settings = batch_reader.ReadSettings(verify=verify)
buffers = batch_buffers.BatchBuffers(64, 30)
reader = batch_reader.BatchReader(shards, rows, layout, settings)
reader.read(np.arange(64), buffers)
os.truncate(paths[2], int(size))
for numbers in (np.arange(64), np.arange(5), np.arange(60, 64)):
  try:
    reader.read(numbers, buffers)
  except tfrecord.CorruptError as error:
    print(error)
"""


@indexed.encodings
@pytest.mark.parametrize("verify", ["always", "never"])
@pytest.mark.parametrize("size", [0, 5000, -1])
def test_a_shard_that_becomes_shorter_is_found(make_data, is_raw, verify, size):
  data = make_data(is_raw)
  was = pathlib.Path(data.path(63)).stat().st_size
  size = was - 1 if size == -1 else size
  paths = [shard.path for shard in data.shards]
  kind = "raw" if is_raw else "jpeg"
  process = subprocess.run(
    [sys.executable, "-c", _PROCESS, kind, verify, str(size), *paths],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert process.stderr == ""
  assert process.returncode == 0
  expected = _shorter(data, 63, size, was)
  assert process.stdout.splitlines() == [expected] * 3


@indexed.encodings
@pytest.mark.parametrize("verify", batch_reader.VERIFY)
def test_a_shard_cut_before_the_reader_opened_it_is_found(
  make_data, is_raw, verify
):
  # Between the index and the reader: the reader never saw it whole.
  data = make_data(is_raw)
  os.truncate(data.path(63), int(data.rows["offset"][60]) + 100)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(data.reader(verify=verify), [61])
  assert str(caught.value).startswith(f"{data.path(63)}: ")


@indexed.encodings
def test_a_deleted_shard_is_read_on(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader(verify="always")
  for shard in data.shards:
    pathlib.Path(shard.path).unlink()
  numbers = np.arange(indexed.COUNT)
  batch = data.read(reader, numbers, with_strings=True)
  indexed.check(batch, numbers, is_raw, with_strings=True)


@indexed.encodings
def test_a_replaced_shard_is_not_looked_at(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader(verify="always")
  for shard in data.shards:
    other = pathlib.Path(shard.path + ".new")
    other.write_bytes(b"another build")
    other.replace(shard.path)
  numbers = np.arange(indexed.COUNT)
  indexed.check(data.read(reader, numbers), numbers, is_raw)


@indexed.encodings
def test_a_shard_missing_as_it_is_opened_is_an_error(make_data, is_raw):
  data = make_data(is_raw)
  pathlib.Path(data.shards[1].path).unlink()
  with pytest.raises(FileNotFoundError) as caught:
    data.reader()
  assert caught.value.filename == data.shards[1].path


def test_threads_that_read_a_damaged_record_are_all_told(make_data):
  data = make_data(True)
  reader = data.reader()
  data.flip(40)
  barrier = threading.Barrier(8)

  def work(_):
    barrier.wait()
    with pytest.raises(tfrecord.CorruptError) as caught:
      data.read(reader, np.arange(indexed.COUNT))
    return str(caught.value)

  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert set(threads.map(work, range(8))) == {data.message(40)}


@indexed.encodings
def test_an_index_that_points_elsewhere_is_found(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader()
  rows = np.array(reader._rows)
  rows["image"][5, 0] += 10**6
  with pytest.raises(tfrecord.CorruptError) as error:
    batch_reader.BatchReader(
      data.shards, rows, indexed.layout_of(is_raw), batch_reader.ReadSettings()
    )
  assert str(error.value).startswith(
    f"{data.path(5)}: its index says that an image has bytes 1000"
  )
  assert str(error.value).endswith("; remove the index and start again")
