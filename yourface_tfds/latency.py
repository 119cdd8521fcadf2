"""How long one answer takes, in a process of its own.

TensorFlow takes its number of threads once and for all, so every number of
threads is measured by a fresh process:

  latency.measure("W", "E", threads=1)  # {"keras": 4.2, "photos": 21.0, ...}
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  calibrated,
  serving,
  storage,
  tflite_classifier,
  tflite_lib,
)

_CALLS, _SECONDS = 50, 2.0
"""The median is over so many calls, or as many as fit into that time."""


def measure(
  workdir: str | os.PathLike[str],
  export_dir: str | os.PathLike[str],
  *,
  threads: int,
) -> dict[str, float]:
  """Measures every artefact that is there, and the Keras model.

  Args:
    workdir: of the run that was exported.
    export_dir: with saved_model/ and the .tflite files.
    threads: of the runtimes.

  Returns:
    Way -> median milliseconds of one face, or one photo for `photos`.

  Raises:
    RuntimeError: the process failed.
  """
  command = [
    *(sys.executable, "-m", "yourface_tfds.latency"),
    *(os.fspath(workdir), os.fspath(export_dir), str(threads)),
  ]
  done = subprocess.run(command, capture_output=True, encoding="utf-8")
  if done.returncode:
    raise RuntimeError(
      f"measuring latency ended with {done.returncode}: {done.stderr[-300:]}"
    )
  return json.loads(done.stdout)


def _ways(
  workdir: str, folder: storage.Path, threads: int
) -> dict[str, Callable[[], Any]]:
  model, settings = calibrated.load_model(workdir)
  size = settings.image_size
  pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3))
  face = pixels.astype(np.uint8)
  step = tf.function(
    lambda faces: model(tf.cast(faces, tf.float32), training=False)
  )
  ways: dict[str, Callable[[], Any]] = {
    "keras": lambda: step(tf.constant(face))
  }
  if (folder / "saved_model").is_dir():
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    classify, answer = (
      loaded.signatures[name] for name in ("serving_default", "photos")
    )
    photo = serving.sample_photo()
    ways["serving_default"] = lambda: classify(faces=tf.constant(face))
    ways["photos"] = lambda: answer(photos=tf.constant([photo]))
    # A signature does not keep alive the model that it belongs to.
    ways["photos"].model = loaded  # pyright: ignore[reportFunctionMemberAccess]
  for kind in tflite_lib.KINDS:
    path = folder / tflite_lib.file_name(kind)
    if path.is_file():
      classifier = tflite_classifier.Classifier(path, threads)
      ways[kind] = lambda classifier=classifier: classifier(face)
  return ways


def _median_ms(way: Callable[[], Any]) -> float:
  for _ in range(5):
    way()
  times = []
  start = time.perf_counter()
  while len(times) < _CALLS and time.perf_counter() - start < _SECONDS:
    before = time.perf_counter()
    way()
    times.append(1e3 * (time.perf_counter() - before))
  return statistics.median(times)


def _main(workdir: str, export_dir: str, threads: int) -> None:
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  ways = _ways(workdir, storage.path(export_dir), threads)
  print(json.dumps({name: _median_ms(way) for name, way in ways.items()}))


if __name__ == "__main__":
  # Called by `measure` alone.
  _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
