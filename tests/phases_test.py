"""Tests of phases and train_settings: what is trained when, and how fast."""

import keras
import pytest

from yourface_tfds import cli, phases, train_settings


def _settings(**changes):
  return train_settings.TrainSettings(**{"image_size": 32, **changes})


def _message(**changes):
  with pytest.raises(cli.UserError) as caught:
    _settings(**changes)
  return str(caught.value)


def _rates(settings, phase, steps_per_epoch, steps):
  optimizer = phases.make_optimizer(settings, phase, steps_per_epoch)
  optimizer.build([keras.Variable([0.0])])
  rates = []
  for step in range(steps):
    optimizer.iterations.assign(step)
    rates.append(float(optimizer.learning_rate))
  return rates


def test_one_phase_from_nothing():
  (phase,) = phases.plan(_settings(epochs=7))
  assert (phase.start, phase.stop) == (0, 7)
  assert not phase.fine_tuning
  assert phase.learning_rate == 2e-3


def test_two_phases_with_pretrained_weights():
  settings = _settings(
    model="MobileNetV2", weights="imagenet", epochs=7, head_epochs=3
  )
  heads, all_of_it = phases.plan(settings)
  assert (heads.start, heads.stop, heads.fine_tuning) == (0, 3, False)
  assert (all_of_it.start, all_of_it.stop) == (3, 7)
  assert all_of_it.fine_tuning
  assert all_of_it.learning_rate == pytest.approx(2e-3 * 0.05)


@pytest.mark.parametrize(
  ("head_epochs", "fine_tuning"), [(0, [True]), (7, [False]), (9, [False])]
)
def test_one_of_the_two_phases(head_epochs, fine_tuning):
  settings = _settings(
    model="MobileNetV2", weights="imagenet", epochs=7, head_epochs=head_epochs
  )
  plan = phases.plan(settings)
  assert [phase.fine_tuning for phase in plan] == fine_tuning
  assert [(phase.start, phase.stop) for phase in plan] == [(0, 7)]


def test_the_rate_warms_up_and_falls_in_each_phase():
  settings = _settings(warmup_epochs=0.5, learning_rate=0.1)
  phase = phases.Phase(start=3, stop=6, fine_tuning=True, learning_rate=0.02)
  rates = _rates(settings, phase, 4, 12)
  assert rates[:3] == pytest.approx([0, 0.01, 0.02])
  assert rates[2:] == sorted(rates[2:], reverse=True)
  assert rates[-1] < 0.001


def test_constant_rate_and_no_warmup():
  (phase,) = phases.plan(_settings(learning_rate=0.1))
  rates = _rates(_settings(schedule="constant"), phase, 4, 5)
  assert rates == pytest.approx([0.1] * 5)
  rates = _rates(_settings(warmup_epochs=0.0), phase, 4, 2)
  assert rates[0] == pytest.approx(0.1)


def test_optimizers():
  (phase,) = phases.plan(_settings())
  adamw = phases.make_optimizer(_settings(weight_decay=0.25), phase, 4)
  assert type(adamw) is keras.optimizers.AdamW
  assert adamw.weight_decay == 0.25
  assert adamw.global_clipnorm == 1
  settings = _settings(optimizer="adam", clip_norm=0.0)
  adam = phases.make_optimizer(settings, phase, 4)
  assert type(adam) is keras.optimizers.Adam
  assert adam.global_clipnorm is None


def test_long_gradients_are_cut():
  settings = _settings(
    optimizer="adam", schedule="constant", clip_norm=0.5, learning_rate=1.0
  )
  (phase,) = phases.plan(settings)
  optimizer = phases.make_optimizer(settings, phase, 4)
  weights = keras.Variable([0.0, 0.0])
  optimizer.build([weights])
  optimizer.apply_gradients([(keras.ops.array([300.0, 400.0]), weights)])
  # Adam's first moment is a tenth of the gradient it was given.
  momentum = optimizer.variables[2].numpy()
  assert momentum == pytest.approx([0.03, 0.04], rel=1e-4)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"epochs": 0}, "--epochs: got 0, allowed: above 0"),
    ({"fine_tune_rate": 0.0}, "--fine_tune_rate: got 0.0, allowed: above 0"),
    ({"clip_norm": -1.0}, "--clip_norm: got -1.0, allowed: 0 or more"),
    ({"patience": -1}, "--patience: got -1, allowed: 0 or more"),
    (
      {"weight_decay": float("nan")},
      "--weight_decay: got nan, allowed: 0 or more",
    ),
    (
      {"label_smoothing": 1.0},
      "--label_smoothing: got 1.0, allowed: 0 to below 1",
    ),
    ({"optimizer": "sgd"}, "--optimizer: got 'sgd', allowed: adamw, adam"),
    ({"schedule": "no"}, "--schedule: got 'no', allowed: cosine, constant"),
    ({"augment": "a"}, "--augment: got 'a', allowed: default, 2021, none"),
    ({"mix": "a"}, "--mix: kind: got 'a', allowed: none, mixup, cutmix"),
    ({"mix_alpha": 0.0}, "--mix: alpha: got 0.0, allowed: above 0"),
    ({"policy": "int8"}, "--policy: got 'int8', allowed: float32, mixed_bfl"),
  ],
)
def test_refused_settings(changes, message):
  assert _message(**changes).startswith(message)
