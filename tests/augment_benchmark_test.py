"""The benchmark of augmentation, and its command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import drawn
from yourface_tfds import augment_benchmark, cli

# Whole benchmarks, in processes of their own.
pytestmark = pytest.mark.slow

WAYS = {"ours", "projective", "stacked"}


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "training.benchmark_augment", *flags],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )


def test_measures_each_way_and_their_ratios():
  images = augment_benchmark.batch(8, image_size=40)
  assert (images.shape, images.dtype) == ((8, 40, 40, 3), np.uint8)
  result = augment_benchmark.measure(images, rounds=5)
  assert set(result["images_per_second"]) == WAYS
  assert min(result["images_per_second"].values()) > 0
  assert set(result["ratios"]) == WAYS - {"ours"}
  for name, ratios in result["ratios"].items():
    assert len(ratios) == 5
    assert sorted(ratios)[2] == result[f"ratio_to_{name}"]
  text = augment_benchmark.text(result)
  assert "batches of 8 of 40x40 uint8, CPU: median of 5 rounds" in text
  assert f"ours {result['ratio_to_stacked']:.1f} times as many" in text


def test_the_ways_do_the_same_work():
  images = tf.constant(augment_benchmark.batch(8, image_size=40))
  ways = augment_benchmark._ways(8)
  changed = {name: way(images).numpy() for name, way in ways.items()}
  np.testing.assert_allclose(changed["ours"], changed["projective"], atol=0.01)
  # The stack draws its own numbers: compared is that it changes all images.
  for name in WAYS:
    assert changed[name].dtype == np.float32
    assert changed[name].shape == (8, 40, 40, 3)
    difference = np.abs(changed[name] - images).mean(axis=(1, 2, 3))
    assert difference.min() > 10, name


@pytest.mark.slow
def test_ours_is_the_fastest():
  """Far below the ratio that a quiet machine shows, above any noise."""
  images = augment_benchmark.batch(64)
  result = augment_benchmark.measure(images, rounds=3)
  assert result["ratio_to_stacked"] > 4


def test_faces_of_a_dataset_are_repeated(tiny_data_dir):
  faces = augment_benchmark.batch(
    100, data_dir=str(tiny_data_dir), config="raw-image_size_32"
  )
  assert (faces.shape, faces.dtype) == ((100, 32, 32, 3), np.uint8)
  np.testing.assert_array_equal(faces[:40], faces[60:])
  assert len(np.unique(faces[:60], axis=0)) == 60


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (
      {"config": "raw"},
      "--config: got 'raw', allowed with --data_dir only; give the folder of "
      "the dataset too",
    ),
    (
      {"data_dir": "D", "image_size": 32},
      "--image_size: got 32, allowed without --data_dir only; leave it out, "
      "the dataset has its own",
    ),
  ],
)
def test_refuses(settings, message):
  with pytest.raises(cli.UserError) as error:
    augment_benchmark.batch(4, **settings)
  assert str(error.value) == message


def test_the_command_prints_json(tiny_data_dir):
  done = _run(
    f"--data_dir={tiny_data_dir}",
    "--config=raw-image_size_32",
    "--batch_size=16",
    "--rounds=1",
    "--json",
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert (result["image_size"], result["batch_size"]) == (32, 16)
  assert result["ratio_to_stacked"] > 0
  assert "four stacked Keras layers" in done.stderr


@pytest.mark.slow
def test_the_command_prints_a_table():
  done = _run("--image_size=24", "--batch_size=4", "--rounds=2")
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0] == (
    "Augmentation 2021, batches of 4 of 24x24 uint8, CPU: median of 2 rounds"
  )
  assert [line.split()[0] for line in lines[1:]] == ["ours:", "the", "four"]
