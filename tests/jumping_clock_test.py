"""Every command while day and time jump by up to 11 days, thrice a second.

For all of a process, not for Python alone: TensorFlow, gRPC and SQLite ask the
same clock. What comes out is what comes out without.
"""

import contextlib
import json
import sys

import pytest

from tests import (
  data_service_test,
  drawn,
  faults,
  jumping_clock,
  strategies_bin_test,
  train_kills_test,
)
from yourface_tfds import built_dataset, gate

_CLOCKS = """
import time
begun, seen = time.monotonic(), []
while time.monotonic() - begun < 3:
  seen.append((time.time(), time.monotonic(), time.time_ns() / 1e9))
  time.sleep(0.02)
jumps = [b[0] - a[0] for a, b in zip(seen, seen[1:])]
assert sum(abs(jump) > 80_000 for jump in jumps) >= 7, jumps
assert all(0 < b[1] - a[1] < 2 for a, b in zip(seen, seen[1:]))
import threading
begun = time.monotonic()
for _ in range(10):
  threading.Event().wait(0.1)
assert 1 <= time.monotonic() - begun < 5
print(max(jumps) - min(jumps))
"""


def test_the_clock_really_jumps():
  words = [sys.executable, "-c", _CLOCKS]
  run = faults.finish(
    faults.start(words, environment=jumping_clock.environment()), 60
  )
  assert run.returncode == 0, run.stderr
  assert float(run.stdout) > 86_400


@pytest.mark.slow
def test_build(tmp_path):
  manual_dir = tmp_path / "m"
  drawn.write(manual_dir, people=6, photos=4)
  faults.good_build(manual_dir, tmp_path / "still")
  faults.good_build(
    manual_dir, tmp_path / "d", environment=jumping_clock.environment()
  )
  faults.assert_same_build(
    faults.version_dir(tmp_path / "d"),
    faults.files(faults.version_dir(tmp_path / "still")),
  )


@pytest.fixture(scope="module")
def trained(tiny_data_dir, tmp_path_factory):
  """A run under a clock that goes."""
  folder = tmp_path_factory.mktemp("trained")
  train_kills_test._finish(tiny_data_dir, folder)
  return folder


@pytest.mark.slow
def test_training_killed_and_resumed(tiny_data_dir, trained, tmp_path):
  environment = jumping_clock.environment()
  process = train_kills_test._train(
    tiny_data_dir, tmp_path, "--save_seconds=0", environment=environment
  )
  faults.wait_for(lambda: train_kills_test._step(tmp_path) >= 13, process)
  assert faults.kill(process)
  assert 13 <= train_kills_test._step(tmp_path) < train_kills_test._STEPS
  train_kills_test._finish(tiny_data_dir, tmp_path, environment=environment)
  train_kills_test._check_equal(trained, tmp_path)


def _export(kind, workdir, out, data_dir, environment):
  words = [
    *(sys.executable, "-m", f"export.export_{kind}", f"--workdir={workdir}"),
    *(f"--output_dir={out}", f"--data_dir={data_dir}"),
    f"--config={train_kills_test._CONFIG}",
  ]
  run = faults.finish(faults.start(words, environment=environment), 500)
  assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.slow
def test_export(tiny_data_dir, trained, tmp_path):
  for kind in ("saved_model", "tflite"):
    _export(kind, trained, tmp_path / "still", tiny_data_dir, {})
    _export(
      kind,
      trained,
      tmp_path / "E",
      tiny_data_dir,
      jumping_clock.environment(),
    )
  told = [gate.read(tmp_path / name) for name in ("still", "E")]
  assert told[0]["passed"] and told[1]["passed"]
  assert list(told[0]["ways"]) == list(told[1]["ways"])
  for name, figures in told[0]["ways"].items():
    assert figures["heads"] == told[1]["ways"][name]["heads"]
  for path in (tmp_path / "still").glob("*.tflite"):
    assert path.read_bytes() == (tmp_path / "E" / path.name).read_bytes()


@pytest.mark.slow
def test_data_service(tiny_data_dir, monkeypatch):
  for name, value in jumping_clock.environment().items():
    monkeypatch.setenv(name, value)  # For the dispatcher and its workers.
  dataset = built_dataset.open_dataset(tiny_data_dir, data_service_test._CONFIG)
  with data_service_test._cluster() as cluster:
    count = data_service_test._check(dataset, cluster.address)
    assert count == data_service_test._STEPS


@pytest.mark.slow
def test_training_with_a_data_service(tiny_data_dir, tmp_path, monkeypatch):
  still = data_service_test._train(tiny_data_dir, tmp_path / "still")
  assert still.returncode == 0, still.stderr
  for name, value in jumping_clock.environment().items():
    monkeypatch.setenv(name, value)
  with data_service_test._cluster() as cluster:
    done = data_service_test._train(
      tiny_data_dir, tmp_path / "W", f"--data_service={cluster.address}"
    )
  assert done.returncode == 0, done.stderr
  histories = [
    json.loads((tmp_path / name / "train.json").read_text())["history"]
    for name in ("still", "W")
  ]
  assert histories[0] == histories[1]


@pytest.mark.slow
def test_two_workers(tiny_data_dir, tmp_path, monkeypatch):
  flags = strategies_bin_test._EQUAL
  folders = [tmp_path / "still", tmp_path / "jumping"]
  for folder in folders:
    with contextlib.ExitStack() as stack:
      if folder == folders[1]:
        patch = stack.enter_context(monkeypatch.context())
        for name, value in jumping_clock.environment().items():
          patch.setenv(name, value)
      _, processes = strategies_bin_test._workers(tiny_data_dir, folder, *flags)
      strategies_bin_test._end(*processes)
  strategies_bin_test._check_equal(*(folder / "W0" for folder in folders))
