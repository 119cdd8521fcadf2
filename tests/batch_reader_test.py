"""Tests of batch_reader: what was written is read, or an error names it."""

import concurrent.futures
import io
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from yourface_tfds import (
  batch_buffers,
  batch_reader,
  record_index,
  shards,
  tfrecord,
)

_SIDE = 30  # No multiple of a JPEG's blocks.
_COUNTS = (23, 1, 40)
_COUNT = sum(_COUNTS)
_ROOT = pathlib.Path(__file__).parents[1]
_HEADS = ("gender", "job", "face_type")


def _layout(is_raw):
  return record_index.Layout(
    size=_SIDE, is_raw=is_raw, integers=_HEADS, strings=("person", "photo")
  )


def _pixels(generator):
  """A smooth image with some noise, so that a JPEG of it is no mere noise."""
  small = generator.integers(0, 256, (5, 5, 3), np.uint8)
  image = PIL.Image.fromarray(small).resize((_SIDE, _SIDE))
  noise = generator.integers(-8, 9, (_SIDE, _SIDE, 3))
  return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def _examples(is_raw):
  generator = np.random.default_rng(0)
  made = []
  for number in range(_COUNT):
    pixels = _pixels(generator)
    image = pixels.tobytes()
    if not is_raw:
      encoded = io.BytesIO()
      # 4:4:4, 4:2:2 and 4:2:0, and now and then a progressive one.
      PIL.Image.fromarray(pixels).save(
        encoded,
        "JPEG",
        quality=60 + number % 40,
        subsampling=number % 3,
        progressive=number % 7 == 0,
      )
      image = encoded.getvalue()
    made.append(
      {
        "image": image,
        "gender": number % 3 - 1,
        "job": number % 2,
        "face_type": int(generator.integers(-1, 11)),
        "person": f"사람 {number % 5}",
        "photo": "é" * (number % 60) + f"{number}.jpg",
        "box": generator.uniform(0, 1, 4),
        "landmarks": generator.uniform(0, 1, (5, 2)),
        "score": 0.5,
        "faces": 1,
      }
    )
  return made


_MADE = {is_raw: _examples(is_raw) for is_raw in (True, False)}


def _decoded(example, is_raw):
  if is_raw:
    pixels = np.frombuffer(example["image"], np.uint8)
    return pixels.reshape(_SIDE, _SIDE, 3)
  with PIL.Image.open(io.BytesIO(example["image"])) as image:
    return np.asarray(image)


_TRUE = {
  is_raw: np.stack([_decoded(example, is_raw) for example in made])
  for is_raw, made in _MADE.items()
}
_encodings = pytest.mark.parametrize(
  "is_raw", [True, False], ids=["raw", "jpeg"]
)


class _Data:
  """A written and indexed dataset of its own, to be read and to be spoilt."""

  def __init__(self, folder, is_raw):
    self.folder, self.layout = folder, _layout(is_raw)
    self.shards, start = [], 0
    for number, count in enumerate(_COUNTS):
      path = folder / f"your_face-train.tfrecord-{number:05}-of-00003"
      with tf.io.TFRecordWriter(str(path)) as file:
        for example in _MADE[is_raw][start : start + count]:
          file.write(shards.serialize(example))
      self.shards.append(record_index.Shard(path=str(path), records=count))
      start += count
    self.rows = record_index.open_index(
      self.shards, self.layout, folder / ".index", "train"
    )
    self.buffers = batch_buffers.BatchBuffers(200, _SIDE)

  def reader(self, **settings):
    return batch_reader.BatchReader(
      self.shards,
      self.rows,
      self.layout,
      batch_reader.ReadSettings(**settings),
    )

  def read(self, reader, numbers, **options):
    return reader.read(np.array(numbers, np.int64), self.buffers, **options)

  def path(self, number):
    return self.shards[self.rows["shard"][number]].path

  def place(self, number, name="image"):
    """Returns where in its file a record's feature begins."""
    row = self.rows[number]
    if name == "image":
      start = row["image"][0]
    else:
      start = row["strings"][self.layout.strings.index(name)][0]
    return int(row["offset"]) + tfrecord.HEADER + int(start)

  def flip(self, number, place=None):
    """Changes a byte of the file in place; of the image unless told."""
    place = self.place(number) + 50 if place is None else place
    self.write(number, place, bytes([self.byte(number, place) ^ 0xFF]))

  def byte(self, number, place):
    return pathlib.Path(self.path(number)).read_bytes()[place]

  def write(self, number, place, content):
    with pathlib.Path(self.path(number)).open("r+b") as file:
      file.seek(place)
      file.write(content)

  def message(self, number, why="its checksum differs"):
    """Returns what is said of a damaged record."""
    shard = int(self.rows["shard"][number])
    return (
      f"{self.path(number)}: record {number - sum(_COUNTS[:shard])} at byte "
      f"{self.rows['offset'][number]}: {why}; the file was changed or damaged "
      "after it was written, build it again or copy it again"
    )


@pytest.fixture
def make_data(tmp_path):
  return lambda is_raw: _Data(tmp_path, is_raw)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  """Returns a function: is_raw -> data that no test spoils."""
  made = {
    is_raw: _Data(tmp_path_factory.mktemp("intact"), is_raw)
    for is_raw in (True, False)
  }
  return made.__getitem__


def _check(batch, numbers, is_raw, with_strings=False):
  """Asserts that a batch is what was written under these numbers."""
  assert batch.images.shape == (len(numbers), _SIDE, _SIDE, 3)
  assert batch.images.dtype == np.uint8
  np.testing.assert_array_equal(batch.images, _TRUE[is_raw][numbers])
  made = [_MADE[is_raw][number] for number in numbers]
  assert batch.labels.dtype == np.int64
  assert batch.labels.shape == (len(_HEADS), len(numbers))
  assert batch.labels.flags.c_contiguous
  expected = [[example[head] for example in made] for head in _HEADS]
  assert batch.labels.tolist() == expected
  assert len(batch.strings) == (2 if with_strings else 0)
  for found, name in zip(batch.strings, ("person", "photo"), strict=False):
    assert found.dtype == object
    assert found.tolist() == [example[name].encode() for example in made]


@_encodings
@pytest.mark.parametrize("verify", batch_reader.VERIFY)
def test_what_was_written_is_read(intact, is_raw, verify):
  data = intact(is_raw)
  reader = data.reader(verify=verify)
  generator = np.random.default_rng(1)
  for step in range(20):
    # With repeats, and of any size.
    numbers = generator.integers(0, _COUNT, generator.integers(1, 200))
    batch = data.read(reader, numbers, with_strings=step % 2 == 0)
    _check(batch, numbers, is_raw, with_strings=step % 2 == 0)


@_encodings
def test_every_record_is_read_in_any_order(intact, is_raw):
  data = intact(is_raw)
  for numbers in (
    np.arange(_COUNT),
    np.arange(_COUNT)[::-1],
    np.random.default_rng(2).permutation(_COUNT),
    np.full(200, 23),
    np.array([_COUNT - 1]),
  ):
    _check(data.read(data.reader(), numbers), numbers, is_raw)


@_encodings
def test_no_records_make_an_empty_batch(intact, is_raw):
  # A worker may have none of an epoch's last examples.
  data = intact(is_raw)
  batch = data.read(data.reader(), [], with_strings=True)
  _check(batch, [], is_raw, with_strings=True)


@_encodings
def test_a_number_that_is_none_is_an_error(intact, is_raw):
  data = intact(is_raw)
  with pytest.raises(IndexError):
    data.read(data.reader(), [0, _COUNT])


@_encodings
def test_a_batch_lies_in_the_buffers(intact, is_raw):
  data = intact(is_raw)
  buffers = batch_buffers.BatchBuffers(8, _SIDE)
  spare = buffers.lend(8)
  address = spare.ctypes.data
  del spare
  batch = data.reader().read(np.arange(8), buffers)
  assert batch.images.ctypes.data == address
  assert batch.images.flags.writeable


@_encodings
def test_earlier_batches_stay_as_they_are(intact, is_raw):
  data = intact(is_raw)
  reader = data.reader()
  generator = np.random.default_rng(3)
  drawn = [generator.integers(0, _COUNT, 50) for _ in range(12)]
  batches = [data.read(reader, numbers) for numbers in drawn]
  for batch, numbers in zip(batches, drawn, strict=True):
    _check(batch, numbers, is_raw)


@_encodings
def test_rows_in_memory_are_read_too(intact, is_raw):
  data = intact(is_raw)
  reader = batch_reader.BatchReader(
    data.shards, data.rows.copy(), data.layout, batch_reader.ReadSettings()
  )
  _check(data.read(reader, [3, 60]), [3, 60], is_raw)


def _tensorflow(method):
  return np.stack(
    [
      tf.io.decode_jpeg(example["image"], 3, dct_method=method).numpy()
      for example in _MADE[False]
    ]
  )


@pytest.mark.parametrize("threads", [0, 1, 5])
def test_jpegs_are_decoded_as_by_pillow_and_tensorflow(intact, threads):
  data = intact(False)
  numbers = np.arange(_COUNT)
  images = data.read(data.reader(threads=threads), numbers).images
  np.testing.assert_array_equal(images, _TRUE[False])
  np.testing.assert_array_equal(images, _tensorflow("INTEGER_ACCURATE"))


def test_the_fast_dct_is_that_of_tensorflow(intact):
  data = intact(False)
  numbers = np.arange(_COUNT)
  images = data.read(data.reader(fast_dct=True), numbers).images
  distance = np.abs(images.astype(int) - _tensorflow("INTEGER_FAST"))
  assert distance.max() <= 3
  distance = np.abs(images.astype(int) - _TRUE[False])
  assert 0 < distance.max() < 40
  assert 0 < distance.mean() < 2


def test_grey_jpegs_are_read_in_three_channels(tmp_path):
  pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
  encoded = io.BytesIO()
  PIL.Image.fromarray(pixels).save(encoded, "JPEG")
  path = tmp_path / "a"
  with tf.io.TFRecordWriter(str(path)) as file:
    file.write(shards.serialize({"image": encoded.getvalue(), "job": 1}))
  layout = record_index.Layout(
    size=8, is_raw=False, integers=("job",), strings=("image",)
  )
  written = [record_index.Shard(path=str(path), records=1)]
  rows = record_index.open_index(written, layout, tmp_path / "b", "train")
  reader = batch_reader.BatchReader(
    written, rows, layout, batch_reader.ReadSettings()
  )
  found = reader.read(np.arange(1), batch_buffers.BatchBuffers(1, 8)).images
  expected = tf.io.decode_jpeg(
    encoded.getvalue(), 3, dct_method="INTEGER_ACCURATE"
  )
  np.testing.assert_array_equal(found[0], expected.numpy())


# First and last of a shard, the only one of another.
_SOME = [0, 7, 22, 23, 24, 63]


@_encodings
@pytest.mark.parametrize("number", _SOME)
@pytest.mark.parametrize("verify", ["first", "always"])
def test_a_flipped_byte_is_found_as_it_is_first_read(
  make_data, is_raw, number, verify
):
  data = make_data(is_raw)
  reader = data.reader(verify=verify)
  others = [other for other in range(_COUNT) if other != number]
  data.flip(number)
  _check(data.read(reader, others), others, is_raw)
  # It is not taken for verified by having failed once.
  for _ in range(2):
    with pytest.raises(tfrecord.CorruptError) as caught:
      data.read(reader, [others[0], number, others[1]])
    assert str(caught.value) == data.message(number)
  _check(data.read(reader, others), others, is_raw)
  data.flip(number)
  _check(data.read(reader, [number]), [number], is_raw)


@_encodings
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
  _check(data.read(data.reader(), [30]), [30], is_raw)


@_encodings
def test_always_finds_what_happened_later(make_data, is_raw):
  data = make_data(is_raw)
  numbers = np.arange(_COUNT)
  reader = data.reader(verify="always")
  _check(data.read(reader, numbers), numbers, is_raw)
  data.flip(40)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, numbers)
  assert str(caught.value) == data.message(40)


def _wrong_once(data, reader, number):
  """Asserts that of the raw images only the flipped byte is wrong."""
  images = data.read(reader, np.arange(_COUNT)).images
  expected = _TRUE[True].copy()
  expected[number].reshape(-1)[50] ^= 0xFF
  np.testing.assert_array_equal(images, expected)


def test_first_does_not_look_twice(make_data):
  data = make_data(True)
  reader = data.reader(verify="first")
  data.read(reader, np.arange(_COUNT))
  data.flip(40)
  _wrong_once(data, reader, 40)


def test_first_looks_once_for_each_record(make_data):
  data = make_data(True)
  reader = data.reader(verify="first")
  numbers = [number for number in range(_COUNT) if number != 40]
  for number in numbers:
    data.read(reader, [number])
  data.flip(40)
  data.flip(41)
  data.read(reader, numbers)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, [41, 40])
  assert str(caught.value) == data.message(40)


def test_first_is_unless_told():
  settings = batch_reader.ReadSettings()
  assert settings == batch_reader.ReadSettings(
    verify="first", fast_dct=False, threads=0
  )


def test_never_gives_the_wrong_byte(make_data):
  data = make_data(True)
  data.flip(40)
  _wrong_once(data, data.reader(verify="never"), 40)


def test_a_jpeg_that_cannot_be_decoded_is_named(make_data):
  data = make_data(False)
  reader = data.reader(verify="never")
  data.write(40, data.place(40), b"\0\0")
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(reader, np.arange(_COUNT))
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
  _check(data.read(reader, [1, 2, 39, 41]), [1, 2, 39, 41], False)


def test_the_first_of_two_damaged_jpegs_is_named(make_data):
  data = make_data(False)
  for number in (60, 5):
    data.flip(number)
  with pytest.raises(tfrecord.CorruptError) as caught:
    data.read(data.reader(), np.arange(_COUNT))
  assert str(caught.value) == data.message(5)


def test_an_error_leaves_the_reader_usable(make_data):
  data = make_data(False)
  reader = data.reader(threads=2)
  data.flip(0)
  data.flip(33)
  numbers = np.arange(1, 33)
  for _ in range(20):
    with pytest.raises(tfrecord.CorruptError):
      data.read(reader, np.arange(_COUNT))
    _check(data.read(reader, numbers), numbers, False)


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


@_encodings
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


@_encodings
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


@_encodings
def test_a_deleted_shard_is_read_on(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader(verify="always")
  for shard in data.shards:
    pathlib.Path(shard.path).unlink()
  numbers = np.arange(_COUNT)
  batch = data.read(reader, numbers, with_strings=True)
  _check(batch, numbers, is_raw, with_strings=True)


@_encodings
def test_a_replaced_shard_is_not_looked_at(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader(verify="always")
  for shard in data.shards:
    other = pathlib.Path(shard.path + ".new")
    other.write_bytes(b"another build")
    other.replace(shard.path)
  numbers = np.arange(_COUNT)
  _check(data.read(reader, numbers), numbers, is_raw)


@_encodings
def test_a_shard_missing_as_it_is_opened_is_an_error(make_data, is_raw):
  data = make_data(is_raw)
  pathlib.Path(data.shards[1].path).unlink()
  with pytest.raises(FileNotFoundError) as caught:
    data.reader()
  assert caught.value.filename == data.shards[1].path


@_encodings
def test_a_shard_without_records_may_be_among_them(tmp_path, is_raw):
  data = _Data(tmp_path, is_raw)
  path = tmp_path / "empty"
  path.write_bytes(b"")
  more = [record_index.Shard(path=str(path), records=0), *data.shards]
  rows = record_index.open_index(more, data.layout, tmp_path / "i", "train")
  reader = batch_reader.BatchReader(
    more, rows, data.layout, batch_reader.ReadSettings()
  )
  numbers = np.arange(_COUNT)[::-1]
  _check(data.read(reader, numbers), numbers, is_raw)


@_encodings
def test_files_are_closed_with_the_reader(intact, is_raw):
  data = intact(is_raw)
  folder = pathlib.Path("/proc/self/fd")
  if not folder.is_dir():
    pytest.skip("no /proc: open files cannot be counted")

  def count():
    links = [path for path in folder.iterdir() if path.is_symlink()]
    return sum(str(data.folder) in str(path.readlink()) for path in links)

  before = count()
  reader = data.reader()
  data.read(reader, [1, 2, 3])
  assert count() >= before + len(_COUNTS)
  del reader
  assert count() == before


@_encodings
@pytest.mark.parametrize("verify", ["first", "always"])
def test_many_threads_read_at_once(intact, is_raw, verify):
  data = intact(is_raw)
  reader = data.reader(verify=verify)
  barrier = threading.Barrier(8)

  def work(number):
    generator = np.random.default_rng(number)
    barrier.wait()
    kept = []
    for _ in range(15):
      numbers = generator.integers(0, _COUNT, generator.integers(1, 100))
      batch = data.read(reader, numbers, with_strings=True)
      kept.append((batch, numbers))
      for batch, numbers in kept[-3:]:
        _check(batch, numbers, is_raw, with_strings=True)
    return len(kept)

  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert list(threads.map(work, range(8))) == [15] * 8


def test_threads_that_read_a_damaged_record_are_all_told(make_data):
  data = make_data(True)
  reader = data.reader()
  data.flip(40)
  barrier = threading.Barrier(8)

  def work(_):
    barrier.wait()
    with pytest.raises(tfrecord.CorruptError) as caught:
      data.read(reader, np.arange(_COUNT))
    return str(caught.value)

  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert set(threads.map(work, range(8))) == {data.message(40)}


@pytest.mark.parametrize("value", ["x", "", "First", None, True])
def test_other_ways_to_verify_are_refused(value):
  with pytest.raises(ValueError) as caught:
    batch_reader.ReadSettings(verify=value)
  assert str(caught.value) == (
    f"verify: got {value!r}, allowed: first, always, never"
  )


@_encodings
def test_an_index_that_points_elsewhere_is_found(make_data, is_raw):
  data = make_data(is_raw)
  reader = data.reader()
  rows = np.array(reader._rows)
  rows["image"][5, 0] += 10**6
  with pytest.raises(tfrecord.CorruptError) as error:
    batch_reader.BatchReader(
      data.shards, rows, _layout(is_raw), batch_reader.ReadSettings()
    )
  assert str(error.value).startswith(
    f"{data.path(5)}: its index says that an image has bytes 1000"
  )
  assert str(error.value).endswith("; remove the index and start again")
