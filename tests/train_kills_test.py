"""Training that is killed, doubled, or loses its data or its clock.

Real processes of the real commands in one workdir; what comes out in the end is
what an undisturbed run gives, bit for bit, or one line says why not.
"""

import collections
import itertools
import json
import pathlib
import random
import shutil
import sys
import time

import numpy as np
import pytest

from tests import faults, train_resume_test
from yourface_tfds import train_state

_CONFIG = "jpeg-image_size_32"
_EPOCHS, _STEPS = 4, 40
_PARTIAL = ".incomplete."


def _command(data_dir, workdir, *flags, what="training.train"):
  return [
    *(sys.executable, "-m", what, f"--config={_CONFIG}"),
    *(f"--data_dir={data_dir}", f"--workdir={workdir}", *flags),
  ]


def _train(data_dir, workdir, *flags, **options):
  settings = ("--batch_size=6", f"--epochs={_EPOCHS}", "--seed=3")
  words = _command(data_dir, workdir, *settings, *flags)
  return faults.start(words, **options)


def _finish(data_dir, workdir, *flags, **options):
  run = faults.finish(_train(data_dir, workdir, *flags, **options))
  assert run.returncode == 0, run.stderr[-3000:]
  assert "Traceback" not in run.stderr
  return run


def _step(workdir):
  progress = train_state.load(workdir)  # Raises where it is half written.
  return 0 if progress is None else progress.step


def _check_equal(one, other):
  train_resume_test._check_equal(one, other)
  told = [
    json.loads((workdir / "train.json").read_text()) for workdir in (one, other)
  ]
  for content in told:
    del content["images_per_second"]
  assert told[0] == told[1]
  name = "temperatures.json"
  heads = [json.loads((w / name).read_text())["heads"] for w in (one, other)]
  assert heads[0] == heads[1]
  assert len(heads[0]) == 3


@pytest.fixture(scope="module")
def whole(tiny_data_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  _finish(tiny_data_dir, folder)
  assert _step(folder) == _STEPS
  return folder


class _Moments:
  """When to kill: each returns once its moment has come."""

  def __init__(self, workdir, rng):
    self.workdir = workdir
    self.rng = rng

  def _until(self, condition, process):
    faults.wait_for(condition, process)

  def start(self, process):
    """Imports, the model, the first step."""
    del process
    time.sleep(self.rng.uniform(0, 9))

  def steps(self, process):
    """Some steps on, wherever that is."""
    before = _step(self.workdir)
    if before < _STEPS:
      self._until(lambda: _step(self.workdir) > before, process)
    time.sleep(self.rng.uniform(0, 0.1))

  def saving(self, process):
    """The state is being written."""
    path = self.workdir / f"{_PARTIAL}{train_state.NAME}"
    self._until(path.exists, process)
    time.sleep(self.rng.choice([0, 0, 0.001]))

  def weights(self, process):
    """The end of an epoch: its best weights are being written."""
    path = self.workdir / f"{_PARTIAL}best.weights.h5"
    self._until(path.exists, process)
    time.sleep(self.rng.choice([0, 0.002, 0.004]))

  def validation(self, process):
    """The last step of an epoch is done."""
    each = _STEPS // _EPOCHS
    border = (_step(self.workdir) // each + 1) * each - 1
    self._until(lambda: _step(self.workdir) >= border, process)
    time.sleep(self.rng.uniform(0, 0.2))

  def calibration(self, process):
    """Everything is trained; temperatures are fitted and the last files."""
    path = self.workdir / "train.json"
    before = path.stat().st_mtime_ns if path.exists() else 0
    self._until(
      lambda: path.exists() and path.stat().st_mtime_ns > before, process
    )
    time.sleep(self.rng.uniform(0, 1.5))


_KINDS = (
  *("start", "steps", "saving", "weights", "validation", "steps"),
  *("saving", "start", "weights", "steps", "saving", "calibration"),
)
_KILLS, _MOST_RUNS = 20, 60


def _where(workdir):
  """Returns where a kill has hit, by what it left."""
  left = {path.name for path in workdir.glob(f"{_PARTIAL}*")}
  if not (workdir / train_state.NAME).exists():
    return "before the first state"
  if left:
    return f"writing {min(left).removeprefix(_PARTIAL)}"
  step = _step(workdir)
  if step == _STEPS:
    return "after the last step"
  return "between steps" if step % (_STEPS // _EPOCHS) else "between epochs"


def _check_whole(workdir):
  """Checks that what was saved can be read; returns the step."""
  for path in workdir.glob("*.json"):
    json.loads(path.read_text(encoding="utf-8"))
  return _step(workdir)


@pytest.mark.slow
def test_killed_again_and_again(tiny_data_dir, whole, tmp_path, capsys):
  workdir = tmp_path / "W"
  workdir.mkdir()
  moments = _Moments(workdir, random.Random(8))
  hits = collections.Counter()
  step = kills = runs = finished = 0
  kinds = itertools.cycle(_KINDS)
  while kills < _KILLS and runs < _MOST_RUNS:
    runs += 1
    process = _train(tiny_data_dir, workdir, "--save_seconds=0")
    try:
      getattr(moments, next(kinds))(process)
    finally:
      was_killed = faults.kill(process)
    # What is there is whole: nothing was lost that had been saved.
    assert _check_whole(workdir) >= step
    step = _step(workdir)
    if was_killed:
      kills += 1
      hits[_where(workdir)] += 1
    else:  # On a fast machine it came through: from the start again.
      assert process.returncode == 0
      _check_equal(whole, workdir)
      shutil.rmtree(workdir)
      workdir.mkdir()
      step, finished = 0, finished + 1
  _finish(tiny_data_dir, workdir, "--save_seconds=0")
  _check_equal(whole, workdir)
  assert not list(workdir.glob(f"{_PARTIAL}*"))
  with capsys.disabled():
    print(f"\n{kills} kills, {finished} runs in between ended: {dict(hits)}")
  assert kills == _KILLS
  assert hits["before the first state"] >= 1
  # With a state written after each step, which of both is a matter of speed.
  assert hits["between steps"] + hits[f"writing {train_state.NAME}"] >= 3
  assert len(hits) >= 3


def _busy(flag, folder, doing):
  return (
    f"{flag}: got {folder}, but another command {doing}; wait for it to end, "
    "or name another folder"
  )


@pytest.mark.slow
def test_one_at_a_time(tiny_data_dir, whole, tmp_path):
  workdir = tmp_path / "W"
  shutil.copytree(whole, workdir)
  (workdir / train_state.NAME).unlink()
  flags = ("--batch_size=6", "--epochs=4000", "--patience=0")
  (workdir / "settings.json").unlink()
  first = faults.start(_command(tiny_data_dir, workdir, *flags))
  try:
    faults.wait_for(lambda: _step(workdir) > 0, first)
    out = tmp_path / "E"
    others = [
      faults.start(words)
      for words in (
        _command(tiny_data_dir, workdir, *flags),
        _command(tiny_data_dir, workdir, what="training.evaluate"),
      )
    ]
    said = [faults.error_line(faults.finish(one)) for one in others]
    assert said == [_busy("--workdir", workdir, "is at work in it")] * 2
    export = faults.start(
      [
        *(sys.executable, "-m", "export.export_saved_model"),
        *(f"--workdir={workdir}", f"--output_dir={out}"),
      ]
    )
    assert faults.error_line(faults.finish(export)) == (
      _busy("--workdir", workdir, "writes to it")
    )
    assert not out.exists()
    assert first.poll() is None
  finally:
    faults.kill(first)
  # The kernel has dropped the lock.
  words = _command(tiny_data_dir, workdir, what="training.evaluate")
  run = faults.finish(faults.start(words))
  assert run.returncode == 0, run.stderr[-2000:]


@pytest.fixture
def other_examples(tiny_examples):
  """As many of the same names, with other pixels."""
  changed = {}
  for split, examples in tiny_examples.items():
    changed[split] = [
      example
      | {"image": np.flip(example["image"], 1).copy()}
      | {"jpeg": other["jpeg"]}
      for example, other in zip(examples, examples[::-1], strict=True)
    ]
  return changed


@pytest.mark.slow
def test_the_dataset_is_built_anew_meanwhile(
  tiny_data_dir, whole, tmp_path, write_dataset, other_examples
):
  data_dir = tmp_path / "D"
  place = pathlib.Path("your_face") / _CONFIG
  shutil.copytree(tiny_data_dir / place, data_dir / place)
  write_dataset(tmp_path / "new", other_examples, "jpeg")
  workdir = tmp_path / "W"
  process = _train(data_dir, workdir, "--save_seconds=0")
  faults.wait_for(lambda: _step(workdir) > 0, process)
  # As publishing a build does: renamed into the place of the old one.
  (data_dir / place).rename(tmp_path / "old")
  (tmp_path / "new" / place).rename(data_dir / place)
  assert process.poll() is None
  run = faults.finish(process)
  assert run.returncode == 0, run.stderr[-2000:]
  # The files that it had opened were read to the end.
  _check_equal(whole, workdir)
  # From now on it is another dataset, although nothing in its name says so.
  again = faults.finish(_train(data_dir, workdir))
  assert faults.error_line(again) == (
    f"--workdir: {workdir} holds a run on other faces, your_face/{_CONFIG}/"
    "1.0.0 was built anew or changed since; give the --data_dir it was trained "
    "on to continue it, or another --workdir"
  )
  _check_equal(whole, workdir)


_JUMPS = """
import random, time
_rng, _real, _shift = random.Random(1), time.time, 0.0
def _jumping():
  global _shift
  if _rng.random() < 0.05:
    _shift = _rng.uniform(-1e6, 1e6)
  return _real() + _shift
time.time = _jumping
time.time_ns = lambda: int(_jumping() * 1e9)
"""


@pytest.mark.slow
def test_a_clock_that_jumps(tiny_data_dir, whole, tmp_path):
  (tmp_path / "sitecustomize.py").write_text(_JUMPS)
  workdir = tmp_path / "W"
  environment = {"PYTHONPATH": str(tmp_path)}
  process = _train(
    tiny_data_dir, workdir, "--save_seconds=0.1", environment=environment
  )
  # It saves within an epoch, whatever the clock says.
  steps = set()
  faults.wait_for(lambda: steps.add(_step(workdir)) or False, process)
  run = faults.finish(process)
  assert run.returncode == 0, run.stderr[-2000:]
  assert any(step % (_STEPS // _EPOCHS) for step in steps)
  assert f"{_STEPS}/{_STEPS}" in run.stderr
  _check_equal(whole, workdir)


@pytest.mark.slow
def test_a_shard_that_is_written_to_meanwhile(tiny_data_dir, tmp_path):
  data_dir, place = tmp_path / "D", pathlib.Path("your_face") / _CONFIG
  shutil.copytree(tiny_data_dir / place, data_dir / place)
  shards = sorted((data_dir / place / "1.0.0").glob("*-train.tfrecord-*"))
  workdir = tmp_path / "W"
  process = faults.start(
    _command(
      data_dir, workdir, "--batch_size=6", "--epochs=4000", "--patience=0"
    )
  )
  faults.wait_for(lambda: _step(workdir) > 0, process)
  content = bytearray(shards[0].read_bytes())
  content[5000] ^= 1
  with shards[0].open("r+b") as file:
    file.write(content)
  said = faults.error_line(faults.finish(process))
  assert said.startswith(f"{shards[0]}: "), said
  # What was saved before is still there; the mended file goes on.
  assert _step(workdir) > 0
