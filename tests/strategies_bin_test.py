"""Tests of training.train on several devices, and in several processes.

Real processes of the real command, over loopback.
"""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import drawn
from yourface_tfds import train_state

_FLAGS = ("--config=raw-image_size_32", "--seed=3")
# Dropout draws other numbers where there are several devices.
_EQUAL = ("--batch_size=16", "--epochs=2", "--dropout=0")
_TIMEOUT = 20  # Seconds, --worker_timeout.

# With the processor as two devices, which no flag can ask for.
_TWO = """
import sys
from training import train
from yourface_tfds import cli
import tensorflow as tf
(processor,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
  processor, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.argv[0] = "train"
cli.run(train.main)
"""


def _start(program, data_dir, workdir, *flags, **environment):
  return subprocess.Popen(
    drawn.interruptible(
      [
        *(sys.executable, *program, *_FLAGS, f"--data_dir={data_dir}"),
        *(f"--workdir={workdir}", *flags),
      ]
    ),
    cwd=drawn.ROOT,
    env={**drawn.environment(), **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _free_ports(count):
  with contextlib.ExitStack() as stack:
    taken = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in taken:
      one.bind(("127.0.0.1", 0))
    return [one.getsockname()[1] for one in taken]


def _workers(data_dir, folder, *flags, ranks=(0, 1), other=()):
  """Starts workers, each with a workdir of its own: W0, W1."""
  addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
  processes = []
  for rank in ranks:
    config = {
      "cluster": {"worker": addresses},
      "task": {"type": "worker", "index": rank},
    }
    processes.append(
      _start(
        ("-m", "training.train"),
        data_dir,
        folder / f"W{rank}",
        "--strategy=multi_worker",
        f"--worker_timeout={_TIMEOUT}",
        *flags,
        *(other if rank else ()),
        TF_CONFIG=json.dumps(config),
      )
    )
  return addresses, processes


def _end(*processes, code=0):
  """Waits for processes; returns what they wrote: (stdout, stderr) each."""
  said = [process.communicate(timeout=240) for process in processes]
  assert [process.returncode for process in processes] == [
    code for _ in processes
  ], said
  return said


def _history(workdir):
  return json.loads((workdir / "train.json").read_text())["history"]


def _state(workdir):
  with np.load(workdir / train_state.NAME) as state:
    return dict(state)


def _check_equal(one, other):
  first, second = _state(one), _state(other)
  assert list(first) == list(second)
  for name, array in first.items():
    np.testing.assert_array_equal(array, second[name], name)
  assert _history(one) == _history(other)


def _check_close(one, other):
  """Sums in another order: 2e-7 was measured after two epochs."""
  for first, second in zip(_history(one), _history(other), strict=True):
    assert first == pytest.approx(second, abs=5e-6)


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def one(tiny_data_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("one")
  _end(_start(("-m", "training.train"), tiny_data_dir, folder, *_EQUAL))
  return folder


def _mirrored(data_dir, workdir, *flags):
  return _start(("-c", _TWO), data_dir, workdir, "--strategy=mirrored", *flags)


@pytest.mark.slow
def test_two_devices_train_as_one(tiny_data_dir, one, tmp_path):
  _end(_mirrored(tiny_data_dir, tmp_path, *_EQUAL))
  _check_close(one, tmp_path)
  assert _names(tmp_path) == _names(one)


@pytest.mark.slow
def test_batch_for_two_devices(tiny_data_dir, tmp_path):
  workdir = tmp_path / "W"
  process = _mirrored(tiny_data_dir, workdir, "--batch_size=15")
  ((_, errors),) = _end(process, code=1)
  assert errors.splitlines() == [
    "error: --batch_size: got 15, allowed with 2 replicas: multiples of 2; "
    "give 14 or 16"
  ]
  assert not workdir.exists()


@pytest.mark.slow
def test_multi_worker_without_tf_config(tiny_data_dir, tmp_path):
  process = _start(
    ("-m", "training.train"),
    tiny_data_dir,
    tmp_path / "W",
    "--strategy=multi_worker",
    TF_CONFIG="",
  )
  ((_, errors),) = _end(process, code=1)
  (line,) = errors.splitlines()
  assert line.startswith(
    "error: TF_CONFIG: got nothing, allowed with --strategy=multi_worker: "
  )
  assert not (tmp_path / "W").exists()


@pytest.mark.slow
def test_two_workers_train_as_one(tiny_data_dir, one, tmp_path):
  _, processes = _workers(tiny_data_dir, tmp_path, *_EQUAL)
  (first, _), (second, _) = _end(*processes)
  _check_close(one, tmp_path / "W0")
  assert _names(tmp_path / "W0") == _names(one)
  # Who is not the first writes nothing and says one line.
  assert _names(tmp_path) == ["W0"]
  assert first.splitlines()[-1].startswith("Next: ")
  assert second == "Trained; the first worker has the result\n"


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_a_last_batch_of_fewer_rows_than_devices(
  write_dataset, tiny_examples, tmp_path, mix
):
  examples = {
    "train": tiny_examples["train"] + tiny_examples["test"][:1],
    "validation": tiny_examples["validation"] + tiny_examples["unseen"][:1],
  }
  write_dataset(tmp_path / "data", examples)
  # 61 and 13 examples: the last batch of both splits has one row.
  flags = (*_EQUAL[1:], "--batch_size=12", f"--mix={mix}", "--epochs=1")
  runs = (tmp_path / "one", tmp_path / "two")
  _end(
    _start(("-m", "training.train"), tmp_path / "data", runs[0], *flags),
    _mirrored(tmp_path / "data", runs[1], *flags),
  )
  _check_close(*runs)


_LONG = ("--batch_size=4", "--epochs=4", "--mix=mixup")
_STEPS = 60


def _wait_for(processes, workdir, step):
  end = time.monotonic() + 120
  while True:
    with contextlib.suppress(OSError):
      progress = train_state.load(workdir)
      if progress is not None and progress.step >= step:
        return
    for process in processes:
      assert process.poll() is None, process.communicate()
    assert time.monotonic() < end
    time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tiny_data_dir, tmp_path_factory):
  """A run of two workers that nothing stopped."""
  folder = tmp_path_factory.mktemp("whole")
  _, processes = _workers(tiny_data_dir, folder, *_LONG)
  _end(*processes)
  return folder


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_ends_the_other(tiny_data_dir, whole, tmp_path, rank):
  addresses, processes = _workers(
    tiny_data_dir, tmp_path, *_LONG, "--save_seconds=0"
  )
  # Two epochs and some steps.
  _wait_for(processes, tmp_path / "W0", 32)
  processes[rank].kill()
  start = time.monotonic()
  _, errors = processes[1 - rank].communicate(timeout=2 * _TIMEOUT)
  assert time.monotonic() - start < 2 * _TIMEOUT
  assert processes[1 - rank].returncode == 1
  assert "Traceback" not in errors
  assert errors.splitlines()[-1] == (
    f"error: worker {rank} ({addresses[rank]}) is gone: it ended, or did not "
    f"answer for {_TIMEOUT} s (--worker_timeout); its own last line says more; "
    "the same command on all workers goes on after the last saved step"
  )
  processes[rank].communicate()
  progress = train_state.load(tmp_path / "W0")
  assert progress is not None
  assert 32 <= progress.step < _STEPS
  assert _names(tmp_path) == ["W0"]
  _, processes = _workers(tiny_data_dir, tmp_path, *_LONG)
  _end(*processes)
  _check_equal(whole / "W0", tmp_path / "W0")


@pytest.mark.slow
def test_a_stopped_worker_ends_the_other(tiny_data_dir, tmp_path):
  # Its kernel still takes connections, so only an answer says that it lives.
  addresses, processes = _workers(
    tiny_data_dir, tmp_path, *_LONG, "--save_seconds=0"
  )
  try:
    _wait_for(processes, tmp_path / "W0", 16)
    processes[1].send_signal(signal.SIGSTOP)
    ((_, errors),) = _end(processes[0], code=1)
  finally:
    processes[1].kill()
    processes[1].communicate()
  assert errors.splitlines()[-1].startswith(
    f"error: worker 1 ({addresses[1]}) is gone: "
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ("rank", "number"), [(0, signal.SIGINT), (1, signal.SIGTERM)]
)
def test_one_is_asked_to_stop(tiny_data_dir, whole, tmp_path, rank, number):
  _, processes = _workers(tiny_data_dir, tmp_path, *_LONG, "--save_seconds=0")
  _wait_for(processes, tmp_path / "W0", 16)
  processes[rank].send_signal(number)
  said = [errors.splitlines()[-1] for _, errors in _end(*processes, code=130)]
  assert said[0] == said[1]
  told = re.fullmatch(
    r"interrupted: nothing half-written was kept; (\d+) of 60 steps are saved; "
    "the same command goes on there",
    said[0],
  )
  assert told is not None
  progress = train_state.load(tmp_path / "W0")
  assert progress is not None
  assert progress.step == int(told[1])
  assert 16 <= int(told[1]) < _STEPS
  _, processes = _workers(tiny_data_dir, tmp_path, *_LONG)
  _end(*processes)
  _check_equal(whole / "W0", tmp_path / "W0")


@pytest.mark.slow
def test_a_worker_that_does_not_start(tiny_data_dir, tmp_path):
  addresses, processes = _workers(tiny_data_dir, tmp_path, *_LONG, ranks=(0,))
  ((_, errors),) = _end(*processes, code=1)
  assert errors.splitlines()[-1] == (
    f"error: worker 1 ({addresses[1]}) did not start within {_TIMEOUT} s "
    "(--worker_timeout); give the same command on all workers"
  )
  assert not _names(tmp_path)


@pytest.mark.slow
def test_workers_with_other_flags(tiny_data_dir, tmp_path):
  addresses, processes = _workers(
    tiny_data_dir, tmp_path, *_LONG, other=("--batch_size=8",)
  )
  for _, errors in _end(*processes, code=1):
    assert errors.splitlines()[-1] == (
      f"error: worker 1 ({addresses[1]}) has batch_size=8, worker 0 "
      f"({addresses[0]}) has 4; give the same command on all workers"
    )
  assert not _names(tmp_path)


@pytest.mark.slow
def test_a_workdir_of_another_run(tiny_data_dir, whole, tmp_path):
  _, processes = _workers(tiny_data_dir, whole, *_LONG, "--seed=4")
  for _, errors in _end(*processes, code=1):
    assert errors.splitlines()[-1] == (
      f"error: --workdir: {whole}/W0 holds a run with seed=3, this one has 4; "
      "give the same flags to continue it, or another --workdir"
    )
