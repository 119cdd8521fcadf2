"""Tests of train_lib and workdir: learning, continuing, refusing."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import (
  batch_buffers,
  built_dataset,
  cli,
  input_pipeline,
  labels,
  losses,
  models,
  running_sums,
  train_lib,
  train_settings,
  trainer,
  workdir,
)


@pytest.fixture(scope="module", autouse=True)
def _tiny_backbone():
  """A backbone that is traced in no time, for all but learning."""

  def tiny(images, weights):
    x = keras.layers.Conv2D(8, 3, strides=4)(images)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.GlobalAveragePooling2D()(x)

  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.BACKBONES, "tiny", tiny)
    yield


def _settings(**changes):
  return train_settings.TrainSettings(
    **{
      "model": "tiny",
      "image_size": 32,
      "batch_size": 16,
      "epochs": 2,
      "learning_rate": 0.01,
      "label_smoothing": 0.0,
      **changes,
    }
  )


@pytest.fixture(scope="module")
def dataset(tiny_data_dir):
  return built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")


_LEARNT = {"model": "small_cnn", "epochs": 8}


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
  """A workdir of a whole run, and what `train` returned."""
  folder = tmp_path_factory.mktemp("trained")
  return folder, train_lib.train(dataset, _settings(**_LEARNT), folder)


def _message(function, *args, **kwargs):
  with pytest.raises(cli.UserError) as caught:
    function(*args, **kwargs)
  return str(caught.value)


def _written(write_dataset, tmp_path, examples):
  config = write_dataset(tmp_path / "data", examples)
  return built_dataset.open_dataset(tmp_path / "data", config)


def _state(folder):
  with np.load(folder / "state.npz") as state:
    return dict(state)


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_it_learns(trained):
  _, result = trained
  history = result["history"]
  assert len(history) == 8
  assert list(history[0]) == [
    "loss",
    "gender",
    "job",
    "face_type",
    "validation_loss",
    "validation_gender",
    "validation_job",
    "validation_face_type",
  ]
  # Guessing costs (log(2) + log(2) + log(11)) / 3 = 1.26 nats.
  assert history[-1]["loss"] < history[0]["loss"] / 3
  assert history[-1]["loss"] < 0.4
  for head in labels.HEADS:
    assert history[-1][head] > 0.85


def test_result_and_train_json(trained, dataset):
  folder, result = trained
  assert json.loads((folder / "train.json").read_text()) == result
  assert result["dataset"] == dataset.info.full_name
  assert result["settings"] == json.loads(
    json.dumps(_settings(**_LEARNT).__dict__)
  )
  assert result["judged_by"] == "validation_loss"
  judged = [figures["validation_loss"] for figures in result["history"]]
  assert result["best_epoch"] == 1 + int(np.argmin(judged))
  assert result["best"] == result["history"][result["best_epoch"] - 1]
  assert result["images_per_second"] > 0
  model, _ = workdir.load_model(folder)
  assert result["parameters"] == model.count_params()


def test_workdir_holds_what_it_says(trained, dataset):
  folder, _ = trained
  assert _names(folder) == [
    "best.weights.h5",
    "best.weights.json",
    "settings.json",
    "state.npz",
    "train.json",
  ]
  stored = json.loads((folder / "settings.json").read_text())
  assert set(stored.pop("data_fingerprints")) == {"train", "validation"}
  assert stored == {
    "dataset": "your_face/raw-image_size_32/1.0.0",
    "train_examples": 60,
    **_settings(**_LEARNT).__dict__,
  }


def test_best_weights_give_the_best_validation_loss(trained, dataset):
  folder, result = trained
  model, _ = workdir.load_model(folder, 32)
  sums = running_sums.RunningSums()
  for batch in input_pipeline.make_for_eval(
    dataset, "validation", batch_size=16
  ):
    probabilities = model(batch["image"], training=False)
    each = losses.head_losses(losses.targets(batch), probabilities)
    sums.add(batch, each, probabilities, tf.constant(0, tf.int64))
  figures = sums.figures("validation_")
  for name, value in figures.items():
    assert value == pytest.approx(result["best"][name], rel=1e-4)


def test_the_same_again_does_nothing(trained, dataset):
  folder, result = trained
  before = _state(folder), (folder / "best.weights.h5").read_bytes()
  again = train_lib.train(dataset, _settings(**_LEARNT), folder)
  assert again == result
  assert (folder / "best.weights.h5").read_bytes() == before[1]
  for name, array in _state(folder).items():
    np.testing.assert_array_equal(array, before[0][name])


def test_learning_rate_warms_up_and_falls(dataset):
  model = trainer.Trainer(dataset, _settings(epochs=5))
  assert model.steps_per_epoch == 4
  rates = []
  for step in range(20):
    model.optimizer.iterations.assign(step)
    rates.append(float(model.optimizer.learning_rate))
  np.testing.assert_allclose(rates[:5], [0, 0.0025, 0.005, 0.0075, 0.01])
  assert rates[4:] == sorted(rates[4:], reverse=True)
  assert rates[-1] < 0.0002


@pytest.mark.parametrize(
  ("changes", "name", "theirs", "mine"),
  [
    ({"seed": 1}, "seed", 0, 1),
    ({"epochs": 9}, "epochs", 8, 9),
    ({"policy": "mixed_bfloat16"}, "policy", "'float32'", "'mixed_bfloat16'"),
  ],
)
def test_other_settings_are_refused(
  trained, dataset, changes, name, theirs, mine
):
  folder, _ = trained
  before = (folder / "settings.json").read_bytes()
  settings = _settings(**{**_LEARNT, **changes})
  assert _message(train_lib.train, dataset, settings, folder) == (
    f"--workdir: {folder} holds a run with {name}={theirs}, this one has "
    f"{mine}; give the same flags to continue it, or another --workdir"
  )
  assert (folder / "settings.json").read_bytes() == before


def test_other_data_is_refused(trained, tiny_data_dir):
  folder, _ = trained
  jpeg = built_dataset.open_dataset(tiny_data_dir, "jpeg-image_size_32")
  assert _message(train_lib.train, jpeg, _settings(**_LEARNT), folder) == (
    f"--workdir: {folder} holds a run with dataset="
    "'your_face/raw-image_size_32/1.0.0', this one has "
    "'your_face/jpeg-image_size_32/1.0.0'; give the same flags to continue it, "
    "or another --workdir"
  )


@pytest.mark.parametrize(
  ("name", "value"), [("batch_size", 0), ("epochs", -1), ("learning_rate", 0.0)]
)
def test_settings_above_zero(name, value):
  assert _message(_settings, **{name: value}) == (
    f"--{name}: got {value}, allowed: above 0"
  )


def test_loss_that_is_not_finite(dataset, tmp_path):
  settings = _settings(learning_rate=1e30)
  message = _message(train_lib.train, dataset, settings, tmp_path / "run")
  # Step 0 has a rate of 0 and step 1 the first one that breaks the weights.
  photos = (tmp_path / "run" / "not_finite.txt").read_text().splitlines()
  assert message == (
    "step 2 (epoch 1, batch 3): the loss is not finite; its photos are in "
    f"{tmp_path}/run/not_finite.txt ({photos[0]}, {photos[1]}, ...); look at "
    "them, or lower --learning_rate (now 1e+30); start in a new --workdir"
  )
  # They are those of that batch: their images are.
  stored = {}
  for batch in input_pipeline.make_for_eval(dataset, "train", batch_size=16):
    for photo, image in zip(batch["photo"], batch["image"], strict=True):
      stored[photo.numpy().decode()] = image.numpy()
  batches = input_pipeline.make_for_train(dataset, batch_size=16, seed=0)
  third = list(batches)[2]["image"].numpy()
  np.testing.assert_array_equal([stored[photo] for photo in photos], third)
  assert _names(tmp_path / "run") == ["not_finite.txt", "settings.json"]


def test_validation_loss_that_is_not_finite(dataset, tmp_path):
  # Only the last step of the epoch breaks the weights, so only validation
  # sees it.
  settings = _settings(learning_rate=1e30, batch_size=30, epochs=1)
  message = _message(train_lib.train, dataset, settings, tmp_path / "run")
  assert message == (
    "epoch 1: the validation loss became nan; lower --learning_rate (now "
    "1e+30) and start in a new --workdir"
  )
  assert _names(tmp_path / "run") == ["settings.json"]


def test_no_train_split(write_dataset, tiny_examples, tmp_path):
  dataset = _written(write_dataset, tmp_path, {"test": tiny_examples["test"]})
  message = _message(train_lib.train, dataset, _settings(), tmp_path / "run")
  assert message == (
    "your_face/raw-image_size_32/1.0.0 has no train split; build it with more "
    "photos"
  )
  assert not (tmp_path / "run").exists()


def test_no_validation_split(write_dataset, tiny_examples, tmp_path):
  dataset = _written(
    write_dataset, tmp_path, {"train": tiny_examples["train"][:20]}
  )
  result = train_lib.train(dataset, _settings(), tmp_path / "run")
  assert result["judged_by"] == "loss"
  assert list(result["best"]) == ["loss", "gender", "job", "face_type"]
  judged = [figures["loss"] for figures in result["history"]]
  assert result["best_epoch"] == 1 + int(np.argmin(judged))


def test_head_without_a_known_label(write_dataset, tiny_examples, tmp_path):
  unknown = {
    split: [example | {"job": -1} for example in tiny_examples[split]]
    for split in ("train", "validation")
  }
  dataset = _written(write_dataset, tmp_path, unknown)
  result = train_lib.train(dataset, _settings(), tmp_path / "run")
  assert list(result["best"]) == [
    "loss",
    "gender",
    "face_type",
    "validation_loss",
    "validation_gender",
    "validation_face_type",
  ]
  assert np.isfinite([list(f.values()) for f in result["history"]]).all()


def test_bfloat16_run_is_loaded_in_float32(dataset, tmp_path):
  settings = _settings(policy="mixed_bfloat16", epochs=1)
  train_lib.train(dataset, settings, tmp_path)
  model, stored = workdir.load_model(tmp_path, 32)
  assert stored == settings
  assert {layer.compute_dtype for layer in model.layers} == {"float32"}
  with_bfloat16 = train_lib.Run(dataset, settings, tmp_path)
  with_bfloat16.restore()
  faces = input_pipeline.sample_faces(dataset, "test", 12)
  expected = with_bfloat16.trainer.model(faces, training=False)
  for head, probabilities in model(faces, training=False).items():
    # bfloat16 keeps 8 bits.
    np.testing.assert_allclose(probabilities, expected[head], atol=0.03)
  assert keras.config.dtype_policy().name == "float32"


def test_load_model_of_another_image_size(trained):
  folder, _ = trained
  assert _message(workdir.load_model, folder, 150) == (
    f"--workdir: {folder} has a model for 32 pixels, the dataset has 150; give "
    "the --config it was trained on"
  )


def test_load_model_without_a_finished_epoch(tmp_path):
  assert _message(workdir.load_model, tmp_path) == (
    f"--workdir: no best.weights.h5 in {str(tmp_path)!r}; train first: python "
    f"-m training.train --data_dir=D --workdir={tmp_path}"
  )


@pytest.mark.parametrize("name", ["save_weights", "savez"])
def test_nothing_half_written_stays(dataset, tmp_path, monkeypatch, name):
  def broken(*args, **kwargs):
    if name == "savez":
      args[0].write(b"half")
    else:
      args[1].write_bytes(b"half")
    raise OSError(28, "No space left on device")

  owner = np if name == "savez" else keras.Model
  monkeypatch.setattr(owner, name, broken)
  with pytest.raises(OSError, match="No space left"):
    train_lib.train(dataset, _settings(), tmp_path / "run")
  monkeypatch.undo()
  expected = ["settings.json"]
  if name == "savez":
    expected[:0] = ["best.weights.h5", "best.weights.json"]
  assert _names(tmp_path / "run") == expected
  result = train_lib.train(dataset, _settings(), tmp_path / "run")
  assert len(result["history"]) == 2


@pytest.fixture
def unmoved(monkeypatch):
  """Settings under which no epoch changes what validation sees."""

  def plain(images, weights):
    x = keras.layers.Conv2D(4, 3, strides=4)(images)
    return keras.layers.GlobalAveragePooling2D()(x)

  monkeypatch.setitem(models.BACKBONES, "plain", plain)
  return {"model": "plain", "learning_rate": 1e-30}


def test_it_ends_when_it_gets_no_better(dataset, tmp_path, unmoved):
  settings = _settings(**unmoved, epochs=9, patience=2)
  result = train_lib.train(dataset, settings, tmp_path / "run")
  assert result["best_epoch"] == 1
  assert len(result["history"]) == 3
  again = train_lib.train(dataset, settings, tmp_path / "run")
  assert again["history"] == result["history"]
  assert again["images_per_second"] == result["images_per_second"]


def test_patience_of_zero_goes_on(dataset, tmp_path, unmoved):
  settings = _settings(**unmoved, epochs=3, patience=0)
  assert len(train_lib.train(dataset, settings, tmp_path)["history"]) == 3


def test_tensorboard_logs(dataset, tmp_path):
  result = train_lib.train(
    dataset, _settings(epochs=3), tmp_path, tensorboard=True
  )
  (path,) = (tmp_path / "tensorboard").iterdir()
  found = {}
  for record in tf.data.TFRecordDataset(str(path)):
    event = tf.compat.v1.Event.FromString(record.numpy())
    for value in event.summary.value:
      assert value.metadata.plugin_data.plugin_name == "scalars"
      scalar = float(tf.make_ndarray(value.tensor))
      found.setdefault(value.tag, []).append((event.step, scalar))
  losses = [figures["validation_loss"] for figures in result["history"]]
  assert [step for step, _ in found["validation_loss"]] == [4, 8, 12]
  logged = [scalar for _, scalar in found["validation_loss"]]
  np.testing.assert_allclose(logged, losses, rtol=1e-6)
  assert [step for step, _ in found["learning_rate"]] == [10]


def test_what_is_saved_has_no_augmentation(trained):
  folder, _ = trained
  model, _ = workdir.load_model(folder)
  graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(
    tf.TensorSpec([1, 32, 32, 3])
  )
  kinds = {operation.type for operation in graph.graph.get_operations()}
  assert "Conv2D" in kinds
  assert not {kind for kind in kinds if "Random" in kind or "Gather" in kind}


def test_no_memory_is_taken_anew_by_each_validation(dataset, monkeypatch):
  # TensorFlow keeps a dataset's function, and with it its buffers, for ever:
  # a second dataset would be 46 MB more an epoch.
  taken = []
  new_memory = batch_buffers._new_memory
  monkeypatch.setattr(
    batch_buffers,
    "_new_memory",
    lambda size: taken.append(size) or new_memory(size),
  )
  training = trainer.Trainer(dataset, _settings(batch_size=2))
  figures = training.validate()
  first = len(taken)
  assert first > 0
  for _ in range(8):
    assert training.validate() == figures
  # Threads may now and then hold one buffer more at a time than before.
  assert len(taken) <= first + 3


def test_weights_that_are_missing_leave_no_run(dataset, tmp_path):
  settings = _settings(model="MobileNetV2", weights=str(tmp_path / "no.h5"))
  message = _message(train_lib.train, dataset, settings, tmp_path / "run")
  assert message.startswith("--weights: no .h5 file ")
  assert not (tmp_path / "run").exists()
