"""The comparison with 2021, as its command runs it."""

import json
import subprocess
import sys

import pytest

from tests import drawn
from yourface_tfds import compare_2021, labels


def _figures(accuracy, interval=(0.1, 0.9)):
  heads = {
    head: {
      "accuracy": accuracy,
      "interval_95": interval,
      "majority_baseline": 0.25,
    }
    for head in labels.HEADS
  }
  heads["job"] = {"examples": 0, "people": 0}
  return {
    "model": "small_cnn",
    "parameters": 1234567,
    "epochs": 3,
    "images_per_second": 98.7,
    "peak_anonymous_mb": 1500.4,
    "splits": {"test": {"examples": 40, "people": 4, "heads": heads}},
  }


def test_table():
  table = compare_2021.table({"2021": _figures(0.5), "ours": _figures(1, None)})
  lines = table.splitlines()
  assert lines[0].split() == ["2021", "ours"]
  assert lines[2].split() == ["parameters", "1,234,567", "1,234,567"]
  assert "0.500 (0.100 to 0.900), majority 0.250" in table
  assert "1.000, majority 0.250" in table
  assert lines[7].split("  ")[0] == "test job"
  assert lines[7].count("no known label") == 2
  assert lines[-1].split("  ")[-1] == "40, 4"
  assert len({line.find("1.000") for line in lines if "1.000" in line}) == 1


@pytest.mark.slow
def test_the_command_trains_both(tiny_data_dir, tmp_path):
  command = [
    *(sys.executable, "-m", "training.compare_2021", "--epochs=1"),
    *(f"--data_dir={tiny_data_dir}", "--config=raw-image_size_32"),
    *(f"--output_dir={tmp_path}", "--batch_size=30"),
  ]
  done = subprocess.run(
    [*command, "--json"],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert result == json.loads((tmp_path / "compare_2021.json").read_text())
  # At 100x100 in grey, with one input for its three.
  assert result["2021"]["parameters"] == 8_165_683
  assert result["ours"]["model"] == "small_cnn"
  settings = json.loads((tmp_path / "2021" / "settings.json").read_text())
  assert settings["augment"] == "2021"
  assert settings["optimizer"] == "adam"
  for figures in result.values():
    assert set(figures["splits"]) == {"test", "unseen"}
    assert figures["peak_anonymous_mb"] > 200
    assert figures["images_per_second"] > 0
  again = subprocess.run(
    command, cwd=drawn.ROOT, env=drawn.environment(), capture_output=True
  )
  assert again.returncode == 0
  assert b"parameters" in again.stdout


@pytest.mark.slow
def test_a_command_that_fails(tiny_data_dir, tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "training.compare_2021", "--batch_size=999"),
      *(f"--data_dir={tiny_data_dir}", "--config=raw-image_size_32"),
      f"--output_dir={tmp_path}",
    ],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: the command above ended with exit code 1; mend what it says and "
    "run this again, which goes on there"
  )
