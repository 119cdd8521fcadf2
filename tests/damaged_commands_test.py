"""Commands that read a damaged shard: one line that names file and byte."""

import os
import random
import shutil
import sys

import keras
import numpy as np
import pytest

from tests import faults
from yourface_tfds import (
  built_dataset,
  calibrated,
  cli,
  models,
  tflite_lib,
  tfrecord,
  train_settings,
)

_CONFIG = "raw-image_size_32"
_SETTINGS = train_settings.TrainSettings(image_size=32)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
  """A run that was not trained, and an export of it."""
  folder = tmp_path_factory.mktemp("export")
  keras.utils.set_random_seed(0)
  model = models.build_model(_SETTINGS.model_settings())
  model.save_weights(folder / "best.weights.h5")
  (folder / "settings.json").write_text(cli.dump_json(vars(_SETTINGS)))
  calibrated.write(folder, {})
  faces = np.zeros([1, 32, 32, 3], np.uint8)
  path = folder / tflite_lib.file_name("float32")
  tflite_lib.write(model, "float32", 32, faces, "{}", path)
  return folder


@pytest.fixture(scope="module")
def data_dir(tiny_data_dir, tmp_path_factory):
  """A dataset with indexes, damaged in every split where only reading tells."""
  folder = tmp_path_factory.mktemp("damaged")
  place = folder / "your_face" / _CONFIG
  shutil.copytree(tiny_data_dir / "your_face" / _CONFIG, place)
  dataset = built_dataset.open_dataset(folder, _CONFIG)
  rng = random.Random(7)
  for split in ("train", "test"):
    dataset.index(split)
    path = dataset.shards(split)[0].path
    with open(path, "rb") as file:  # noqa: PTH123 (a str)
      content = bytearray(file.read())
    offset, length = list(
      tfrecord.records(path, np.frombuffer(bytes(content), np.uint8))
    )[1]
    # Beyond what the index's name vouches for, in the middle of the pixels.
    assert len(content) > 3 * 4096
    content[offset + length // 2 + rng.randrange(100)] ^= 1
    before = os.stat(path)  # noqa: PTH116
    with open(path, "r+b") as file:  # noqa: PTH123
      file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
  return folder


@pytest.mark.slow
@pytest.mark.parametrize(
  ("module", "split", "flags"),
  [
    ("training.train", "train", ["--workdir={tmp}/W", "--batch_size=30"]),
    ("training.evaluate", "test", ["--workdir={run}", "--split=test"]),
    ("training.benchmark_input", "train", ["--rounds=1"]),
    (
      "export.export_tflite",
      "train",
      ["--workdir={run}", "--output_dir={tmp}/E", "--kinds=int8"],
    ),
    (
      "export.export_saved_model",
      "test",
      ["--workdir={run}", "--output_dir={tmp}/E"],
    ),
    (
      "export.verify",
      "test",
      ["--workdir={run}", "--export_dir={run}", "--nolatency"],
    ),
  ],
)
def test_one_line(export, data_dir, tmp_path, module, split, flags):
  shard = next(
    path
    for path in sorted((data_dir / "your_face" / _CONFIG).glob("*/*"))
    if f"-{split}.tfrecord-00000" in path.name
  )
  given = [flag.format(run=export, tmp=tmp_path) for flag in flags]
  words = [sys.executable, "-m", module, *given]
  words += [f"--data_dir={data_dir}", f"--config={_CONFIG}"]
  said = faults.error_line(faults.finish(faults.start(words), 300))
  assert said.startswith(f"{shard}: record 1 at byte "), said
  assert said.endswith("build it again or copy it again")
  # Nothing looks like a result.
  assert not list(tmp_path.rglob("*.h5"))
  assert not list(tmp_path.rglob("*.tflite"))
  assert not list(tmp_path.rglob("saved_model*"))
  assert not list(export.glob("*.incomplete*"))
  assert not list(export.glob("evaluate_*"))
