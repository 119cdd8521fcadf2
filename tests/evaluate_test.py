"""Tests of training.evaluate: one run of the command on an untrained model."""

import json
import pathlib
import subprocess
import sys

import keras
import pytest

from yourface_tfds import best_weights, labels, models, train_settings

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "W"
  folder.mkdir()
  keras.utils.set_random_seed(0)
  model = models.build_model(models.ModelSettings(image_size=32))
  best_weights.save(folder, model)
  settings = vars(train_settings.TrainSettings(image_size=32))
  (folder / "settings.json").write_text(json.dumps(settings))
  return folder


@pytest.fixture(scope="module")
def process(workdir, tiny_data_dir):
  return subprocess.run(
    [
      *(sys.executable, "-m", "training.evaluate", "--json"),
      *(f"--data_dir={tiny_data_dir}", "--config=raw-image_size_32"),
      f"--workdir={workdir}",
    ],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    check=False,
  )


def test_standard_output_is_what_the_files_hold(process, workdir):
  assert process.returncode == 0, process.stderr
  results = json.loads(process.stdout)
  assert list(results) == ["test", "unseen"]
  for split, figures in results.items():
    path = workdir / f"evaluate_{split}.json"
    assert json.loads(path.read_text(encoding="utf-8")) == figures
  whole = json.loads((workdir / "report.json").read_text(encoding="utf-8"))
  assert whole["splits"] == results


def test_keys_that_others_read_are_kept(process):
  for figures in json.loads(process.stdout).values():
    assert {"dataset", "split", "examples", "people", "heads"} <= set(figures)
    assert list(figures["heads"]) == list(labels.HEADS)
    for values in figures["heads"].values():
      assert 0 <= values["majority_baseline"] <= 1
      low, high = values["interval_95"]
      assert low <= values["accuracy"] <= high


def test_it_ends_with_the_files(process, workdir):
  lines = process.stderr.replace("\r", "\n").splitlines()
  told = [line for line in lines if str(workdir) in line]
  assert told == [
    f"Figures: {workdir}/evaluate_test.json",
    f"Figures: {workdir}/evaluate_unseen.json",
    f"Report: {workdir}/report.html",
    f"Model card: {workdir}/model_card.md",
    f"Next: python -m export.export_saved_model --workdir={workdir} "
    "--output_dir=E",
  ]
  assert "unseen: 10 photos of 2 people" in lines


def test_nothing_half_written_is_left(process, workdir):
  assert process.returncode == 0
  names = sorted(path.name for path in workdir.iterdir())
  assert names == [
    "best.weights.h5",
    "best.weights.json",
    "evaluate_test.json",
    "evaluate_unseen.json",
    "model_card.md",
    "report.html",
    "report.json",
    "settings.json",
    "temperatures.json",
  ]
