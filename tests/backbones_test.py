"""Tests of backbones: preprocessing, statistics, weights and where they lie."""

import functools
import hashlib
import pathlib
import socket
import urllib.error
import urllib.request

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import backbones, cli

# Large networks are built, many times: a minute.
pytestmark = pytest.mark.slow

_SIZE = 32
_MAIN = [
  "MobileNetV2",
  "MobileNetV3Large",
  "EfficientNetV2B0",
  "ResNet50V2",
  "ConvNeXtTiny",
]
# One of each kind of scaling; the others in slow runs.
_QUICK_MAIN = [
  name
  if name in ("MobileNetV2", "MobileNetV3Large")
  else pytest.param(name, marks=pytest.mark.slow)
  for name in _MAIN
]
# Of keras.applications without top; EfficientNetV2B0 and ConvNeXtTiny hold the
# constants of their preprocessing in no variable.
_PARAMETERS = {
  "MobileNetV2": 2_257_984,
  "MobileNetV3Large": 2_996_352,
  "EfficientNetV2B0": 5_919_312,
  "ResNet50V2": 23_564_800,
  "ConvNeXtTiny": 27_820_128,
}
_PREPROCESS = {
  "MobileNetV2": keras.applications.mobilenet_v2.preprocess_input,
  "MobileNetV3Large": keras.applications.mobilenet_v3.preprocess_input,
  "EfficientNetV2B0": keras.applications.efficientnet_v2.preprocess_input,
  "ResNet50V2": keras.applications.resnet_v2.preprocess_input,
  "ConvNeXtTiny": keras.applications.convnext.preprocess_input,
  "VGG19": keras.applications.vgg19.preprocess_input,
}


@functools.cache
def _plain(name, channels=3):
  keras.utils.set_random_seed(0)
  return getattr(keras.applications, name)(
    include_top=False,
    weights=None,
    input_shape=(_SIZE, _SIZE, channels),
    pooling="avg",
  )


@functools.cache
def _ours(name, channels=3, inference=False):
  keras.utils.set_random_seed(1)
  faces = keras.Input((_SIZE, _SIZE, channels), dtype="float32")
  return keras.Model(
    faces, backbones.features(name, faces, None, inference=inference)
  )


def _network(name, **kwargs):
  return _ours(name, **kwargs).get_layer(name).network


def _faces(channels=3):
  rng = np.random.default_rng(0)
  shape = (3, _SIZE, _SIZE, channels)
  return rng.integers(0, 256, shape).astype(np.float32)


def _lively(seed, variable):
  """Weights whose features depend on the image, unlike Keras' first ones."""
  if len(variable.shape) < 2:
    return variable.numpy()
  depthwise = "depthwise" in variable.path or "dwconv" in variable.path
  fan_in = np.prod(variable.shape[:2] if depthwise else variable.shape[:-1])
  rng = np.random.default_rng(seed)
  return rng.normal(0, np.sqrt(2 / fan_in), variable.shape)


def _message(function, *args, **kwargs):
  with pytest.raises(cli.UserError) as caught:
    function(*args, **kwargs)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def _write_legacy(path, network):
  """Writes the format of Keras' own files, that of Keras 2."""
  layers = [layer for layer in network.layers if layer.weights]
  with h5py.File(path, "w") as file:
    file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
    for layer in layers:
      group = file.create_group(layer.name)
      group.attrs["weight_names"] = [
        f"{layer.name}/{i}".encode() for i in range(len(layer.weights))
      ]
      trained = {id(weight) for weight in layer.trainable_weights}
      ordered = sorted(layer.weights, key=lambda w: id(w) not in trained)
      for i, weight in enumerate(ordered):
        group[f"{layer.name}/{i}"] = weight.numpy()


def _tiny(filters=4, **kwargs):
  faces = keras.Input(kwargs.get("input_shape", (_SIZE, _SIZE, 3)))
  x = keras.layers.Conv2D(filters, 3)(faces)
  x = keras.layers.BatchNormalization()(x)
  return keras.Model(faces, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def tiny_mobilenet_v2(monkeypatch):
  monkeypatch.setattr(keras.applications, "MobileNetV2", _tiny)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
  """An empty cache of Keras, and no network."""

  def unreachable(origin, target, progress):
    assert socket.getdefaulttimeout() == 20
    pathlib.Path(target).write_bytes(b"half")
    raise urllib.error.URLError("Name or service not known")

  def connect(address):
    assert address == ("storage.googleapis.com", 443)
    return socket.socket()

  monkeypatch.setattr(socket, "create_connection", connect)
  monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
  monkeypatch.setenv("KERAS_HOME", str(tmp_path))
  (tmp_path / "models").mkdir()
  return tmp_path


@pytest.mark.parametrize("name", _QUICK_MAIN)
def test_features_are_those_of_keras_on_preprocessed_pixels(name):
  plain, ours = _plain(name), _ours(name)
  assert plain.count_params() == _PARAMETERS[name]
  assert ours.count_params() == _PARAMETERS[name]
  weights = [_lively(i, w) for i, w in enumerate(plain.weights)]
  plain.set_weights(weights)
  _network(name).set_weights(weights)
  # Keras' own preprocess_input may change its argument.
  expected = plain(_PREPROCESS[name](_faces()), training=False).numpy()
  got = ours(_faces(), training=False).numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(got / scale, expected / scale, atol=1e-5)
  other = plain(_faces() / 255, training=False).numpy()
  assert np.abs(other - expected).max() > 1e-3 * scale


def test_vgg19_gets_bgr_without_means():
  ours = _ours("VGG19")
  got = keras.Model(ours.input, ours.get_layer("VGG19").input)(_faces())
  expected = _faces()[..., ::-1] - [103.939, 116.779, 123.68]
  np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("name", _QUICK_MAIN)
def test_one_channel(name):
  ours = _ours(name, channels=1)
  # Three channels of one kernel less, and ours have no more than that.
  assert ours.count_params() < _PARAMETERS[name]
  assert _network(name, channels=1).input_shape == (None, _SIZE, _SIZE, 1)


def test_convnext_with_one_channel_is_scaled():
  ours = _ours("ConvNeXtTiny", channels=1)
  scaled = keras.Model(ours.input, ours.get_layer("ConvNeXtTiny").input)
  np.testing.assert_allclose(
    scaled(_faces(1)), _faces(1) / 127.5 - 1, atol=1e-6
  )


def test_inference_is_kept_where_the_model_trains():
  # Its dropout would show, and its BatchNorm by its moving means.
  ours = _ours("EfficientNetV2B0", inference=True)
  layer = ours.get_layer("EfficientNetV2B0")
  assert not layer.trainable
  assert not ours.trainable_variables
  layer.trainable = True
  before = [variable.numpy() for variable in ours.variables]
  np.testing.assert_array_equal(
    ours(_faces(), training=True), ours(_faces(), training=False)
  )
  for old, variable in zip(before, ours.variables, strict=True):
    np.testing.assert_array_equal(old, variable.numpy())
  layer.trainable = False


def test_without_inference_it_trains():
  ours = _ours("EfficientNetV2B0")
  assert ours.get_layer("EfficientNetV2B0").trainable
  norm = next(backbones.batch_norms(_network("EfficientNetV2B0")))
  before = norm.moving_mean.numpy()
  ours(_faces(), training=True)
  assert np.abs(before - norm.moving_mean.numpy()).max() > 0


def test_batch_norms_of_nested_networks():
  inner = keras.Sequential(
    [keras.Input((4,)), keras.layers.BatchNormalization(name="inner")]
  )
  faces = keras.Input((4,))
  x = keras.layers.BatchNormalization(name="outer")(faces)
  model = keras.Model(faces, keras.layers.Dense(2)(inner(x)))
  names = [norm.name for norm in backbones.batch_norms(model)]
  assert names == ["outer", "inner"]


def test_model_can_be_saved_whole(tmp_path):
  ours = _ours("MobileNetV2", inference=True)
  ours.save(tmp_path / "model.keras")
  loaded = keras.models.load_model(tmp_path / "model.keras")
  layer = loaded.get_layer("MobileNetV2")
  assert layer.inference
  assert not loaded.trainable_variables
  np.testing.assert_array_equal(
    loaded(_faces(), training=True), ours(_faces(), training=False)
  )


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_weights_of_a_file(tmp_path, ending):
  path = tmp_path / f"mine{ending}"
  if ending == ".h5":
    _write_legacy(path, _plain("MobileNetV2"))
  else:
    _plain("MobileNetV2").save_weights(path)
  faces = keras.Input((_SIZE, _SIZE, 3))
  x = backbones.backbone("MobileNetV2", faces, str(path))
  layer = keras.Model(faces, x).get_layer("MobileNetV2")
  assert layer.inference
  for got, want in zip(
    layer.network.get_weights(),
    _plain("MobileNetV2").get_weights(),
    strict=True,
  ):
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["missing.h5", "folder", "weights.npz"])
def test_weights_that_are_no_file(tmp_path, name):
  (tmp_path / "folder").mkdir()
  (tmp_path / "weights.npz").write_bytes(b"")
  path = str(tmp_path / name)
  faces = keras.Input((_SIZE, _SIZE, 3))
  assert _message(backbones.backbone, "MobileNetV2", faces, path) == (
    f"--weights: no .h5 file {path!r}; allowed: none, imagenet or the path of "
    "a .weights.h5 or .h5 file"
  )


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize("content", ["nothing", "text", "half"])
@pytest.mark.usefixtures("tiny_mobilenet_v2")
def test_weights_that_are_no_hdf5(tmp_path, ending, content):
  path = tmp_path / f"bad{ending}"
  _write_legacy(
    path, keras.Sequential([keras.Input((4,)), keras.layers.Dense(999)])
  )
  whole = path.read_bytes()
  path.write_bytes(
    {"nothing": b"", "text": b"no weights", "half": whole[: len(whole) // 2]}[
      content
    ]
  )
  faces = keras.Input((_SIZE, _SIZE, 3))
  message = _message(backbones.backbone, "MobileNetV2", faces, str(path))
  assert message.startswith(f"--weights: {path} cannot be read as HDF5 (")
  assert message.endswith(
    "); bring it again, Keras' own is mobilenet_v2_weights_tf_dim_ordering_tf_"
    "kernels_1.0_224_no_top.h5"
  )


def _save(path, network):
  if path.name.endswith(".weights.h5"):
    network.save_weights(path)
  else:
    _write_legacy(path, network)


@pytest.mark.parametrize("kind", ["empty", "another", "wider", "renamed"])
@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.usefixtures("tiny_mobilenet_v2")
def test_weights_of_another_network(tmp_path, kind, ending):
  path = tmp_path / f"other{ending}"
  other = tmp_path / ("a.h5" if ending == ".weights.h5" else "a.weights.h5")
  if kind == "empty":
    h5py.File(path, "w").close()
  elif kind == "another":
    _save(path, keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
  elif kind == "wider":
    _save(path, _tiny(filters=5))
  else:
    _save(other, _tiny())
    other.rename(path)
  faces = keras.Input((_SIZE, _SIZE, 3))
  assert _message(backbones.backbone, "MobileNetV2", faces, str(path)) == (
    f"--weights: {path} does not hold the weights of MobileNetV2 without top, "
    "as Keras' own mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_"
    "top.h5 does; give that, or choose the --model it was saved from"
  )


def test_weights_of_another_real_network(tmp_path):
  path = tmp_path / "other.weights.h5"
  _plain("MobileNetV2").save_weights(path)
  faces = keras.Input((_SIZE, _SIZE, 3))
  message = _message(backbones.backbone, "MobileNetV3Large", faces, str(path))
  assert message.startswith(
    f"--weights: {path} does not hold the weights of MobileNetV3Large without"
  )


@pytest.mark.parametrize(
  "name",
  [
    # Builds for 3 to 9 s; the others take one or two.
    pytest.param(name, marks=pytest.mark.slow)
    if name == "InceptionResNetV2"
    else name
    for name in backbones.NETWORKS
  ],
)
def test_files_are_those_keras_asks_for(name, monkeypatch):
  asked = []

  class AskedError(Exception):
    pass

  def get_file(file, origin, cache_subdir, file_hash=None):
    asked.append((file, origin, cache_subdir, file_hash or ""))
    raise AskedError

  monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
  with pytest.raises(AskedError):
    getattr(keras.applications, name)(
      include_top=False, weights="imagenet", input_shape=(224, 224, 3)
    )
  network = backbones.NETWORKS[name]
  origin = (
    "https://storage.googleapis.com/tensorflow/keras-applications/"
    f"{network.path}"
  )
  assert asked == [(network.file, origin, "models", network.digest)]


@pytest.mark.parametrize("name", backbones.NETWORKS)
def test_smallest_size_is_that_of_keras(name):
  smallest = backbones.NETWORKS[name].min_size
  with pytest.raises(ValueError, match=rf"{smallest}x{smallest}"):
    getattr(keras.applications, name)(
      include_top=False, weights=None, input_shape=(smallest - 1,) * 2 + (3,)
    )


def test_imagenet_without_a_network(keras_home):
  before = socket.getdefaulttimeout()
  names = ["ResNet50V2", "ConvNeXtTiny"]
  assert _message(backbones.imagenet_files, names) == (
    "--weights: imagenet cannot be downloaded (URL fetch failure on "
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5: None -- Name or "
    "service not known); bring resnet50v2_weights_tf_dim_ordering_tf_kernels_"
    f"notop.h5, convnext_tiny_notop.h5 to {keras_home}/models, or use "
    "--weights=PATH or --weights=none"
  )
  assert socket.getdefaulttimeout() == before
  # Nothing half-written is taken for the file the next time.
  assert list((keras_home / "models").iterdir()) == []


def test_nothing_is_said_but_the_error(keras_home, monkeypatch, capsys):
  def connect(address):
    raise socket.gaierror(-2, "Name or service not known")

  monkeypatch.setattr(urllib.request, "getproxies", dict)
  monkeypatch.setattr(socket, "create_connection", connect)
  assert _message(backbones.imagenet_files, ["ResNet50V2"]).startswith(
    "--weights: imagenet cannot be downloaded ([Errno -2] Name or service not "
    "known); bring resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5 to "
  )
  assert capsys.readouterr() == ("", "")


def test_imagenet_is_used_where_it_lies(keras_home):
  path = keras_home / "models" / backbones.NETWORKS["MobileNetV2"].file
  _write_legacy(path, _plain("MobileNetV2"))
  assert backbones.imagenet_files(["MobileNetV2"]) == [path]
  faces = keras.Input((_SIZE, _SIZE, 3))
  x = backbones.backbone("MobileNetV2", faces, "imagenet")
  network = keras.Model(faces, x).get_layer("MobileNetV2").network
  np.testing.assert_array_equal(
    network.get_weights()[0], _plain("MobileNetV2").get_weights()[0]
  )


def test_imagenet_that_is_damaged_is_not_removed(keras_home):
  name = "EfficientNetV2B0"
  path = keras_home / "models" / backbones.NETWORKS[name].file
  path.write_bytes(b"damaged")
  assert _message(backbones.imagenet_files, [name]) == (
    f"--weights: {path} has the md5 {hashlib.md5(b'damaged').hexdigest()}, "
    "Keras' own has 893217f2bb855e2983157299931e43ff; bring it again, or pass "
    "it as --weights=PATH"
  )
  assert path.read_bytes() == b"damaged"


def test_imagenet_of_the_right_digest(keras_home, monkeypatch):
  digest = hashlib.sha256(b"whole").hexdigest()
  network = backbones.Network(path="f/whole.h5", digest=digest)
  monkeypatch.setattr(backbones, "NETWORKS", {"Mine": network})
  path = keras_home / "models" / "whole.h5"
  path.write_bytes(b"whole")
  assert backbones.imagenet_files(["Mine"]) == [path]


def test_imagenet_is_downloaded_to_the_cache(keras_home, monkeypatch):
  def retrieve(origin, target, progress):
    assert origin.endswith("/mobilenet_v2/" + path.name)
    pathlib.Path(target).write_bytes(b"downloaded")

  path = keras_home / "models" / backbones.NETWORKS["MobileNetV2"].file
  monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
  assert backbones.imagenet_files(["MobileNetV2"]) == [path]
  assert path.read_bytes() == b"downloaded"


def test_files_in_a_folder(tmp_path):
  names = ["VGG19", "ResNet50V2"]
  vgg19, resnet = (backbones.NETWORKS[name].file for name in names)
  (tmp_path / vgg19).write_bytes(b"")
  assert _message(backbones.files_in, str(tmp_path), names) == (
    f"--weights: no {resnet} in {str(tmp_path)!r}; allowed: none, imagenet or "
    "a folder with Keras' files of VGG19, ResNet50V2"
  )
  (tmp_path / resnet).write_bytes(b"")
  assert backbones.files_in(str(tmp_path), names) == [
    tmp_path / vgg19,
    tmp_path / resnet,
  ]


def test_scaling_stays_float32_in_low_precision():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    faces = keras.Input((4, 4, 3), dtype="float32")
    assert backbones.minus1_to_1(faces).dtype == "float32"
  finally:
    keras.config.set_dtype_policy(before)
  scaled = keras.Model(faces, backbones.minus1_to_1(faces))
  assert tf.reduce_max(tf.abs(scaled(tf.zeros((1, 4, 4, 3))) + 1)) == 0
