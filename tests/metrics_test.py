"""Tests of metrics: figures against slow, direct ones."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import built_dataset, input_pipeline, labels, metrics, models


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
def figures(model, dataset):
  return metrics.evaluate(model, dataset, "test")


def _slow_interval(hits, people, draws=4000, seed=1):
  """The same, drawn person by person with Python's own lists."""
  rng = np.random.default_rng(seed)
  names = sorted(set(people))
  accuracies = []
  for _ in range(draws):
    drawn = []
    for name in rng.choice(names, len(names)):
      drawn += [h for h, p in zip(hits, people, strict=True) if p == name]
    accuracies.append(sum(drawn) / len(drawn))
  return np.percentile(accuracies, [2.5, 97.5])


def _people_and_hits(rng, people=20):
  """Photos of people who are each recognised well or badly."""
  owner, hits = [], []
  for person in range(people):
    count = rng.integers(1, 12)
    rate = rng.beta(1.4, 0.6)  # Mean 0.7.
    owner += [f"p{person}"] * count
    hits += (rng.random(count) < rate).tolist()
  return np.array(hits), owner


def test_interval_equals_a_slow_bootstrap():
  hits, people = _people_and_hits(np.random.default_rng(0))
  got = metrics.cluster_interval(hits, people)
  assert all(isinstance(value, float) for value in got)
  # Both are drawn: 2,000 draws leave about .01 of noise.
  np.testing.assert_allclose(got, _slow_interval(hits, people), atol=0.025)
  assert got[0] < hits.mean() < got[1]


def test_interval_depends_on_its_seed_alone():
  hits, people = _people_and_hits(np.random.default_rng(1))
  first = metrics.cluster_interval(hits, people, seed=4)
  assert metrics.cluster_interval(hits, people, seed=4) == first
  assert metrics.cluster_interval(hits, people, seed=5) != first
  # Nor on the order of the photos.
  order = np.random.default_rng(2).permutation(len(hits))
  shuffled = [people[i] for i in order]
  assert metrics.cluster_interval(hits[order], shuffled, seed=4) == first


def test_interval_of_one_person():
  hits = np.array([True, False, True, True])
  assert metrics.cluster_interval(hits, ["p"] * 4) == (0.75, 0.75)


def test_interval_of_people_all_alike():
  assert metrics.cluster_interval(np.ones(6, bool), list("aabbcc")) == (1, 1)


def test_interval_is_wider_than_one_over_photos():
  # Ten people, twenty photos each, each person all right or all wrong.
  hits = np.tile(np.arange(10) % 2 == 0, 20)
  low, high = metrics.cluster_interval(hits, list("abcdefghij" * 20))
  over_photos = 2 * 1.96 * np.sqrt(0.25 / 200)
  assert high - low > 3 * over_photos


def test_interval_covers_the_truth():
  # The truth is accuracy over photos, whose number is drawn regardless of
  # the person: .7. A percentile bootstrap over 20 people is a little narrow.
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(200):
    low, high = metrics.cluster_interval(*_people_and_hits(rng))
    covered += low <= 0.7 <= high
  assert 0.87 <= covered / 200 <= 0.98


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
  assert got["gender"] == {
    "examples": 3,
    "people": 2,
    "accuracy": pytest.approx(2 / 3),
    "interval_95": (0.0, 1.0),
    "majority_baseline": pytest.approx(2 / 3),
  }
  assert got["job"] == {"examples": 0, "people": 0}
  assert got["face_type"]["accuracy"] == pytest.approx(4 / 5)
  assert got["face_type"]["majority_baseline"] == pytest.approx(2 / 5)
  assert got["face_type"]["people"] == 3


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


def test_table():
  figures = {
    "split": "unseen",
    "examples": 1234,
    "people": 56,
    "heads": {
      "gender": {
        "examples": 1200,
        "people": 50,
        "accuracy": 0.9123,
        "interval_95": (0.85, 0.95),
        "majority_baseline": 0.5,
      },
      "job": {"examples": 0, "people": 0},
    },
  }
  assert metrics.table(figures).split("\n") == [
    "unseen: 1,234 photos of 56 people",
    "  head       accuracy  95 % interval  majority  photos  people",
    "  gender        0.912  0.850 to 0.950    0.500   1,200      50",
    "  job        no known label here                     0       0",
  ]
