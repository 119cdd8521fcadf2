"""The benchmark of the input, run as its users run it, on a few faces."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from tests import drawn
from yourface_tfds import (
  bench_child,
  bench_source,
  bench_way,
  built_dataset,
  cli,
  input_benchmark,
  input_report,
)

# Whole benchmarks: a minute.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = "{}-image_size_32"


@pytest.fixture(scope="module")
def source(tiny_data_dir, tmp_path_factory):
  dataset = built_dataset.open_dataset(tiny_data_dir, CONFIG.format("raw"))
  return bench_source.make(
    dataset, "train", tmp_path_factory.mktemp("source"), encodings=("raw",)
  )


def test_which_ways_are_measured():
  ways = input_benchmark.ways
  assert ways("raw", peers=[], compare=False) == [
    "memcpy",
    "own_raw",
    "own_raw_verify",
    "stock_raw",
  ]
  assert ways("jpeg", peers=[], compare=False) == [
    "memcpy",
    "own_jpeg",
    "own_jpeg_fast",
    "stock",
  ]
  both = ways("raw", peers=["dali"], compare=False)
  assert {"dali", "own_jpeg", "stock", "own_raw", "stock_raw"} < set(both)
  assert "ffcv_raw" not in both
  assert "ffcv_raw" in ways("raw", peers=[], compare=True)
  assert input_benchmark.encodings(["memcpy", "dali"]) == {"jpeg"}
  with pytest.raises(cli.UserError) as error:
    ways("raw", peers=["fcv"], compare=False)
  assert str(error.value).startswith("--peers: got 'fcv', allowed: memcpy, ")


def run_command(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "training.benchmark_input", *arguments],
    cwd=ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
    timeout=300,
  )


@pytest.fixture(scope="module")
def ran(tiny_data_dir, tmp_path_factory):
  """A real run: four ways, and one that is not installed or fast."""
  folder = tmp_path_factory.mktemp("ran")
  run = run_command(
    f"--data_dir={tiny_data_dir}",
    f"--config={CONFIG.format('raw')}",
    "--examples=90",
    "--batch_size=16",
    "--rounds=1",
    "--step_ms=2",
    "--peers=torch_memmap",
    f"--scratch_dir={folder / 'scratch'}",
    f"--output_dir={folder / 'out'}",
    "--json",
  )
  assert run.returncode == 0, run.stderr[-2000:]
  return json.loads(run.stdout), run.stderr, folder


def test_the_figures_of_a_run(ran):
  result, _, _ = ran
  assert result["way"] == "own_raw"
  for key in ("images_per_second", "ratio_to_stock", "ratio_to_memcpy"):
    assert result[key] > 0
  assert 0 < result["first_batch_ms"] < result["first_start_ms"]
  assert result["peak_anonymous_mb"] >= 0
  assert 0 <= result["waited_share"] <= 1
  assert result["examples"] == 90
  assert result["batch_size"] == 16
  assert result["rounds"] == 1
  assert {"cores", "cpu", "memory_gb", "python", "tensorflow", "date"} <= set(
    result["machine"]
  )
  assert result["mind"].startswith("An epoch has 6 batches only;")


def test_the_rows_of_a_run(ran):
  result, _, _ = ran
  rows = {row["name"]: row for row in result["ways"]}
  assert set(rows) == {
    "memcpy",
    "own_raw",
    "own_raw_verify",
    "stock_raw",
    "torch_memmap",
  }
  for name in ("memcpy", "own_raw", "own_raw_verify", "stock_raw"):
    row = rows[name]
    assert row["reason"] == ""
    assert row["rounds_images_per_second"] == [row["images_per_second"]]
    assert row["peak_mb"] - row["imported_mb"] == row["peak_anonymous_mb"]
  assert rows["stock_raw"]["ratio_to_stock"] == 1
  assert rows["memcpy"]["ratio_to_memcpy"] == 1
  own = rows["own_raw"]
  assert own["ratio_to_stock"] == pytest.approx(
    own["images_per_second"] / rows["stock_raw"]["images_per_second"]
  )
  assert 0 <= rows["stock_raw"]["waited_share"] <= 1
  assert rows["memcpy"]["waited_share"] is None
  assert rows["stock_raw"]["note"].startswith(
    "cached in memory by TFDS: below 250 MiB; "
  )
  if rows["torch_memmap"]["reason"]:
    assert rows["torch_memmap"]["images_per_second"] is None
    assert "training/install_peers.sh" in rows["torch_memmap"]["reason"]


def test_what_a_run_leaves(ran):
  result, said, folder = ran
  assert not list((folder / "scratch").iterdir())
  out = folder / "out"
  assert {file.name for file in out.iterdir()} == {
    "benchmark_input.json",
    "benchmark_input.png",
  }
  assert json.loads((out / "benchmark_input.json").read_text()) == result
  with PIL.Image.open(out / "benchmark_input.png") as image:
    assert image.size == input_report.picture(result).size
    assert image.width == input_report.WIDTH
  assert said.strip().endswith(
    f"Written: {out}/benchmark_input.json, {out}/benchmark_input.png"
  )
  assert input_report.table(result) in said


@pytest.fixture(scope="module")
def broken(source, tmp_path_factory):
  """A source whose raw shards are gone: memcpy goes on, ours does not."""
  folder = tmp_path_factory.mktemp("broken")
  for name in ("raw.npy", "labels.npy"):
    shutil.copy(source.folder / name, folder)
  rest = dataclasses.replace(
    source, folder=folder, data_dir=str(folder / "nowhere")
  )
  return input_benchmark.measure(
    rest,
    "raw",
    ["memcpy", "own_raw"],
    input_benchmark.Settings(rounds=2, batch_size=16),
  )


def test_a_way_that_fails_is_listed_and_the_others_go_on(broken):
  rows = {row["name"]: row for row in broken["ways"]}
  assert rows["memcpy"]["images_per_second"] > 0
  assert len(rows["memcpy"]["rounds_images_per_second"]) == 2
  reason = rows["own_raw"]["reason"]
  assert "--data_dir: no dataset your_face/raw-measured in" in reason
  assert broken["images_per_second"] is None
  table = input_report.table(broken)
  assert f"No figure of yourface_tfds, raw: {reason}" in table
  with pytest.raises(cli.UserError) as error:
    input_benchmark.check_ours(broken)
  assert str(error.value) == f"own_raw gave no figures: {reason}"


def test_an_incomplete_way_gets_no_speed(source, tmp_path):
  for name in ("raw.npy", "labels.npy"):
    np.save(tmp_path / name, np.load(source.folder / name)[:59])
  short = dataclasses.replace(source, folder=tmp_path)
  file = tmp_path / "source.json"
  file.write_text(short.to_json())
  way = bench_way.Way("memcpy", tmp_path, short)
  way.attempt(way.prepare, file)
  way.attempt(way.check, file, 16)
  way.attempt(way.time, 1)
  assert way.reason == (
    "incomplete: an epoch gave 59 images, not each of 60 once"
  )
  assert not way.speeds


def test_a_child_says_its_last_words(tmp_path):
  child = bench_child.Child(
    "memcpy", tmp_path / "nothing.json", tmp_path / "way", batch_size=4
  )
  with pytest.raises(bench_child.FailedError) as error:
    child.ready()
  assert str(error.value).startswith("FileNotFoundError: ")
  child.kill()


def test_a_killed_child_says_so(source, tmp_path):
  file = tmp_path / "source.json"
  file.write_text(source.to_json())
  child = bench_child.Child("memcpy", file, tmp_path / "way", batch_size=4)
  assert child.ready()["ready"]
  assert 0 <= child.ask("step 1 1")["waited_share"] <= 1
  os.kill(child._process.pid, signal.SIGKILL)
  with pytest.raises(bench_child.FailedError) as error:
    child.ask("epoch 1")
  assert str(error.value) == "ended by SIGKILL"
  child.kill()


def test_ctrl_c_ends_all_and_leaves_nothing(tiny_data_dir, tmp_path):
  scratch = tmp_path / "scratch"
  process = subprocess.Popen(
    drawn.interruptible(
      [
        sys.executable,
        "-m",
        "training.benchmark_input",
        f"--data_dir={tiny_data_dir}",
        f"--config={CONFIG.format('raw')}",
        "--rounds=100000",
        f"--scratch_dir={scratch}",
      ]
    ),
    cwd=ROOT,
    env=drawn.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    encoding="utf-8",
  )
  end = time.monotonic() + 120
  while not list(scratch.glob("*/ways/own_raw.log")):
    assert process.poll() is None and time.monotonic() < end
    time.sleep(0.05)
  process.send_signal(signal.SIGINT)
  _, said = process.communicate(timeout=60)
  assert process.returncode == 130, said[-2000:]
  assert said.strip().endswith("interrupted: nothing half-written was kept")
  assert not list(scratch.iterdir())
  assert not [
    file
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline")
    if str(scratch) in _text(file)
  ]


def _text(file):
  try:
    return file.read_text(errors="replace")
  except OSError:
    return ""


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--peers=nothing",), "--peers: got 'nothing', allowed: memcpy, "),
    (("--split=nothing",), "--split: got 'nothing', allowed: train, "),
  ],
)
def test_errors_are_one_line(arguments, words, tiny_data_dir):
  run = run_command(
    f"--data_dir={tiny_data_dir}",
    f"--config={CONFIG.format('jpeg')}",
    *arguments,
  )
  assert run.returncode == 1
  assert run.stderr.startswith(f"error: {words}"), run.stderr
  assert run.stderr.count("\n") == 1
