"""The speed of the build against the naive loop, measured in turn.

  result = build_benchmark.measure("M", rounds=5)
  result["ratio"]              # median over the rounds

Naive is what one writes first: one `mtcnn.MTCNN()`, each photo opened at full
size, detected, its largest face cut out and resized. Ours is what `tfds build`
does, without a cache: from the files on disk to JPEG crops ready to write.
"""

import os
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from yourface_tfds import (
  build_settings,
  photo_worker,
  photos,
  prepare,
  storage,
  write_benchmark,
)

_WRITTEN = 5000  # Examples: 55 MB of JPEG, 340 MB raw.


def measure(
  manual_dir: str | os.PathLike[str], *, rounds: int, limit: int = 0
) -> dict[str, Any]:
  """Measures both, one after the other in each round.

  Args:
    manual_dir: holds photos/<person>/.
    rounds: how often.
    limit: how many photos, evenly spread; 0: all.

  Returns:
    Photos a second of both and their ratio (medians of the rounds), the share
    of each stage of ours, and the crops that each gave.

  Raises:
    UserError: there are no photos.
  """
  place = storage.only_local(manual_dir, "--manual_dir")
  files = photos.scan(place / "photos")
  if limit and limit < len(files):
    files = [files[i * len(files) // limit] for i in range(limit)]
  naive = _Naive()
  worker = photo_worker.PhotoWorker(build_settings.BuildSettings())
  # Graphs are traced, kernels compiled, files in the page cache.
  naive.work(files[:2])
  _ours(worker, files)
  worker.seconds.clear()
  rates: list[tuple[float, float]] = []
  crops = {}
  with tqdm.tqdm(total=rounds, unit=" rounds", desc="Measuring") as bar:
    for _ in range(rounds):
      start = time.perf_counter()
      crops["naive"] = naive.work(files)
      middle = time.perf_counter()
      crops["ours"] = _ours(worker, files)
      end = time.perf_counter()
      rates.append((len(files) / (middle - start), len(files) / (end - middle)))
      bar.update()
  return {
    "photos": len(files),
    "cores": os.cpu_count(),
    "crops": crops,
    **_figures(rates, worker.seconds),
  }


def _figures(
  rates: Sequence[tuple[float, float]], seconds: Mapping[str, float]
) -> dict[str, Any]:
  """Returns medians of the rounds, and the shares of the stages."""
  total = sum(seconds.values())
  by_share = sorted(seconds.items(), key=lambda item: -item[1])
  return {
    "rounds": len(rates),
    "naive_photos_per_second": statistics.median(rate[0] for rate in rates),
    "photos_per_second": statistics.median(rate[1] for rate in rates),
    "ratio": statistics.median(rate[1] / rate[0] for rate in rates),
    "ratios": [rate[1] / rate[0] for rate in rates],
    "stages": {stage: spent / total for stage, spent in by_share},
  }


def measure_write(
  manual_dir: str | os.PathLike[str],
  features: Any,
  settings: build_settings.BuildSettings,
  *,
  rounds: int,
) -> dict[str, float]:
  """Measures the shard writer on crops of the first photos.

  Args:
    manual_dir: holds photos/<person>/.
    features: of the dataset.
    settings: of the build.
    rounds: how often.

  Returns:
    As `write_benchmark.measure`.
  """
  files = photos.scan(pathlib.Path(manual_dir) / "photos")[:64]
  outcomes = [
    outcome
    for outcome in photo_worker.PhotoWorker(settings).work(files)
    if outcome.pixels
  ]
  return write_benchmark.measure(
    outcomes, features, settings, count=_WRITTEN, rounds=rounds
  )


def text(result: Mapping[str, Any]) -> str:
  """Returns the figures of `measure` as a table."""
  lines = [
    f"{result['photos']:,} photos, {result['cores']} cores, median of "
    f"{result['rounds']} rounds",
    f"  naive loop {result['naive_photos_per_second']:8.2f} photos/s  "
    f"({result['crops']['naive']:,} crops)",
    f"  this build {result['photos_per_second']:8.2f} photos/s  "
    f"({result['crops']['ours']:,} crops)",
    f"  ratio      {result['ratio']:8.1f}  ("
    + ", ".join(f"{ratio:.1f}" for ratio in result["ratios"])
    + ")",
    "where its time goes:",
  ]
  for stage, share in result["stages"].items():
    lines.append(f"  {stage:<16}{100 * share:5.1f} %")
  for encoding in build_settings.ENCODINGS:
    rates = result[f"write_{encoding}"]
    lines += [
      f"writing {_WRITTEN:,} examples, {encoding}:",
      f"  bare TFRecordWriter {rates['bare_examples_per_second']:9,.0f}/s",
      f"  this build          {rates['ours_examples_per_second']:9,.0f}/s, "
      f"{rates['ours_to_bare']:.2f} times its time",
      f"  TFDS's own writer   {rates['tfds_examples_per_second']:9,.0f}/s, "
      f"{rates['tfds_to_bare']:.2f} times",
    ]
  return "\n".join(lines)


def _ours(
  worker: photo_worker.PhotoWorker, files: Sequence[photos.PhotoFile]
) -> int:
  return sum(
    bool(outcome.pixels)
    for outcomes in prepare.work(worker, files)
    for outcome in outcomes
  )


class _Naive:
  """The loop that one writes first."""

  def __init__(self) -> None:
    import mtcnn  # Slow to import, and only this loop needs it.

    self._detector: Any = mtcnn.MTCNN()

  def work(self, files: Sequence[photos.PhotoFile]) -> int:
    crops = 0
    for file in files:
      try:
        with Image.open(file.root / file.path) as image:
          pixels = np.asarray(image.convert("RGB"))
      except (OSError, ValueError):
        continue
      found = [
        face
        for face in self._detector.detect_faces(pixels)
        if face["confidence"] > 0.9
      ]
      if not found:
        continue
      x, y, w, h = max(
        (face["box"] for face in found), key=lambda box: box[2] * box[3]
      )
      face = Image.fromarray(
        pixels[max(y, 0) : y + h, max(x, 0) : x + w]
      ).resize((150, 150))
      photos.encode_jpeg(np.asarray(face))
      crops += 1
    return crops
