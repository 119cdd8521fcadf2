"""The commands that measure an export, on a small one of a run of its own."""

import json
import sys

import keras
import pytest

from tests import faults, small_export
from yourface_tfds import (
  calibrated,
  cli,
  models,
  photo_benchmark,
  train_settings,
)

# Processes that import TensorFlow anew, each: minutes.
pytestmark = pytest.mark.slow

_SIZE = 32


def _run(*words):
  done = faults.finish(faults.start([sys.executable, "-m", *words]), 500)
  assert done.returncode == 0, done.stderr[-2000:]
  return done


@pytest.fixture(scope="module")
def dataset(tiny_data_dir):
  """Flags of a dataset whose pictures are stripes: there is no face in it."""
  return [f"--data_dir={tiny_data_dir}", f"--config=raw-image_size_{_SIZE}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run that was not trained."""
  folder = tmp_path_factory.mktemp("W")
  keras.utils.set_random_seed(0)
  settings = train_settings.TrainSettings(image_size=_SIZE)
  model = models.build_model(settings.model_settings())
  model.save_weights(folder / "best.weights.h5")
  (folder / "settings.json").write_text(cli.dump_json(vars(settings)))
  calibrated.write(folder, {})
  return folder


@pytest.fixture(scope="module")
def export(run, dataset, tmp_path_factory):
  """An export of it, and what was printed."""
  folder = tmp_path_factory.mktemp("E")
  words = ("export.export_saved_model", f"--workdir={run}", *dataset)
  return folder, _run(*words, f"--output_dir={folder}").stdout


_ON_DRAWN_PEOPLE = (
  "photos: no face was found in these images, so on drawn people"
)


def test_an_export_without_a_face_is_compared_on_drawn_people(export):
  folder, said = export
  assert _ON_DRAWN_PEOPLE in said.splitlines()
  content = json.loads((folder / "verify.json").read_text(encoding="utf-8"))
  assert content["passed"] is True
  photos = content["ways"]["photos"]
  assert photos["images"] == photos["asked"] == 16
  assert photos["on"]["split"] == "drawn people"
  assert content["ways"]["serving_default"]["on"]["split"] == "test"


def test_verify_shows_that_it_measures(run, dataset, export):
  folder, _ = export
  words = ("export.verify", f"--workdir={run}", *dataset)
  done = _run(*words, f"--export_dir={folder}", "--json")
  assert "Measuring latency: 100%" in done.stderr
  assert _ON_DRAWN_PEOPLE in done.stderr.splitlines()
  for figures in json.loads(done.stdout)["ways"].values():
    assert set(figures["latency_ms"]) == {"1", "2"}


def test_benchmark_photos(run, export, tmp_path):
  for number in range(3):
    photo = small_export.jpeg(small_export.drawing(number))
    (tmp_path / f"{number}.jpg").write_bytes(photo)
  (tmp_path / "no.jpg").write_bytes(b"<html>")
  done = _run(
    *("export.benchmark_photos", f"--workdir={run}", "--json", "--rounds=1"),
    *(f"--model={export[0]}/saved_model", f"--photos_dir={tmp_path}"),
    *("--max_photos=2", "--naive_photos=1"),
  )
  figures = json.loads(done.stdout)
  for name in ("photos_per_second", "naive_per_second", "ratio_to_naive"):
    assert figures[name] > 0
  assert len(figures["rounds"]) == 1
  assert photo_benchmark.text(figures) in done.stderr
