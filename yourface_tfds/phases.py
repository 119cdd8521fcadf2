"""The phases of a training: which epochs, which rate, what is trained.

A model that starts from nothing has one phase. One with a pretrained backbone
trains its heads first, then everything but BatchNorm, at a lower rate: random
heads would spoil the backbone's weights.
"""

import dataclasses

import keras

from yourface_tfds import models, train_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
  """Some epochs of a run.

  Attributes:
    start, stop: first epoch, and the one after the last.
    fine_tuning: whether the pretrained backbone is trained too.
    learning_rate: at its peak.
  """

  start: int
  stop: int
  fine_tuning: bool
  learning_rate: float


def plan(settings: train_settings.TrainSettings) -> list[Phase]:
  """Returns the phases of a run, in order."""
  rate = settings.learning_rate
  border = settings.epochs
  if models.can_fine_tune(settings.model_settings()):
    border = min(settings.head_epochs, settings.epochs)
  phases = [
    Phase(start=0, stop=border, fine_tuning=False, learning_rate=rate),
    Phase(
      start=border,
      stop=settings.epochs,
      fine_tuning=True,
      learning_rate=rate * settings.fine_tune_rate,
    ),
  ]
  return [phase for phase in phases if phase.start < phase.stop]


def make_optimizer(
  settings: train_settings.TrainSettings, phase: Phase, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
  """Returns the optimizer of a phase, its rate warmed up and then falling.

  Under mixed_float16 the loss is scaled, and steps whose gradients overflow
  are left out.
  """
  clip = settings.clip_norm or None
  rate = _schedule(settings, phase, steps_per_epoch)
  if settings.optimizer == "adamw":
    optimizer = keras.optimizers.AdamW(
      rate, weight_decay=settings.weight_decay, global_clipnorm=clip
    )
  else:
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=clip)
  if settings.policy == "mixed_float16":
    return keras.optimizers.LossScaleOptimizer(optimizer)
  return optimizer


def _schedule(
  settings: train_settings.TrainSettings, phase: Phase, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
  if settings.schedule == "constant":
    return phase.learning_rate
  steps = (phase.stop - phase.start) * steps_per_epoch
  warmup = min(round(settings.warmup_epochs * steps_per_epoch), steps)
  if not warmup:
    return keras.optimizers.schedules.CosineDecay(phase.learning_rate, steps)
  return keras.optimizers.schedules.CosineDecay(
    0.0,
    decay_steps=max(steps - warmup, 1),
    warmup_target=phase.learning_rate,
    warmup_steps=warmup,
  )
