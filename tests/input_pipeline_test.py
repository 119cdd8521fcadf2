"""Tests of input_pipeline: which examples come, in which order, how exact."""

import io
import json
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from yourface_tfds import built_dataset, cli, input_pipeline, labels

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


@pytest.mark.parametrize("method", ["num_examples", "records"])
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
  ("batch_size", "sizes"), [(16, [16, 16, 16, 12]), (60, [60]), (100, [60])]
)
def test_last_batch_may_be_smaller(dataset, batch_size, sizes):
  train = input_pipeline.make_for_train(
    dataset, batch_size=batch_size, seed=0, epoch=0
  )
  test = input_pipeline.make_for_eval(dataset, "train", batch_size=batch_size)
  for batches in (train, test):
    assert [len(batch["image"]) for batch in batches] == sizes


def test_sample_faces(dataset):
  whole = _columns(input_pipeline.make_for_eval(dataset, "test", batch_size=4))
  for count, expected in ((5, 5), (1, 1), (100, 12)):
    faces = input_pipeline.sample_faces(dataset, "test", count)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces, whole["image"][:expected])


@pytest.mark.parametrize("is_raw", [False, True])
def test_decode_images_eager_and_in_tf_data(tiny_examples, is_raw):
  examples = tiny_examples["test"]
  encoded = tf.constant(
    [e["image"].tobytes() if is_raw else e["jpeg"] for e in examples]
  )
  eager = input_pipeline.decode_images(encoded, size=32, is_raw=is_raw)
  dataset = tf.data.Dataset.from_tensors(encoded).map(
    lambda data: input_pipeline.decode_images(data, size=32, is_raw=is_raw)
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
    input_pipeline.decode_images(encoded, size=31, is_raw=False)
