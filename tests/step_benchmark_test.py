"""The cost of the input in a training step, as its command shows it."""

import json
import subprocess
import sys

import pytest

from tests import drawn
from yourface_tfds import built_dataset, cli, step_benchmark

CONFIG = "raw-image_size_32"


def test_measures_both_kinds_of_steps(tiny_data_dir):
  dataset = built_dataset.open_dataset(tiny_data_dir, CONFIG)
  (settings,) = step_benchmark.all_settings(dataset, ["small_cnn"], 8)
  assert (settings.image_size, settings.batch_size) == (32, 8)
  result = step_benchmark.measure(dataset, settings, steps=3, rounds=3)
  assert result["step_ms"] > 0
  assert result["cached_step_ms"] > 0
  assert len(result["ratios"]) == 3
  assert sorted(result["ratios"])[1] == result["ratio"]
  text = step_benchmark.text(result)
  assert "small_cnn, 32x32 raw, batches of 8, CPU" in text
  assert f"{result['ratio']:.3f} (" in text


def test_no_models_without_a_gpu(tiny_data_dir):
  dataset = built_dataset.open_dataset(tiny_data_dir, CONFIG)
  assert step_benchmark.all_settings(dataset, None, 10**9) == []


@pytest.mark.parametrize(
  ("models", "batch_size", "message"),
  [
    (["smal"], 8, "--model: got 'smal', allowed: small_cnn"),
    (["small_cnn"], 10**6, "--train_batch_size: got 1000000, allowed: at most"),
  ],
)
def test_refuses(tiny_data_dir, models, batch_size, message):
  dataset = built_dataset.open_dataset(tiny_data_dir, CONFIG)
  with pytest.raises(cli.UserError) as error:
    step_benchmark.all_settings(dataset, models, batch_size)
  assert str(error.value).startswith(message)


@pytest.mark.slow
def test_the_command_prints_it(tiny_data_dir):
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "training.benchmark_input",
      f"--data_dir={tiny_data_dir}",
      f"--config={CONFIG}",
      "--batch_size=8",
      "--rounds=1",
      "--train_models=small_cnn",
      "--train_steps=2",
      "--train_batch_size=4",
      "--json",
    ],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )
  assert done.returncode == 0, done.stderr
  (step,) = json.loads(done.stdout)["train_steps"]
  assert (step["model"], step["batch_size"]) == ("small_cnn", 4)
  assert step["ratio"] > 0
  assert "one cached batch" in done.stderr
