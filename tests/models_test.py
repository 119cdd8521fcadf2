"""Tests of models: settings, what goes in and out, phases, precision."""

import os
import pathlib

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import differences
from yourface_tfds import (
  backbones,
  cli,
  labels,
  models,
  tflite_classifier,
  tflite_lib,
)

_WEIGHTS = pathlib.Path(
  os.environ.get(
    "YOURFACE_SHARED_WEIGHTS",
    pathlib.Path(__file__).parents[2] / "shared" / "weights",
  )
)
_HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def _settings(**changes):
  return models.ModelSettings(**{"image_size": 32, **changes})


def _faces(batch=4, size=32):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (batch, size, size, 3), np.uint8)


def _message(function, *args, **kwargs):
  with pytest.raises(cli.UserError) as caught:
    function(*args, **kwargs)
  return str(caught.value)


@pytest.fixture(scope="module")
def small_cnn():
  keras.utils.set_random_seed(0)
  return models.build_model(_settings())


@pytest.fixture
def imagenet():
  path = _WEIGHTS / "mobilenet_v2_imagenet.weights.h5"
  if not path.is_file():
    pytest.skip(f"no {path}; YOURFACE_SHARED_WEIGHTS names its folder")
  return str(path)


def test_names():
  assert models.model_names() == (
    "small_cnn",
    "MobileNetV2",
    "MobileNetV3Large",
    "EfficientNetV2B0",
    "ResNet50V2",
    "ConvNeXtTiny",
    "cnn_ensemble",
    "transfer_ensemble",
  )
  assert models.ModelSettings().model == "small_cnn"


def _slow_unless(*fast):
  """Every combination; building and running the slow ones takes 2 to 8 s."""
  return [
    pytest.param(
      name,
      policy,
      marks=[] if (name, policy) in fast else [pytest.mark.slow],
    )
    for name in models.model_names()
    # It needs 75 pixels; `ensembles_test` builds it.
    if name != "transfer_ensemble"
    for policy in ("float32", "mixed_bfloat16")
  ]


@pytest.mark.parametrize(
  ("name", "policy"),
  _slow_unless(
    ("small_cnn", "float32"),
    ("small_cnn", "mixed_bfloat16"),
    ("MobileNetV2", "mixed_bfloat16"),
    ("EfficientNetV2B0", "mixed_bfloat16"),
    ("cnn_ensemble", "float32"),
    ("cnn_ensemble", "mixed_bfloat16"),
  ),
)
def test_outputs(name, policy):
  before = keras.config.dtype_policy().name
  keras.utils.set_random_seed(0)
  model = models.build_model(_settings(model=name), policy)
  assert keras.config.dtype_policy().name == before
  assert model.name == name
  outputs = model(_faces(), training=False)
  assert list(outputs) == list(labels.HEADS)
  for head, vocabulary in labels.HEADS.items():
    assert outputs[head].dtype == tf.float32
    assert outputs[head].shape == (4, len(vocabulary.names))
    np.testing.assert_allclose(tf.reduce_sum(outputs[head], 1), 1, atol=1e-5)
  assert {variable.dtype for variable in model.weights} == {"float32"}
  # The computation is in the precision asked for.
  dtypes = {layer.compute_dtype for layer in model.layers}
  assert ("bfloat16" in dtypes) == (policy == "mixed_bfloat16")


def test_image_size_is_the_one_asked_for(small_cnn):
  assert small_cnn.input_shape == (None, 32, 32, 3)
  assert models.build_model(models.ModelSettings()).input_shape == (
    None,
    150,
    150,
    3,
  )


def test_small_cnn_is_small(small_cnn):
  assert 300_000 < small_cnn.count_params() < 500_000


def test_uint8_and_float_agree(small_cnn):
  faces = _faces()
  as_uint8 = small_cnn(faces, training=False)
  as_float = small_cnn(faces.astype(np.float32), training=False)
  for head in labels.HEADS:
    np.testing.assert_array_equal(as_uint8[head], as_float[head])


def test_pixels_are_scaled_inside(small_cnn):
  scale = small_cnn.get_layer("to_unit_range")
  np.testing.assert_allclose(
    scale(np.array([0.0, 127.5, 255.0])), [-1, 0, 1], atol=1e-6
  )


def test_inference_is_not_random_and_training_is(small_cnn):
  faces = _faces()
  first, again = (small_cnn(faces, training=False) for _ in range(2))
  for head in labels.HEADS:
    np.testing.assert_array_equal(first[head], again[head])
  dropped, other = (
    small_cnn(faces, training=True)["face_type"] for _ in range(2)
  )
  assert np.abs(dropped - other).max() > 1e-4


def test_inference_graph_has_no_random_operation(small_cnn):
  step = tf.function(lambda faces: small_cnn(faces, training=False))
  graph = step.get_concrete_function(
    tf.TensorSpec([None, 32, 32, 3], tf.uint8)
  ).graph
  assert [op.type for op in graph.get_operations() if "Random" in op.type] == []


def test_same_seed_same_weights():
  weights = []
  for seed in (0, 0, 1):
    keras.utils.set_random_seed(seed)
    weights.append(models.build_model(_settings()).get_weights()[0])
  np.testing.assert_array_equal(weights[0], weights[1])
  assert (weights[0] != weights[2]).any()


def test_unknown_model():
  assert _message(models.ModelSettings, model="resnet") == (
    "--model: got 'resnet', allowed: small_cnn, MobileNetV2, MobileNetV3Large, "
    "EfficientNetV2B0, ResNet50V2, ConvNeXtTiny, cnn_ensemble, "
    "transfer_ensemble"
  )


def test_unknown_policy():
  assert _message(models.build_model, _settings(), "bfloat16") == (
    "--policy: got 'bfloat16', allowed: float32, mixed_bfloat16, mixed_float16"
  )


@pytest.mark.skipif(_HAS_GPU, reason="float16 is for a GPU, and here is one")
def test_float16_without_gpu():
  before = keras.config.dtype_policy().name
  assert _message(models.build_model, _settings(), "mixed_float16") == (
    "--policy: got mixed_float16 without a GPU, where it is over 20 times "
    "slower than float32; use mixed_bfloat16 or float32"
  )
  assert keras.config.dtype_policy().name == before


def test_policy_is_restored_after_an_error():
  before = keras.config.dtype_policy().name
  settings = _settings(weights="imagenet")
  assert _message(models.build_model, settings, "mixed_bfloat16") == (
    "--weights: got 'imagenet', but small_cnn is trained from the start; leave "
    "it at none or choose --model=MobileNetV2"
  )
  assert keras.config.dtype_policy().name == before


def test_loaded_weights_stay_frozen(imagenet):
  keras.utils.set_random_seed(0)
  model = models.build_model(_settings(model="MobileNetV2", weights=imagenet))
  backbone = model.get_layer("MobileNetV2")
  assert not backbone.trainable
  # A kernel and a bias for each head.
  assert {v.path for v in model.trainable_variables} == {
    f"{head}/{part}" for head in labels.HEADS for part in ("kernel", "bias")
  }
  before = [variable.numpy() for variable in backbone.variables]
  kernel = model.get_layer("gender").kernel
  kernel_before = kernel.numpy()
  optimizer = keras.optimizers.SGD(0.1)
  with tf.GradientTape() as tape:
    outputs = model(_faces(), training=True)
    loss = -tf.reduce_mean(tf.math.log(outputs["gender"][:, 0]))
  optimizer.apply(
    [
      tf.zeros_like(v) if g is None else g
      for g, v in zip(
        tape.gradient(loss, model.trainable_variables),
        model.trainable_variables,
        strict=True,
      )
    ],
    model.trainable_variables,
  )
  for old, variable in zip(before, backbone.variables, strict=True):
    np.testing.assert_array_equal(old, variable.numpy())
  assert (kernel_before != kernel.numpy()).any()


def test_loaded_weights_are_those_of_the_file(imagenet):
  loaded, other = (
    models.build_model(_settings(model="MobileNetV2", weights=weights))
    for weights in (imagenet, "none")
  )
  expected = keras.applications.MobileNetV2(
    input_shape=(32, 32, 3), include_top=False, weights=imagenet, pooling="avg"
  )
  faces = _faces().astype(np.float32) / 127.5 - 1
  np.testing.assert_allclose(
    loaded.get_layer("MobileNetV2")(faces, training=True),
    expected(faces, training=False),
    atol=1e-5,
  )
  assert other.get_layer("MobileNetV2").trainable


def test_batch_norm_of_a_trained_backbone_moves():
  keras.utils.set_random_seed(0)
  model = models.build_model(_settings())
  norm = model.get_layer("norm0")
  before = norm.moving_mean.numpy()
  model(_faces(), training=True)
  assert (before != norm.moving_mean.numpy()).any()


def _tiny_network(include_top, weights, input_shape, pooling):
  """In place of MobileNetV2: with a nested network, BatchNorm and dropout."""
  assert (include_top, weights, pooling) == (False, None, "avg")
  faces = keras.Input(input_shape)
  x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(faces)
  x = keras.layers.BatchNormalization(name="norm")(x)
  inner = keras.Sequential(
    [
      keras.Input(x.shape[1:]),
      keras.layers.Conv2D(4, 3, use_bias=False, name="inner_conv"),
      keras.layers.BatchNormalization(name="inner_norm"),
      keras.layers.Dropout(0.5),
    ],
    name="inner",
  )
  x = keras.layers.GlobalAveragePooling2D()(inner(x))
  return keras.Model(faces, x)


@pytest.fixture
def tiny_weights(monkeypatch, tmp_path):
  """A small stand-in for MobileNetV2, and the path of its weights."""
  monkeypatch.setattr(keras.applications, "MobileNetV2", _tiny_network)
  keras.utils.set_random_seed(3)
  network = _tiny_network(False, None, (32, 32, 3), "avg")
  network.save_weights(tmp_path / "tiny.weights.h5")
  return str(tmp_path / "tiny.weights.h5")


_HEAD_VARIABLES = {
  f"{head}/{part}" for head in labels.HEADS for part in ("kernel", "bias")
}


def _trainable(model):
  return {variable.path for variable in model.trainable_variables}


def test_fine_tuning_switches(tiny_weights):
  model = models.build_model(
    _settings(model="MobileNetV2", weights=tiny_weights)
  )
  order = [variable.path for variable in model.variables]
  assert _trainable(model) == _HEAD_VARIABLES
  backbone = {"conv/kernel", "conv/bias", "inner/inner_conv/kernel"}
  for on in (True, True, False, False, True):
    models.set_fine_tuning(model, on=on)
    expected = _HEAD_VARIABLES | (backbone if on else set())
    assert _trainable(model) == expected
    assert [variable.path for variable in model.variables] == order


def test_fine_tuning_moves_the_backbone_and_not_its_statistics(tiny_weights):
  model = models.build_model(
    _settings(model="MobileNetV2", weights=tiny_weights)
  )

  def moved():
    before = {v.path: v.numpy() for v in model.weights}
    optimizer = keras.optimizers.SGD(0.1)
    variables = model.trainable_variables

    @tf.function
    def gradients():
      with tf.GradientTape() as tape:
        outputs = model(_faces(), training=True)
        loss = -tf.add_n(
          [tf.reduce_mean(tf.math.log(x[:, 0])) for x in outputs.values()]
        )
      return tape.gradient(loss, variables)

    optimizer.apply(gradients(), variables)
    return {
      v.path for v in model.weights if (before[v.path] != v.numpy()).any()
    }

  assert moved() == _HEAD_VARIABLES
  models.set_fine_tuning(model, on=True)
  assert moved() == _HEAD_VARIABLES | {
    "conv/kernel",
    "conv/bias",
    "inner/inner_conv/kernel",
  }
  models.set_fine_tuning(model, on=False)
  assert moved() == _HEAD_VARIABLES


def test_fine_tuning_of_the_real_one(imagenet):
  model = models.build_model(_settings(model="MobileNetV2", weights=imagenet))
  models.set_fine_tuning(model, on=True)
  network = model.get_layer("MobileNetV2").network
  norms = list(backbones.batch_norms(network))
  assert len(norms) == 52
  assert not any(norm.trainable_variables for norm in norms)
  # 52 convolutions without a bias, and the heads.
  assert len(model.trainable_variables) == 52 + 6


@pytest.mark.parametrize("name", ["small_cnn", "MobileNetV2", "cnn_ensemble"])
@pytest.mark.usefixtures("tiny_weights")
def test_fine_tuning_of_what_is_trained_from_the_start(name):
  settings = _settings(model=name)
  assert not models.can_fine_tune(settings)
  model = models.build_model(settings)
  before = _trainable(model)
  with pytest.raises(ValueError) as caught:
    models.set_fine_tuning(model, on=True)
  assert str(caught.value) == (
    f"{name} cannot be fine-tuned: got a model without a pretrained backbone, "
    "or an ensemble; ask can_fine_tune first"
  )
  assert _trainable(model) == before


def test_fine_tuning_of_the_frozen_ensemble(monkeypatch):
  for name in ("ResNet50V2", "VGG19", "InceptionResNetV2"):
    monkeypatch.setattr(keras.applications, name, _tiny_network)
  settings = models.ModelSettings(model="transfer_ensemble", weights="imagenet")
  assert not models.can_fine_tune(settings)
  model = models.build_model(models.ModelSettings(model="transfer_ensemble"))
  with pytest.raises(
    ValueError, match="transfer_ensemble cannot be fine-tuned"
  ):
    models.set_fine_tuning(model, on=True)
  assert not model.get_layer("VGG19").trainable_variables


def test_can_fine_tune():
  assert models.can_fine_tune(_settings(model="ResNet50V2", weights="imagenet"))
  assert not models.can_fine_tune(_settings(model="ResNet50V2"))


def test_check_start():
  for settings in (
    _settings(),
    _settings(model="cnn_ensemble"),
    models.ModelSettings(model="transfer_ensemble", weights="imagenet"),
  ):
    models.check_start(settings)
  settings = models.ModelSettings(model="transfer_ensemble")
  assert _message(models.check_start, settings) == (
    "--weights: got 'none', but the networks of transfer_ensemble stay frozen "
    "and would never learn; give imagenet or the path of a folder with Keras' "
    "three files"
  )


@pytest.mark.parametrize("tuned", [False, True])
def test_weights_load_into_a_model_built_without(tiny_weights, tuned, tmp_path):
  path = tmp_path / "best.weights.h5"
  saved = models.build_model(
    _settings(model="MobileNetV2", weights=tiny_weights)
  )
  if tuned:
    models.set_fine_tuning(saved, on=True)
  saved.save_weights(path)
  loaded = models.build_model(_settings(model="MobileNetV2"))
  loaded.load_weights(path)
  for head in labels.HEADS:
    np.testing.assert_array_equal(
      saved(_faces(), training=False)[head],
      loaded(_faces(), training=False)[head],
    )
  # Seed generators are numbered by the process.
  for one, other in zip(saved.variables, loaded.variables, strict=True):
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert one.path.rpartition("/")[2] == other.path.rpartition("/")[2]


def test_real_weights_load_into_a_model_built_without(imagenet, tmp_path):
  path = tmp_path / "best.weights.h5"
  saved = models.build_model(_settings(model="MobileNetV2", weights=imagenet))
  saved.save_weights(path)
  loaded = models.build_model(_settings(model="MobileNetV2"))
  other = loaded(_faces(), training=False)["face_type"]
  loaded.load_weights(path)
  expected = saved(_faces(), training=False)
  got = loaded(_faces(), training=False)
  for head in labels.HEADS:
    np.testing.assert_array_equal(got[head], expected[head])
  assert np.abs(other - got["face_type"]).max() > 1e-3


def test_grey_is_that_of_pillow():
  model = models.build_model(_settings(channels=1))
  assert model.get_layer("conv0").kernel.shape == (3, 3, 1, 24)
  grey = keras.Model(model.input, model.get_layer("grey").output)(_faces())
  assert grey.shape == (4, 32, 32, 1)
  for image, face in zip(grey, _faces(), strict=True):
    expected = np.asarray(PIL.Image.fromarray(face).convert("L"), np.float32)
    assert np.abs(image[..., 0] - expected).max() <= 1
  white = np.full((1, 32, 32, 3), 255, np.uint8)
  np.testing.assert_allclose(
    keras.Model(model.input, model.get_layer("grey").output)(white),
    255,
    atol=1e-3,
  )


def test_grey_looks_at_no_colour():
  model = models.build_model(_settings(channels=1))
  grey = np.asarray(PIL.Image.fromarray(_faces()[0]).convert("L"))
  # Green is 299/587 as bright as red of the same luma.
  red, green = np.zeros((2, 1, 32, 32, 3), np.float32)
  red[..., 0] = grey / 2
  green[..., 1] = grey / 2 * 0.299 / 0.587
  for head in labels.HEADS:
    np.testing.assert_allclose(
      model(red, training=False)[head],
      model(green, training=False)[head],
      atol=1e-5,
    )


@pytest.mark.parametrize("size", [24, 48])
def test_input_size(size):
  keras.utils.set_random_seed(0)
  resized = models.build_model(_settings(input_size=size))
  assert resized.input_shape == (None, 32, 32, 3)
  plain = models.build_model(_settings(image_size=size))
  plain.set_weights(resized.get_weights())
  faces = tf.image.resize(
    _faces(), (size, size), method="bilinear", antialias=False
  )
  for head in labels.HEADS:
    np.testing.assert_allclose(
      resized(_faces(), training=False)[head],
      plain(faces, training=False)[head],
      atol=1e-6,
    )


def test_input_size_of_the_images_adds_nothing():
  for settings in (_settings(), _settings(input_size=32)):
    names = [layer.name for layer in models.build_model(settings).layers]
    assert "resize" not in names
    assert "grey" not in names


@pytest.mark.parametrize("name", ["small_cnn", "cnn_ensemble"])
@pytest.mark.parametrize("channels", [1, 3])
def test_smallest_size(name, channels):
  smallest = {"small_cnn": 15, "cnn_ensemble": 14}[name]
  model = models.build_model(
    models.ModelSettings(model=name, image_size=smallest, channels=channels)
  )
  outputs = model(_faces(size=smallest), training=False)
  assert np.isfinite(outputs["face_type"]).all()


@pytest.mark.parametrize(
  ("name", "smallest"),
  [
    ("small_cnn", 15),
    ("MobileNetV2", 32),
    ("ConvNeXtTiny", 32),
    ("cnn_ensemble", 14),
    ("transfer_ensemble", 75),
  ],
)
def test_too_small(name, smallest):
  small = smallest - 1
  assert _message(models.ModelSettings, model=name, image_size=small) == (
    f"--model: {name} needs at least {smallest} pixels, the images have "
    f"{small}; give --input_size={smallest} or more, or choose another --model"
  )
  assert _message(models.ModelSettings, model=name, input_size=small) == (
    f"--input_size: got {small}, allowed for {name}: at least {smallest}, or 0 "
    "for the size of the images"
  )
  models.ModelSettings(model=name, image_size=small, input_size=smallest)


def test_negative_input_size():
  assert _message(models.ModelSettings, input_size=-1) == (
    "--input_size: got -1, allowed for small_cnn: at least 15, or 0 for the "
    "size of the images"
  )


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_wrong_channels(channels):
  assert _message(_settings, channels=channels) == (
    f"--channels: got {channels}, allowed: 3 (colour) or 1 (grey)"
  )


def test_grey_with_weights():
  changes = {"model": "MobileNetV2", "weights": "imagenet", "channels": 1}
  assert _message(_settings, **changes) == (
    "--channels: got 1 with --weights=imagenet, but those are for colours; "
    "leave it at 3 or use --weights=none"
  )


def test_grey_transfer_ensemble():
  changes = {"model": "transfer_ensemble", "channels": 1, "image_size": 150}
  assert _message(_settings, **changes) == (
    "--channels: got 1, but transfer_ensemble is pretrained on colours; leave "
    "it at 3 or choose --model=cnn_ensemble"
  )


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_wrong_dropout(dropout):
  assert _message(_settings, dropout=dropout) == (
    f"--dropout: got {dropout}, allowed: 0 to below 1"
  )


def _export(model, tmp_path, size=32):
  """Converts to TFLite by way of a SavedModel; raises where they differ."""
  path = tmp_path / "model.tflite"
  faces = _faces(2, size)
  tflite_lib.write(model, "float32", size, faces, "{}", path)
  classifier = tflite_classifier.Classifier(path)
  difference = differences.largest_difference(model, classifier, faces)
  assert difference <= 1e-4
  return difference


def test_tflite_of_grey_and_resized(tmp_path):
  settings = _settings(input_size=24, channels=1, model="cnn_ensemble")
  assert _export(models.build_model(settings), tmp_path) < 1e-5


def test_tflite_of_a_pretrained_backbone(tiny_weights, tmp_path):
  settings = _settings(model="MobileNetV2", weights=tiny_weights)
  assert _export(models.build_model(settings), tmp_path) < 1e-5


def test_tflite_of_the_frozen_ensemble(monkeypatch, tmp_path):
  # Its preprocessing, BGR with VGG19's means, is what could fail.
  for name in ("ResNet50V2", "VGG19", "InceptionResNetV2"):
    monkeypatch.setattr(keras.applications, name, _tiny_network)
  settings = _settings(model="transfer_ensemble", input_size=75)
  assert _export(models.build_model(settings), tmp_path) < 1e-5


@pytest.mark.slow  # 10 to 17 s each.
@pytest.mark.parametrize("name", models.model_names()[1:6])
def test_tflite_of_the_real_ones(name, tmp_path):
  assert _export(models.build_model(_settings(model=name)), tmp_path) < 1e-5
