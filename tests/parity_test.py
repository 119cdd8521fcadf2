"""The gate: who passes, who does not, and what is written down."""

import json
import math

import keras
import numpy as np
import pytest

from yourface_tfds import (
  cli,
  export_lib,
  gate,
  labels,
  latency,
  manifest,
  models,
  parity,
  parity_ways,
  tflite_lib,
  train_settings,
)

SIZE = 64
SETTINGS = train_settings.TrainSettings(image_size=SIZE)
FINE = dict.fromkeys(labels.HEADS, 0.0)


@pytest.fixture(scope="module")
def model():
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(10.0 * kernel)
  return model


def batch(model, wrong=0):
  """Drawn people whose labels are what the model says, but for some."""
  (drawn,) = parity.drawn_batches(SIZE)
  said = model(drawn["image"].astype(np.float32), training=False)
  truth = {head: np.asarray(said[head]).argmax(1) for head in labels.HEADS}
  truth["job"][:wrong] = 1 - truth["job"][:wrong]
  return {**drawn, **truth}


def shifted(difference):
  """A way whose first probability of `job` is off by so much."""

  def way(faces, expected):
    said = {head: values.copy() for head, values in expected.items()}
    said["job"][0] += [difference, -difference]
    return said, expected

  return way


def test_a_smaller_last_batch_is_not_traced_again(model):
  traces = []

  class Traced:
    inputs = model.inputs

    def __call__(self, faces, training):
      traces.append(faces.shape)
      return model(faces, training=training)

  whole = batch(model)
  part = {key: values[:3] for key, values in whole.items()}
  results = parity.compare(Traced(), {"int8": shifted(0)}, [whole, part])
  assert traces == [(None, SIZE, SIZE, 3)]
  assert results["int8"]["images"] == len(whole["image"]) + 3


@pytest.mark.parametrize(
  ("name", "difference", "failures"),
  [
    ("serving_default", 9e-6, []),
    (
      "serving_default",
      1.1e-5,
      ["serving_default: job differs from Keras by 1.1e-05, allowed: 1e-05"],
    ),
    (
      "photos",
      0.5,
      ["photos: job differs from Keras by 0.5, allowed: 1e-05"],
    ),
    ("float32", 9e-5, []),
    (
      "float32",
      2e-4,
      ["float32: job differs from Keras by 0.0002, allowed: 0.0001"],
    ),
    ("float16", 9e-3, []),
    (
      "float16",
      math.nan,
      ["float16: job differs from Keras by inf, allowed: 0.01"],
    ),
    ("int8", 0.01, []),
    ("int8", math.nan, ["int8: job answers with NaN"]),
  ],
)
def test_largest_difference(model, name, difference, failures):
  results = parity.compare(model, {name: shifted(difference)}, [batch(model)])
  assert results[name]["failures"] == failures
  heads = results[name]["heads"]
  found = heads["job"]["max_difference"]
  expected = math.inf if math.isnan(difference) else difference
  assert found == pytest.approx(expected, rel=0.1)
  assert heads["gender"]["max_difference"] == 0


def answering_wrong(count):
  """A way with the other job for one photo of each of its first batches."""
  calls = []

  def way(faces, expected):
    calls.append(len(faces))
    said = {head: values.copy() for head, values in expected.items()}
    if len(calls) <= count:
      said["job"][-1] = said["job"][-1, ::-1]
    return said, expected

  return way


@pytest.mark.parametrize(
  ("photos", "failures"),
  [
    (0, []),
    (1, []),
    (2, ["int8: job loses 1.8 points of accuracy, allowed: 1"]),
  ],
)
def test_int8_may_lose_one_point_of_accuracy(model, photos, failures):
  # Of 112 photos one is .9 points.
  seven = [batch(model, wrong=3)] * 7
  results = parity.compare(model, {"int8": answering_wrong(photos)}, seven)
  keras_job = results[parity.KERAS]["heads"]["job"]
  assert keras_job["accuracy"] == pytest.approx(13 / 16)
  values = results["int8"]["heads"]["job"]
  assert values["accuracy_lost"] == pytest.approx(photos / 112)
  assert values["agreement"] == pytest.approx(1 - photos / 112)
  assert results["int8"]["failures"] == failures


@pytest.mark.parametrize(
  ("batches", "failures"),
  [(1, []), (2, ["int8: job loses 6.2 points of accuracy, allowed: 3.12"])],
)
def test_where_a_photo_is_more_than_a_point_it_may_lose_one(
  model, batches, failures
):
  # One of 16, two of 32.
  photos = [batch(model)] * batches
  results = parity.compare(model, {"int8": answering_wrong(2)}, photos)
  assert results["int8"]["failures"] == failures


def test_unknown_labels_have_no_accuracy_but_differ_all_the_same(model):
  results = parity.compare(
    model, {"float32": shifted(0.2)}, parity.drawn_batches(SIZE)
  )
  values = results["float32"]["heads"]["job"]
  assert values["accuracy"] is values["accuracy_lost"] is None
  assert values["interval_95"] is None
  assert values["examples"] == values["people"] == 0
  assert results["float32"]["images"] == 16
  assert results["float32"]["failures"]


@pytest.fixture(scope="module")
def export(model, tmp_path_factory):
  """An export folder with a SavedModel and a TFLite file."""
  folder = tmp_path_factory.mktemp("export")
  export_lib.save_saved_model(model, SETTINGS, folder / "saved_model")
  faces = batch(model)["image"]
  tflite_lib.write(
    model,
    "float32",
    SIZE,
    faces,
    "{}",
    folder / tflite_lib.file_name("float32"),
  )
  return folder


def test_both_signatures_answer_as_the_model(model, export):
  results = gate.saved_model(
    export / "saved_model", model, lambda: [batch(model)]
  )
  assert results["serving_default"]["images"] == 16
  # In most of the drawings, shrunk to 64 pixels, a face is found.
  assert 8 <= results["photos"]["images"] <= 16
  for name in ("serving_default", "photos"):
    for values in results[name]["heads"].values():
      assert values["max_difference"] < 1e-5
      assert values["agreement"] == 1


def answering_none(faces, expected):
  """A way that leaves every photo out, as `photos` where it finds no face."""
  nothing = {head: values + np.nan for head, values in expected.items()}
  return nothing, {head: values.copy() for head, values in nothing.items()}


def test_nothing_compared_is_no_agreement(model, export, monkeypatch):
  results = parity.compare(model, {"photos": answering_none}, [batch(model)])
  assert results[parity.KERAS]["asked"] == 16
  assert results["photos"]["images"] == 0
  line = "photos: answered none of 16 photos, allowed: at least one"
  assert results["photos"]["failures"] == [line]
  gate.table(results)  # Nothing of it is a number.
  monkeypatch.setattr(parity_ways, "photos", lambda *_: answering_none)
  with pytest.raises(gate.RefusedError) as error:
    gate.saved_model(export / "saved_model", model, lambda: [batch(model)])
  assert str(error.value) == f"{line}; it was not written"


def test_a_model_that_answers_with_nan_is_no_agreement(model):
  broken = keras.models.clone_model(model)
  broken.set_weights([value * np.nan for value in model.get_weights()])
  ways = {"serving_default": lambda faces, expected: (expected, expected)}
  results = parity.compare(broken, ways, [batch(model)])
  assert results["serving_default"]["failures"] == [
    "serving_default: answered none of 16 photos, allowed: at least one"
  ]


@pytest.mark.slow
def test_where_no_face_is_found_photos_are_drawn_people(
  model, export, tmp_path
):
  plain = batch(model)
  plain["image"] = np.full_like(plain["image"], 90)
  results = gate.saved_model(export / "saved_model", model, lambda: [plain])
  assert "on" not in results["serving_default"]
  found = results["photos"]
  # All of them: they are larger than the faces of the dataset.
  assert (found["asked"], found["images"]) == (16, 16)
  for values in found["heads"].values():
    assert values["max_difference"] < 1e-5
    assert values["examples"] == 0
  assert gate.table(results).splitlines()[-1] == (
    "photos: no face was found in these images, so on drawn people"
  )
  on = {"dataset": "your_face/jpeg/1.0.0", "split": "test"}
  gate.record(tmp_path, results, on)
  ways = gate.read(tmp_path)["ways"]
  assert ways["serving_default"]["on"] == on
  assert ways["photos"]["on"] == {"dataset": None, "split": "drawn people"}


def other(model):
  """A model of the same shape that answers otherwise."""
  clone = keras.models.clone_model(model)
  clone.set_weights([value * 1.1 for value in model.get_weights()])
  return clone


@pytest.mark.slow
def test_an_export_of_other_weights_is_refused(model, export):
  with pytest.raises(cli.UserError) as error:
    gate.saved_model(
      export / "saved_model", other(model), lambda: [batch(model)]
    )
  assert "serving_default: gender differs from Keras by" in str(error.value)
  assert "photos: gender differs from Keras by" in str(error.value)
  assert str(error.value).endswith("allowed: 1e-05; it was not written")


@pytest.mark.slow
def test_a_failed_check_leaves_no_saved_model(model, tmp_path):
  path = tmp_path / "saved_model"

  def check(folder):
    manifest.check(folder)  # It is complete when it is checked.
    gate.saved_model(folder, other(model), lambda: [batch(model)])

  with pytest.raises(cli.UserError, match="it was not written"):
    export_lib.save_saved_model(model, SETTINGS, path, check=check)
  assert list(tmp_path.iterdir()) == []


def test_figures_are_kept_with_what_they_belong_to(model, export):
  results = parity.compare(
    model,
    {
      **gate.ways_of_saved_model(export / "saved_model", model),
      "float32": parity_ways.tflite(export / tflite_lib.file_name("float32")),
    },
    [batch(model)],
  )
  on = {"dataset": "your_face/jpeg/1.0.0", "split": "test"}
  path = gate.record(export, results, on)
  content = json.loads(path.read_text(encoding="utf-8"))
  assert content == gate.read(export)
  assert content["passed"] is True
  assert content["limits"]["difference"]["photos"] == 1e-5
  rule = {"int8": {"points": 1.0, "or_photos": 1}}
  assert content["limits"]["accuracy_lost"] == rule
  assert list(content["ways"]) == [
    "keras",
    "serving_default",
    "photos",
    "float32",
  ]
  for name in ("serving_default", "photos", "float32"):
    assert content["ways"][name]["on"] == on
    assert content["ways"][name]["bytes"] > 100_000
  # Another file in its place: the old figures say nothing of it.
  file = export / tflite_lib.file_name("float32")
  before = file.read_bytes()
  file.write_bytes(before + b"\0")
  only = {name: results[name] for name in ("keras", "photos")}
  gate.record(export, only, on)
  assert list(gate.read(export)["ways"]) == [
    *("keras", "serving_default", "photos")
  ]
  file.write_bytes(before)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"ways": [1]}', b"\xff"])
def test_a_damaged_verify_json_is_written_anew(tmp_path, content):
  (tmp_path / "verify.json").write_bytes(content)
  assert gate.read(tmp_path) == {"ways": {}}
  gate.record(tmp_path, {}, {})
  assert gate.read(tmp_path)["passed"] is True


def test_the_tables(model):
  results = parity.compare(
    model, {"float32": shifted(2e-4)}, [batch(model, wrong=4)]
  )
  lines = gate.table(results).splitlines()
  assert [line.split()[0] for line in lines[2:]] == [
    *("keras", "job", "face_type", "float32", "job", "face_type")
  ]
  assert lines[6].split()[:4] == ["job", "2.0e-04", "1.0000", "0.750"]
  assert lines[6].split()[-3:] == ["16", "of", "16"]
  int8 = parity.compare(model, {"int8": shifted(0.01)}, [batch(model)])
  assert gate.table(int8).splitlines()[-1] == (
    "int8: may lose 1 point of accuracy, or one photo where that is more"
  )
  results["float32"] |= {"bytes": 2048, "latency_ms": {"1": 4.0, "2": 2.5}}
  lines = gate.sizes_and_latency(results).splitlines()
  assert lines[1].split() == ["keras", "-", "-", "-"]
  assert lines[2].split() == ["float32", "2", "KB", "4.00", "2.50"]


def test_latency_says_what_went_wrong(tmp_path):
  with pytest.raises(RuntimeError, match="measuring latency ended with 1: "):
    latency.measure(tmp_path, tmp_path, threads=1)
