"""Tests of examples: one photo of the dataset."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from yourface_tfds import build_settings, curate, examples

ROW = curate.PhotoRow(
  path="김/1.jpg",
  person="김",
  status=curate.ACCEPTED,
  split="train",
  faces=2,
  score=0.9975,
  box=(0.1, 0.25, 0.5, 0.75),
)
LABELS = {"gender": 1, "job": -1, "face_type": 4}
LANDMARKS = np.arange(10).reshape(5, 2) / 10


def _row(path):
  return curate.PhotoRow(path=path, person="a", status=curate.ACCEPTED)


def test_key_is_the_path():
  assert examples.key(_row("김/é 🙂.jpg")) == "김/é 🙂.jpg"


def test_key_of_a_name_that_is_not_utf_8():
  key = examples.key(_row("a/\udcb1\udce8.jpg"))
  assert key == "a/\\udcb1\\udce8.jpg"
  # The same as in photos.csv, where people look it up.
  assert key in curate.csv_text([_row("a/\udcb1\udce8.jpg")])


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
@hypothesis.given(
  name=st.binary(min_size=1, max_size=20).map(
    lambda name: name.decode("utf-8", "surrogateescape")
  )
)
def test_key_of_any_file_name_can_be_written(name):
  key = examples.key(_row(name))
  key.encode("utf-8")
  if name.isprintable() or name.isascii():
    assert key == name


def test_example_has_every_feature():
  made = examples.example(ROW, LABELS, LANDMARKS, b"JPEG")
  assert list(made) == [
    *("image", "gender", "job", "face_type", "person", "photo"),
    *("box", "landmarks", "score", "faces"),
  ]
  assert made["image"] == b"JPEG"
  assert {head: made[head] for head in LABELS} == LABELS
  assert (made["person"], made["photo"]) == ("김", "김/1.jpg")
  assert (made["score"], made["faces"]) == (0.9975, 2)
  assert made["box"].dtype == made["landmarks"].dtype == np.float32
  assert made["box"].tolist() == np.array(ROW.box, np.float32).tolist()
  np.testing.assert_array_equal(made["landmarks"], np.float32(LANDMARKS))


def test_encodable_jpeg_is_a_copy():
  settings = build_settings.BuildSettings(encoding="jpeg")
  made = examples.example(ROW, LABELS, LANDMARKS, b"JPEG")
  got = examples.encodable(made, settings)
  assert got is not made
  assert got.keys() == made.keys()
  assert all(got[name] is made[name] for name in made)


def test_encodable_raw_has_its_shape():
  settings = build_settings.BuildSettings(encoding="raw", image_size=20)
  pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
  made = examples.example(ROW, LABELS, LANDMARKS, pixels.tobytes())
  got = examples.encodable(made, settings)
  assert got["image"].dtype == np.uint8
  np.testing.assert_array_equal(got["image"], pixels)
  assert made["image"] == pixels.tobytes()
  assert all(got[name] is made[name] for name in made if name != "image")


def test_encodable_raw_of_another_size_is_refused():
  settings = build_settings.BuildSettings(encoding="raw", image_size=20)
  made = examples.example(ROW, LABELS, LANDMARKS, bytes(19 * 20 * 3))
  with pytest.raises(ValueError, match="reshape"):
    examples.encodable(made, settings)
