"""Training that is stopped, in any way, ends as if it never was.

Real processes of the real command, killed between and within steps.
"""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest

from tests import drawn
from yourface_tfds import best_weights, cli, train_state

_CONFIG = "--config=jpeg-image_size_32"
_STEPS = 60
_FLAGS = ("--batch_size=4", "--epochs=4", "--mix=mixup", "--seed=3")


def _command(data_dir, workdir, *flags):
  return [
    *(sys.executable, "-m", "training.train", _CONFIG, *_FLAGS),
    *(f"--data_dir={data_dir}", f"--workdir={workdir}", *flags),
  ]


def _start(data_dir, workdir, *flags):
  return subprocess.Popen(
    drawn.interruptible(_command(data_dir, workdir, *flags)),
    cwd=drawn.ROOT,
    env=drawn.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(data_dir, workdir, *flags):
  process = _start(data_dir, workdir, *flags)
  _, errors = process.communicate(timeout=120)
  assert process.returncode == 0, errors


def _step(workdir):
  with contextlib.suppress(OSError):
    if (progress := train_state.load(workdir)) is not None:
      return progress.step
  return 0


def _wait_for(process, workdir, step):
  """Waits until a step is saved; the process may be anywhere after it."""
  end = time.monotonic() + 120
  while _step(workdir) < step:
    assert process.poll() is None, process.communicate()[1]
    assert time.monotonic() < end
    time.sleep(0.002)


def _state(workdir):
  with np.load(workdir / train_state.NAME) as state:
    return dict(state)


def _weights(path):
  found = {}

  def visit(name, item):
    if isinstance(item, h5py.Dataset):
      found[name] = item[()].tobytes()

  with h5py.File(path) as file:
    file.visititems(visit)
  return found


def _check_equal(one, other):
  first, second = _state(one), _state(other)
  assert list(first) == list(second)
  for name, array in first.items():
    np.testing.assert_array_equal(array, second[name], name)
  best = "best.weights.h5"
  assert _weights(one / best) == _weights(other / best)
  keys = ("history", "best_epoch", "best")
  told = [json.loads((w / "train.json").read_text()) for w in (one, other)]
  assert [told[0][key] for key in keys] == [told[1][key] for key in keys]


@pytest.fixture(scope="module")
def whole(tiny_data_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")
  _finish(tiny_data_dir, folder)
  assert _step(folder) == _STEPS
  return folder


def test_killed_twice(tiny_data_dir, whole, tmp_path):
  for step in (4, 33):
    process = _start(tiny_data_dir, tmp_path, "--save_seconds=0")
    _wait_for(process, tmp_path, step)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert step <= _step(tmp_path) < _STEPS
  _finish(tiny_data_dir, tmp_path)
  _check_equal(whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(tiny_data_dir, whole, tmp_path, number):
  process = _start(tiny_data_dir, tmp_path, "--save_seconds=0")
  _wait_for(process, tmp_path, 20)
  process.send_signal(number)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  step = _step(tmp_path)
  assert errors.strip().splitlines()[-1] == (
    "interrupted: nothing half-written was kept; "
    f"{step} of {_STEPS} steps are saved; the same command goes on there"
  )
  assert 20 <= step < _STEPS
  # Without --save_seconds=0: the epoch in progress was saved by the stop.
  _finish(tiny_data_dir, tmp_path)
  _check_equal(whole, tmp_path)


_FULL_DISK = """
import resource, runpy, sys
from training import train
from yourface_tfds import cli, train_state
save = train_state.save
def small(folder, progress, *variables):
  if progress.step > 20:
    # Files may not grow beyond this: what a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
  save(folder, progress, *variables)
train_state.save = small
sys.argv[0] = "train"
cli.run(train.main)
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_state(tiny_data_dir, whole, tmp_path):
  command = _command(tiny_data_dir, tmp_path, "--save_seconds=0")
  process = subprocess.run(
    [sys.executable, "-c", _FULL_DISK, *command[3:]],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert process.returncode == 1
  last = process.stderr.strip().splitlines()[-1]
  assert last.startswith("error: ")
  assert "File too large" in last
  assert _step(tmp_path) == 20
  assert not list(tmp_path.glob(".incomplete*"))
  _finish(tiny_data_dir, tmp_path)
  _check_equal(whole, tmp_path)


_FULL_AT = """
import importlib, resource, sys
from training import train
from yourface_tfds import cli
name, function, calls, size = sys.argv[1:5]
module = importlib.import_module(f"yourface_tfds.{name}")
whole, seen = getattr(module, function), 0
def small(*arguments):
  global seen
  seen += 1
  if seen == int(calls):
    resource.setrlimit(
      resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
  return whole(*arguments)
setattr(module, function, small)
sys.argv = ["train", *sys.argv[5:]]
cli.run(train.main)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
  ("where", "file"),
  [
    # The first epoch's weights, and better ones.
    (("best_weights", "save", 1, 1 << 14), "best.weights.h5"),
    (("best_weights", "save", 2, 1 << 14), "best.weights.h5"),
    (("best_weights", "_write_digests", 3, 16), "best.weights.json"),
    (("calibrated", "write", 1, 64), "temperatures.json"),
  ],
  ids=["first_weights", "weights", "digests", "temperatures"],
)
def test_a_full_disk_at_each_file(tiny_data_dir, whole, tmp_path, where, file):
  command = _command(tiny_data_dir, tmp_path)
  process = subprocess.run(
    [sys.executable, "-c", _FULL_AT, *map(str, where), *command[3:]],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=240,
  )
  assert process.returncode == 1, process.stderr[-3000:]
  assert "Traceback" not in process.stderr
  last = process.stderr.strip().splitlines()[-1]
  assert last.startswith("error: ")
  assert f"File too large: '{tmp_path}/" in last
  assert f"{file}'" in last
  assert not list(tmp_path.glob(".incomplete*"))
  is_there = where[:3] not in (
    ("best_weights", "save", 1),
    ("calibrated", "write", 1),
  )
  assert (tmp_path / file).exists() == is_there
  if (tmp_path / best_weights.NAME).exists():
    best_weights.check(tmp_path)  # The weights before are still good.
  _finish(tiny_data_dir, tmp_path)
  _check_equal(whole, tmp_path)
  best_weights.check(tmp_path)
  heads = [
    json.loads((w / "temperatures.json").read_text())["heads"]
    for w in (whole, tmp_path)
  ]
  assert heads[0] == heads[1]


@pytest.mark.slow
def test_damaged_state(tiny_data_dir, whole, tmp_path):
  process = _start(tiny_data_dir, tmp_path, "--save_seconds=0")
  _wait_for(process, tmp_path, 1)
  process.kill()
  process.communicate()
  path = tmp_path / train_state.NAME
  content = path.read_bytes()
  for damaged, why in ((content[:1000], ""), (b"", "it is empty); ")):
    path.write_bytes(damaged)
    process = _start(tiny_data_dir, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    said = errors.strip().splitlines()[-1]
    assert said.startswith(f"error: {path}: cannot be continued from ({why}")
    assert "remove it to start again" in said
    assert path.read_bytes() == damaged


@pytest.fixture
def small(tmp_path):
  """A state of two variables, and what it holds."""
  made = [np.arange(50, dtype=np.float32), np.ones([3, 4], np.float32)]
  progress = train_state.Progress(
    step=7, sums=np.ones([3, 3]), history=[{"loss": 0.5}]
  )
  variables = [keras.Variable(array) for array in made]
  train_state.save(tmp_path, progress, variables[:1], variables[1:])
  return tmp_path, made


def _restored(folder, made):
  variables = [keras.Variable(np.zeros_like(array)) for array in made]
  progress = train_state.load(folder)
  train_state.restore(folder, variables[:1], variables[1:])
  return progress, [np.asarray(variable) for variable in variables]


def test_an_empty_state_is_not_none(small):
  folder, _ = small
  path = folder / train_state.NAME
  path.write_bytes(b"")
  for read in (train_state.load, train_state.read):
    with pytest.raises(cli.UserError) as error:
      read(folder)
    assert str(error.value) == (
      f"{path}: cannot be continued from (it is empty); remove it to start "
      "again, or take another --workdir"
    )
  path.unlink()
  assert train_state.load(folder) is None


def test_a_changed_byte_changes_nothing_or_is_seen(small):
  folder, made = small
  path = folder / train_state.NAME
  content, rng, seen = path.read_bytes(), random.Random(6), 0
  for _ in range(300):
    damaged = bytearray(content)
    damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(damaged)
    try:
      progress, found = _restored(folder, made)
    except cli.UserError as error:
      assert str(error).startswith(f"{path}: cannot be continued from (")
      seen += 1
    else:
      assert progress is not None
      assert progress.step == 7
      assert progress.history == [{"loss": 0.5}]
      np.testing.assert_array_equal(progress.sums, np.ones([3, 3]))
      for one, other in zip(found, made, strict=True):
        np.testing.assert_array_equal(one, other)
  assert seen > 150


_PHASES = """
import pathlib, sys
import tensorflow as tf
from yourface_tfds import built_dataset, stopping, train_lib, train_settings
tf.config.experimental.enable_op_determinism()
data_dir, weights, workdir, *stops = sys.argv[1:]
dataset = built_dataset.open_dataset(data_dir, "jpeg-image_size_32")
settings = train_settings.TrainSettings(
  model="MobileNetV2", weights=weights, image_size=32, batch_size=30,
  epochs=3, head_epochs=1, seed=5)
steps = 0
def is_asked():
  global steps
  steps += 1
  return str(steps) in stops
stopping.is_asked = is_asked
while True:
  try:
    train_lib.train(dataset, settings, workdir)
    break
  except KeyboardInterrupt as stopped:
    print(stopped)
"""


@pytest.mark.slow
def test_stopped_in_each_phase_and_at_its_end(tiny_data_dir, tmp_path):
  # Two steps an epoch, the first of which trains the heads alone.
  weights = tmp_path / "backbone.weights.h5"
  keras.utils.set_random_seed(1)
  keras.applications.MobileNetV2(
    input_shape=(32, 32, 3), include_top=False, weights=None, pooling="avg"
  ).save_weights(weights)
  for name, stops in (("whole", ()), ("parts", ("1", "2", "3", "5"))):
    process = subprocess.run(
      [
        *(sys.executable, "-c", _PHASES, tiny_data_dir, weights),
        *(tmp_path / name, *stops),
      ],
      cwd=drawn.ROOT,
      env=drawn.environment(),
      capture_output=True,
      text=True,
      timeout=500,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("steps are saved") == len(stops)
  _check_equal(tmp_path / "whole", tmp_path / "parts")
