"""Tests of mistakes: the surest wrong answers and their faces."""

import numpy as np
import pytest

from yourface_tfds import built_dataset, input_pipeline, mistakes


def test_surest_first_and_no_more_than_twelve():
  rng = np.random.default_rng(0)
  confidence = rng.random(50)
  truth, answers = rng.integers(2, size=(2, 50))
  rows = np.arange(100, 150)
  got = mistakes.worst(confidence, answers, truth, rows)
  slow = sorted(
    (-confidence[i], i) for i in range(50) if truth[i] != answers[i]
  )[:12]
  assert [one["index"] for one in got] == [100 + i for _, i in slow]
  assert [one["confidence"] for one in got] == [-c for c, _ in slow]
  for one in got:
    i = one["index"] - 100
    assert (one["truth"], one["answer"]) == (truth[i], answers[i])
    assert one["truth"] != one["answer"]


def test_no_mistake():
  right = np.array([0, 1])
  assert mistakes.worst(np.ones(2), right, right, np.arange(2)) == []


@pytest.mark.parametrize("config", ["raw", "jpeg"])
def test_faces_are_those_of_their_places(tiny_data_dir, tiny_examples, config):
  dataset = built_dataset.open_dataset(tiny_data_dir, f"{config}-image_size_32")
  got = mistakes.faces(dataset, "train", [59, 0, 31, 31])
  assert sorted(got) == [0, 31, 59]
  images = {e["photo"]: e["image"] for e in tiny_examples["train"]}
  photos = [
    photo.decode()
    for batch in input_pipeline.make_for_eval(dataset, "train", batch_size=7)
    for photo in batch["photo"].numpy()
  ]
  for index, face in got.items():
    assert (face.shape, face.dtype) == ((32, 32, 3), np.uint8)
    difference = np.abs(face.astype(int) - images[photos[index]])
    assert difference.mean() < (0.5 if config == "raw" else 12)
    if config == "raw":
      assert not difference.any()


def test_nothing_to_read(tiny_data_dir):
  dataset = built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")
  assert mistakes.faces(dataset, "test", []) == {}
