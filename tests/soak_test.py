"""The soak's command: real builds and trainings, watched and capped."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests import drawn
from yourface_tfds import soak


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "training.soak", *flags],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )


@pytest.fixture(scope="module")
def people(tmp_path_factory):
  folder = tmp_path_factory.mktemp("people")
  drawn.write(folder, people=6, photos=6)
  return folder


@pytest.mark.slow
def test_what_was_held(people, tmp_path):
  done = _run(
    *(f"--manual_dir={people}", f"--output_dir={tmp_path}", "--json", "--"),
    *("--input_size=32", "--batch_size=8"),
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert result == json.loads((tmp_path / soak.NAME).read_text())
  (run,) = result["runs"]
  assert run["photos"] == 36
  for stage in ("build", "train"):
    told = run[stage]
    # One look a second.
    assert 0.5 * told["seconds"] - 3 <= len(told["mb"]) <= told["seconds"] + 2
    assert 100 < told["peak_mb"] == max(told["mb"]) < 3000
  assert len(run["train"]["epoch_peaks_mb"]) == 2
  assert max(run["train"]["epoch_peaks_mb"]) <= run["train"]["peak_mb"]
  page = (tmp_path / soak.PICTURE_NAME).read_text()
  assert page.count("<polyline") == 2


@pytest.mark.slow
def test_above_the_cap_it_is_killed(people, tmp_path):
  done = _run(
    f"--manual_dir={people}", f"--output_dir={tmp_path}", "--cap_mb=50"
  )
  assert done.returncode == 1
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith("error: tfds: held ")
  assert last.endswith(" MB, allowed: 50 (--cap_mb); it was killed")
  told = json.loads((tmp_path / soak.NAME).read_text())
  assert f"error: {told['failed']}" == last
  (run,) = told["runs"]
  assert run["build"]["peak_mb"] == run["build"]["mb"][-1] > 50
  assert run["train"] == {}
  page = (tmp_path / soak.PICTURE_NAME).read_text()
  assert page.count("<polyline") == 1
  assert f"failed: {told['failed']}" in page


@pytest.mark.slow
def test_a_stage_that_fails(people, tmp_path):
  done = _run(
    *(f"--manual_dir={people}", f"--output_dir={tmp_path}", "--json", "--"),
    "--batch_size=5000",
  )
  assert done.returncode == 1
  assert not done.stdout
  told = json.loads((tmp_path / soak.NAME).read_text())
  said = "the command above ended with exit code 1; mend what it says"
  assert done.stderr.strip().splitlines()[-1] == f"error: {said}"
  assert told["failed"] == said
  (run,) = told["runs"]
  assert run["build"]["seconds"] > 1
  assert run["train"]["mb"]
  assert "epoch_peaks_mb" not in run["train"]
  assert (tmp_path / soak.PICTURE_NAME).read_text().count("<polyline") == 2


_PARENT = """
import pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
words = [sys.executable, "-c", "import os, sys, time; "
         "a = b'1' * (200 << 20); print(os.getpid(), flush=True); "
         "time.sleep(600)"]
child = subprocess.Popen(words, stdout=(folder / "child").open("w"))
try:
  time.sleep(600)
except KeyboardInterrupt:
  (folder / "asked").write_text("to end")
  sys.exit(130)
"""

_MEASURE = """
import json, pathlib, sys
from yourface_tfds import soak
folder, told = pathlib.Path(sys.argv[1]), {}
try:
  soak._measure(["a_parent", str(folder)], float(sys.argv[2]), sys.stderr, told)
finally:
  (folder / "told").write_text(json.dumps(told))
"""


def _measured(folder, cap_mb):
  (folder / "a_parent.py").write_text(_PARENT)
  return subprocess.Popen(
    drawn.interruptible(
      [sys.executable, "-c", _MEASURE, str(folder), str(cap_mb)]
    ),
    cwd=drawn.ROOT,
    env={**drawn.environment(), "PYTHONPATH": str(folder)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _lives(process):
  """Whether a process is there, and more than its name."""
  try:
    state = pathlib.Path(f"/proc/{process}/stat").read_text()
  except OSError:
    return False
  return state.rpartition(")")[2].split()[0] != "Z"


def _wait_until(condition):
  end = time.monotonic() + 120
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.05)


def test_its_children_are_killed_with_it(tmp_path):
  process = _measured(tmp_path, 150)
  _, errors = process.communicate(timeout=120)
  assert process.returncode == 1
  assert (
    errors.strip()
    .splitlines()[-1]
    .endswith(" MB, allowed: 150 (--cap_mb); it was killed")
  )
  child = (tmp_path / "child").read_text().strip()
  _wait_until(lambda: not _lives(child))
  told = json.loads((tmp_path / "told").read_text())
  # The child's memory counts, and what it was is told.
  assert told["peak_mb"] > 209
  assert not (tmp_path / "asked").exists()


def test_ctrl_c_reaches_it(tmp_path):
  process = _measured(tmp_path, 5000)
  path = tmp_path / "child"
  _wait_until(lambda: path.exists() and path.read_text())
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=120)
  assert "KeyboardInterrupt" in errors
  assert (tmp_path / "asked").read_text() == "to end"
  _wait_until(lambda: not _lives(path.read_text().strip()))
  assert (tmp_path / "told").exists()


_HOLD = """
import numpy as np
from yourface_tfds.peers import memory
before = memory.held_mb()
held = np.ones(1 << 28, np.uint8)
print(memory.held_mb() - before)
"""


def test_a_megabyte_is_a_million_bytes():
  # A process of its own: what earlier tests left takes more now and then.
  done = subprocess.run(
    [sys.executable, "-c", _HOLD],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    check=True,
  )
  # 2.4 % apart from the kernel's kB, which are of 1,024 bytes.
  assert float(done.stdout) == pytest.approx(268.4, rel=0.01)


def test_of_what_failed_there_is_a_table_and_a_picture():
  build = {"seconds": 3.0, "peak_mb": 70.0, "mb": [0.0, 70.0]}
  result = {
    "cap_mb": 100,
    "runs": [
      {"manual_dir": "m", "photos": 10, "build": build, "train": build},
      {"manual_dir": "n", "photos": 90, "build": build, "train": {}},
    ],
    "failed": "a <b>",
  }
  assert soak.table(result).splitlines()[1:] == [
    "       10      3 s      70       3 s      70",
    "       90      3 s      70       0 s       0",
    "failed: a <b>",
  ]
  page = soak.picture(result)
  assert page.count("<polyline") == 3
  assert "failed: a &lt;b&gt;" in page
  result["runs"] = [{"photos": 1, "build": {}, "train": {}}]
  assert "<polyline" not in soak.picture(result)


def test_table():
  def one(photos, build, train, epochs):
    return {
      "photos": photos,
      "build": {"seconds": 61.2, "peak_mb": build},
      "train": {"seconds": 9, "peak_mb": train, "epoch_peaks_mb": epochs},
    }

  runs = [one(1000, 500.0, 900.0, [900, 890]), one(4000, 530, 900, [900, 900])]
  assert soak.table({"runs": runs}).splitlines() == [
    "   photos    build      MB  training      MB  of epochs",
    "    1,000     61 s     500       9 s     900  900 890",
    "    4,000     61 s     530       9 s     900  900 900",
    "build: +6.0% at 4.0 times the photos, 10,000 bytes each",
    "train: +0.0% at 4.0 times the photos, 0 bytes each",
  ]
