"""Weights that are not what was written: one line, never another model."""

import json
import pathlib
import random
import signal
import sys

import keras
import numpy as np
import pytest

from tests import faults, train_resume_test
from yourface_tfds import (
  best_weights,
  built_dataset,
  calibrated,
  cli,
  models,
  train_settings,
  workdir,
)

_CONFIG = "raw-image_size_32"
_SETTINGS = train_settings.TrainSettings(image_size=32)


def _model(seed):
  keras.utils.set_random_seed(seed)
  return models.build_model(_SETTINGS.model_settings())


@pytest.fixture(scope="module")
def made():
  return [_model(seed) for seed in (1, 2)]


def _is(folder, model):
  """Checks that a run's model is this one."""
  loaded, _ = workdir.load_model(folder)
  for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.fixture
def run(tmp_path, made):
  best_weights.save(tmp_path, made[0])
  (tmp_path / "settings.json").write_text(cli.dump_json(vars(_SETTINGS)))
  calibrated.write(tmp_path, {})
  return tmp_path


def _refusal(folder):
  return (
    f"--workdir: {folder}/best.weights.h5 is not the file that training wrote "
    "(its SHA-256 differs from best.weights.json); copy it again, or train "
    "again in another --workdir"
  )


def _digests(folder):
  return json.loads((folder / "best.weights.json").read_text())["sha256"]


def _flip(path, offset, bit):
  content = bytearray(path.read_bytes())
  content[offset] ^= 1 << bit
  path.write_bytes(content)


def test_what_was_saved_is_loaded(run, made):
  _is(run, made[0])
  assert _digests(run) == [best_weights.digest(run)]
  best_weights.save(run, made[1])
  _is(run, made[1])
  assert _digests(run) == [best_weights.digest(run)]


def test_one_flipped_bit_is_seen_wherever_it_is(run):
  path, rng = run / best_weights.NAME, random.Random(4)
  for _ in range(20):
    offset, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    _flip(path, offset, bit)
    with pytest.raises(cli.UserError) as error:
      workdir.load_model(run)
    assert str(error.value) == _refusal(run)
    with pytest.raises(cli.UserError):
      calibrated.load_model(run)
    _flip(path, offset, bit)
  workdir.load_model(run)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0"])
def test_another_length_is_seen(run, change):
  path = run / best_weights.NAME
  path.write_bytes(change(path.read_bytes()))
  with pytest.raises(
    cli.UserError, match="is not the file that training wrote"
  ):
    workdir.load_model(run)


def test_a_run_of_before_is_loaded_with_a_warning(run, made, caplog):
  (run / "best.weights.json").unlink()
  _is(run, made[0])
  assert len(caplog.messages) == 1
  assert caplog.messages[0] == (
    f"{run}/best.weights.h5: there is no best.weights.json beside it, so that "
    "damage to it would not be noticed"
  )


@pytest.mark.parametrize(
  "content", [b"", b"{", b"[]", b"\x89HDF\r\n\x1a\n" + bytes(999)]
)
def test_garbage_in_a_run_of_before_is_named(run, content):
  (run / "best.weights.json").unlink()
  (run / best_weights.NAME).write_bytes(content)
  with pytest.raises(cli.UserError) as error:
    workdir.load_model(run)
  said = str(error.value)
  assert said.startswith(f"{run}/best.weights.h5: is damaged (")
  assert said.endswith("); copy it again, or train again in another --workdir")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": "x"}'])
def test_damaged_digests_are_named(run, made, content):
  path = run / "best.weights.json"
  path.write_text(content)
  with pytest.raises(cli.UserError) as error:
    workdir.load_model(run)
  assert str(error.value).startswith(f"{path}: is damaged (")
  best_weights.save(run, made[1])  # Training goes on, and mends it.
  _is(run, made[1])


class _Cut(BaseException):
  pass


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_cut_between_any_two_files_they_fit(
  run, made, monkeypatch, at, is_older
):
  if is_older:
    (run / "best.weights.json").unlink()
  replace, times = pathlib.Path.replace, 0

  def cut(*paths):
    nonlocal times
    times += 1
    if times == at:
      raise _Cut
    return replace(*paths)

  monkeypatch.setattr(pathlib.Path, "replace", cut)
  with pytest.raises(_Cut):
    best_weights.save(run, made[1])
  monkeypatch.undo()
  # Both digests, the weights, the one digest.
  _is(run, made[at == 3])
  best_weights.save(run, made[1])
  _is(run, made[1])
  assert _digests(run) == [best_weights.digest(run)]


def test_weights_that_are_replaced_between_two_looks(run, made, monkeypatch):
  digest, looks = best_weights.digest, []

  def replaced(folder):
    if not looks:
      looks.append(1)
      best_weights.save(folder, made[1])
      looks.append(2)
    return digest(folder)

  monkeypatch.setattr(best_weights, "digest", replaced)
  best_weights.check(run)
  assert looks == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("module", "flags"),
  [
    ("training.evaluate", ["--split=test"]),
    ("export.export_saved_model", ["--output_dir={tmp}/E"]),
    ("export.export_tflite", ["--output_dir={tmp}/E", "--kinds=float32"]),
  ],
)
def test_no_command_takes_them(
  run, tmp_path_factory, tiny_data_dir, module, flags
):
  tmp = tmp_path_factory.mktemp("out")
  _flip(run / best_weights.NAME, 50_000, 2)
  before = sorted(path.name for path in run.iterdir())
  words = [
    *(sys.executable, "-m", module, f"--workdir={run}"),
    *(f"--data_dir={tiny_data_dir}", f"--config={_CONFIG}"),
    *(flag.format(tmp=tmp) for flag in flags),
  ]
  assert faults.error_line(faults.finish(faults.start(words))) == _refusal(run)
  assert sorted(path.name for path in run.iterdir()) == before
  assert not list(tmp.rglob("*.*"))


_PARTIAL = ".incomplete.best.weights."


@pytest.mark.slow
def test_killed_between_weights_and_digests(tiny_data_dir, tmp_path):
  """kill -9 just before each of the three renames of an epoch's best."""
  words = [
    *(sys.executable, "-m", "training.train", f"--data_dir={tiny_data_dir}"),
    *(f"--config={_CONFIG}", "--batch_size=12", "--epochs=3", "--seed=3"),
    *("--learning_rate=0.0005", "--augment=none"),
  ]
  whole = tmp_path / "whole"
  run = faults.finish(faults.start([*words, f"--workdir={whole}"]))
  assert run.returncode == 0, run.stderr[-3000:]
  dataset = built_dataset.open_dataset(tiny_data_dir, _CONFIG)
  for at in (1, 2, 3, 4, 5, 6):  # The second three with older weights there.
    folder = tmp_path / f"W{at}"
    environment = faults.sabotage(
      tmp_path / f"at{at}",
      f"os.kill(os.getpid(), {int(signal.SIGKILL)})",
      event="os.rename",
      place=_PARTIAL,
      times=at,
    )
    command = [*words, f"--workdir={folder}"]
    killed = faults.finish(faults.start(command, environment=environment))
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    if (folder / best_weights.NAME).exists():
      workdir.load_model(folder, dataset.image_size)
    assert (folder / best_weights.NAME).exists() == (at > 2)
    if at in (2, 3, 5, 6):
      known = 2 if at > 3 else 1
      assert len(_digests(folder)) == known
    run = faults.finish(faults.start(command))
    assert run.returncode == 0, run.stderr[-3000:]
    train_resume_test._check_equal(whole, folder)
    assert _digests(folder) == [best_weights.digest(folder)]
    assert not list(folder.glob("*incomplete*"))
