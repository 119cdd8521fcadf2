"""Training: from the settings to the best weights, exact after any stop.

settings = train_settings.TrainSettings(epochs=30)
train_lib.train(dataset, settings, "W")   # the same again: goes on
"""

import contextlib
import dataclasses
import os
import time
from typing import Any

import tensorflow as tf
import tqdm

from yourface_tfds import (
  built_dataset,
  cli,
  devices,
  folder_lock,
  input_pipeline,
  models,
  stopping,
  storage,
  train_log,
  train_result,
  train_settings,
  training_run,
)
from yourface_tfds import workdir as run_dir

Run = training_run.Run


def train(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  workdir: str | os.PathLike[str],
  *,
  save_seconds: float = 60,
  deterministic: bool = False,
  tensorboard: bool = False,
  where: devices.Devices = devices.ONE,
  data_service: str = "",
) -> dict[str, Any]:
  """Trains, or goes on, until `settings.epochs` are done or it gets no better.

  Args:
    dataset: from `built_dataset.open_dataset`.
    settings: of the run; those of an existing workdir must be the same.
    workdir: made if missing; with several workers, the chief's.
    save_seconds: the state is saved at least so often within an epoch.
    deterministic: whether TensorFlow may use in this process, from now on, only
      operations that give the same bits each time.
    tensorboard: whether logs for TensorBoard are written too.
    where: the devices to train on, from `strategies.open_devices`.
    data_service: see `input_pipeline.make_for_train`.

  Returns:
    What `train.json` holds: best epoch, history, images per second.

  Raises:
    UserError: the workdir is of another run or another process is at work in
      it, there is no train split, it is smaller than a batch, the loss is no
      longer finite, or a worker is gone.
    tfrecord.CorruptError: a shard is damaged.
    KeyboardInterrupt: by Ctrl-C or SIGTERM; the step is saved.
  """
  workdir = storage.path(workdir)
  where.check(settings.batch_size)
  _check(dataset, settings)
  if deterministic:
    tf.config.experimental.enable_op_determinism()
  with contextlib.ExitStack() as held:

    def take() -> bytes:
      held.enter_context(folder_lock.writing(workdir, "--workdir"))
      return b""

    with where.watched():
      where.told_by_chief(take)
      run = _opened(
        dataset,
        settings,
        workdir,
        tensorboard,
        save_seconds=save_seconds,
        where=where,
        data_service=data_service,
      )
      started, done = time.perf_counter(), run.trainer.step
      _to_the_end(run)
      seconds = time.perf_counter() - started
      where.leave()
    result = train_result.of(run.trainer, run.history)
    result["images_per_second"] = train_result.speed(
      run.trainer, run.trainer.step - done, seconds, workdir
    )
    if where.is_chief:
      storage.write_text(workdir / train_result.NAME, cli.dump_json(result))
  return result


def _opened(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  workdir: storage.Path,
  tensorboard: bool,
  *,
  where: devices.Devices,
  **options: Any,
) -> Run:
  """Returns the run, which the workdir is claimed for, where it stands."""

  def claim(*, only_look: bool) -> bytes:
    run_dir.claim(dataset, settings, workdir, only_look=only_look)
    return b""

  where.check_equal(
    {"dataset": dataset.info.full_name, **dataclasses.asdict(settings)}
  )
  where.told_by_chief(lambda: claim(only_look=True))
  log = None
  if tensorboard and where.is_chief:
    log = train_log.TrainLog(workdir / "tensorboard")
  run = Run(dataset, settings, workdir, log=log, where=where, **options)
  run.restore()
  # Not before: weights that cannot be had shall leave no run behind.
  where.told_by_chief(lambda: claim(only_look=False))
  return run


def _to_the_end(run: Run) -> None:
  """Trains what is left; a line an epoch, on the chief."""
  where = run.trainer.devices
  with (
    stopping.between_steps(),
    tqdm.tqdm(
      total=run.settings.epochs * run.trainer.steps_per_epoch,
      initial=run.trainer.step,
      unit=" steps",
      desc="Training",
      disable=not where.is_chief,
    ) as bar,
  ):
    try:
      for figures in run.epochs(bar):
        if where.is_chief:
          words = "  ".join(
            f"{k} {v}" for k, v in train_result.shown(figures).items()
          )
          bar.write(f"epoch {len(run.history)}/{run.settings.epochs}: {words}")
    except stopping.StoppedError:
      where.leave()
      run.save()
      steps = run.settings.epochs * run.trainer.steps_per_epoch
      raise KeyboardInterrupt(
        f"{run.trainer.step} of {steps} steps are saved; the same command "
        "goes on there"
      ) from None


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
