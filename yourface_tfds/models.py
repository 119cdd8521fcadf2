"""The classifier: a backbone with one softmax head for each label feature.

Images go in as they are stored, uint8 or float 0..255: scaling is inside, so
that every runtime does the same. Heads are float32 under every policy and are
addressed by name, never by position.

  model = models.build_model(ModelSettings(image_size=150))
  model(images)  # {"gender": [batch, 2], "job": ..., "face_type": ...}
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import keras

from yourface_tfds import backbones, cli, ensembles, labels

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

Backbone = Callable[[keras.KerasTensor, str], keras.KerasTensor]
"""Images in 0..255 and `--weights` -> features, float[batch, features]."""

# Below, a pooling has nothing left; keras.applications say theirs.
_MIN_SIZES = {
  "small_cnn": 15,
  "cnn_ensemble": 14,
  "transfer_ensemble": backbones.NETWORKS["InceptionResNetV2"].min_size,
} | {name: network.min_size for name, network in backbones.NETWORKS.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
  """What a model is made of.

  Attributes:
    model: one of `model_names()`.
    weights: `none`, `imagenet` (Keras downloads it), or a path: a file, for
      transfer_ensemble a folder with Keras' three files. With weights a
      backbone starts frozen, see `set_fine_tuning`.
    image_size: side of the images in pixels.
    input_size: side the network works at, 0 for `image_size`. Where they
      differ, images are resized inside the model, bilinear without antialias
      (TFLite has no other): better not to less than half.
    channels: 3, or 1 for grey: the luma is taken inside the model.
    dropout: share of a backbone's features dropped before the heads in
      training; the ensembles of 2021 have none.
  """

  model: str = "small_cnn"
  weights: str = "none"
  image_size: int = 150
  input_size: int = 0
  channels: int = 3
  dropout: float = 0.3

  def __post_init__(self) -> None:
    if self.model not in model_names():
      raise cli.UserError(
        f"--model: got {self.model!r}, allowed: {', '.join(model_names())}"
      )
    if not 0 <= self.dropout < 1:
      raise cli.UserError(
        f"--dropout: got {self.dropout}, allowed: 0 to below 1"
      )
    self._check_size()
    self._check_channels()

  def _check_size(self) -> None:
    smallest = _MIN_SIZES.get(self.model, 1)
    if self.input_size and self.input_size < smallest:
      raise cli.UserError(
        f"--input_size: got {self.input_size}, allowed for {self.model}: at "
        f"least {smallest}, or 0 for the size of the images"
      )
    if not self.input_size and self.image_size < smallest:
      raise cli.UserError(
        f"--model: {self.model} needs at least {smallest} pixels, the images "
        f"have {self.image_size}; give --input_size={smallest} or more, or "
        "choose another --model"
      )

  def _check_channels(self) -> None:
    if self.channels not in (1, 3):
      raise cli.UserError(
        f"--channels: got {self.channels}, allowed: 3 (colour) or 1 (grey)"
      )
    if self.channels == 1 and self.model == "transfer_ensemble":
      raise cli.UserError(
        "--channels: got 1, but transfer_ensemble is pretrained on colours; "
        "leave it at 3 or choose --model=cnn_ensemble"
      )
    if self.channels == 1 and self.weights != "none":
      raise cli.UserError(
        f"--channels: got 1 with --weights={self.weights}, but those are for "
        "colours; leave it at 3 or use --weights=none"
      )


@keras.saving.register_keras_serializable("yourface_tfds")
class _Grey(keras.layers.Layer):
  """RGB [..., 3] to luma [..., 1], ITU-R 601-2 as Pillow's mode L has it."""

  def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
    """Returns float32[..., 1] in the range of the images."""
    weights = keras.ops.convert_to_tensor([0.299, 0.587, 0.114])
    return keras.ops.sum(images * weights, axis=-1, keepdims=True)


def _small_cnn(images: keras.KerasTensor, weights: str) -> keras.KerasTensor:
  """Five convolutions, 0.4 million parameters: trains on a CPU in minutes."""
  if weights != "none":
    raise cli.UserError(
      f"--weights: got {weights!r}, but small_cnn is trained from the start; "
      "leave it at none or choose --model=MobileNetV2"
    )
  x = backbones.minus1_to_1(images)
  for index, filters in enumerate((24, 48, 96, 128, 192)):
    x = keras.layers.Conv2D(
      filters,
      3,
      strides=2 if index == 0 else 1,
      padding="same",
      use_bias=False,
      name=f"conv{index}",
    )(x)
    # Short runs: the default momentum of .99 has not settled after 100 steps.
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm{index}")(x)
    x = keras.layers.ReLU(name=f"relu{index}")(x)
    if 0 < index < 4:
      x = keras.layers.MaxPooling2D(name=f"pool{index}")(x)
  return keras.layers.GlobalAveragePooling2D(name="pool")(x)


BACKBONES: dict[str, Backbone] = {
  "small_cnn": _small_cnn,
  **{
    name: functools.partial(backbones.backbone, name)
    for name in backbones.NETWORKS
    if name not in ("VGG19", "InceptionResNetV2")
  },
}


def model_names() -> tuple[str, ...]:
  """Returns what `--model` allows: the backbones, then the ensembles."""
  return (*BACKBONES, *ensembles.ENSEMBLES)


def build_model(
  settings: ModelSettings, policy: str = "float32"
) -> keras.Model:
  """Builds the model.

  Args:
    settings: what it is made of.
    policy: one of `POLICIES`; float16 is refused where there is no GPU.

  Returns:
    A model from `faces`, float[batch, size, size, 3] in 0..255, to a dict of
    float32[batch, classes] probabilities for each head.

  Raises:
    UserError: an unknown policy, or weights that cannot be had.
  """
  with dtype_policy(policy):
    size = settings.image_size
    # float32 also under a mixed policy: resizing and luma come first.
    faces = keras.Input((size, size, 3), dtype="float32", name="faces")
    images = faces
    if settings.channels == 1:
      images = _Grey(dtype="float32", name="grey")(images)
    if settings.input_size not in (0, size):
      images = keras.layers.Resizing(
        settings.input_size,
        settings.input_size,
        interpolation="bilinear",
        antialias=False,
        dtype="float32",
        name="resize",
      )(images)
    if settings.model in ensembles.ENSEMBLES:
      outputs = ensembles.ENSEMBLES[settings.model](images, settings.weights)
    else:
      x = BACKBONES[settings.model](images, settings.weights)
      x = keras.layers.Dropout(settings.dropout, name="dropout")(x)
      outputs = ensembles.softmax_heads(dict.fromkeys(labels.HEADS, x))
    return keras.Model(faces, outputs, name=settings.model)


def can_fine_tune(settings: ModelSettings) -> bool:
  """Returns whether such a model starts with a frozen backbone.

  Not so what is trained from the start, and transfer_ensemble, whose branches
  stay frozen.
  """
  return settings.model in BACKBONES and settings.weights != "none"


def check_start(settings: ModelSettings) -> None:
  """Refuses to train what cannot learn; loading such a model is fine.

  Raises:
    UserError: frozen branches without weights.
  """
  if settings.model == "transfer_ensemble" and settings.weights == "none":
    raise cli.UserError(
      "--weights: got 'none', but the networks of transfer_ensemble stay "
      "frozen and would never learn; give imagenet or the path of a folder "
      "with Keras' three files"
    )


def set_fine_tuning(model: keras.Model, *, on: bool) -> None:
  """Lets a pretrained backbone learn, or freezes it again.

  The heads learn in both phases; every BatchNormalization of the backbone stays
  frozen, weights and statistics (keras.io/guides/transfer_learning). The order
  of `model.variables` is the same in both; `model.trainable_variables` changes,
  so build the optimizer and trace the training step after it.

  Args:
    model: from `build_model`, with settings that `can_fine_tune`.
    on: whether the backbone learns.

  Raises:
    ValueError: the model has no pretrained backbone, or it is an ensemble.
  """
  tunable = [
    layer
    for layer in model.layers
    if isinstance(layer, backbones.Backbone) and layer.inference
  ]
  if model.name in ensembles.ENSEMBLES or not tunable:
    raise ValueError(
      f"{model.name} cannot be fine-tuned: got a model without a pretrained "
      "backbone, or an ensemble; ask can_fine_tune first"
    )
  for layer in tunable:
    layer.trainable = on
    if on:
      for norm in backbones.batch_norms(layer.network):
        norm.trainable = False


@contextlib.contextmanager
def dtype_policy(policy: str) -> Iterator[None]:
  """Sets Keras's dtype policy for the layers built inside.

  Raises:
    UserError: it is unknown, or float16 without a GPU: a CPU has no float16
      convolutions (48 small steps took over 200 s instead of 10).
  """
  if policy not in POLICIES:
    raise cli.UserError(
      f"--policy: got {policy!r}, allowed: {', '.join(POLICIES)}"
    )
  if policy == "mixed_float16" and not _has_gpu():
    raise cli.UserError(
      "--policy: got mixed_float16 without a GPU, where it is over 20 times "
      "slower than float32; use mixed_bfloat16 or float32"
    )
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def _has_gpu() -> bool:
  import tensorflow as tf

  return bool(tf.config.list_physical_devices("GPU"))
