"""Training: one loop of plain steps, exact at every epoch's end.

settings = workdir.TrainSettings(epochs=30)
train_lib.train(dataset, settings, "W")   # the same again: continues
"""

import dataclasses
import itertools
import json
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import (
  augment,
  built_dataset,
  cli,
  input_pipeline,
  losses,
  models,
)
from yourface_tfds import workdir as run_dir


class Trainer:
  """A model, its optimizer and how far they have come.

  Attributes:
    epoch: whole epochs done.
    history: the figures of each.
  """

  def __init__(
    self,
    dataset: built_dataset.Dataset,
    settings: run_dir.TrainSettings,
    workdir: pathlib.Path,
  ) -> None:
    keras.utils.set_random_seed(settings.seed)
    self.dataset = dataset
    self.settings = settings
    self.workdir = workdir
    self.model = models.build_model(settings.model_settings(), settings.policy)
    examples = dataset.num_examples("train")
    self.steps_per_epoch = -(-examples // settings.batch_size)
    self.optimizer = _optimizer(settings, self.steps_per_epoch)
    self.optimizer.build(self.model.trainable_variables)
    self.epoch = 0
    self.history: list[dict[str, float]] = []
    self._batches: Iterator[losses.Batch] | None = None
    self._train_step = tf.function(self._train, reduce_retracing=True)
    self._eval_step = tf.function(self._evaluate, reduce_retracing=True)

  def _train(
    self, batch: losses.Batch, step: tf.Tensor
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    seed = tf.stack([self.settings.seed, tf.cast(step, tf.int32)])
    images = augment.augment(batch["image"], seed)
    with tf.GradientTape() as tape:
      probabilities = self.model(images, training=True)
      loss = tf.add_n(list(losses.masked_losses(batch, probabilities).values()))
      scaled = self.optimizer.scale_loss(loss)
    variables = self.model.trainable_variables
    gradients = tape.gradient(scaled, variables)
    self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss, losses.hits(batch, probabilities)

  def _evaluate(
    self, batch: losses.Batch
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    probabilities = self.model(batch["image"], training=False)
    each = losses.masked_losses(batch, probabilities)
    return tf.add_n(list(each.values())), losses.hits(batch, probabilities)

  def run_epoch(self, bar: tqdm.tqdm) -> dict[str, float]:
    """Trains one epoch and validates; returns the figures of both."""
    if self._batches is None:
      # One dataset for all epochs: the next one's first batches are read while
      # this one's last are trained on.
      batches = _train_batches(self.dataset, self.settings, self.epoch)
      self._batches = iter(input_pipeline.to_device(batches))
    batches = itertools.islice(self._batches, self.steps_per_epoch)
    first_step = self.epoch * self.steps_per_epoch
    with input_pipeline.plain_errors():
      sums = self.train_on(batches, first_step, bar)
    figures = sums.figures()
    if self.dataset.has_split("validation"):
      sums = losses.Sums()
      with input_pipeline.plain_errors():
        for batch in input_pipeline.make_for_eval(
          self.dataset, "validation", batch_size=self.settings.batch_size
        ):
          loss, hits = self._eval_step(batch)
          sums.add(float(loss), batch, hits)
      figures |= sums.figures("validation_")
      if not np.isfinite(figures["validation_loss"]):
        raise cli.UserError(
          f"epoch {self.epoch + 1}: the validation loss became "
          f"{figures['validation_loss']}; lower --learning_rate (now "
          f"{self.settings.learning_rate:g}) and start in a new --workdir"
        )
    self.epoch += 1
    return figures

  def train_on(
    self, batches: Iterable[losses.Batch], step: int, bar: tqdm.tqdm
  ) -> losses.Sums:
    """Trains on batches, the first of which is this step of the run.

    Raises:
      UserError: the loss is no longer finite.
    """
    sums = losses.Sums()
    for batch in batches:
      loss, hits = self._train_step(batch, tf.constant(step))
      if not np.isfinite(float(loss)):
        raise cli.UserError(
          f"step {step}: the loss became {float(loss)}; lower --learning_rate "
          f"(now {self.settings.learning_rate:g}) and start in a new --workdir"
        )
      sums.add(float(loss), batch, hits)
      step += 1
      bar.update()
      bar.set_postfix(_shown(sums.figures()), refresh=False)
    return sums

  def save(self, figures: dict[str, float]) -> None:
    """Records an epoch: best weights if they are, then the state."""
    name = _judged_by(figures)
    is_best = all(figures[name] < before[name] for before in self.history)
    self.history.append(figures)
    if is_best:
      with cli.replaced_file(self.workdir / "best.weights.h5") as temporary:
        self.model.save_weights(temporary)
    arrays = {
      f"model_{i}": np.asarray(variable)
      for i, variable in enumerate(self.model.variables)
    } | {
      f"optimizer_{i}": np.asarray(variable)
      for i, variable in enumerate(self.optimizer.variables)
    }
    arrays["history"] = np.array(json.dumps(self.history))
    with cli.replaced_file(self.workdir / "state.npz") as temporary:
      np.savez(temporary, allow_pickle=False, **arrays)

  def restore(self) -> None:
    """Continues from `state.npz` if there is one."""
    path = self.workdir / "state.npz"
    if not path.exists():
      return
    with np.load(path, allow_pickle=False) as state:
      # Seed states of dropout are variables of the model too.
      for i, variable in enumerate(self.model.variables):
        variable.assign(state[f"model_{i}"])
      for i, variable in enumerate(self.optimizer.variables):
        variable.assign(state[f"optimizer_{i}"])
      self.history = json.loads(str(state["history"]))
    self.epoch = len(self.history)


def _train_batches(
  dataset: built_dataset.Dataset, settings: run_dir.TrainSettings, epoch: int
) -> tf.data.Dataset:
  """Returns the batches of the epochs that are left."""
  return input_pipeline.make_for_train(
    dataset,
    batch_size=settings.batch_size,
    seed=settings.seed,
    epoch=epoch,
    epochs=settings.epochs - epoch,
  )


def _optimizer(
  settings: run_dir.TrainSettings, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
  steps = settings.epochs * steps_per_epoch
  schedule = keras.optimizers.schedules.CosineDecay(
    0.0,
    decay_steps=max(steps - steps_per_epoch, 1),
    warmup_target=settings.learning_rate,
    warmup_steps=steps_per_epoch,
  )
  optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
  if settings.policy == "mixed_float16":
    return keras.optimizers.LossScaleOptimizer(optimizer)
  return optimizer


def _judged_by(figures: Mapping[str, float]) -> str:
  return "validation_loss" if "validation_loss" in figures else "loss"


def _shown(figures: Mapping[str, float]) -> dict[str, str]:
  return {name: f"{value:.3f}" for name, value in figures.items()}


def train(
  dataset: built_dataset.Dataset,
  settings: run_dir.TrainSettings,
  workdir: str | os.PathLike[str],
) -> dict[str, Any]:
  """Trains, or continues, until `settings.epochs` are done.

  Args:
    dataset: from `built_dataset.open_dataset`.
    settings: of the run; those of an existing workdir must be the same.
    workdir: made if missing.

  Returns:
    What `train.json` holds: best epoch, history, images per second.

  Raises:
    UserError: the workdir is of another run, there is no train split, it is
      smaller than a batch, or the loss is no longer finite.
    tfrecord.CorruptError: a shard is damaged.
  """
  workdir = pathlib.Path(workdir)
  if not dataset.has_split("train"):
    raise cli.UserError(
      f"{dataset.info.full_name} has no train split; build it with more photos"
    )
  # Damaged shards and too large a batch end here, before the workdir is taken.
  _train_batches(dataset, settings, 0)
  if dataset.has_split("validation"):
    input_pipeline.make_for_eval(dataset, "validation", batch_size=1)
  run_dir.claim(dataset, settings, workdir)
  trainer = Trainer(dataset, settings, workdir)
  trainer.restore()
  started, done = time.perf_counter(), trainer.epoch
  with _progress(trainer) as bar:
    try:
      while trainer.epoch < settings.epochs:
        figures = trainer.run_epoch(bar)
        trainer.save(figures)
        shown = "  ".join(f"{k} {v}" for k, v in _shown(figures).items())
        bar.write(f"epoch {trainer.epoch}/{settings.epochs}: {shown}")
    except KeyboardInterrupt:
      raise KeyboardInterrupt(
        f"{len(trainer.history)} of {settings.epochs} epochs are saved; the "
        "same command goes on there"
      ) from None
  result = _result(trainer)
  if trainer.epoch > done:
    images = (trainer.epoch - done) * dataset.num_examples("train")
    seconds = time.perf_counter() - started
    result["images_per_second"] = round(images / seconds, 1)
  cli.write_text(workdir / "train.json", cli.dump_json(result))
  return result


def _progress(trainer: Trainer) -> tqdm.tqdm:
  steps = trainer.steps_per_epoch
  return tqdm.tqdm(
    total=trainer.settings.epochs * steps,
    initial=trainer.epoch * steps,
    unit=" steps",
    desc="Training",
  )


def _result(trainer: Trainer) -> dict[str, Any]:
  judged_by = _judged_by(trainer.history[0])
  losses_by_epoch = [figures[judged_by] for figures in trainer.history]
  best = losses_by_epoch.index(min(losses_by_epoch))
  counts = input_pipeline.class_counts(trainer.dataset, "train")
  return {
    "dataset": trainer.dataset.info.full_name,
    "settings": dataclasses.asdict(trainer.settings),
    "parameters": trainer.model.count_params(),
    "unlabelled_heads": [head for head in counts if not counts[head].any()],
    "judged_by": judged_by,
    "best_epoch": best + 1,
    "best": trainer.history[best],
    "history": trainer.history,
  }
