"""Training: from the settings to the best weights, exact after any stop.

settings = train_settings.TrainSettings(epochs=30)
train_lib.train(dataset, settings, "W")   # the same again: goes on
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import (
  built_dataset,
  cli,
  input_pipeline,
  models,
  stopping,
  train_log,
  train_settings,
  train_state,
  trainer,
)
from yourface_tfds import workdir as run_dir

_FIGURES = "train.json"
_LOOK_SECONDS = 0.5  # How often the figures are fetched from the device.


class Run:
  """A training in a workdir.

  Attributes:
    trainer: of the model.
    history: the figures of each whole epoch.
  """

  def __init__(
    self,
    dataset: built_dataset.Dataset,
    settings: train_settings.TrainSettings,
    workdir: pathlib.Path,
    *,
    save_seconds: float = 60,
    log: train_log.TrainLog | None = None,
  ) -> None:
    self.trainer = trainer.Trainer(dataset, settings)
    self.settings = settings
    self.workdir = workdir
    self.history: list[dict[str, float]] = []
    self._has_validation = dataset.has_split("validation")
    self._save_seconds = save_seconds
    self._log = log

  @property
  def is_done(self) -> bool:
    """Whether nothing is left to train."""
    patience = self.settings.patience
    if self.trainer.epoch >= self.settings.epochs:
      return len(self.history) >= self.settings.epochs
    if not patience or not self.history:
      return False
    return len(self.history) - _best(self.history) >= patience

  def restore(self) -> None:
    """Goes on from the workdir's state if there is one."""
    progress = train_state.load(self.workdir)
    if progress is None:
      return
    self.trainer.seek(progress.step)
    train_state.restore(
      self.workdir,
      self.trainer.model.variables,
      self.trainer.optimizer.variables,
    )
    self.trainer.sums.set(progress.sums)
    self.history = progress.history

  def save(self) -> None:
    """Writes the state."""
    self._check_finite()
    train_state.save(
      self.workdir,
      train_state.Progress(
        step=self.trainer.step,
        sums=self.trainer.sums.get(),
        history=self.history,
      ),
      self.trainer.model.variables,
      self.trainer.optimizer.variables,
    )

  def epochs(self, bar: tqdm.tqdm) -> Iterator[dict[str, float]]:
    """Trains; yields the figures of each epoch once they are saved."""
    # One dataset for all epochs: the next one's first batches are read while
    # this one's last are trained on.
    steps = self.trainer.train_on(self.trainer.batches())
    while not self.is_done:
      with input_pipeline.plain_errors():
        self._train_epoch(steps, bar)
      self._check_finite()
      figures = self.trainer.sums.figures()
      if self._has_validation:
        bar.set_description("Validating")
        figures |= self.trainer.validate()
        bar.set_description("Training")
      self._end_epoch(figures)
      yield figures

  def _train_epoch(self, steps: Iterator[int], bar: tqdm.tqdm) -> None:
    end = (len(self.history) + 1) * self.trainer.steps_per_epoch
    looked = saved = time.perf_counter()
    while self.trainer.step < end:
      next(steps)
      bar.update()
      now = time.perf_counter()
      if now - looked > _LOOK_SECONDS:
        looked = now
        self._check_finite()
        bar.set_postfix(shown(self.trainer.sums.figures()), refresh=False)
      if now - saved >= self._save_seconds and self.trainer.step < end:
        self.save()
        saved = time.perf_counter()
      if self._log:
        self._log.step(self.trainer)
      if stopping.is_asked():
        raise stopping.StoppedError

  def _check_finite(self) -> None:
    step = int(self.trainer.sums.bad_step.numpy())
    if step < 0:
      return
    settings = self.settings
    epoch, place = divmod(step, self.trainer.steps_per_epoch)
    photos = input_pipeline.train_photos(
      self.trainer.dataset,
      batch_size=settings.batch_size,
      seed=settings.seed,
      epoch=epoch,
      step=place,
    )
    path = self.workdir / "not_finite.txt"
    cli.write_text(path, "\n".join([*photos, ""]))
    raise cli.UserError(
      f"step {step} (epoch {epoch + 1}, batch {place + 1}): the loss is not "
      f"finite; its photos are in {path} ({', '.join(photos[:2])}, ...); look "
      f"at them, or lower --learning_rate (now {settings.learning_rate:g}); "
      "start in a new --workdir"
    )

  def _end_epoch(self, figures: dict[str, float]) -> None:
    if not np.isfinite(figures[_judged_by(figures)]):
      raise cli.UserError(
        f"epoch {len(self.history) + 1}: the validation loss became "
        f"{figures['validation_loss']}; lower --learning_rate (now "
        f"{self.settings.learning_rate:g}) and start in a new --workdir"
      )
    self.history.append(figures)
    if _best(self.history) == len(self.history):
      with cli.replaced_file(self.workdir / "best.weights.h5") as temporary:
        self.trainer.model.save_weights(temporary)
    self.trainer.sums.reset()
    self.save()
    if self._log:
      self._log.epoch(self.trainer, figures)


def _judged_by(figures: Mapping[str, float]) -> str:
  return "validation_loss" if "validation_loss" in figures else "loss"


def _best(history: list[dict[str, float]]) -> int:
  """Returns the epoch with the lowest loss, the first one of equals, from 1."""
  name = _judged_by(history[0])
  found = [figures[name] for figures in history]
  return found.index(min(found)) + 1


def shown(figures: Mapping[str, float]) -> dict[str, str]:
  """Returns figures as they stand beside a progress bar."""
  return {name: f"{value:.3f}" for name, value in figures.items()}


def train(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  workdir: str | os.PathLike[str],
  *,
  save_seconds: float = 60,
  deterministic: bool = False,
  tensorboard: bool = False,
) -> dict[str, Any]:
  """Trains, or goes on, until `settings.epochs` are done or it gets no better.

  Args:
    dataset: from `built_dataset.open_dataset`.
    settings: of the run; those of an existing workdir must be the same.
    workdir: made if missing.
    save_seconds: the state is saved at least so often within an epoch.
    deterministic: whether TensorFlow may use in this process, from now on, only
      operations that give the same bits each time.
    tensorboard: whether logs for TensorBoard are written too.

  Returns:
    What `train.json` holds: best epoch, history, images per second.

  Raises:
    UserError: the workdir is of another run, there is no train split, it is
      smaller than a batch, or the loss is no longer finite.
    tfrecord.CorruptError: a shard is damaged.
    KeyboardInterrupt: by Ctrl-C or SIGTERM; the step is saved.
  """
  workdir = pathlib.Path(workdir)
  _check(dataset, settings)
  if deterministic:
    tf.config.experimental.enable_op_determinism()
  run_dir.claim(dataset, settings, workdir, only_look=True)
  log = train_log.TrainLog(workdir / "tensorboard") if tensorboard else None
  run = Run(dataset, settings, workdir, save_seconds=save_seconds, log=log)
  run.restore()
  # Not before: weights that cannot be had shall leave no run behind.
  run_dir.claim(dataset, settings, workdir)
  started, done = time.perf_counter(), run.trainer.step
  _to_the_end(run)
  result = _result(run)
  result["images_per_second"] = _speed(
    run, run.trainer.step - done, time.perf_counter() - started
  )
  cli.write_text(workdir / _FIGURES, cli.dump_json(result))
  return result


def _to_the_end(run: Run) -> None:
  """Trains what is left; a line an epoch."""
  with (
    stopping.between_steps(),
    tqdm.tqdm(
      total=run.settings.epochs * run.trainer.steps_per_epoch,
      initial=run.trainer.step,
      unit=" steps",
      desc="Training",
    ) as bar,
  ):
    try:
      for figures in run.epochs(bar):
        words = "  ".join(f"{k} {v}" for k, v in shown(figures).items())
        bar.write(f"epoch {len(run.history)}/{run.settings.epochs}: {words}")
    except stopping.StoppedError:
      run.save()
      raise KeyboardInterrupt(
        f"{run.trainer.step} of {bar.total} steps are saved; the same command "
        "goes on there"
      ) from None


def _speed(run: Run, steps: int, seconds: float) -> float | None:
  """Returns images a second, validation included; without steps, of before."""
  if steps:
    share = steps / run.trainer.steps_per_epoch
    images = share * run.trainer.dataset.num_examples("train")
    return round(images / seconds, 1)
  path = run.workdir / _FIGURES
  if not path.exists():
    return None
  before = json.loads(path.read_text(encoding="utf-8"))
  return before.get("images_per_second")


def _check(
  dataset: built_dataset.Dataset, settings: train_settings.TrainSettings
) -> None:
  """Raises what ends a run, before the workdir is taken."""
  models.check_start(settings.model_settings())
  if not dataset.has_split("train"):
    raise cli.UserError(
      f"{dataset.info.full_name} has no train split; build it with more photos"
    )
  # Damaged shards and too large a batch end here.
  input_pipeline.make_for_train(
    dataset, batch_size=settings.batch_size, seed=settings.seed
  )
  if dataset.has_split("validation"):
    input_pipeline.make_for_eval(dataset, "validation", batch_size=1)


def _result(run: Run) -> dict[str, Any]:
  best = _best(run.history)
  counts = input_pipeline.class_counts(run.trainer.dataset, "train")
  return {
    "dataset": run.trainer.dataset.info.full_name,
    "settings": dataclasses.asdict(run.settings),
    "parameters": run.trainer.model.count_params(),
    "unlabelled_heads": [head for head in counts if not counts[head].any()],
    "judged_by": _judged_by(run.history[0]),
    "best_epoch": best,
    "best": run.history[best - 1],
    "history": run.history,
  }
