"""Everything that decides a training run's result, beside the data."""

import dataclasses
import math

from yourface_tfds import augment, cli, mixing, models

OPTIMIZERS = ("adamw", "adam")
SCHEDULES = ("cosine", "constant")

_ABOVE_ZERO = ("batch_size", "epochs", "learning_rate", "fine_tune_rate")
_FROM_ZERO = (
  "head_epochs",
  "warmup_epochs",
  "weight_decay",
  "clip_norm",
  "patience",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
  """The settings of a run.

  Attributes:
    model, weights, image_size, input_size, channels, dropout: see
      `models.ModelSettings`.
    margin, min_score: how the dataset's faces were cut out; the exported model
      does the same.
    policy: one of `models.POLICIES`.
    batch_size: images a step.
    epochs: passes over the train split, of both phases together.
    head_epochs: of them, with a pretrained backbone, those that train the heads
      alone on the frozen backbone; then all is trained, but BatchNorm.
    optimizer: one of `OPTIMIZERS`.
    schedule: cosine: falls to nothing at the end of a phase; constant.
    warmup_epochs: over which the rate rises from nothing, in each phase.
    learning_rate: at its peak.
    fine_tune_rate: the second phase's peak, as a part of `learning_rate`.
    weight_decay: of adamw.
    clip_norm: longest gradient, of all variables together; 0: any.
    label_smoothing: see `losses.head_losses`.
    class_weights: whether rare classes weigh more, see `losses.class_weights`.
    augment: a key of `augment.PRESETS`.
    mix, mix_alpha: see `mixing.MixSettings`.
    patience: epochs without a lower validation loss after which it ends; 0: it
      does not.
    seed: of weights, order, dropout and augmentation.
  """

  model: str = "small_cnn"
  weights: str = "none"
  image_size: int = 150
  input_size: int = 0
  channels: int = 3
  dropout: float = 0.3
  margin: float = 1.3
  min_score: float = 0.9
  policy: str = "float32"
  batch_size: int = 32
  epochs: int = 30
  head_epochs: int = 5
  optimizer: str = "adamw"
  schedule: str = "cosine"
  warmup_epochs: float = 1.0
  learning_rate: float = 2e-3
  fine_tune_rate: float = 0.05
  weight_decay: float = 1e-4
  clip_norm: float = 1.0
  label_smoothing: float = 0.05
  class_weights: bool = True
  augment: str = "default"
  mix: str = "none"
  mix_alpha: float = 0.2
  patience: int = 10
  seed: int = 0

  def __post_init__(self) -> None:
    self.model_settings()
    for name in _ABOVE_ZERO:
      if not 0 < getattr(self, name) < math.inf:
        raise cli.UserError(
          f"--{name}: got {getattr(self, name)}, allowed: above 0"
        )
    for name in _FROM_ZERO:
      if not 0 <= getattr(self, name) < math.inf:
        raise cli.UserError(
          f"--{name}: got {getattr(self, name)}, allowed: 0 or more"
        )
    for name, allowed in (
      ("optimizer", OPTIMIZERS),
      ("schedule", SCHEDULES),
      ("augment", tuple(augment.PRESETS)),
      ("policy", models.POLICIES),
    ):
      if getattr(self, name) not in allowed:
        raise cli.UserError(
          f"--{name}: got {getattr(self, name)!r}, allowed: "
          f"{', '.join(allowed)}"
        )
    if not 0 <= self.label_smoothing < 1:
      raise cli.UserError(
        f"--label_smoothing: got {self.label_smoothing}, allowed: 0 to below 1"
      )
    try:
      self.mix_settings()
    except ValueError as error:
      raise cli.UserError(f"--mix: {error}") from error

  def model_settings(self) -> models.ModelSettings:
    """Returns the part that concerns the model."""
    return models.ModelSettings(
      model=self.model,
      weights=self.weights,
      image_size=self.image_size,
      input_size=self.input_size,
      channels=self.channels,
      dropout=self.dropout,
    )

  def mix_settings(self) -> mixing.MixSettings:
    """Returns the part that concerns mixing images."""
    return mixing.MixSettings(kind=self.mix, alpha=self.mix_alpha)
