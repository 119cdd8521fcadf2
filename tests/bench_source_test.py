"""The forms of the faces that the input benchmark reads."""

import pathlib
import re
import shutil
from typing import Any

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds

from yourface_tfds import bench_source, built_dataset, cli
from yourface_tfds.peers import peer

CONFIG = "{}-image_size_32"


@pytest.fixture(scope="module")
def datasets(tiny_data_dir):
  return {
    encoding: built_dataset.open_dataset(tiny_data_dir, CONFIG.format(encoding))
    for encoding in peer.ENCODINGS
  }


@pytest.fixture(scope="module")
def sources(datasets, tmp_path_factory):
  return {
    encoding: bench_source.make(
      dataset, "train", tmp_path_factory.mktemp(encoding)
    )
    for encoding, dataset in datasets.items()
  }


def stored(source, encoding):
  """Returns the examples of a config that was made, read by TFDS."""
  faces: Any = tfds.load(
    f"your_face/{encoding}-measured", data_dir=source.data_dir, split="train"
  )
  return list(faces.as_numpy_iterator())


def test_both_encodings_give_the_same_labels(sources):
  rows = {
    encoding: sorted(source.labels().tolist())
    for encoding, source in sources.items()
  }
  assert len(rows["raw"]) == 60
  assert rows["raw"] == rows["jpeg"]


@pytest.mark.parametrize("given", peer.ENCODINGS)
def test_all_forms_hold_the_same_faces(given, sources, tiny_examples):
  source = sources[given]
  images, labels = source.raw(), source.labels()
  jpegs = list(source.jpegs())
  wanted = {example["photo"]: example for example in tiny_examples["train"]}
  by_form = {encoding: stored(source, encoding) for encoding in peer.ENCODINGS}
  assert len(images) == len(jpegs) == len(by_form["raw"]) == 60
  for index, (raw, jpeg) in enumerate(
    zip(by_form["raw"], by_form["jpeg"], strict=True)
  ):
    example = wanted[raw["photo"].decode()]
    assert raw["photo"] == jpeg["photo"]
    assert [raw[name] for name in peer.LABELS] == labels[index].tolist()
    assert [jpeg[name] for name in peer.LABELS] == labels[index].tolist()
    np.testing.assert_array_equal(raw["image"], images[index])
    # The same bytes as the builder's, made or kept.
    assert jpegs[index] == example["jpeg"]
    decoded = simplejpeg.decode_jpeg(jpegs[index], "RGB")
    np.testing.assert_array_equal(
      images[index], example["image"] if given == "raw" else decoded
    )
    np.testing.assert_array_equal(raw["landmarks"], example["landmarks"])


def test_our_input_opens_them(sources):
  for encoding in peer.ENCODINGS:
    dataset = built_dataset.open_dataset(
      sources["raw"].data_dir, f"{encoding}-measured"
    )
    assert dataset.is_raw == (encoding == "raw")
    assert dataset.num_examples("train") == 60
    assert dataset.margin == 1.3
    index = pathlib.Path(str(dataset.info.data_dir), ".index")
    assert list(index.iterdir())


def test_more_examples_repeat_and_fewer_are_the_first(
  datasets, sources, tmp_path
):
  once = sources["raw"]
  for name, count in (("more", 150), ("fewer", 7)):
    folder = tmp_path / name
    folder.mkdir()
    source = bench_source.make(datasets["raw"], "train", folder, examples=count)
    order = np.arange(count) % 60
    assert source.count == count
    np.testing.assert_array_equal(source.raw(), once.raw()[order])
    np.testing.assert_array_equal(source.labels(), once.labels()[order])
    jpegs = list(once.jpegs())
    assert list(source.jpegs()) == [jpegs[i] for i in order]
    for encoding in peer.ENCODINGS:
      assert len(stored(source, encoding)) == count


def test_large_data_are_several_shards(datasets, tmp_path, monkeypatch):
  monkeypatch.setattr(bench_source, "_SHARD_BYTES", 100_000)
  source = bench_source.make(datasets["raw"], "train", tmp_path)
  assert [pathlib.Path(shard).name for shard in source.raw_shards] == [
    "your_face-train.tfrecord-00000-of-00002",
    "your_face-train.tfrecord-00001-of-00002",
  ]
  assert len(stored(source, "raw")) == 60


def test_only_what_is_needed_is_written(datasets, tmp_path):
  source = bench_source.make(
    datasets["raw"], "train[:50%]", tmp_path, encodings=("raw",)
  )
  assert source.count == 30
  assert source.jpeg_shards == ()
  assert not (tmp_path / "jpeg.bin").stat().st_size


def test_too_little_room_is_one_line(datasets, tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    shutil, "disk_usage", lambda _: usage._replace(free=2_000_000)
  )
  with pytest.raises(cli.UserError) as error:
    bench_source.make(datasets["raw"], "train", tmp_path, examples=1000)
  text = str(error.value)
  needed = re.match(r"--scratch_dir: (\d+\.\d{3}) GB are needed in ", text)
  assert needed and 0.007 < float(needed[1]) < 0.015, text
  assert text.endswith(
    f"{tmp_path.parent} for 1,000 examples, 0.002 GB are free there; name a "
    "folder with more room or fewer --examples"
  )
  assert not list(tmp_path.iterdir())
