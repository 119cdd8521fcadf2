"""A run whose files are damaged: one line that names the file."""

import json
import shutil
import sys

import hypothesis
import keras
import pytest
from hypothesis import strategies as st

from tests import faults, json_files_test
from yourface_tfds import (
  best_weights,
  built_dataset,
  calibrated,
  cli,
  gate,
  models,
  train_lib,
  train_result,
  train_settings,
  workdir,
)

_CONFIG = "raw-image_size_32"
_SETTINGS = train_settings.TrainSettings(image_size=32)
_MEND = "); copy it again, or name another --workdir"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  keras.utils.set_random_seed(0)
  best_weights.save(folder, models.build_model(_SETTINGS.model_settings()))
  calibrated.write(folder, {})
  return folder


@pytest.fixture
def settings(run):
  """The path of settings.json, whole."""
  path = run / "settings.json"
  path.write_text(cli.dump_json(vars(_SETTINGS)))
  return path


@pytest.mark.parametrize("content", json_files_test.BAD, ids=lambda c: c[:9])
def test_settings_that_are_no_json(settings, content):
  settings.write_bytes(content)
  with pytest.raises(cli.UserError) as error:
    workdir.load_model(settings.parent)
  assert str(error.value).startswith(f"{settings}: is damaged (")
  assert str(error.value).endswith(_MEND)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"image_size": "x"}, 'image_size: got "x", allowed: a whole number'),
    ({"image_size": 1.5}, "image_size: got 1.5, allowed: a whole number"),
    ({"image_size": True}, "image_size: got true, allowed: a whole number"),
    ({"image_size": -1}, "--model: small_cnn needs at least 15 pixels"),
    ({"model": 3}, "model: got 3, allowed: a text"),
    ({"model": "no_such"}, "--model: "),
    ({"dropout": None}, "dropout: got null, allowed: a number"),
    ({"margin": float("nan")}, "margin: got NaN, allowed: a number"),
    ({"class_weights": 1}, "class_weights: got 1, allowed: true or false"),
    ({"optimizer": "x"}, "--optimizer: got 'x', allowed: adamw, adam"),
  ],
  ids=str,
)
def test_settings_that_are_none(settings, change, words):
  settings.write_text(cli.dump_json(vars(_SETTINGS) | change))
  with pytest.raises(cli.UserError) as error:
    workdir.load_model(settings.parent)
  said = str(error.value)
  assert said.startswith(f"{settings}: is damaged ({words}"), said
  assert said.endswith(_MEND)


def test_no_setting_is_made_up(settings):
  for name in vars(_SETTINGS):
    content = vars(_SETTINGS) | {"heads": 5}
    del content[name]
    settings.write_text(cli.dump_json(content))
    with pytest.raises(cli.UserError) as error:
      workdir.load_model(settings.parent)
    assert str(error.value) == (
      f"{settings}: is damaged (no {name} in it{_MEND}"
    )


def test_whole_numbers_are_numbers(settings):
  settings.write_text(cli.dump_json(vars(_SETTINGS) | {"dropout": 0}))
  assert workdir.load_model(settings.parent)[1].dropout == 0


_ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@hypothesis.settings(
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
  max_examples=50,
  deadline=None,
)
@hypothesis.given(
  st.sampled_from(sorted(vars(_SETTINGS))), _ANY | st.lists(_ANY)
)
def test_a_setting_of_any_kind_is_taken_or_named(settings, name, value):
  settings.write_text(json.dumps(vars(_SETTINGS) | {name: value}))
  try:
    found = workdir._settings(settings)
  except cli.UserError as error:
    assert str(error).startswith(f"{settings}: is damaged (")
  else:
    assert getattr(found, name) == value


@pytest.mark.parametrize("content", json_files_test.BAD, ids=lambda c: c[:9])
def test_what_is_written_anew_may_be_damaged(tmp_path, content):
  for name in ("dataset.json", gate.NAME, train_result.NAME):
    (tmp_path / name).write_bytes(content)
  assert workdir.remembered_dataset(tmp_path) is None
  assert gate.read(tmp_path) == {"ways": {}}
  assert train_result.speed(None, 0, 1.0, tmp_path) is None  # pyright: ignore


@pytest.mark.parametrize("content", json_files_test.BAD, ids=lambda c: c[:9])
def test_training_names_damaged_settings(tiny_data_dir, tmp_path, content):
  dataset = built_dataset.open_dataset(tiny_data_dir, _CONFIG)
  path = tmp_path / "settings.json"
  path.write_bytes(content)
  with pytest.raises(cli.UserError) as error:
    train_lib.train(dataset, _SETTINGS, tmp_path)
  assert str(error.value).startswith(f"{path}: is damaged (")
  assert str(error.value).endswith(_MEND)
  assert path.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("module", ["training.train", "training.evaluate"])
def test_commands_say_one_line(settings, tiny_data_dir, tmp_path, module):
  shutil.copytree(settings.parent, tmp_path / "W")
  path = tmp_path / "W" / "settings.json"
  path.write_text("[]")
  words = [
    *(sys.executable, "-m", module, f"--data_dir={tiny_data_dir}"),
    *(f"--workdir={path.parent}", f"--config={_CONFIG}"),
  ]
  assert faults.error_line(faults.finish(faults.start(words))) == (
    f"{path}: is damaged (got a JSON list, allowed: an object{_MEND}"
  )
