"""What the input costs a training step, against steps on one cached batch.

  result = step_benchmark.measure(dataset, settings, steps=50, rounds=5)
  result["ratio"]   # 1.00: the input is free

Both are the steps of the real training (`trainer.Trainer.train_on`), on the
device it would use; the one reads its batches, the other has a single one, on
that device already. Where a GPU is, 1 / ratio is the share of the time that it
works for which the input does not make it wait.
"""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tqdm

from yourface_tfds import (
  built_dataset,
  cli,
  input_pipeline,
  losses,
  train_settings,
  trainer,
)

_WARM_UP = 5  # Steps: traced, compiled, caches filled.
_EPOCHS = 1 << 20  # Batches without an end.


def all_settings(
  dataset: built_dataset.Dataset,
  models: Sequence[str] | None,
  batch_size: int,
) -> list[train_settings.TrainSettings]:
  """Returns the settings of the trainings to measure.

  Args:
    dataset: whose faces are trained on.
    models: names; None: the default model if there is a GPU, else none.
    batch_size: images a step.

  Raises:
    UserError: there is no such model, or fewer images than a batch.
  """
  if models is None:
    gpus = tf.config.list_physical_devices("GPU")
    models = [train_settings.TrainSettings().model] if gpus else []
  examples = dataset.num_examples("train")
  if models and batch_size > examples:
    raise cli.UserError(
      f"--train_batch_size: got {batch_size}, allowed: at most the {examples} "
      f"examples of train in {dataset.info.full_name}"
    )
  return [
    train_settings.TrainSettings(
      model=model, image_size=dataset.image_size, batch_size=batch_size
    )
    for model in models
  ]


def measure(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  *,
  steps: int,
  rounds: int,
) -> dict[str, Any]:
  """Measures both in turn.

  Args:
    dataset: with a train split.
    settings: of the training.
    steps: of each, each round.
    rounds: how often.

  Returns:
    Milliseconds a step of both and their ratio (medians of the rounds), the
    ratio of each round, images a second, and where the steps ran.

  Raises:
    UserError: the train split has fewer images than a batch.
  """
  batches = _batches(dataset, settings)
  model = trainer.Trainer(dataset, settings)
  cached = itertools.repeat(next(batches))
  _seconds(model, batches, _WARM_UP)
  _seconds(model, cached, _WARM_UP)
  read, held = [], []
  for number in tqdm.trange(rounds, unit=" rounds", desc="Training steps"):
    # The one that comes first changes: what a round leaves behind (clock,
    # caches) shall not always help the same.
    pairs = [(read, batches), (held, cached)]
    for seconds, source in pairs if number % 2 else reversed(pairs):
      seconds.append(_seconds(model, source, steps) / steps)
  ratios = [a / b for a, b in zip(read, held, strict=True)]
  gpus = tf.config.list_logical_devices("GPU")
  return {
    "model": settings.model,
    "image_size": settings.image_size,
    "encoding": "raw" if dataset.is_raw else "jpeg",
    "batch_size": settings.batch_size,
    "device": gpus[0].name if gpus else "CPU",
    "steps": steps,
    "rounds": rounds,
    "step_ms": 1000 * statistics.median(read),
    "cached_step_ms": 1000 * statistics.median(held),
    "ratio": statistics.median(ratios),
    "ratios": ratios,
    "images_per_second": settings.batch_size / statistics.median(read),
  }


def _batches(
  dataset: built_dataset.Dataset, settings: train_settings.TrainSettings
) -> Iterator[losses.Batch]:
  """Returns the batches of training, without an end."""
  batches = input_pipeline.make_for_train(
    dataset,
    batch_size=settings.batch_size,
    seed=settings.seed,
    epochs=_EPOCHS,
    # A smaller last batch would be another graph.
    drop_remainder=True,
  )
  return iter(input_pipeline.to_device(batches))


def _seconds(
  model: trainer.Trainer, batches: Iterator[losses.Batch], steps: int
) -> float:
  start = time.perf_counter()
  for _ in model.train_on(itertools.islice(batches, steps)):
    pass
  model.sums.get()  # Waits for the device.
  return time.perf_counter() - start


def text(result: dict[str, Any]) -> str:
  """Returns the figures of `measure` for people."""
  return "\n".join(
    [
      f"{result['model']}, {result['image_size']}x{result['image_size']} "
      f"{result['encoding']}, batches of {result['batch_size']}, "
      f"{result['device']}: median of {result['rounds']} rounds of "
      f"{result['steps']} steps",
      f"  reading its batches  {result['step_ms']:8.2f} ms a step, "
      f"{result['images_per_second']:,.0f} images/s",
      f"  one cached batch     {result['cached_step_ms']:8.2f} ms",
      f"  ratio                {result['ratio']:8.3f} ("
      + ", ".join(f"{ratio:.3f}" for ratio in result["ratios"])
      + ")",
    ]
  )
