"""Networks of keras.applications as feature extractors, and their weights.

Pixels go in as 0..255; what a network wants of them is done here, as its own
`preprocess_input` does it. ImageNet's weights are Keras' own files in Keras'
own cache, so that a file brought by hand serves where there is no network.

  features = backbones.backbone("MobileNetV2", images, "imagenet")
"""

import dataclasses
import hashlib
import os
import pathlib
import socket
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from yourface_tfds import cli, storage

_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications/"
_TIMEOUT_S = 20.0  # Linux alone gives up after 127 s (tcp_syn_retries).


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """What there is to know of a network.

  Attributes:
    path: where in Keras' storage its weights without top are.
    digest: MD5 or SHA-256 of that file, as in Keras; "" where it has none.
    scaling: `minus1_to_1`, `bgr` (ImageNet's means subtracted), or `inside`
      where the network begins with its own.
    min_size: smallest side of the images.
  """

  path: str
  digest: str = ""
  scaling: str = "minus1_to_1"
  min_size: int = 32

  @property
  def file(self) -> str:
    """Name of its weights in the cache."""
    return self.path.rpartition("/")[2]


_TF_KERNELS = "weights_tf_dim_ordering_tf_kernels"

NETWORKS: Mapping[str, Network] = {
  "MobileNetV2": Network(
    # Keras has one for each of five sizes, this one is for all others too.
    path=f"mobilenet_v2/mobilenet_v2_{_TF_KERNELS}_1.0_224_no_top.h5",
  ),
  "MobileNetV3Large": Network(
    path="mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    digest="07fb09a5933dd0c8eaafa16978110389",
    scaling="inside",
  ),
  "EfficientNetV2B0": Network(
    path="efficientnet_v2/efficientnetv2-b0_notop.h5",
    digest="893217f2bb855e2983157299931e43ff",
    scaling="inside",
  ),
  "ResNet50V2": Network(
    path=f"resnet/resnet50v2_{_TF_KERNELS}_notop.h5",
    digest="fac2f116257151a9d068a22e544a4917",
  ),
  "ConvNeXtTiny": Network(
    path="convnext/convnext_tiny_notop.h5",
    digest="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    scaling="inside",
  ),
  "VGG19": Network(
    path=f"vgg19/vgg19_{_TF_KERNELS}_notop.h5",
    digest="253f8cb515780f3b799900260a226db6",
    scaling="bgr",
  ),
  "InceptionResNetV2": Network(
    path=f"inception_resnet_v2/inception_resnet_v2_{_TF_KERNELS}_notop.h5",
    digest="d19885ff4a710c122648d3b5c3b684e4",
    min_size=75,
  ),
}
"""Name in keras.applications -> network; the last two are an ensemble's."""


@keras.saving.register_keras_serializable("yourface_tfds")
class Backbone(keras.layers.Layer):
  """A network within a model.

  In Keras 3.15 `model(x, training=True)` overrides the `training=False` that a
  nested network was called with: EfficientNetV2B0 went on dropping. A layer
  between the two does not let it through.

  Attributes:
    network: images to features.
    inference: it always runs as in inference: BatchNorm keeps its statistics,
      nothing is dropped.
  """

  def __init__(
    self, network: keras.Model, inference: bool = False, **kwargs: Any
  ) -> None:
    super().__init__(**kwargs)
    self.network = network
    self.inference = inference

  def call(
    self, images: keras.KerasTensor, training: bool | None = None
  ) -> keras.KerasTensor:
    """Returns the features, float[batch, features]."""
    return self.network(images, training=False if self.inference else training)

  def get_config(self) -> dict[str, Any]:
    """Returns what `from_config` takes, for `model.save`."""
    network = keras.saving.serialize_keras_object(self.network)
    own = {"network": network, "inference": self.inference}
    return super().get_config() | own

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> "Backbone":
    """Makes a layer from `get_config`."""
    network = keras.saving.deserialize_keras_object(config["network"])
    return cls(**config | {"network": network})


def minus1_to_1(
  images: keras.KerasTensor, name: str = "to_unit_range"
) -> keras.KerasTensor:
  """Scales 0..255 to -1..1, in float32 under every policy."""
  # bfloat16 has 8 bits, and augmented pixels are no longer whole numbers.
  return keras.layers.Rescaling(
    1 / 127.5, offset=-1.0, dtype="float32", name=name
  )(images)


def _scaled(name: str, images: keras.KerasTensor) -> keras.KerasTensor:
  scaling = NETWORKS[name].scaling
  if scaling == "bgr":
    return keras.applications.vgg19.preprocess_input(images)
  # ConvNeXt's own is for three channels, and Keras leaves it out for one.
  if scaling == "inside" and (name, images.shape[-1]) != ("ConvNeXtTiny", 1):
    return images
  return minus1_to_1(images, f"to_{name}")


def features(
  name: str,
  images: keras.KerasTensor,
  path: str | os.PathLike[str] | None,
  *,
  inference: bool,
) -> keras.KerasTensor:
  """Puts a network of `NETWORKS` on images.

  Args:
    name: its key.
    images: float32[batch, size, size, 3 or 1] in 0..255.
    path: file of its weights without top; None starts it untrained.
    inference: see `Backbone`; it starts frozen then.

  Returns:
    float[batch, features], averaged over the image.

  Raises:
    UserError: the file is no HDF5 or of another network.
  """
  network = NETWORKS[name]
  model = getattr(keras.applications, name)(
    include_top=False,
    weights=None,
    input_shape=images.shape[1:],
    pooling="avg",
  )
  if path is not None:
    try:
      with warnings.catch_warnings(), storage.local_file(path) as file:
        # Keras only warns of parts that a file lacks and leaves them random.
        warnings.simplefilter("error", UserWarning)
        model.load_weights(file)
    except OSError as error:
      raise cli.UserError(
        f"--weights: {path} cannot be read as HDF5 ({cli.one_line(error)}); "
        f"bring it again, Keras' own is {network.file}"
      ) from error
    except (ValueError, KeyError, UserWarning) as error:
      raise cli.UserError(
        f"--weights: {path} does not hold the weights of {name} without top, "
        f"as Keras' own {network.file} does; give that, or choose the --model "
        "it was saved from"
      ) from error
  layer = Backbone(model, inference=inference, name=name)
  layer.trainable = not inference
  return layer(_scaled(name, images))


def backbone(
  name: str, images: keras.KerasTensor, weights: str
) -> keras.KerasTensor:
  """`features` by a value of `--weights`; with weights it starts frozen.

  Raises:
    UserError: the weights cannot be had; see `features` and `imagenet_files`.
  """
  if weights == "none":
    return features(name, images, None, inference=False)
  if weights == "imagenet":
    return features(name, images, *imagenet_files([name]), inference=True)
  if not (weights.endswith(".h5") and storage.path(weights).is_file()):
    raise cli.UserError(
      f"--weights: no .h5 file {weights!r}; allowed: none, imagenet or the "
      "path of a .weights.h5 or .h5 file"
    )
  return features(name, images, weights, inference=True)


def files_in(folder: str, names: Sequence[str]) -> list[storage.Path]:
  """Returns the weights of networks in a folder, under Keras' names.

  Raises:
    UserError: some are not there; all of them are named.
  """
  paths = [storage.path(folder) / NETWORKS[name].file for name in names]
  missing = [path.name for path in paths if not path.is_file()]
  if missing:
    raise cli.UserError(
      f"--weights: no {', '.join(missing)} in {folder!r}; allowed: none, "
      f"imagenet or a folder with Keras' files of {', '.join(names)}"
    )
  return paths


def imagenet_files(names: Sequence[str]) -> list[pathlib.Path]:
  """Returns ImageNet's weights of networks, downloaded where not in the cache.

  The cache is Keras': `$KERAS_HOME/models`, or `~/.keras/models`.

  Raises:
    UserError: one can be neither found nor downloaded, or is damaged.
  """
  home = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
  paths = [home / "models" / NETWORKS[name].file for name in names]
  for i, name in enumerate(names):
    if paths[i].is_file():
      _check_digest(paths[i], NETWORKS[name].digest)
      continue
    try:
      paths[i] = _download(NETWORKS[name], home)
    except Exception as error:  # Keras raises a bare Exception without network.
      missing = [path.name for path in paths[i:] if not path.is_file()]
      raise cli.UserError(
        f"--weights: imagenet cannot be downloaded ({cli.one_line(error)}); "
        f"bring {', '.join(missing)} to {home / 'models'}, or use --weights="
        "PATH or --weights=none"
      ) from error
  return paths


def _download(network: Network, home: pathlib.Path) -> pathlib.Path:
  before = socket.getdefaulttimeout()
  socket.setdefaulttimeout(_TIMEOUT_S)
  try:
    if not urllib.request.getproxies():
      # Else Keras says first that it downloads, then that it cannot.
      socket.create_connection((_STORAGE.split("/")[2], 443)).close()
    path = keras.utils.get_file(
      network.file,
      f"{_STORAGE}{network.path}",
      cache_dir=str(home),
      cache_subdir="models",
      file_hash=network.digest or None,
    )
  finally:
    socket.setdefaulttimeout(before)
  return pathlib.Path(path)


def _check_digest(path: pathlib.Path, digest: str) -> None:
  """Before Keras does: it would remove the file, then try to download it."""
  kind = "sha256" if len(digest) == 64 else "md5"
  got = hashlib.new(kind, path.read_bytes(), usedforsecurity=False).hexdigest()
  if digest and got != digest:
    raise cli.UserError(
      f"--weights: {path} has the {kind} {got}, Keras' own has {digest}; bring "
      "it again, or pass it as --weights=PATH"
    )


def batch_norms(
  network: keras.Model,
) -> Iterator[keras.layers.BatchNormalization]:
  """Yields every BatchNormalization of a network, of nested ones too."""
  for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      yield layer
    elif isinstance(layer, keras.Model):
      yield from batch_norms(layer)
