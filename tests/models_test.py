"""Tests of models: what goes in and out, precision, frozen weights."""

import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import cli, labels, models

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


@pytest.mark.parametrize("name", models.BACKBONES)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
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
    "--model: got 'resnet', allowed: small_cnn, MobileNetV2"
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


def test_weights_that_are_not_there(tmp_path):
  path = str(tmp_path / "no.weights.h5")
  settings = _settings(model="MobileNetV2", weights=path)
  assert _message(models.build_model, settings) == (
    f"--weights: no file {path!r}; allowed: none, imagenet or the path of a "
    ".weights.h5 file"
  )


def test_weights_that_cannot_be_read(tmp_path):
  path = tmp_path / "bad.weights.h5"
  path.write_bytes(b"no weights")
  settings = _settings(model="MobileNetV2", weights=str(path))
  message = _message(models.build_model, settings)
  assert message.startswith(f"--weights: {path} cannot be loaded (")
  assert message.endswith(
    "); bring Keras's file mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_"
    "224_no_top.h5 and pass its path, or use --weights=none"
  )
  assert "\n" not in message


def test_loaded_weights_stay_frozen(imagenet):
  keras.utils.set_random_seed(0)
  model = models.build_model(_settings(model="MobileNetV2", weights=imagenet))
  backbone = model.get_layer("mobilenet_v2")
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
    loaded.get_layer("mobilenet_v2")(faces),
    expected(faces, training=False),
    atol=1e-5,
  )
  assert other.get_layer("mobilenet_v2").trainable


def test_batch_norm_of_a_trained_backbone_moves():
  keras.utils.set_random_seed(0)
  model = models.build_model(_settings())
  norm = model.get_layer("norm0")
  before = norm.moving_mean.numpy()
  model(_faces(), training=True)
  assert (before != norm.moving_mean.numpy()).any()
