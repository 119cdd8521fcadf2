"""Tests of stock_input: its pixels, its order, where it has to serve."""

import dataclasses
import gzip
import io
import pathlib
import shutil
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from absl import logging

from yourface_tfds import (
  built_dataset,
  cli,
  input_pipeline,
  labels,
  record_index,
  stock_input,
)

_CONFIGS = ("jpeg-image_size_32", "raw-image_size_32")


def _layout(size=32, is_raw=False):
  return record_index.Layout(
    size=size,
    is_raw=is_raw,
    integers=tuple(labels.HEADS),
    strings=("person", "photo"),
  )


@pytest.fixture(params=_CONFIGS, scope="module")
def dataset(tiny_data_dir, request):
  return built_dataset.open_dataset(tiny_data_dir, request.param)


def _columns(batches):
  batches = [{k: v.numpy() for k, v in batch.items()} for batch in batches]
  return {
    key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
  }


def _assert_equal(first, second):
  assert first.keys() == second.keys()
  for key in first:
    np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.parametrize("is_raw", [False, True])
def test_decode_images_eager_and_in_tf_data(tiny_examples, is_raw):
  examples = tiny_examples["test"]
  encoded = tf.constant(
    [e["image"].tobytes() if is_raw else e["jpeg"] for e in examples]
  )
  layout = _layout(is_raw=is_raw)
  eager = stock_input.decode_images(encoded, layout)
  dataset = tf.data.Dataset.from_tensors(encoded).map(
    lambda data: stock_input.decode_images(data, layout)
  )
  assert dataset.element_spec.shape[1:] == (32, 32, 3)
  assert eager.dtype == dataset.element_spec.dtype == tf.uint8
  np.testing.assert_array_equal(eager, next(iter(dataset)))
  np.testing.assert_array_equal(
    eager,
    [
      e["image"] if is_raw else PIL.Image.open(io.BytesIO(e["jpeg"]))
      for e in examples
    ],
  )


def test_decode_images_of_another_size(tiny_examples):
  encoded = tf.constant([tiny_examples["test"][0]["jpeg"]])
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
    stock_input.decode_images(encoded, _layout(size=31))


@pytest.mark.parametrize("split", ["test", "train[17:43]"])
def test_gives_what_the_fast_path_gives(dataset, split):
  fast, stock = (
    input_pipeline.make_for_eval(dataset, split, batch_size=5, path=path)
    for path in ("fast", "stock")
  )
  assert fast.element_spec == stock.element_spec
  assert fast.cardinality() == stock.cardinality()
  _assert_equal(_columns(fast), _columns(stock))


@pytest.mark.parametrize("drop_remainder", [False, True])
def test_has_the_spec_and_cardinality_of_the_fast_path(dataset, drop_remainder):
  for start_step in (0, 2, 5):
    fast, stock = (
      input_pipeline.make_for_train(
        dataset,
        batch_size=16,
        seed=0,
        epochs=3,
        start_step=start_step,
        drop_remainder=drop_remainder,
        path=path,
      )
      for path in ("fast", "stock")
    )
    assert fast.element_spec == stock.element_spec
    steps = 3 * (3 if drop_remainder else 4) - start_step
    assert fast.cardinality() == stock.cardinality() == steps
    assert len(list(fast)) == len(list(stock)) == steps


def test_train_has_every_example_once_an_epoch_in_another_order(dataset):
  batches = input_pipeline.make_for_train(
    dataset, batch_size=60, seed=0, epochs=3, path="stock"
  )
  images = [batch["image"].numpy().reshape(60, -1) for batch in batches]
  ordered = [sorted(map(bytes, epoch)) for epoch in images]
  assert ordered[0] == ordered[1] == ordered[2]
  assert (images[0] != images[1]).any()
  assert (images[1] != images[2]).any()


def test_train_starts_at_any_step(dataset):
  def make(start_step):
    return [
      batch["image"].numpy()
      for batch in input_pipeline.make_for_train(
        dataset,
        batch_size=16,
        seed=3,
        epochs=2,
        start_step=start_step,
        path="stock",
      )
    ]

  whole, rest = make(0), make(5)
  for expected, got in zip(whole[5:], rest, strict=True):
    np.testing.assert_array_equal(expected, got)


def test_workers_share_the_examples(dataset):
  parts = [
    _columns(
      input_pipeline.make_for_train(
        dataset,
        batch_size=4,
        seed=0,
        input_context=tf.distribute.InputContext(3, worker, 3),
        path="stock",
      )
    )["image"]
    for worker in range(3)
  ]
  together = [bytes(image) for part in parts for image in part.reshape(20, -1)]
  whole = _columns(
    input_pipeline.make_for_train(dataset, batch_size=60, seed=0, path="stock")
  )["image"].reshape(60, -1)
  assert sorted(together) == sorted(map(bytes, whole))


def _compressed(tiny_data_dir, tmp_path, compress):
  """Returns a dataset whose shards were compressed after the build."""
  shutil.copytree(tiny_data_dir / "your_face", tmp_path / "your_face")
  for shard in tmp_path.glob("your_face/raw*/1.0.0/*.tfrecord-*"):
    shard.write_bytes(compress(shard.read_bytes()))
  return built_dataset.open_dataset(tmp_path, "raw-image_size_32")


@pytest.mark.parametrize(
  ("name", "compress"), [("GZIP", gzip.compress), ("ZLIB", zlib.compress)]
)
def test_compressed_shards(
  tiny_data_dir, tmp_path, monkeypatch, name, compress
):
  said = []
  monkeypatch.setattr(logging, "warning", said.append)
  compressed = _compressed(tiny_data_dir, tmp_path, compress)
  plain = built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")
  input_pipeline._log_once.cache_clear()
  for _ in range(2):
    _assert_equal(
      *(
        _columns(input_pipeline.make_for_eval(one, "test", batch_size=5))
        for one in (plain, compressed)
      )
    )
  assert said == [
    "your_face/raw-image_size_32/1.0.0: the shards are compressed "
    f"({name}); read by TensorFlow's own operations, which are slower and "
    "shuffle through a buffer of 10,000 records"
  ]
  for head, counts in input_pipeline.class_counts(compressed, "train").items():
    np.testing.assert_array_equal(
      counts, input_pipeline.class_counts(plain, "train")[head]
    )
  with pytest.raises(cli.UserError) as caught:
    input_pipeline.make_for_eval(compressed, "test", batch_size=5, path="fast")
  assert str(caught.value) == (
    f"path: got 'fast', but the shards are compressed ({name}); give 'auto'"
  )


def _in_memory(path):
  return f"ram://{pathlib.Path(path).name}"


def test_shards_that_are_not_on_a_local_disk(
  tiny_data_dir, tmp_path, monkeypatch
):
  # TensorFlow's own file system in memory stands for gs:// and the like.
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  said = []
  monkeypatch.setattr(logging, "warning", said.append)
  local = built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")
  remote = built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")
  for shard in local.shards("test"):
    tf.io.gfile.copy(shard.path, _in_memory(shard.path), overwrite=True)
  stored_parts = remote.parts("test")
  stored_shards = remote.shards("test")
  remote_parts = [(_in_memory(path), *rest) for path, *rest in stored_parts]
  remote_shards = [
    dataclasses.replace(shard, path=_in_memory(shard.path))
    for shard in stored_shards
  ]
  expected = _columns(
    input_pipeline.make_for_eval(local, "test", batch_size=5, path="stock")
  )
  monkeypatch.setattr(built_dataset.Dataset, "parts", lambda *_: remote_parts)
  monkeypatch.setattr(built_dataset.Dataset, "shards", lambda *_: remote_shards)
  got = input_pipeline.make_for_eval(remote, "test", batch_size=5)
  _assert_equal(expected, _columns(got))
  assert "the shards are not on this disk" in said[0]


_WORKER = """
import sys
import tensorflow as tf
dispatcher = tf.data.experimental.service.DispatchServer()
worker = tf.data.experimental.service.WorkerServer(
  tf.data.experimental.service.WorkerConfig(
    dispatcher_address=dispatcher.target.partition("://")[2]))
print(dispatcher.target, flush=True)
sys.stdin.read()
"""


def test_tf_data_service_in_another_process(tiny_data_dir):
  dataset = built_dataset.open_dataset(tiny_data_dir, "jpeg-image_size_32")
  server = subprocess.Popen(
    [sys.executable, "-c", _WORKER],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  assert server.stdout is not None
  try:
    target = server.stdout.readline().strip()
    batches = input_pipeline.make_for_train(
      dataset, batch_size=16, seed=0, path="stock"
    )
    served = batches.apply(
      tf.data.experimental.service.distribute("parallel_epochs", target)
    )
    images = _columns(served)["image"]
    _assert_equal({"image": images}, {"image": _columns(batches)["image"]})
  finally:
    server.communicate("", timeout=30)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_seed_of_the_program_changes_nothing(tiny_data_dir, seed):
  dataset = built_dataset.open_dataset(tiny_data_dir, "jpeg-image_size_32")

  def order():
    batches = input_pipeline.make_for_train(
      dataset, batch_size=60, seed=3, path="stock"
    )
    return next(iter(batches))["image"].numpy()

  tf.random.set_seed(seed)
  first = order()
  tf.random.set_seed(1234)
  np.testing.assert_array_equal(order(), first)
  # Nor is the program's seed changed.
  tf.random.set_seed(7)
  expected = tf.random.uniform([3]).numpy()
  tf.random.set_seed(7)
  order()
  np.testing.assert_array_equal(tf.random.uniform([3]), expected)
