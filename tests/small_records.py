"""Records of known content, written to shards, and their index."""

import io
import pathlib

import numpy as np
import PIL.Image
import tensorflow as tf

from yourface_tfds import record_index, shards

SIDE = 12


def layout_of(is_raw=True, size=SIDE, integers=("gender", "job", "face_type")):
  return record_index.Layout(
    size=size,
    is_raw=is_raw,
    integers=integers,
    strings=("person", "photo"),
  )


def example(image, number, generator):
  """Returns an example whose other features differ from number to number."""
  return {
    "image": image,
    "gender": number % 3 - 1,
    "job": number % 2,
    "face_type": int(generator.integers(-1, 11)),
    "person": f"사람 {number % 5}",
    "photo": "é" * int(generator.integers(0, 60)) + f"{number}.jpg",
    "box": generator.uniform(0, 1, 4),
    "landmarks": generator.uniform(0, 1, (5, 2)),
    "score": 0.5,
    "faces": 1,
  }


def examples(count, is_raw=True, side=SIDE, seed=0):
  generator = np.random.default_rng(seed)
  made = []
  for number in range(count):
    pixels = generator.integers(0, 256, (side, side, 3), np.uint8)
    image = pixels.tobytes()
    if not is_raw:
      encoded = io.BytesIO()
      PIL.Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
      image = encoded.getvalue()
    made.append(example(image, number, generator))
  return made


def write(folder, made, counts):
  """Writes records, some examples and some bytes, to shards of these counts."""
  folder.mkdir(parents=True, exist_ok=True)
  written, start = [], 0
  for number, count in enumerate(counts):
    path = folder / f"your_face-train.tfrecord-{number:05}-of-{len(counts):05}"
    with tf.io.TFRecordWriter(str(path)) as file:
      for example in made[start : start + count]:
        is_bytes = isinstance(example, bytes)
        file.write(example if is_bytes else shards.serialize(example))
    written.append(record_index.Shard(path=str(path), records=count))
    start += count
  return written


def check(rows, written, made, layout):
  """Asserts that the rows lead to everything that was written."""
  assert rows.dtype == layout.row
  assert len(rows) == len(made)
  counts = [shard.records for shard in written]
  which = np.repeat(np.arange(len(counts)), counts)
  np.testing.assert_array_equal(rows["shard"], which)
  contents = [pathlib.Path(shard.path).read_bytes() for shard in written]
  for row, example in zip(rows, made, strict=True):
    start, length = int(row["offset"]) + 12, int(row["length"])
    payload = contents[row["shard"]][start : start + length]
    assert payload == shards.serialize(example)
    place, size = row["image"]
    assert payload[place : place + size] == example["image"]
    for (place, size), name in zip(row["strings"], layout.strings, strict=True):
      assert payload[place : place + size] == example[name].encode()
    expected = [example[name] for name in layout.integers]
    assert row["labels"].tolist() == expected


def open_and_check(written, made, folder):
  """Asserts the same of the index that is found or made in a folder."""
  rows = record_index.open_index(written, layout_of(), folder, "train")
  check(rows, written, made, layout_of())


def indexes(folder):
  return sorted(path.name for path in folder.glob("*"))
