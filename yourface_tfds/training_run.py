"""A run: a model that is trained in a workdir, and saved on its way."""

import json
import time
from collections.abc import Iterator

import numpy as np
import tqdm

from yourface_tfds import (
  best_weights,
  built_dataset,
  cli,
  devices,
  input_pipeline,
  not_finite,
  stopping,
  storage,
  train_log,
  train_result,
  train_settings,
  train_state,
  trainer,
)

_LOOK_SECONDS = 0.5  # How often the figures are fetched from the device.
_LOOK_STEPS = 8  # The same with several workers, which must do it together.


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
    workdir: storage.Path,
    *,
    save_seconds: float = 60,
    log: train_log.TrainLog | None = None,
    where: devices.Devices = devices.ONE,
    data_service: str = "",
  ) -> None:
    self.trainer = trainer.Trainer(dataset, settings, where, data_service)
    self.settings = settings
    self.workdir = workdir
    self.history: list[dict[str, float]] = []
    self._has_validation = dataset.has_split("validation")
    self._save_seconds = save_seconds
    self._log = log
    self._devices = where

  @property
  def is_done(self) -> bool:
    """Whether nothing is left to train."""
    patience = self.settings.patience
    if self.trainer.epoch >= self.settings.epochs:
      return len(self.history) >= self.settings.epochs
    if not patience or not self.history:
      return False
    return len(self.history) - train_result.best_epoch(self.history) >= patience

  def restore(self) -> None:
    """Goes on from the chief's state if there is one."""
    stored = self._devices.told_by_chief(lambda: train_state.read(self.workdir))
    progress = train_state.load(self.workdir, stored)
    if progress is None:
      return
    self.trainer.seek(progress.step)
    variables = self.trainer.model.variables
    train_state.restore(
      self.workdir, variables, self.trainer.optimizer.variables, stored
    )
    self._devices.part_seeds(variables)
    self.trainer.sums.set(progress.sums)
    self.history = progress.history

  def save(self) -> None:
    """Writes the state, on the chief."""
    self.trainer.dataset.check_unchanged()
    self._check_finite()
    if not self._devices.is_chief:
      return
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
      with input_pipeline.plain_errors(self.trainer.dataset, "train"):
        self._train_epoch(steps, bar)
      self._check_finite()
      figures = self.trainer.sums.figures()
      if self._has_validation:
        bar.set_description("Validating")
        figures |= self.trainer.validate()
        bar.set_description("Training")
      # Figures decide what is best and when it ends: on all workers the same.
      if self._devices.are_several:
        figures = json.loads(
          self._devices.told_by_chief(json.dumps(figures).encode)
        )
      self._end_epoch(figures)
      yield figures

  def _train_epoch(self, steps: Iterator[int], bar: tqdm.tqdm) -> None:
    end = (len(self.history) + 1) * self.trainer.steps_per_epoch
    looked = saved = time.perf_counter()
    while self.trainer.step < end:
      next(steps)
      bar.update()
      now = time.perf_counter()
      is_time = now - looked > _LOOK_SECONDS
      if is_time:
        looked = now
        bar.set_postfix(
          train_result.shown(self.trainer.sums.figures()), refresh=False
        )
      if self._log:
        self._log.step(self.trainer)
      if self._devices.are_several:
        # No clock decides: what ends one worker ends all after the same step.
        is_time = self.trainer.step % _LOOK_STEPS == 0
        if not is_time:
          continue
      if is_time:
        self._check_finite()
      if now - saved >= self._save_seconds and self.trainer.step < end:
        self.save()
        saved = time.perf_counter()
      if self.trainer.is_asked_to_stop():
        raise stopping.StoppedError

  def _check_finite(self) -> None:
    step = int(self.trainer.sums.bad_step.numpy())
    if step >= 0:
      self._devices.leave()
      raise not_finite.error(
        self.trainer.dataset,
        self.settings,
        self.workdir,
        step,
        write=self._devices.is_chief,
      )

  def _end_epoch(self, figures: dict[str, float]) -> None:
    if not np.isfinite(figures[train_result.judged_by(figures)]):
      self._devices.leave()
      raise cli.UserError(
        f"epoch {len(self.history) + 1}: the validation loss became "
        f"{figures['validation_loss']}; lower --learning_rate (now "
        f"{self.settings.learning_rate:g}) and start in a new --workdir"
      )
    self.trainer.dataset.check_unchanged()
    self.history.append(figures)
    is_best = train_result.best_epoch(self.history) == len(self.history)
    if is_best and self._devices.is_chief:
      best_weights.save(self.workdir, self.trainer.model)
    self.trainer.sums.reset()
    self.save()
    if self._log:
      self._log.epoch(self.trainer, figures)
