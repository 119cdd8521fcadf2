"""The classifier: one backbone, one softmax head for each label feature.

Images go in as they are stored, uint8 or float 0..255: scaling is inside, so
that every runtime does the same. Heads are float32 under every policy and are
addressed by name, never by position.

  model = models.build_model(ModelSettings(image_size=150))
  model(images)  # {"gender": [batch, 2], "job": ..., "face_type": ...}
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import keras

from yourface_tfds import cli, labels

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

Backbone = Callable[[keras.KerasTensor, str], keras.KerasTensor]
"""Images in -1..1 and `--weights` -> feature vector, float[batch, features]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
  """What a model is made of.

  Attributes:
    model: a key of `BACKBONES`.
    weights: `none`, `imagenet` (needs a network), or the path of a file.
    image_size: side of the images in pixels.
    dropout: share of features dropped before the heads in training.
  """

  model: str = "small_cnn"
  weights: str = "none"
  image_size: int = 150
  dropout: float = 0.3

  def __post_init__(self) -> None:
    if self.model not in BACKBONES:
      raise cli.UserError(
        f"--model: got {self.model!r}, allowed: {', '.join(BACKBONES)}"
      )


def _small_cnn(images: keras.KerasTensor, weights: str) -> keras.KerasTensor:
  """Five convolutions, 0.4 million parameters: trains on a CPU in minutes."""
  if weights != "none":
    raise cli.UserError(
      f"--weights: got {weights!r}, but small_cnn is trained from the start; "
      "leave it at none or choose --model=MobileNetV2"
    )
  x = images
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


def _mobilenet_v2(images: keras.KerasTensor, weights: str) -> keras.KerasTensor:
  """MobileNetV2; with weights it stays frozen and the heads learn."""
  if (
    weights not in ("none", "imagenet") and not pathlib.Path(weights).is_file()
  ):
    raise cli.UserError(
      f"--weights: no file {weights!r}; allowed: none, imagenet or the path of "
      "a .weights.h5 file"
    )
  try:
    backbone = keras.applications.MobileNetV2(
      input_tensor=None,
      input_shape=images.shape[1:],
      include_top=False,
      weights=None if weights == "none" else weights,
      pooling="avg",
      name="mobilenet_v2",
    )
  except Exception as error:  # Keras raises a bare Exception without network.
    raise cli.UserError(
      f"--weights: {weights} cannot be loaded ({cli.one_line(error)}); bring "
      "Keras's file mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_"
      "no_top.h5 and pass its path, or use --weights=none"
    ) from error
  frozen = weights != "none"
  backbone.trainable = not frozen
  # training=False keeps BatchNorm on ImageNet's statistics.
  return backbone(images, training=False) if frozen else backbone(images)


BACKBONES: dict[str, Backbone] = {
  "small_cnn": _small_cnn,
  "MobileNetV2": _mobilenet_v2,
}


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
    # float32 also under a mixed policy: 8-bit pixels have no exact bfloat16.
    faces = keras.Input((size, size, 3), dtype="float32", name="faces")
    x = keras.layers.Rescaling(
      1 / 127.5, offset=-1.0, dtype="float32", name="to_unit_range"
    )(faces)
    x = BACKBONES[settings.model](x, settings.weights)
    x = keras.layers.Dropout(settings.dropout, name="dropout")(x)
    outputs = {
      head: keras.layers.Dense(
        len(vocabulary.names), "softmax", dtype="float32", name=head
      )(x)
      for head, vocabulary in labels.HEADS.items()
    }
    return keras.Model(faces, outputs, name=settings.model)


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
