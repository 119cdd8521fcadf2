"""Tests of batch_reader: what was written is read."""

import concurrent.futures
import io
import pathlib
import threading

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import indexed
from yourface_tfds import (
  batch_buffers,
  batch_reader,
  record_index,
  shards,
)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  """Returns a function: is_raw -> data that no test spoils."""
  made = {
    is_raw: indexed.Data(tmp_path_factory.mktemp("intact"), is_raw)
    for is_raw in (True, False)
  }
  return made.__getitem__


@indexed.encodings
@pytest.mark.parametrize("verify", batch_reader.VERIFY)
def test_what_was_written_is_read(intact, is_raw, verify):
  data = intact(is_raw)
  reader = data.reader(verify=verify)
  generator = np.random.default_rng(1)
  for step in range(20):
    # With repeats, and of any size.
    numbers = generator.integers(0, indexed.COUNT, generator.integers(1, 200))
    batch = data.read(reader, numbers, with_strings=step % 2 == 0)
    indexed.check(batch, numbers, is_raw, with_strings=step % 2 == 0)


@indexed.encodings
def test_every_record_is_read_in_any_order(intact, is_raw):
  data = intact(is_raw)
  for numbers in (
    np.arange(indexed.COUNT),
    np.arange(indexed.COUNT)[::-1],
    np.random.default_rng(2).permutation(indexed.COUNT),
    np.full(200, 23),
    np.array([indexed.COUNT - 1]),
  ):
    indexed.check(data.read(data.reader(), numbers), numbers, is_raw)


@indexed.encodings
def test_no_records_make_an_empty_batch(intact, is_raw):
  # A worker may have none of an epoch's last examples.
  data = intact(is_raw)
  batch = data.read(data.reader(), [], with_strings=True)
  indexed.check(batch, [], is_raw, with_strings=True)


@indexed.encodings
def test_a_number_that_is_none_is_an_error(intact, is_raw):
  data = intact(is_raw)
  with pytest.raises(IndexError):
    data.read(data.reader(), [0, indexed.COUNT])


@indexed.encodings
def test_a_batch_lies_in_the_buffers(intact, is_raw):
  data = intact(is_raw)
  buffers = batch_buffers.BatchBuffers(8, indexed.SIDE)
  spare = buffers.lend(8)
  address = spare.ctypes.data
  del spare
  batch = data.reader().read(np.arange(8), buffers)
  assert batch.images.ctypes.data == address
  assert batch.images.flags.writeable


@indexed.encodings
def test_earlier_batches_stay_as_they_are(intact, is_raw):
  data = intact(is_raw)
  reader = data.reader()
  generator = np.random.default_rng(3)
  drawn = [generator.integers(0, indexed.COUNT, 50) for _ in range(12)]
  batches = [data.read(reader, numbers) for numbers in drawn]
  for batch, numbers in zip(batches, drawn, strict=True):
    indexed.check(batch, numbers, is_raw)


@indexed.encodings
def test_rows_in_memory_are_read_too(intact, is_raw):
  data = intact(is_raw)
  reader = batch_reader.BatchReader(
    data.shards, data.rows.copy(), data.layout, batch_reader.ReadSettings()
  )
  indexed.check(data.read(reader, [3, 60]), [3, 60], is_raw)


def _tensorflow(method):
  return np.stack(
    [
      tf.io.decode_jpeg(example["image"], 3, dct_method=method).numpy()
      for example in indexed.MADE[False]
    ]
  )


@pytest.mark.parametrize("threads", [0, 1, 5])
def test_jpegs_are_decoded_as_by_pillow_and_tensorflow(intact, threads):
  data = intact(False)
  numbers = np.arange(indexed.COUNT)
  images = data.read(data.reader(threads=threads), numbers).images
  np.testing.assert_array_equal(images, indexed.TRUE[False])
  np.testing.assert_array_equal(images, _tensorflow("INTEGER_ACCURATE"))


def test_the_fast_dct_is_that_of_tensorflow(intact):
  data = intact(False)
  numbers = np.arange(indexed.COUNT)
  images = data.read(data.reader(fast_dct=True), numbers).images
  distance = np.abs(images.astype(int) - _tensorflow("INTEGER_FAST"))
  assert distance.max() <= 3
  distance = np.abs(images.astype(int) - indexed.TRUE[False])
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


def test_first_is_unless_told():
  settings = batch_reader.ReadSettings()
  assert settings == batch_reader.ReadSettings(
    verify="first", fast_dct=False, threads=0
  )


@indexed.encodings
def test_a_shard_without_records_may_be_among_them(tmp_path, is_raw):
  data = indexed.Data(tmp_path, is_raw)
  path = tmp_path / "empty"
  path.write_bytes(b"")
  more = [record_index.Shard(path=str(path), records=0), *data.shards]
  rows = record_index.open_index(more, data.layout, tmp_path / "i", "train")
  reader = batch_reader.BatchReader(
    more, rows, data.layout, batch_reader.ReadSettings()
  )
  numbers = np.arange(indexed.COUNT)[::-1]
  indexed.check(data.read(reader, numbers), numbers, is_raw)


@indexed.encodings
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
  assert count() >= before + len(indexed.COUNTS)
  del reader
  assert count() == before


@indexed.encodings
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
      numbers = generator.integers(0, indexed.COUNT, generator.integers(1, 100))
      batch = data.read(reader, numbers, with_strings=True)
      kept.append((batch, numbers))
      for batch, numbers in kept[-3:]:
        indexed.check(batch, numbers, is_raw, with_strings=True)
    return len(kept)

  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert list(threads.map(work, range(8))) == [15] * 8


@pytest.mark.parametrize("value", ["x", "", "First", None, True])
def test_other_ways_to_verify_are_refused(value):
  with pytest.raises(ValueError) as caught:
    batch_reader.ReadSettings(verify=value)
  assert str(caught.value) == (
    f"verify: got {value!r}, allowed: first, always, never"
  )
