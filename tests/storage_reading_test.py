"""Reading a dataset that lies elsewhere: what a local one gives, and at once.

Whoever puts a dataset on gs:// expects the same order, the same resume and the
same pixels; so did these tests of the same dataset twice.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from tests import drawn, far
from yourface_tfds import (
  built_dataset,
  cli,
  curate,
  input_pipeline,
  labels,
  slices,
  stock_input,
  tfrecord,
)

_CONFIGS = ("jpeg-image_size_32", "raw-image_size_32")


@pytest.fixture
def store(tmp_path, monkeypatch, tiny_data_dir):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  input_pipeline._log_once.cache_clear()
  store = far.Store(tmp_path)
  store.here(monkeypatch)
  shutil.copytree(
    tiny_data_dir,
    store.root / "faces",
    ignore=shutil.ignore_patterns(".index"),
  )
  yield store
  store.check_no_strays(tmp_path)


@pytest.fixture
def both(store, tiny_data_dir):
  """Returns a function that opens the dataset here and there."""

  def opened(config=_CONFIGS[0]):
    return [
      built_dataset.open_dataset(place, config)
      for place in (tiny_data_dir, "s3://faces")
    ]

  return opened


def _shard(store, split, config=_CONFIGS[0]):
  folder = store.root / "faces" / "your_face" / config / "1.0.0"
  return sorted(folder.glob(f"your_face-{split}.tfrecord-*"))[0]


def _copied(tmp_path):
  folder = tmp_path / "cache" / "yourface_tfds" / "shards"
  return sorted({path.parent.name for path in folder.glob("*/[a-z]*/*")})


def _check_equal(there, here):
  """Checks that two datasets give the same elements."""
  there, here = list(there), list(here)
  assert len(there) == len(here) > 0
  for one, other in zip(there, here, strict=True):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
      np.testing.assert_array_equal(tensor, other[name])


@pytest.mark.parametrize("config", _CONFIGS)
@pytest.mark.parametrize("path", ["auto", "fast"])
def test_the_order_of_training_is_the_same(both, tmp_path, config, path):
  batches = [
    input_pipeline.make_for_train(
      dataset,
      batch_size=7,
      seed=3,
      epochs=3,
      split="train[5:50]",
      path=path,
    )
    for dataset in both(config)
  ]
  _check_equal(batches[1], batches[0])
  assert _copied(tmp_path) == ["train"]


def test_it_goes_on_with_the_next_batch(both):
  here, there = both()
  whole = list(
    input_pipeline.make_for_train(here, batch_size=7, seed=3, epochs=2)
  )
  rest = input_pipeline.make_for_train(
    there, batch_size=7, seed=3, epochs=2, start_step=4
  )
  _check_equal(rest, whole[4:])
  iterator = iter(rest)
  checkpoint = tf.train.Checkpoint(iterator=iterator)
  next(iterator)
  saved = checkpoint.write(str(pathlib.Path(os.environ["FAR_ROOT"]) / "at"))
  next(iterator)
  checkpoint.read(saved)
  np.testing.assert_array_equal(next(iterator)["image"], whole[5]["image"])


@pytest.mark.parametrize("split", ["validation", "unseen", "train[10%:]"])
def test_evaluation_reads_the_same(both, split):
  batches = [
    input_pipeline.make_for_eval(dataset, split, batch_size=5)
    for dataset in both()
  ]
  _check_equal(batches[1], batches[0])


def test_the_stock_path_makes_no_copies(both, tmp_path):
  batches = [
    input_pipeline.make_for_train(
      dataset, batch_size=7, seed=3, epochs=2, path="stock"
    )
    for dataset in both()
  ]
  _check_equal(batches[1], batches[0])
  assert _copied(tmp_path) == []


def test_a_few_faces_are_not_worth_copies(both, tmp_path):
  faces = [
    input_pipeline.sample_faces(dataset, "train", 9) for dataset in both()
  ]
  np.testing.assert_array_equal(faces[1], faces[0])
  assert _copied(tmp_path) == []


def test_the_classes_are_counted_from_the_index(both, tmp_path):
  here, there = (
    input_pipeline.class_counts(dataset, "train") for dataset in both()
  )
  for head in labels.HEADS:
    np.testing.assert_array_equal(there[head], here[head])
  assert _copied(tmp_path) == ["train"]


def test_nothing_is_written_into_the_store(both, store):
  before = store.files("faces")
  for dataset in both():
    list(input_pipeline.make_for_train(dataset, batch_size=7, seed=0))
  assert store.files("faces") == before


def test_workers_share_the_batches(both):
  here, there = both()
  whole = next(iter(input_pipeline.make_for_eval(here, "test", batch_size=6)))
  context = tf.distribute.InputContext(
    num_input_pipelines=2, input_pipeline_id=1
  )
  mine = input_pipeline.make_for_eval(
    there, "test", batch_size=3, input_context=context
  )
  np.testing.assert_array_equal(next(iter(mine))["image"], whole["image"][3:])


@pytest.mark.parametrize("config", _CONFIGS)
def test_tfds_alone_reads_the_same(store, tiny_data_dir, config):
  read = [
    tfds.load(f"your_face/{config}", data_dir=place, split="train")
    for place in (str(tiny_data_dir), "s3://faces")
  ]
  _check_equal(read[1], read[0])


def test_no_room_is_said_and_the_buffer_is_used(
  both, tmp_path, monkeypatch, caplog
):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1))
  logging.use_absl_handler()
  here, there = both()
  for _ in range(2):
    batches = input_pipeline.make_for_train(there, batch_size=7, seed=3)
    stock = input_pipeline.make_for_train(
      here, batch_size=7, seed=3, path="stock"
    )
    _check_equal(batches, stock)
  said = [record.getMessage() for record in caplog.records]
  assert len(said) == 1
  assert said[0].startswith(
    f"your_face/{_CONFIGS[0]}/1.0.0: the shards are not on this disk "
    f"(s3://faces/your_face/{_CONFIGS[0]}/1.0.0) and 0."
  )
  assert said[0].endswith(
    "; read by TensorFlow's own operations, which are slower and shuffle "
    f"through a buffer of {stock_input.SHUFFLE_BUFFER:,} records"
  )
  # Room that comes later must not change the order of a run.
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  batches = input_pipeline.make_for_train(there, batch_size=7, seed=3)
  _check_equal(batches, stock)
  with pytest.raises(cli.UserError, match="path: got 'fast', but the shards"):
    input_pipeline.make_for_train(there, batch_size=7, seed=3, path="fast")


def _rewritten(store, tiny_data_dir, config=_CONFIGS[1]):
  """Changes one byte of each picture in the store, sizes stay as they are."""
  path = _shard(store, "train", config)
  before = path.stat()
  records = []
  for record in tfds.as_numpy(tf.data.TFRecordDataset(str(path))):
    example = tf.train.Example.FromString(record)
    image = bytearray(example.features.feature["image"].bytes_list.value[0])
    image[0] ^= 255
    example.features.feature["image"].bytes_list.value[0] = bytes(image)
    records.append(example.SerializeToString(deterministic=True))
  with tf.io.TFRecordWriter(str(path)) as file:
    for record in records:
      file.write(record)
  assert path.stat().st_size == before.st_size
  return path


def test_a_rebuilt_dataset_is_not_read_from_old_copies(
  both, store, tiny_data_dir
):
  config = _CONFIGS[1]
  here, there = both(config)
  old = input_pipeline.make_for_eval(there, "train", batch_size=60)
  _check_equal(old, input_pipeline.make_for_eval(here, "train", batch_size=60))
  path = _rewritten(store, tiny_data_dir)
  again = built_dataset.open_dataset("s3://faces", config)
  new = input_pipeline.make_for_eval(again, "train", batch_size=60)
  stock = input_pipeline.make_for_eval(
    again, "train", batch_size=60, path="stock"
  )
  _check_equal(new, stock)
  images = next(iter(new))["image"].numpy()
  before = next(iter(old))["image"].numpy()
  changed = (images != before).any((1, 2, 3)).sum()
  assert changed == sum(1 for _ in tf.data.TFRecordDataset(str(path)))
  # Whoever had it open reads on what was there.
  _check_equal(old, input_pipeline.make_for_eval(here, "train", batch_size=60))


def test_a_damaged_shard_is_the_stores(both, store):
  path = _shard(store, "test")
  content = bytearray(path.read_bytes())
  content[300] ^= 1
  path.write_bytes(content)
  _, there = both()
  with pytest.raises(tfrecord.CorruptError) as caught:
    list(input_pipeline.make_for_eval(there, "test", batch_size=5))
  text = str(caught.value)
  assert text.startswith(f"s3://faces/your_face/{_CONFIGS[0]}/1.0.0/")
  assert "record 0 at byte 0" in text
  assert text.endswith(
    "(so says a copy of it, which was removed: the next start copies it again)"
  )


def test_a_copy_that_is_damaged_later_is_made_again(both):
  here, there = both()
  batches = input_pipeline.make_for_eval(there, "test", batch_size=5)
  copy = pathlib.Path(there.local_shards("test")[0].path)
  size = copy.stat()
  with copy.open("r+b") as file:
    file.seek(size.st_size // 2)
    byte = file.read(1)[0]
    file.seek(size.st_size // 2)
    file.write(bytes([byte ^ 1]))
  with (
    pytest.raises(tfrecord.CorruptError, match="the next start copies it"),
    input_pipeline.plain_errors(there, "test"),
  ):
    list(batches)
  assert not copy.exists()
  again = built_dataset.open_dataset("s3://faces", _CONFIGS[0])
  _check_equal(
    input_pipeline.make_for_eval(again, "test", batch_size=5),
    input_pipeline.make_for_eval(here, "test", batch_size=5),
  )


def test_a_missing_shard_is_one_line(both, store):
  path = _shard(store, "test")
  path.unlink()
  _, there = both()
  with pytest.raises(cli.UserError) as caught:
    input_pipeline.make_for_eval(there, "test", batch_size=5)
  assert str(caught.value) == (
    f"s3://faces/your_face/{_CONFIGS[0]}/1.0.0/{path.name}: is missing; build "
    "the dataset again or copy it again"
  )


def test_compressed_shards_are_not_copied(store, tmp_path):
  for path in (store.root / "faces").rglob("*.tfrecord-*"):
    records = list(tf.data.TFRecordDataset(str(path)))
    with tf.io.TFRecordWriter(str(path), "GZIP") as file:
      for record in records:
        file.write(record.numpy())
  there = built_dataset.open_dataset("s3://faces", _CONFIGS[0])
  assert input_pipeline.obstacle(there, "train") == (
    "GZIP",
    "the shards are compressed (GZIP)",
  )
  list(input_pipeline.make_for_train(there, batch_size=7, seed=0))
  assert _copied(tmp_path) == []


def test_no_dataset_there(store):
  with pytest.raises(cli.UserError) as caught:
    built_dataset.open_dataset("s3://elsewhere", "jpeg")
  assert str(caught.value) == (
    "--data_dir: no dataset your_face/jpeg in 's3://elsewhere'; build it with: "
    "tfds build builders/your_face --config=jpeg --manual_dir=M "
    "--data_dir=s3://elsewhere"
  )


def test_photos_csv_is_read(both, store):
  rows = [
    curate.PhotoRow(
      path='김하나/a "1",\n.jpg',
      person="김하나",
      status=curate.ACCEPTED,
      split="test",
      box=(0.25, 0.25, 0.75, 0.75),
    ),
    curate.PhotoRow(path="b.txt", person="", status="unknown_person"),
  ]
  folder = store.root / "faces" / "your_face" / _CONFIGS[0] / "1.0.0"
  _, there = both()
  assert slices.read_table(there) is None
  (folder / "photos.csv").write_bytes(curate.csv_text(rows).encode())
  found = slices.read_table(there)
  assert found and [row["path"] for row in found] == [rows[0].path]


_READ = f"""
import hashlib, json, sys
from yourface_tfds import built_dataset, input_pipeline
dataset = built_dataset.open_dataset(sys.argv[1], "{_CONFIGS[0]}")
digest = hashlib.sha256()
for batch in input_pipeline.make_for_train(
  dataset, batch_size=8, seed=5, epochs=2
):
  digest.update(batch["image"].numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_two_programs_at_once(store, tiny_data_dir, tmp_path):
  environment = {
    **store.environment(),
    "XDG_CACHE_HOME": str(tmp_path / "cache"),
  }
  programs = [
    subprocess.Popen(
      [sys.executable, "-c", _READ, place],
      cwd=drawn.ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      encoding="utf-8",
    )
    for place in ("s3://faces", "s3://faces", str(tiny_data_dir))
  ]
  answers = {program.communicate(timeout=300)[0] for program in programs}
  assert [program.returncode for program in programs] == [0, 0, 0]
  assert len(answers) == 1
