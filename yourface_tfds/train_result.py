"""What came out of a training: `train.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from yourface_tfds import input_pipeline, json_files, storage, trainer

NAME = "train.json"


def judged_by(figures: Mapping[str, float]) -> str:
  """Returns the figure that decides which epoch is the best."""
  return "validation_loss" if "validation_loss" in figures else "loss"


def best_epoch(history: list[dict[str, float]]) -> int:
  """Returns the epoch with the lowest loss, the first one of equals, from 1."""
  name = judged_by(history[0])
  found = [figures[name] for figures in history]
  return found.index(min(found)) + 1


def shown(figures: Mapping[str, float]) -> dict[str, str]:
  """Returns figures as they stand beside a progress bar."""
  return {name: f"{value:.3f}" for name, value in figures.items()}


def speed(
  run: trainer.Trainer, steps: int, seconds: float, workdir: storage.Path
) -> float | None:
  """Returns images a second, validation included; without steps, of before.

  Args:
    run: of the model.
    steps: done now.
    seconds: that they took.
    workdir: where the file of before is.
  """
  if steps:
    share = steps / run.steps_per_epoch
    images = share * run.dataset.num_examples("train")
    return round(images / seconds, 1)
  try:
    return json_files.read(workdir / NAME, "").get("images_per_second")
  except (OSError, ValueError):
    return None  # There is none, or it is damaged: it is written anew.


def of(run: trainer.Trainer, history: list[dict[str, float]]) -> dict[str, Any]:
  """Returns what the file holds, but the speed.

  Args:
    run: of the model.
    history: the figures of each whole epoch.
  """
  best = best_epoch(history)
  counts = input_pipeline.class_counts(run.dataset, "train")
  return {
    "dataset": run.dataset.info.full_name,
    "settings": dataclasses.asdict(run.settings),
    "parameters": run.model.count_params(),
    "unlabelled_heads": [head for head in counts if not counts[head].any()],
    "judged_by": judged_by(history[0]),
    "best_epoch": best,
    "best": history[best - 1],
    "history": history,
  }
