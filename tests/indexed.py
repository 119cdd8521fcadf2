"""A small dataset, written and indexed, whose every pixel is known."""

import io
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import small_records
from yourface_tfds import (
  batch_buffers,
  batch_reader,
  record_index,
  shards,
  tfrecord,
)

SIDE = 30  # No multiple of a JPEG's blocks.
COUNTS = (23, 1, 40)
COUNT = sum(COUNTS)
_HEADS = ("gender", "job", "face_type")


def layout_of(is_raw):
  return record_index.Layout(
    size=SIDE, is_raw=is_raw, integers=_HEADS, strings=("person", "photo")
  )


def _pixels(generator):
  """A smooth image with some noise, so that a JPEG of it is no mere noise."""
  small = generator.integers(0, 256, (5, 5, 3), np.uint8)
  image = PIL.Image.fromarray(small).resize((SIDE, SIDE))
  noise = generator.integers(-8, 9, (SIDE, SIDE, 3))
  return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def _examples(is_raw):
  generator = np.random.default_rng(0)
  made = []
  for number in range(COUNT):
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
    made.append(small_records.example(image, number, generator))
  return made


MADE = {is_raw: _examples(is_raw) for is_raw in (True, False)}


def _decoded(example, is_raw):
  if is_raw:
    pixels = np.frombuffer(example["image"], np.uint8)
    return pixels.reshape(SIDE, SIDE, 3)
  with PIL.Image.open(io.BytesIO(example["image"])) as image:
    return np.asarray(image)


TRUE = {
  is_raw: np.stack([_decoded(example, is_raw) for example in made])
  for is_raw, made in MADE.items()
}
encodings = pytest.mark.parametrize(
  "is_raw", [True, False], ids=["raw", "jpeg"]
)


class Data:
  """A written and indexed dataset of its own, to be read and to be spoilt."""

  def __init__(self, folder, is_raw):
    self.folder, self.layout = folder, layout_of(is_raw)
    self.shards, start = [], 0
    for number, count in enumerate(COUNTS):
      path = folder / f"your_face-train.tfrecord-{number:05}-of-00003"
      with tf.io.TFRecordWriter(str(path)) as file:
        for example in MADE[is_raw][start : start + count]:
          file.write(shards.serialize(example))
      self.shards.append(record_index.Shard(path=str(path), records=count))
      start += count
    self.rows = record_index.open_index(
      self.shards, self.layout, folder / ".index", "train"
    )
    self.buffers = batch_buffers.BatchBuffers(200, SIDE)

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
      f"{self.path(number)}: record {number - sum(COUNTS[:shard])} at byte "
      f"{self.rows['offset'][number]}: {why}; the file was changed or damaged "
      "after it was written, build it again or copy it again"
    )


def check(batch, numbers, is_raw, with_strings=False):
  """Asserts that a batch is what was written under these numbers."""
  assert batch.images.shape == (len(numbers), SIDE, SIDE, 3)
  assert batch.images.dtype == np.uint8
  np.testing.assert_array_equal(batch.images, TRUE[is_raw][numbers])
  made = [MADE[is_raw][number] for number in numbers]
  assert batch.labels.dtype == np.int64
  assert batch.labels.shape == (len(_HEADS), len(numbers))
  assert batch.labels.flags.c_contiguous
  expected = [[example[head] for example in made] for head in _HEADS]
  assert batch.labels.tolist() == expected
  assert len(batch.strings) == (2 if with_strings else 0)
  for found, name in zip(batch.strings, ("person", "photo"), strict=False):
    assert found.dtype == object
    assert found.tolist() == [example[name].encode() for example in made]
