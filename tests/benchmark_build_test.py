"""The benchmark of the build, run as its users run it, on a few photos."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests import drawn

# Whole benchmarks, in processes of their own.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]


def benchmark(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "builders.benchmark_build", *arguments],
    cwd=ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
  folder = tmp_path_factory.mktemp("benchmark")
  drawn.write(folder, people=3, photos=4)
  (folder / "photos" / "page.jpg").write_text("<html>")
  run = benchmark(
    f"--manual_dir={folder}", "--rounds=2", "--photos=9", "--json"
  )
  assert run.returncode == 0, run.stderr[-2000:]
  return json.loads(run.stdout)


def test_both_ways_cut_the_same_photos(result):
  assert result["photos"] == 9
  assert result["crops"]["naive"] >= 7
  assert abs(result["crops"]["naive"] - result["crops"]["ours"]) <= 1


def test_ratios_are_of_the_rates(result):
  assert len(result["ratios"]) == result["rounds"] == 2
  rates = result["photos_per_second"] / result["naive_photos_per_second"]
  assert result["ratio"] == pytest.approx(rates, rel=0.5)
  assert min(result["ratios"]) <= result["ratio"] <= max(result["ratios"])


def test_stages_are_all_of_the_time(result):
  assert sum(result["stages"].values()) == pytest.approx(1)
  assert {"detect", "read and decode", "crop", "fit", "prints"} < set(
    result["stages"]
  )


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_three_writers_are_measured(result, encoding):
  rates = result[f"write_{encoding}"]
  for way in ("bare", "ours", "tfds"):
    assert rates[f"{way}_examples_per_second"] > 100
  assert 0 < rates["ours_to_bare"] < 5


def test_a_missing_folder_is_one_line(tmp_path):
  run = benchmark(f"--manual_dir={tmp_path / 'nothing'}")
  assert run.returncode == 1
  assert "Traceback" not in run.stderr
  last = run.stderr.strip().splitlines()[-1]
  assert last.startswith("error: ")
  assert "no such folder; photos belong in <manual_dir>/photos/" in last
