"""The soak's command: real builds and trainings, watched and capped."""

import json
import subprocess
import sys

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
  assert not (tmp_path / soak.NAME).exists()


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
