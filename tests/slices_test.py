"""Tests of slices: parts of a split, by label and by the size of the face."""

import itertools

import numpy as np
import pytest

from yourface_tfds import built_dataset, curate, labels, slices, storage

_MAJORITY = {"gender": 1, "job": -1, "face_type": 0}


def _predictions(count=40, seed=0):
  rng = np.random.default_rng(seed)
  predictions = {
    "person": np.array([f"p{i % 7}" for i in range(count)]),
    "photo": np.array([f"p{i % 7}/{i}.jpg" for i in range(count)]),
  }
  for head, vocabulary in labels.HEADS.items():
    classes = len(vocabulary.names)
    predictions[head] = rng.integers(-1, min(classes, 3), count)
    probabilities = rng.dirichlet(np.ones(classes), count)
    predictions[f"{head}_probabilities"] = probabilities.astype(np.float32)
  return predictions


def test_slices_by_label_equal_slow_ones():
  predictions = _predictions()
  got = slices.score(slices.by_label(predictions), predictions, _MAJORITY)
  assert [(part["by"], part["value"]) for part in got] == [
    *(("gender", "man"), ("gender", "woman")),
    *(("job", "actor"), ("job", "singer")),
    *(("face_type", name) for name in ("dog", "cat", "rabbit")),
  ]
  assert got[1]["word"] == "여자"
  for part in got:
    index = labels.HEADS[part["by"]].names.index(part["value"])
    members = [i for i in range(40) if predictions[part["by"]][i] == index]
    assert part["examples"] == len(members)
    assert part["people"] == len({i % 7 for i in members})
    for head, values in part["heads"].items():
      known = [i for i in members if predictions[head][i] >= 0]
      answers = predictions[f"{head}_probabilities"].argmax(axis=1)
      hits = [answers[i] == predictions[head][i] for i in known]
      assert values["examples"] == len(known)
      assert values["accuracy"] == pytest.approx(sum(hits) / len(hits))
      low, high = values["interval_95"]
      assert low <= values["accuracy"] <= high
      if head == "job":
        assert values["majority_baseline"] is None
      else:
        base = sum(predictions[head][i] == _MAJORITY[head] for i in known)
        assert values["majority_baseline"] == pytest.approx(base / len(known))


def test_slice_without_a_label_of_a_head_or_with_one_person():
  predictions = _predictions(4)
  predictions |= {
    "person": np.array(["a", "a", "b", "b"]),
    "gender": np.array([0, 0, 1, 1]),
    "job": np.array([-1, -1, 0, 1]),
  }
  man, woman, *_ = slices.score(
    slices.by_label(predictions), predictions, _MAJORITY
  )
  assert man["heads"]["job"] == {"examples": 0, "people": 0}
  assert woman["heads"]["job"]["interval_95"] is None
  assert woman["heads"]["job"]["people"] == 1


def _rows(sides, margin=1.3):
  return [
    {"path": f"{i}.jpg", "source_side": f"{side * margin:.4f}", "box": ""}
    for i, side in enumerate(sides)
  ]


def test_face_sizes_in_pixels():
  photos = ["2.jpg", "0.jpg", "1.jpg"]
  got = slices.face_sizes(_rows([50, 60, 70]), photos, margin=1.3)
  assert got.unit == "pixels"
  np.testing.assert_allclose(got.values, [70, 50, 60], rtol=1e-5)


def test_face_sizes_of_a_table_without_pixels():
  rows = [
    {"path": "a", "box": "0.100000 0.200000 0.400000 0.300000"},
    {"path": "b", "box": "0.000000 0.000000 1.000000 1.000000"},
    {"path": "c", "box": ""},
  ]
  got = slices.face_sizes(rows, list("abcd"), margin=1.3)
  assert got.unit == "% of the photo's height"
  np.testing.assert_allclose(got.values, [30, 100, np.nan, np.nan])


def test_a_photo_that_is_not_in_the_table():
  got = slices.face_sizes(_rows([50]), ["0.jpg", "other.jpg"], margin=1.3)
  assert got.unit == "pixels"
  assert np.isnan(got.values).tolist() == [False, True]
  (only,) = slices.by_size(got)
  assert only.mask.tolist() == [True, False]


def test_thirds_by_size():
  values = np.random.default_rng(0).permutation(np.arange(40.0, 70.0))
  values[3] = np.nan
  got = slices.by_size(slices.FaceSizes(values=values, unit="pixels"))
  assert [part.word for part in got] == ["smallest", "middle", "largest"]
  assert {part.by for part in got} == {"face_size"}
  masks = np.stack([part.mask for part in got])
  assert masks.sum() == 29
  assert masks.sum(axis=0).max() == 1
  assert not masks[:, 3].any()
  assert all(9 <= mask.sum() <= 10 for mask in masks)
  for before, after in itertools.pairwise(got):
    assert values[before.mask].max() < values[after.mask].min()
  low, high = values[got[0].mask].min(), values[got[0].mask].max()
  assert got[0].value == f"{low:.0f} to {high:.0f} pixels"


def test_faces_of_one_size_are_one_slice():
  sizes = slices.FaceSizes(values=np.full(5, 80.0), unit="pixels")
  (only,) = slices.by_size(sizes)
  assert only.mask.all()
  nothing = slices.FaceSizes(values=np.full(5, np.nan), unit="pixels")
  assert slices.by_size(nothing) == []


def test_table_beside_the_shards(write_dataset, tiny_examples, tmp_path):
  config = write_dataset(tmp_path, {"train": tiny_examples["train"][:4]})
  dataset = built_dataset.open_dataset(tmp_path, config)
  assert slices.read_table(dataset) is None
  rows = [
    curate.PhotoRow(
      path="김/a,1.jpg",
      person="김",
      status="accepted",
      split="test",
      box=(0.1, 0.2, 0.5, 0.6),
      source_side=130,
    ),
    curate.PhotoRow(path="x.txt", person="", status="not_an_image"),
  ]
  path = f"{dataset.info.data_dir}/photos.csv"
  storage.write_text(path, curate.csv_text(rows))
  table = slices.read_table(dataset)
  assert table is not None
  assert [row["path"] for row in table] == ["김/a,1.jpg"]
  got = slices.face_sizes(table, ["김/a,1.jpg"], margin=1.3)
  np.testing.assert_allclose(got.values, [100])


def _scored(by, value, accuracy, examples, people=3):
  values = {"examples": examples, "people": people, "accuracy": accuracy}
  return {
    "by": by,
    "value": value,
    "heads": dict.fromkeys(labels.HEADS, values),
  }


def test_widest_gaps():
  parts = [
    _scored("gender", "man", 0.9, 50),
    _scored("gender", "woman", 0.5, 50),
    _scored("job", "actor", 0.8, 50),
    _scored("job", "singer", 0.7, 10),
    _scored("job", "few", 0.0, 9),
    _scored("job", "one person", 0.0, 90, people=1),
  ]
  got = slices.widest_gaps(parts)
  # No head over its own labels, so gender by job, and so on.
  assert [(g["head"], g["by"]) for g in got] == [
    *(("job", "gender"), ("face_type", "gender")),
    *(("gender", "job"), ("face_type", "job")),
  ]
  assert got[0]["gap"] == pytest.approx(0.4)
  assert got[0]["worst"]["value"] == "woman"
  assert got[0]["best"]["value"] == "man"
  assert got[2]["gap"] == pytest.approx(0.1)
  assert got[2]["worst"]["value"] == "singer"
