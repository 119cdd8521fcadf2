"""Tests of metrics: figures against slow, direct ones."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import (
  built_dataset,
  calibration,
  cli,
  confusion,
  curate,
  input_pipeline,
  intervals,
  labels,
  metrics,
  models,
  slices,
)


@pytest.fixture(scope="module")
def dataset(tiny_data_dir):
  return built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")


class _Brightness(keras.layers.Layer):
  """Answers from the mean of red, green and blue alone."""

  def call(self, images):
    mean = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2]) / 255
    outputs = {}
    for head, vocabulary in labels.HEADS.items():
      weights = np.random.default_rng(len(head)).normal(
        size=(3, len(vocabulary.names))
      )
      outputs[head] = tf.nn.softmax(mean @ tf.constant(weights, tf.float32))
    return outputs


@pytest.fixture(scope="module")
def model():
  faces = keras.Input((32, 32, 3))
  return keras.Model(faces, _Brightness()(faces))


@pytest.fixture(scope="module")
def temperatures(model, dataset):
  return metrics.fit_temperatures(model, dataset)


@pytest.fixture(scope="module")
def figures(model, dataset, temperatures):
  return metrics.evaluate(model, dataset, "test", temperatures)


def _predictions(truth, answers, people):
  """Predictions whose three heads answer the same class indices."""
  predictions = {"person": np.array(people), "photo": np.array(people)}
  for head, vocabulary in labels.HEADS.items():
    predictions[head] = np.array(truth[head], np.int64)
    predictions[f"{head}_probabilities"] = np.eye(
      len(vocabulary.names), dtype=np.float32
    )[answers]
  return predictions


def test_score_leaves_unknown_labels_out():
  truth = {
    "gender": [0, 1, -1, 1, -1],
    "job": [-1] * 5,
    "face_type": [0, 1, 0, 1, 1],
  }
  predictions = _predictions(truth, [0, 1, 0, 0, 1], list("aabbc"))
  got = metrics.score(predictions, {"gender": 1, "job": -1, "face_type": 0})
  assert list(got) == list(labels.HEADS)
  gender = got["gender"]
  assert (gender["examples"], gender["people"]) == (3, 2)
  assert gender["accuracy"] == pytest.approx(2 / 3)
  assert gender["interval_95"] == (0.0, 1.0)
  assert gender["majority_baseline"] == pytest.approx(2 / 3)
  assert gender["confusion"] == [[1, 0], [1, 1]]
  assert got["job"] == {"examples": 0, "people": 0}
  assert got["face_type"]["accuracy"] == pytest.approx(4 / 5)
  assert got["face_type"]["majority_baseline"] == pytest.approx(2 / 5)
  assert got["face_type"]["people"] == 3


def test_figures_by_hand():
  truth = {"gender": [0, 0, 0, 1], "job": [0, 0, 1, 1], "face_type": [0] * 4}
  predictions = _predictions(truth, [0, 0, 1, 1], list("aabb"))
  got = metrics.score(predictions, {"gender": 0, "job": 1, "face_type": -1})
  gender = got["gender"]
  assert gender["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
  assert gender["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
  assert gender["majority"] == {
    "class": "man",
    "accuracy": 0.75,
    "balanced_accuracy": 0.5,
    "macro_f1": pytest.approx((6 / 7) / 2),
  }
  # Always surely wrong once in four: 87 nats, and a confidence gap of .25.
  assert gender["log_loss"] == pytest.approx(87.3 / 4, rel=1e-3)
  assert gender["ece"] == pytest.approx(0.25)
  (mistake,) = gender["mistakes"]
  assert mistake == {
    "index": 2,
    "truth": "man",
    "answer": "woman",
    "confidence": 1.0,
    "person": "b",
    "photo": "b",
  }
  assert got["face_type"]["majority"] is None
  assert got["face_type"]["majority_baseline"] is None
  # Answered 1 for two of four: class 1 counts in macro F1, not in balanced.
  assert got["face_type"]["balanced_accuracy"] == pytest.approx(0.5)
  assert got["face_type"]["macro_f1"] == pytest.approx(1 / 3)


def test_one_person_has_no_interval():
  truth = {head: [0, 1] for head in labels.HEADS}
  predictions = _predictions(truth, [0, 0], ["a", "a"])
  got = metrics.score(predictions, dict.fromkeys(labels.HEADS, 0))
  for values in got.values():
    for key in ("", "balanced_accuracy_", "macro_f1_"):
      assert values[f"{key}interval_95"] is None


def test_mistakes_stand_at_their_place_in_the_split():
  # The first photo's label is unknown: places are not those among known ones.
  truth = {head: [-1, 0, 0] for head in labels.HEADS}
  predictions = _predictions(truth, [0, 0, 1], list("abc"))
  got = metrics.score(predictions, dict.fromkeys(labels.HEADS, 0))
  for values in got.values():
    assert [one["index"] for one in values["mistakes"]] == [2]
    assert values["mistakes"][0]["photo"] == "c"


def test_majority_classes_are_those_of_train(dataset, tiny_examples):
  expected = {}
  for head in labels.HEADS:
    known = [e[head] for e in tiny_examples["train"] if e[head] >= 0]
    expected[head] = int(np.bincount(known).argmax())
  assert metrics.majority_classes(dataset) == expected


def test_majority_of_a_head_without_labels(
  write_dataset, tiny_examples, tmp_path
):
  train = [
    example | {"job": -1, "face_type": 7 if i else -1}
    for i, example in enumerate(tiny_examples["train"][:6])
  ]
  config = write_dataset(tmp_path, {"train": train})
  dataset = built_dataset.open_dataset(tmp_path, config)
  got = metrics.majority_classes(dataset)
  assert got["job"] == labels.UNKNOWN
  assert got["face_type"] == 7


@pytest.mark.parametrize("batch_size", [5, 64])
def test_predictions_are_aligned_with_the_photos(
  model, dataset, tiny_examples, batch_size
):
  got = metrics.predict(model, dataset, "test", batch_size=batch_size)
  written = {e["photo"]: e for e in tiny_examples["test"]}
  assert sorted(got["photo"]) == sorted(written)
  stored = [
    photo.decode()
    for batch in input_pipeline.make_for_eval(dataset, "test", batch_size=3)
    for photo in batch["photo"].numpy()
  ]
  assert got["photo"].tolist() == stored
  examples = [written[photo] for photo in stored]
  assert got["person"].tolist() == [e["person"] for e in examples]
  expected = model(np.stack([e["image"] for e in examples]))
  for head, vocabulary in labels.HEADS.items():
    assert got[head].tolist() == [e[head] for e in examples]
    probabilities = got[f"{head}_probabilities"]
    assert probabilities.shape == (12, len(vocabulary.names))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected[head], atol=1e-5)


def test_evaluate(figures, model, dataset):
  assert figures["dataset"] == "your_face/raw-image_size_32/1.0.0"
  assert (figures["split"], figures["examples"]) == ("test", 12)
  assert figures["people"] == 8
  predictions = metrics.predict(model, dataset, "test")
  for head, values in figures["heads"].items():
    known = predictions[head] >= 0
    assert values["examples"] == known.sum() < 12
    answers = predictions[f"{head}_probabilities"].argmax(axis=1)
    hits = (answers == predictions[head])[known]
    assert values["accuracy"] == pytest.approx(hits.mean())
    low, high = values["interval_95"]
    assert 0 <= low <= values["accuracy"] <= high <= 1


def test_evaluate_is_ready_for_json(figures):
  loaded = json.loads(json.dumps(figures, allow_nan=False))
  assert loaded["heads"]["gender"]["interval_95"] == list(
    figures["heads"]["gender"]["interval_95"]
  )


def test_temperatures_are_those_of_validation(model, dataset, temperatures):
  predictions = metrics.predict(model, dataset, "validation")
  assert list(temperatures) == list(labels.HEADS)
  for head, got in temperatures.items():
    known = predictions[head] >= 0
    assert got == calibration.fit_temperature(
      predictions[f"{head}_probabilities"][known], predictions[head][known]
    )
    assert got.examples == known.sum() < 12


def test_calibrated_figures(figures, model, dataset, temperatures):
  predictions = metrics.predict(model, dataset, "test")
  for head, values in figures["heads"].items():
    known = predictions[head] >= 0
    truth = predictions[head][known]
    raw = predictions[f"{head}_probabilities"][known]
    soft = calibration.soften(raw, temperatures[head].value)
    hits = raw.argmax(axis=1) == truth
    assert values["temperature"] == temperatures[head].value
    assert values["temperature_status"] == temperatures[head].status
    for key, probabilities in (("", raw), ("_calibrated", soft)):
      bins = calibration.reliability(probabilities.max(axis=1), hits)
      assert values[f"reliability{key}"] == bins
      assert values[f"ece{key}"] == calibration.expected_error(bins)
      assert values[f"log_loss{key}"] == pytest.approx(
        calibration.log_loss(probabilities, truth)
      )
    surest = soft.max(axis=1).max()
    assert values["coverage"]["points"][0][0] == pytest.approx(1 / known.sum())
    assert values["coverage"]["at"]["50"]["threshold"] <= surest
    wrong = soft.max(axis=1)[~hits]
    assert [one["confidence"] for one in values["mistakes"]] == pytest.approx(
      sorted(wrong, reverse=True)
    )


def test_intervals_and_matrix_of_evaluate(figures, model, dataset):
  predictions = metrics.predict(model, dataset, "test")
  for head, values in figures["heads"].items():
    known = predictions[head] >= 0
    truth, people = predictions[head][known], predictions["person"][known]
    answers = predictions[f"{head}_probabilities"][known].argmax(axis=1)
    classes = len(labels.HEADS[head].names)
    expected = intervals.confusion_intervals(
      truth, answers, people.tolist(), classes=classes
    )
    assert values["interval_95"] == expected["accuracy"]
    for key in ("balanced_accuracy", "macro_f1"):
      assert values[f"{key}_interval_95"] == expected[key]
    counts = confusion.matrix(truth, answers, classes=classes)
    assert values["confusion"] == counts.tolist()


def test_slices_of_evaluate(figures):
  assert figures["left_out"] == slices.NO_TABLE
  assert {part["by"] for part in figures["slices"]} == set(labels.HEADS)


def test_face_sizes_come_from_photos_csv(
  model, write_dataset, tiny_examples, tmp_path
):
  test = tiny_examples["test"]
  config = write_dataset(
    tmp_path, {"train": tiny_examples["train"][:30], "test": test}
  )
  dataset = built_dataset.open_dataset(tmp_path, config)
  rows = [
    curate.PhotoRow(
      path=example["photo"],
      person=example["person"],
      status="accepted",
      split="test",
      source_side=dataset.margin * (50 + number),
    )
    for number, example in enumerate(test[1:])
  ]
  path = pathlib.Path(str(dataset.info.data_dir)) / "photos.csv"
  path.write_text(curate.csv_text(rows), encoding="utf-8")
  got = metrics.evaluate(model, dataset, "test")
  sizes = [part for part in got["slices"] if part["by"] == "face_size"]
  assert [part["value"] for part in sizes] == [
    "50 to 53 pixels",
    "54 to 56 pixels",
    "57 to 60 pixels",
  ]
  assert sum(part["examples"] for part in sizes) == 11
  assert got["left_out"] == "face size: of 1 photos it is not in photos.csv"


def test_without_validation_there_is_no_temperature(
  model, write_dataset, tiny_examples, tmp_path
):
  config = write_dataset(
    tmp_path, {split: tiny_examples[split] for split in ("train", "test")}
  )
  dataset = built_dataset.open_dataset(tmp_path, config)
  temperatures = metrics.fit_temperatures(model, dataset)
  assert temperatures == {}
  figures = metrics.evaluate(model, dataset, "test", temperatures)
  for values in figures["heads"].values():
    for key in ("log_loss_calibrated", "ece_calibrated", "temperature"):
      assert values[key] is None
    assert values["reliability_calibrated"] is None
    assert values["ece"] > 0


def test_answers_that_are_no_numbers(dataset):
  faces = keras.Input((32, 32, 3))
  broken = {
    head: keras.layers.Dense(
      len(vocabulary.names),
      kernel_initializer=keras.initializers.Constant(np.nan),
    )(keras.layers.Flatten()(faces))
    for head, vocabulary in labels.HEADS.items()
  }
  with pytest.raises(cli.UserError) as caught:
    metrics.evaluate(keras.Model(faces, broken), dataset, "test")
  assert str(caught.value) == (
    "test: got answers for gender that are no numbers, allowed: probabilities; "
    "the weights are damaged, train again in a new --workdir"
  )


def test_evaluate_unseen_and_slices(model, dataset):
  figures = metrics.evaluate(model, dataset, "unseen")
  assert (figures["examples"], figures["people"]) == (10, 2)
  figures = metrics.evaluate(model, dataset, "train[:10]")
  assert (figures["split"], figures["examples"]) == ("train[:10]", 10)


def test_evaluate_a_built_model(dataset):
  keras.utils.set_random_seed(0)
  built = models.build_model(models.ModelSettings(image_size=32))
  figures = metrics.evaluate(built, dataset, "unseen")
  assert set(figures["heads"]) == set(labels.HEADS)
