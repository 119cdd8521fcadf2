"""Tests of input_pipeline: which examples come, in which order, how exact."""

import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zlib

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from yourface_tfds import (
  built_dataset,
  cli,
  input_pipeline,
  labels,
  tfrecord,
)

_CONFIGS = ("jpeg-image_size_32", "raw-image_size_32")


@pytest.fixture(params=_CONFIGS, scope="module")
def dataset(tiny_data_dir, request):
  return built_dataset.open_dataset(tiny_data_dir, request.param)


@pytest.fixture(scope="module")
def raw(tiny_data_dir):
  return built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")


@pytest.fixture
def copied(tiny_data_dir, tmp_path):
  """The folder of a copy of the raw dataset, to be changed."""
  path = tmp_path / "your_face" / "raw-image_size_32" / "1.0.0"
  shutil.copytree(
    tiny_data_dir / "your_face" / "raw-image_size_32" / "1.0.0", path
  )
  return path


def _columns(batches):
  """Returns every key of all batches, concatenated."""
  batches = [{k: v.numpy() for k, v in batch.items()} for batch in batches]
  return {
    key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
  }


def _by_photo(columns):
  """Returns photo -> its row of every other column."""
  return {
    photo.decode(): {key: columns[key][i] for key in columns}
    for i, photo in enumerate(columns["photo"])
  }


def _epoch(dataset, seed=0, epoch=0, batch_size=16):
  return _columns(
    input_pipeline.make_for_train(
      dataset, batch_size=batch_size, seed=seed, epoch=epoch
    )
  )


def _message(function, *args, **kwargs):
  with pytest.raises(cli.UserError) as caught:
    function(*args, **kwargs)
  return str(caught.value)


def test_open_dataset_describes_it(dataset):
  assert dataset.image_size == 32
  assert dataset.is_raw == dataset.info.config_name.startswith("raw")
  assert dataset.info.full_name == f"your_face/{dataset.info.config_name}/1.0.0"
  assert list(dataset.info.splits) == ["train", "validation", "test", "unseen"]


@pytest.mark.parametrize("config", ["jpeg", "mine"])
def test_open_dataset_where_nothing_is(tmp_path, config):
  assert _message(built_dataset.open_dataset, tmp_path, config) == (
    f"--data_dir: no dataset your_face/{config} in {str(tmp_path)!r}; build it "
    f"with: tfds build builders/your_face --config={config} --manual_dir=M "
    f"--data_dir={tmp_path}"
  )


def test_open_dataset_without_this_config(tiny_data_dir):
  assert _message(built_dataset.open_dataset, tiny_data_dir, "raw") == (
    f"--data_dir: no dataset your_face/raw in {str(tiny_data_dir)!r}; build it "
    "with: tfds build builders/your_face --config=raw --manual_dir=M "
    f"--data_dir={tiny_data_dir}"
  )


def test_open_dataset_of_something_else(copied, tmp_path):
  path = copied / "features.json"
  features = json.loads(path.read_text())
  stored = features["featuresDict"]["features"]
  stored["picture"] = stored.pop("image")
  del stored["job"]
  path.write_text(json.dumps(features))
  message = _message(built_dataset.open_dataset, tmp_path, "raw-image_size_32")
  assert message == (
    f"{copied}: no image, job; this was built by something else, build "
    "it again with builders/your_face"
  )


def test_open_dataset_with_other_labels(copied, tmp_path):
  (copied / "job.labels.txt").write_text("actor\ndancer\n")
  message = _message(built_dataset.open_dataset, tmp_path, "raw-image_size_32")
  assert message == (
    f"{copied}: job holds actor, dancer; this version knows actor, singer; "
    "build it again"
  )


def test_num_examples(dataset, tiny_examples):
  for split, examples in tiny_examples.items():
    assert dataset.num_examples(split) == len(examples)
  assert dataset.num_examples("train[:50%]") == 30
  assert dataset.num_examples("train[3:7]") == 4


def test_has_split(dataset):
  assert dataset.has_split("unseen")
  assert dataset.has_split("train[:50%]")
  assert not dataset.has_split("tests")


@pytest.mark.parametrize("method", ["num_examples", "parts", "numbers"])
def test_wrong_split(raw, method):
  assert _message(getattr(raw, method), "valid[:1]") == (
    "--split: got 'valid[:1]', allowed: train, validation, test, unseen "
    "(splits of your_face/raw-image_size_32/1.0.0)"
  )


def test_empty_slice_is_refused(raw):
  message = _message(
    input_pipeline.make_for_eval, raw, "train[:0]", batch_size=2
  )
  assert message == (
    "--split: got 'train[:0]', which holds no example of "
    "your_face/raw-image_size_32/1.0.0"
  )


def test_element_spec(dataset):
  heads = {head: tf.TensorSpec([None], tf.int64) for head in labels.HEADS}
  image = tf.TensorSpec([None, 32, 32, 3], tf.uint8)
  text = tf.TensorSpec([None], tf.string)
  train = input_pipeline.make_for_train(dataset, batch_size=4, seed=0, epoch=0)
  assert train.element_spec == {"image": image, **heads}
  test = input_pipeline.make_for_eval(dataset, "test", batch_size=4)
  assert test.element_spec == {
    "image": image,
    "person": text,
    "photo": text,
    **heads,
  }


def test_every_example_once_an_epoch(raw, tiny_examples):
  expected = sorted(
    (e["image"].tobytes(), e["gender"], e["job"], e["face_type"])
    for e in tiny_examples["train"]
  )
  for epoch in range(2):
    columns = _epoch(raw, epoch=epoch, batch_size=7)
    got = sorted(
      (
        columns["image"][i].tobytes(),
        *(int(columns[head][i]) for head in labels.HEADS),
      )
      for i in range(60)
    )
    assert got == expected


def test_order_depends_on_seed_and_epoch_alone(dataset):
  first = _epoch(dataset, seed=1, epoch=2)
  again = _epoch(dataset, seed=1, epoch=2, batch_size=11)
  for key in first:
    np.testing.assert_array_equal(first[key], again[key])
  for seed, epoch in ((1, 3), (2, 2)):
    other = _epoch(dataset, seed=seed, epoch=epoch)
    assert (first["image"] != other["image"]).any(axis=(1, 2, 3)).sum() > 40


def test_epochs_of_neighbouring_seeds_differ(raw):
  # Seed 0, epoch 1 must not be seed 1, epoch 0.
  assert (_epoch(raw, 0, 1)["image"] != _epoch(raw, 1, 0)["image"]).any()


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_eval_gives_what_was_written(dataset, tiny_examples, split):
  columns = _columns(input_pipeline.make_for_eval(dataset, split, batch_size=8))
  got = _by_photo(columns)
  assert len(columns["photo"]) == len(got) == len(tiny_examples[split])
  for example in tiny_examples[split]:
    row = got[example["photo"]]
    assert row["person"].decode() == example["person"]
    for head in labels.HEADS:
      assert row[head] == example[head]
    if dataset.is_raw:
      expected = example["image"]
    else:
      expected = np.asarray(PIL.Image.open(io.BytesIO(example["jpeg"])))
    np.testing.assert_array_equal(row["image"], expected)


def test_raw_and_jpeg_hold_the_same(tiny_data_dir):
  jpeg, raw = (
    _columns(
      input_pipeline.make_for_eval(
        built_dataset.open_dataset(tiny_data_dir, config),
        "test",
        batch_size=5,
      )
    )
    for config in _CONFIGS
  )
  for key in ("person", "photo", *labels.HEADS):
    np.testing.assert_array_equal(jpeg[key], raw[key])
  difference = np.abs(jpeg["image"].astype(int) - raw["image"])
  assert 0 < difference.mean() < 8


def test_eval_order_is_stable(dataset):
  first, again = (
    _columns(input_pipeline.make_for_eval(dataset, "train", batch_size=size))
    for size in (4, 60)
  )
  for key in first:
    np.testing.assert_array_equal(first[key], again[key])


def test_slices_are_parts_of_the_whole(dataset):
  whole, first, second, middle = (
    _columns(input_pipeline.make_for_eval(dataset, split, batch_size=9))
    for split in ("train", "train[:50%]", "train[50%:]", "train[17:43]")
  )
  for key in whole:
    np.testing.assert_array_equal(
      whole[key], np.concatenate([first[key], second[key]])
    )
    np.testing.assert_array_equal(whole[key][17:43], middle[key])


@pytest.mark.parametrize(
  ("batch_size", "sizes"), [(16, [16, 16, 16, 12]), (60, [60])]
)
@pytest.mark.parametrize("path", ["fast", "stock"])
def test_last_batch_may_be_smaller(dataset, path, batch_size, sizes):
  train = input_pipeline.make_for_train(
    dataset, batch_size=batch_size, seed=0, path=path
  )
  test = input_pipeline.make_for_eval(
    dataset, "train", batch_size=batch_size, path=path
  )
  for batches in (train, test):
    assert [len(batch["image"]) for batch in batches] == sizes
    assert batches.cardinality() == len(sizes)


def test_eval_batch_larger_than_the_data(dataset):
  batches = input_pipeline.make_for_eval(dataset, "train", batch_size=100)
  assert [len(batch["image"]) for batch in batches] == [60]


@pytest.mark.parametrize("split", ["train", "train[:50%]"])
def test_train_batch_larger_than_the_data(raw, split):
  count = raw.num_examples(split)
  assert _message(
    input_pipeline.make_for_train, raw, batch_size=61, seed=0, split=split
  ) == (
    f"--batch_size: got 61, allowed: at most the {count} examples of {split} "
    "in your_face/raw-image_size_32/1.0.0"
  )


def test_sample_faces(dataset):
  whole = _columns(input_pipeline.make_for_eval(dataset, "test", batch_size=4))
  for count, expected in ((5, 5), (1, 1), (100, 12)):
    faces = input_pipeline.sample_faces(dataset, "test", count)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces, whole["image"][:expected])


def _digests(batches):
  """Returns one number a batch that tells every byte of it."""
  return [
    zlib.crc32(b"".join(batch[key].numpy().tobytes() for key in sorted(batch)))
    for batch in batches
  ]


def _train(dataset, batch_size=7, seed=4, epochs=3, **settings):
  return input_pipeline.make_for_train(
    dataset, batch_size=batch_size, seed=seed, epochs=epochs, **settings
  )


def test_epochs_in_one_dataset_are_those_made_alone(dataset):
  together = _digests(_train(dataset))
  alone = [
    digest
    for epoch in range(3)
    for digest in _digests(_train(dataset, epoch=epoch, epochs=1))
  ]
  assert together == alone
  assert len(set(together)) == len(together) == 27


def test_cardinality_of_epochs(dataset):
  assert _train(dataset).cardinality() == 27
  assert _train(dataset, start_step=10).cardinality() == 17
  assert _train(dataset, drop_remainder=True).cardinality() == 24
  assert _train(dataset, start_step=27).cardinality() == 0
  assert list(_train(dataset, start_step=27)) == []


def test_drop_remainder_has_a_static_batch(dataset):
  batches = _train(dataset, drop_remainder=True)
  assert batches.element_spec["image"].shape == (7, 32, 32, 3)
  assert [len(batch["image"]) for batch in batches] == [7] * 24


@pytest.mark.parametrize("start_step", [0, 1, 8, 9, 13, 26])
def test_starts_at_any_step(dataset, start_step):
  whole = _digests(_train(dataset))
  assert _digests(_train(dataset, start_step=start_step)) == whole[start_step:]


def test_checkpoint_of_the_iterator(dataset, tmp_path):
  whole = _digests(_train(dataset))
  iterator = iter(_train(dataset))
  assert _digests(itertools.islice(iterator, 12)) == whole[:12]
  path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "state"))
  assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1000
  assert _digests(itertools.islice(iterator, 3)) == whole[12:15]
  again = iter(_train(dataset))
  tf.train.Checkpoint(iterator=again).read(path).assert_consumed()
  assert _digests(again) == whole[12:]


# Appends the digest of each batch, saves the iterator after every second.
_KILLED = """
import sys, os, zlib
import tensorflow as tf
from yourface_tfds import built_dataset, input_pipeline
data_dir, config, folder = sys.argv[1:]
dataset = built_dataset.open_dataset(data_dir, config)
batches = input_pipeline.make_for_train(
  dataset, batch_size=7, seed=4, epochs=3)
iterator = iter(batches)
step = tf.Variable(0, dtype=tf.int64)
checkpoint = tf.train.Checkpoint(iterator=iterator, step=step)
manager = tf.train.CheckpointManager(checkpoint, folder + "/state", 2)
checkpoint.restore(manager.latest_checkpoint)
with open(folder + "/log", "a") as log:
  for batch in iterator:
    keys = sorted(batch)
    data = b"".join(batch[key].numpy().tobytes() for key in keys)
    print(int(step), zlib.crc32(data), file=log, flush=True)
    step.assign_add(1)
    if step % 2 == 0:
      manager.save()
    print("batch", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
  "config", [_CONFIGS[1], pytest.param(_CONFIGS[0], marks=pytest.mark.slow)]
)
def test_killed_processes_go_on_with_the_very_next_batch(
  tiny_data_dir, tmp_path, config
):
  dataset = built_dataset.open_dataset(tiny_data_dir, config)
  whole = _digests(_train(dataset))
  for batches in (5, 8, 100):
    process = subprocess.Popen(
      [sys.executable, "-c", _KILLED, tiny_data_dir, config, tmp_path],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(batches):
      if not process.stdout.readline():
        break
      process.stdin.write("\n")
      process.stdin.flush()
    else:
      process.kill()  # SIGKILL, in the middle of a batch or of a save.
    process.communicate(timeout=60)
  lines = (tmp_path / "log").read_text().splitlines()
  log = [tuple(map(int, line.split())) for line in lines]
  assert {step for step, _ in log} == set(range(27))
  assert all(whole[step] == digest for step, digest in log)
  restarts = sum(
    second[0] <= first[0] for first, second in itertools.pairwise(log)
  )
  assert 27 <= len(log) <= 27 + 3 * restarts


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_together_have_the_batches_of_one(raw, workers):
  size = 12 // workers
  alone = [batch["image"].numpy() for batch in _train(raw, batch_size=12)]
  shares = [
    [
      batch["image"].numpy()
      for batch in _train(
        raw,
        batch_size=size,
        input_context=tf.distribute.InputContext(workers, worker, workers),
      )
    ]
    for worker in range(workers)
  ]
  assert len(alone) == 15
  for step, batch in enumerate(alone):
    together = np.concatenate([share[step] for share in shares])
    np.testing.assert_array_equal(batch, together)


def test_last_step_is_shared_evenly(raw):
  # 60 examples, 2 workers of 16: 28 are left for the second step.
  for worker in range(2):
    batches = _train(
      raw,
      batch_size=16,
      epochs=1,
      input_context=tf.distribute.InputContext(2, worker, 2),
    )
    assert [len(batch["image"]) for batch in batches] == [16, 14]


def test_distributes_from_a_function(raw):
  strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
  batches = strategy.distribute_datasets_from_function(
    lambda context: _train(
      raw,
      batch_size=context.get_per_replica_batch_size(7),
      input_context=context,
    )
  )
  assert _digests(batches) == _digests(_train(raw))


def test_is_an_ordinary_dataset(raw):
  batches = _train(raw)
  whole = _digests(batches)
  assert _digests(batches.shard(3, 1)) == whole[1::3]
  assert _digests(batches.take(4).skip(1)) == whole[1:4]
  assert _digests(batches.repeat(2)) == whole * 2
  assert _digests(batches) == whole
  assert batches.options().experimental_symbolic_checkpoint
  singles = [int(one["gender"]) for one in _train(raw, epochs=1).unbatch()]
  assert len(singles) == 60


@pytest.mark.parametrize(
  "options",
  [{"path": "fast"}, {"path": "stock"}, {"data_service": "localhost:1"}],
)
def test_no_thread_that_tunes(raw, options):
  # Its end may take as long as a clock was set back by: jumping_clock_test.
  batches = _train(raw, **options)
  assert batches.options().autotune.enabled is False


def test_feeds_keras_fit(raw):
  image = keras.Input((32, 32, 3), dtype="uint8", name="image")
  pixels = keras.layers.Rescaling(1 / 255)(image)
  output = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(pixels))
  model = keras.Model(image, output)
  model.compile("sgd", "mse")
  batches = _train(raw, epochs=2).map(
    lambda batch: (batch["image"], batch["face_type"])
  )
  history = model.fit(batches, shuffle=False, verbose=0)
  assert np.isfinite(history.history["loss"]).all()
  assert int(model.optimizer.iterations) == 18


def test_batches_in_flight_keep_their_pixels(raw):
  # All are held at once: none may share memory with another.
  held = list(_train(raw, batch_size=4, epochs=4))
  assert _digests(held) == _digests(_train(raw, batch_size=4, epochs=4))


def test_people_do_not_cluster(raw, tiny_examples):
  person = {e["image"].tobytes(): e["person"] for e in tiny_examples["train"]}
  neighbours, expected = 0, 0.0
  for epoch in range(40):
    order = [
      person[image.tobytes()]
      for image in _epoch(raw, seed=9, epoch=epoch, batch_size=60)["image"]
    ]
    neighbours += sum(a == b for a, b in itertools.pairwise(order))
    counts = np.unique(order, return_counts=True)[1]
    expected += (counts * (counts - 1)).sum() / len(order)
  # About 255; its standard deviation is below the root of that.
  assert abs(neighbours - expected) < 3 * expected**0.5


def test_path_must_be_known(raw):
  assert _message(_train, raw, path="slow") == (
    "path: got 'slow', allowed: auto, fast, stock"
  )


def test_to_device_without_a_gpu(raw):
  batches = _train(raw)
  assert input_pipeline.to_device(batches) is batches


def test_class_counts(dataset, tiny_examples):
  for split in ("train", "train[10:30]", "unseen"):
    counts = input_pipeline.class_counts(dataset, split)
    assert list(counts) == list(labels.HEADS)
  for head, vocabulary in labels.HEADS.items():
    known = [e[head] for e in tiny_examples["unseen"] if e[head] >= 0]
    expected = np.bincount(known, minlength=len(vocabulary.names))
    np.testing.assert_array_equal(counts[head], expected)


def _first_shard(folder):
  return sorted(folder.glob("*-train.tfrecord-*"))[0]


def _flip(path, offset):
  with path.open("r+b") as file:
    file.seek(offset)
    byte = file.read(1)[0]
    file.seek(offset)
    file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize("path", ["fast", "stock"])
def test_damage_after_the_start_stops_training(copied, tmp_path, path):
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  batches = _train(dataset, path=path)
  shard = _first_shard(copied)
  _flip(shard, 2000)
  with (
    pytest.raises(tfrecord.CorruptError) as caught,
    input_pipeline.plain_errors(dataset, "train"),
  ):
    _digests(batches)
  assert str(caught.value) == (
    f"{shard}: record 0 at byte 0: its checksum differs; the file was "
    "changed or damaged after it was written, build it again or copy it "
    "again"
  )


def test_damage_before_the_start_is_found_at_the_start(copied, tmp_path):
  shard = _first_shard(copied)
  _flip(shard, 2000)
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  with pytest.raises(tfrecord.CorruptError, match="record 0 at byte 0"):
    _train(dataset)


def test_shard_cut_short_is_found_at_the_start(copied, tmp_path):
  _digests(
    _train(built_dataset.open_dataset(tmp_path, "raw-image_size_32"))
  )  # The index exists.
  shard = _first_shard(copied)
  os.truncate(shard, shard.stat().st_size - 100)
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  with pytest.raises(tfrecord.CorruptError) as caught:
    _train(dataset)
  assert re.fullmatch(
    re.escape(f"{shard}: record 19 at byte ")
    + r"\d+: the file ends inside it, at byte \d+; the file was changed or "
    "damaged after it was written, build it again or copy it again",
    str(caught.value),
  )


def test_shards_of_another_config(copied, tiny_data_dir, tmp_path):
  other = tiny_data_dir / "your_face" / "jpeg-image_size_32" / "1.0.0"
  shard = _first_shard(copied)
  shutil.copy(_first_shard(other), shard)
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  with pytest.raises(tfrecord.CorruptError) as caught:
    _train(dataset)
  assert re.fullmatch(
    re.escape(f"{shard}: record 0: its image holds ")
    + r"\d+ bytes, 32x32 pixels are 3072; it is of another dataset",
    str(caught.value),
  )


def test_missing_shard(copied, tmp_path):
  shard = _first_shard(copied)
  shard.unlink()
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  with pytest.raises(cli.UserError) as caught:
    _train(dataset)
  assert str(caught.value) == (
    f"{shard}: is missing; build the dataset again or copy it again"
  )


def test_shard_deleted_meanwhile_is_still_read(copied, tmp_path):
  dataset = built_dataset.open_dataset(tmp_path, "raw-image_size_32")
  iterator = iter(_train(dataset))
  first = _digests(itertools.islice(iterator, 2))
  for shard in copied.glob("*.tfrecord-*"):
    shard.unlink()
  assert len(first + _digests(iterator)) == 27


def test_another_version(copied, tmp_path):
  copied.rename(copied.with_name("0.9.0"))
  for path in copied.with_name("0.9.0").glob("dataset_info.json"):
    path.write_text(path.read_text().replace("1.0.0", "0.9.0"))
  message = _message(built_dataset.open_dataset, tmp_path, "raw-image_size_32")
  assert message == (
    f"{copied.with_name('0.9.0')}: version 0.9.0, this code reads 1.*.*; build "
    "it again with builders/your_face"
  )
