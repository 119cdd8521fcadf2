"""tf.data service with real processes, which are really killed.

Guaranteed, and counted here: every step of every epoch once, in order, with the
bits of a single machine, whatever ends or comes back.
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests import damage, drawn
from yourface_tfds import (
  built_dataset,
  cli,
  data_service,
  input_pipeline,
  served_input,
)

_CONFIG = "jpeg-image_size_32"
_COMMAND = (sys.executable, "-m", "training.data_service")


class _Server:
  """One process of the real command."""

  def __init__(self, *flags):
    self.process = subprocess.Popen(
      drawn.interruptible([*_COMMAND, *flags]),
      cwd=drawn.ROOT,
      env=drawn.environment(),
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    self.words = self._line()

  def _line(self):
    assert self.process.stdout
    line = self.process.stdout.readline()
    assert line, self.process.wait()
    return line

  @property
  def port(self):
    found = re.search(r"port (\d+)", self.words)
    assert found, self.words
    return found[1]

  def kill(self):
    self.process.kill()
    self.process.communicate()


class _Cluster:
  """A dispatcher and two workers."""

  def __init__(self, *flags):
    self._flags = flags
    self.dispatcher = _Server("--port=0", *flags)
    self.address = f"localhost:{self.dispatcher.port}"
    self.workers = [self.worker(), self.worker()]

  def worker(self):
    return _Server(f"--dispatcher={self.address}")

  def restart_dispatcher(self):
    port = self.address.partition(":")[2]
    self.dispatcher = _Server(f"--port={port}", *self._flags)

  def close(self):
    for server in (*self.workers, self.dispatcher):
      if server.process.poll() is None:
        server.kill()


@contextlib.contextmanager
def _cluster(*flags):
  cluster = _Cluster(*flags)
  try:
    yield cluster
  finally:
    cluster.close()


@pytest.fixture(scope="module")
def dataset(tiny_data_dir):
  return built_dataset.open_dataset(tiny_data_dir, _CONFIG)


# 400 steps: long enough for what happens in the middle to be in the middle.
_PLAN = {"batch_size": 6, "seed": 4, "epochs": 40}
_STEPS = 400


def _check(dataset, address, happenings=None, **changes):
  """Reads all, with what happens before some steps; every bit must be right."""
  plan: dict[str, Any] = _PLAN | changes
  expected = iter(input_pipeline.make_for_train(dataset, **plan))
  got = input_pipeline.make_for_train(dataset, data_service=address, **plan)
  count = 0
  for ours in got:
    if happenings and count in happenings:
      happenings[count]()
    theirs = next(expected)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
      np.testing.assert_array_equal(ours[name], tensor, f"{name} of {count}")
    count += 1
  assert next(expected, None) is None
  assert count == got.cardinality()
  return count


def _here(caplog):
  """Returns how many batches the reading process made."""
  texts = "\n".join(record.getMessage() for record in caplog.records)
  found = re.search(r"(\d+) batches of \d+ were made here", texts)
  return int(found[1]) if found else 0


@pytest.mark.slow
def test_every_step_once_and_in_order(dataset, caplog):
  with _cluster() as cluster:
    assert _check(dataset, cluster.address) == _STEPS
    # The service did it, not this process.
    assert _here(caplog) < 20
    assert _check(dataset, f"{cluster.address}", start_step=387) == 13
    arriving = served_input.distributed(
      tf.data.Dataset.range(1), cluster.address
    )
    assert arriving.options().autotune.enabled is False


@pytest.mark.slow
def test_a_worker_is_killed_and_comes_back(dataset, caplog):
  with _cluster() as cluster:

    def kill():
      cluster.workers[0].kill()

    def again():
      cluster.workers[0] = cluster.worker()

    assert _check(dataset, cluster.address, {100: kill, 200: again}) == _STEPS
    # What it had taken is lost to the service, and made here.
    assert _here(caplog) < 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_workers_are_killed_at_random(dataset, seed):
  chosen = np.random.default_rng(seed)
  with _cluster() as cluster:

    def change():
      number = int(chosen.integers(2))
      cluster.workers[number].kill()
      cluster.workers[number] = cluster.worker()

    moments = chosen.choice(_STEPS, 4, replace=False)
    happenings = {int(moment): change for moment in moments}
    assert _check(dataset, cluster.address, happenings) == _STEPS


@pytest.mark.slow
def test_all_workers_are_killed(dataset, caplog):
  caplog.set_level("INFO", logger="absl")  # Only the first is a warning.
  with _cluster() as cluster:

    def kill():
      for worker in cluster.workers:
        worker.kill()

    started = time.monotonic()
    assert _check(dataset, cluster.address, {100: kill}) == _STEPS
    assert time.monotonic() - started < 120
    assert _here(caplog) > 100
    texts = [record.getMessage() for record in caplog.records]
    assert any("nothing came in 10 seconds" in text for text in texts)


@pytest.mark.slow
def test_the_dispatcher_is_killed_and_comes_back(dataset, tmp_path):
  with _cluster(f"--work_dir={tmp_path / 'notes'}") as cluster:

    def kill():
      cluster.dispatcher.kill()

    happenings = {100: kill, 200: cluster.restart_dispatcher}
    assert _check(dataset, cluster.address, happenings) == _STEPS


@pytest.mark.slow
def test_one_iterator_at_a_time(dataset):
  with _cluster() as cluster:
    made = input_pipeline.make_for_train(
      dataset, batch_size=8, seed=0, data_service=cluster.address
    )
    first, second = iter(made), iter(made)
    # Whichever asks for a step that the other has taken.
    with pytest.raises(tf.errors.OpError, match="one at a time; make a data"):
      for _ in range(20):
        next(first)
        next(second)


_LEAVES = """
import sys
from yourface_tfds import built_dataset, input_pipeline
data_dir, config, address = sys.argv[1:]
dataset = built_dataset.open_dataset(data_dir, config)
made = input_pipeline.make_for_train(
  dataset, batch_size=8, seed=0, epochs=100, data_service=address
)
sys.modules["numpy"].iterator = iterator = iter(made)
for _ in range(3):
  next(iterator)
"""


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True])
def test_the_end_within_an_epoch(tiny_data_dir, silent):
  with _cluster() as cluster:
    if silent:  # The program ends while it waits for a batch.
      for worker in cluster.workers:
        worker.kill()
    words = [sys.executable, "-c", _LEAVES, tiny_data_dir, _CONFIG]
    run = subprocess.run(
      [*map(str, words), cluster.address],
      cwd=drawn.ROOT,
      env=drawn.environment(),
      capture_output=True,
      text=True,
      timeout=100,
    )
  assert run.returncode == 0, run.stderr
  assert "Traceback" not in run.stderr


def _train(data_dir, workdir, *flags):
  return subprocess.run(
    [
      *(sys.executable, "-m", "training.train", f"--data_dir={data_dir}"),
      *(f"--workdir={workdir}", f"--config={_CONFIG}", "--batch_size=8"),
      *("--epochs=2", *flags),
    ],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.mark.slow
def test_training_gives_the_same_weights(tiny_data_dir, tmp_path):
  with _cluster() as cluster:
    flags = ((), (f"--data_service={cluster.address}",))
    for name, more in zip(("alone", "served"), flags, strict=True):
      done = _train(tiny_data_dir, tmp_path / name, *more)
      assert done.returncode == 0, done.stderr
  histories = [
    json.loads((tmp_path / name / "train.json").read_text())["history"]
    for name in ("alone", "served")
  ]
  assert histories[0] == histories[1]
  states = [np.load(tmp_path / n / "state.npz") for n in ("alone", "served")]
  assert states[0].files == states[1].files
  for name in states[0].files:
    np.testing.assert_array_equal(states[0][name], states[1][name], name)


@pytest.mark.slow
def test_a_damaged_shard(tiny_data_dir, tmp_path):
  copy = damage.Copy(tiny_data_dir, tmp_path / "D", "jpeg")
  shard = copy.shards[1]
  content = bytearray(copy.kept[shard])
  offset, length = damage.places(bytes(content))[4]
  content[offset + length // 2] ^= 4
  copy.damage(shard, bytes(content), is_rot=True)
  with _cluster() as cluster:
    done = _train(
      copy.data_dir, tmp_path / "W", f"--data_service={cluster.address}"
    )
  assert done.returncode == 1, done.stderr
  assert "Traceback" not in done.stderr
  # The workers know no file; who reads their answer finds out.
  assert done.stderr.strip().splitlines()[-1] == (
    f"error: {shard}: record 4 at byte {offset}: its checksum differs; the "
    "file was changed or damaged after it was written, build it again or copy "
    "it again"
  )
  assert not (tmp_path / "W" / "train.json").exists()


def test_nobody_is_there(tiny_data_dir, tmp_path):
  done = _train(tiny_data_dir, tmp_path / "run", "--data_service=localhost:1")
  assert done.returncode == 1
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith(
    "error: --data_service: nobody answers at localhost:1 ("
  )
  assert last.endswith(
    "; start the dispatcher there: python -m training.data_service --port=1"
  )
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "address", ["", "here", "here:", ":5050", "here:port", "here:0", "here:65536"]
)
def test_no_address(address):
  with pytest.raises(cli.UserError) as caught:
    data_service.parse(address, "--dispatcher")
  assert str(caught.value) == (
    f"--dispatcher: got {address!r}, allowed: HOST:PORT, for example "
    "localhost:5050"
  )


def test_addresses():
  parse = data_service.parse
  assert parse("grpc://here:5050", "") == ("here", 5050)
  assert parse("[::1]:1", "") == ("::1", 1)


def _ended(*flags):
  done = subprocess.run(
    [*_COMMAND, *flags],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=100,
  )
  return done.returncode, done.stderr.strip().splitlines()[-1]


def test_commands_that_cannot_start(tmp_path):
  with _one() as server:
    port = server.port
    code, line = _ended(f"--port={port}")
    assert code == 1
    assert line.startswith(
      f"error: --port: got {port}, where this process cannot listen ("
    )
    assert line.endswith("; end what does, or give another")
  code, line = _ended("--dispatcher=localhost:1", "--wait_seconds=0")
  assert code == 1
  assert line.startswith(
    "error: --dispatcher: nobody answers at localhost:1 for 0 seconds ("
  )
  code, line = _ended("--dispatcher=localhost:1", f"--work_dir={tmp_path}")
  assert (code, line) == (
    1,
    f"error: --work_dir: got {str(tmp_path)!r} with --dispatcher; only the "
    "dispatcher keeps notes, leave one of them out",
  )


@contextlib.contextmanager
def _one():
  server = _Server("--port=0")
  try:
    yield server
  finally:
    server.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_servers_end_when_asked(number):
  with _cluster() as cluster:
    for server in (*cluster.workers, cluster.dispatcher):
      server.process.send_signal(number)
      server.process.communicate(timeout=20)
      assert server.process.returncode == 128 + number
