"""The two ensembles of 2021, layer by layer.

Back then each label had its own arrays of images and a branch of its own; at
prediction all three were fed the same photo. Here one image goes to all
branches. `cnn_with_three_inputs` is the form of 2021.

  outputs = ensembles.cnn_ensemble(images, "none")
"""

from collections.abc import Callable, Mapping, Sequence

import keras

from yourface_tfds import backbones, cli, labels

TRANSFER_BRANCHES = {"ResNet50V2": 64, "VGG19": 64, "InceptionResNetV2": 256}
"""Network of each branch -> units of its dense layer."""

# Padding of the convolutions and units of the dense layer, for each branch.
_CNN_BRANCHES = (("valid", 64), ("valid", 64), ("same", 100))


def softmax_heads(
  features: Mapping[str, keras.KerasTensor],
) -> dict[str, keras.KerasTensor]:
  """Returns float32[batch, classes] probabilities for each head's features."""
  return {
    head: keras.layers.Dense(
      len(labels.HEADS[head].names), "softmax", dtype="float32", name=head
    )(x)
    for head, x in features.items()
  }


def _relu(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
  return keras.layers.Dense(units, "relu", name=name)(x)


def _to_0_1(images: keras.KerasTensor, name: str) -> keras.KerasTensor:
  return keras.layers.Rescaling(1 / 255, dtype="float32", name=name)(images)


def _cnn_branch(
  x: keras.KerasTensor, number: int, padding: str, units: int
) -> keras.KerasTensor:
  for index, (filters, kernel) in enumerate(((32, 2), (64, 3))):
    for part in "ab":
      x = keras.layers.Conv2D(
        filters,
        kernel,
        padding=padding,
        activation="relu",
        name=f"branch{number}_conv{index}{part}",
      )(x)
    x = keras.layers.MaxPooling2D(name=f"branch{number}_pool{index}")(x)
  x = keras.layers.Flatten(name=f"branch{number}_flat")(x)
  return _relu(x, units, f"branch{number}_dense")


def _cnn_outputs(
  images: Sequence[keras.KerasTensor],
) -> dict[str, keras.KerasTensor]:
  """Three branches, merged, three heads; 0..1 goes in."""
  x = keras.layers.Concatenate(name="merge")(
    [
      _cnn_branch(x, number, padding, units)
      for number, (x, (padding, units)) in enumerate(
        zip(images, _CNN_BRANCHES, strict=True), 1
      )
    ]
  )
  x = keras.layers.Dense(64, name="merged")(x)
  return softmax_heads(
    {head: _relu(x, 32, f"{head}_dense") for head in labels.HEADS}
  )


def cnn_ensemble(
  images: keras.KerasTensor, weights: str
) -> dict[str, keras.KerasTensor]:
  """Three plain CNNs of 2021 on one image, scaled by 1/255.

  The original's Dense(64) that leads to no output (`out33`) is not built.

  Args:
    images: float32[batch, size, size, channels] in 0..255, size at least 14.
    weights: `none`; there are no others.

  Returns:
    float32[batch, classes] probabilities for each head.

  Raises:
    UserError: other weights.
  """
  if weights != "none":
    raise cli.UserError(
      f"--weights: got {weights!r}, but cnn_ensemble is trained from the "
      "start; leave it at none or choose --model=transfer_ensemble"
    )
  scaled = _to_0_1(images, "to_0_1")
  return _cnn_outputs([scaled] * 3)


def cnn_with_three_inputs(
  image_size: int = 100, channels: int = 1
) -> keras.Model:
  """The CNN ensemble as it was in 2021, one input for each label.

  At 100x100x1 it has the original's 8,165,683 parameters. Its weights are those
  of `cnn_ensemble`, in the same order.

  Args:
    image_size: side of the images in pixels, at least 14.
    channels: 1 or 3.

  Returns:
    A model from a list of three float32[batch, size, size, channels] in 0..255,
    for gender, job and face type, to a dict of float32[batch, classes].
  """
  inputs = [
    keras.Input(
      (image_size, image_size, channels), dtype="float32", name=f"{head}_faces"
    )
    for head in ("gender", "job", "face_type")
  ]
  outputs = _cnn_outputs(
    [_to_0_1(images, f"{images.name}_to_0_1") for images in inputs]
  )
  return keras.Model(inputs, outputs, name="cnn_ensemble")


def transfer_ensemble(
  images: keras.KerasTensor, weights: str
) -> dict[str, keras.KerasTensor]:
  """Three frozen networks of keras.applications and the heads of 2021.

  The original writes each head's layers into one variable, `xx`, so that they
  chain: gender's Dense(64) stands on the merged Dense(256), job's Dense(128) on
  a Dense(32) after that, and face type's on a Dense(64) after that again. Its
  last Dense(128), `out33`, leads to no output and is not built; its Flatten
  after the average changes nothing. Other labels than the three: the first has
  gender's place, the second job's, all others face type's.

  In 2021 all branches got pixels in 0..1; here each gets what its weights were
  trained on.

  Args:
    images: float32[batch, size, size, 3] in 0..255, size at least 75.
    weights: `none` (the frozen branches stay as they were drawn: for models
      whose weights are loaded afterwards), `imagenet`, or a folder that holds
      Keras' three files.

  Returns:
    float32[batch, classes] probabilities for each head.

  Raises:
    UserError: weights that cannot be had.
  """
  names = list(TRANSFER_BRANCHES)
  if weights == "none":
    paths = [None] * len(names)
  elif weights == "imagenet":
    paths = backbones.imagenet_files(names)
  else:
    paths = backbones.files_in(weights, names)
  branches = []
  for (name, units), path in zip(TRANSFER_BRANCHES.items(), paths, strict=True):
    x = backbones.features(name, images, path, inference=True)
    branches.append(_relu(x, units, f"{name}_dense"))
  x = keras.layers.Concatenate(name="merge")(branches)
  return softmax_heads(_chained(x))


def _chained(x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
  """Merged branches to the last hidden layer of each head."""
  x = keras.layers.Dense(256, name="merged")(x)
  first = _relu(x, 64, "first_dense")
  x = _relu(x, 32, "after_first")
  second = _relu(x, 128, "second_dense")
  x = _relu(x, 64, "after_second")
  x = _relu(x, 64, "others_dense0")
  others = _relu(x, 32, "others_dense1")
  places = (first, second, others)
  return {head: places[min(i, 2)] for i, head in enumerate(labels.HEADS)}


Ensemble = Callable[[keras.KerasTensor, str], dict[str, keras.KerasTensor]]
"""Images in 0..255 and `--weights` -> probabilities of each head."""

ENSEMBLES: Mapping[str, Ensemble] = {
  "cnn_ensemble": cnn_ensemble,
  "transfer_ensemble": transfer_ensemble,
}
