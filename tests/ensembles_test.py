"""Tests of ensembles: the models of 2021, their wiring, their weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import backbones, cli, ensembles, labels, models

_SIZE = 75
_NAMES = list(ensembles.TRANSFER_BRANCHES)


def _faces(size, channels=3, batch=2):
  rng = np.random.default_rng(0)
  shape = (batch, size, size, channels)
  return rng.integers(0, 256, shape).astype(np.float32)


def _build(model, **kwargs):
  return models.build_model(models.ModelSettings(model=model, **kwargs))


def _message(function, *args, **kwargs):
  with pytest.raises(cli.UserError) as caught:
    function(*args, **kwargs)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.fixture(scope="module")
def transfer():
  """The real three networks, once: 5 s."""
  keras.utils.set_random_seed(0)
  return _build("transfer_ensemble", image_size=_SIZE)


@pytest.fixture
def tiny_networks(monkeypatch):
  """Three networks that are built in no time, in place of the real ones."""

  def tiny(filters):
    def build(include_top, weights, input_shape, pooling):
      assert (include_top, weights, pooling) == (False, None, "avg")
      faces = keras.Input(input_shape)
      x = keras.layers.Conv2D(filters, 3, strides=4)(faces)
      x = keras.layers.BatchNormalization()(x)
      return keras.Model(faces, keras.layers.GlobalAveragePooling2D()(x))

    return build

  for filters, name in enumerate(_NAMES, 2):
    monkeypatch.setattr(keras.applications, name, tiny(filters))


@pytest.mark.parametrize(
  ("size", "channels", "parameters"),
  [(100, 1, 8_165_683), (100, 3, 8_166_451), (150, 1, 18_997_555)],
)
def test_cnn_has_the_parameters_of_2021(size, channels, parameters):
  three = ensembles.cnn_with_three_inputs(size, channels)
  assert three.count_params() == parameters
  shared = _build("cnn_ensemble", image_size=size, channels=channels)
  assert shared.count_params() == parameters
  assert [v.path for v in shared.variables] == [v.path for v in three.variables]


def test_cnn_takes_three_inputs_in_the_order_of_the_labels():
  three = ensembles.cnn_with_three_inputs(20, 3)
  assert [x.name for x in three.inputs] == [
    "gender_faces",
    "job_faces",
    "face_type_faces",
  ]
  assert [x.shape for x in three.inputs] == [(None, 20, 20, 3)] * 3
  # Each input goes to its own branch: 'valid' convolutions of the first two
  # leave (20 - 2) / 2 - 4 over 2 = 2 pixels, 'same' of the third 5.
  for number, pixels in ((1, 2), (2, 2), (3, 5)):
    flat = three.get_layer(f"branch{number}_flat")
    assert flat.output.shape == (None, pixels * pixels * 64)
    branch = keras.Model(three.inputs, flat.output)
    first = branch([_faces(20)] * 3)
    for i in range(3):
      inputs = [_faces(20)] * 3
      inputs[i] = inputs[i] * 0.5
      changed = np.abs(branch(inputs) - first).max() > 0
      assert changed == (i == number - 1)


def test_cnn_with_one_photo_thrice_is_the_shared_one():
  keras.utils.set_random_seed(0)
  three = ensembles.cnn_with_three_inputs(40, 3)
  shared = _build("cnn_ensemble", image_size=40)
  shared.set_weights(three.get_weights())
  faces = _faces(40)
  expected = three([faces] * 3, training=False)
  got = shared(faces, training=False)
  assert list(got) == list(expected) == list(labels.HEADS)
  for head in labels.HEADS:
    np.testing.assert_allclose(got[head], expected[head], atol=1e-6)
  other = three([faces, faces, 255 - faces], training=False)
  assert np.abs(other["face_type"] - got["face_type"]).max() > 1e-4


def test_cnn_scales_by_255():
  shared = _build("cnn_ensemble", image_size=20)
  pixels = keras.Model(shared.input, shared.get_layer("to_0_1").output)
  np.testing.assert_allclose(pixels(_faces(20)), _faces(20) / 255, atol=1e-6)


def test_cnn_activations_are_those_of_2021():
  shared = _build("cnn_ensemble", image_size=20)
  activations = {
    layer.name: (layer.units, layer.activation.__name__)
    for layer in shared.layers
    if isinstance(layer, keras.layers.Dense)
  }
  assert activations == {
    "branch1_dense": (64, "relu"),
    "branch2_dense": (64, "relu"),
    "branch3_dense": (100, "relu"),
    "merged": (64, "linear"),
    "gender_dense": (32, "relu"),
    "job_dense": (32, "relu"),
    "face_type_dense": (32, "relu"),
    "gender": (2, "softmax"),
    "job": (2, "softmax"),
    "face_type": (11, "softmax"),
  }


def test_cnn_at_the_size_of_the_dataset():
  shared = _build("cnn_ensemble", image_size=150)
  outputs = shared(_faces(150, batch=1), training=False)
  assert outputs["face_type"].shape == (1, 11)


@pytest.mark.parametrize("weights", ["imagenet", "mine.weights.h5"])
def test_cnn_has_no_weights_to_load(weights):
  settings = models.ModelSettings(model="cnn_ensemble", weights=weights)
  assert _message(models.build_model, settings) == (
    f"--weights: got {weights!r}, but cnn_ensemble is trained from the start; "
    "leave it at none or choose --model=transfer_ensemble"
  )


@pytest.mark.slow
def test_transfer_has_the_layers_of_2021(transfer):
  branches = {name: transfer.get_layer(name).count_params() for name in _NAMES}
  assert branches == {
    "ResNet50V2": 23_564_800,
    "VGG19": 20_024_384,
    "InceptionResNetV2": 54_336_736,
  }
  made_by = {id(layer.output): layer.name for layer in transfer.layers}
  dense = {
    layer.name: (
      layer.input.shape[-1],
      layer.units,
      layer.activation.__name__,
      made_by[id(layer.input)],
    )
    for layer in transfer.layers
    if isinstance(layer, keras.layers.Dense)
  }
  assert dense == {
    "ResNet50V2_dense": (2048, 64, "relu", "ResNet50V2"),
    "VGG19_dense": (512, 64, "relu", "VGG19"),
    "InceptionResNetV2_dense": (1536, 256, "relu", "InceptionResNetV2"),
    "merged": (384, 256, "linear", "merge"),
    "first_dense": (256, 64, "relu", "merged"),
    "gender": (64, 2, "softmax", "first_dense"),
    "after_first": (256, 32, "relu", "merged"),
    "second_dense": (32, 128, "relu", "after_first"),
    "job": (128, 2, "softmax", "second_dense"),
    "after_second": (32, 64, "relu", "after_first"),
    "others_dense0": (64, 64, "relu", "after_second"),
    "others_dense1": (64, 32, "relu", "others_dense0"),
    "face_type": (32, 11, "softmax", "others_dense1"),
  }
  expected = sum((n_in + 1) * n_out for n_in, n_out, *_ in dense.values())
  assert expected == 693_999
  trained = sum(np.prod(v.shape) for v in transfer.trainable_variables)
  assert trained == expected
  assert transfer.count_params() == sum(branches.values()) + expected


@pytest.mark.slow
def test_transfer_preprocesses_for_each_network(transfer):
  faces = _faces(_SIZE)
  for name, module in (
    ("ResNet50V2", keras.applications.resnet_v2),
    ("VGG19", keras.applications.vgg19),
    ("InceptionResNetV2", keras.applications.inception_resnet_v2),
  ):
    layer = transfer.get_layer(name)
    got = keras.Model(transfer.input, layer.input)(faces)
    # It may change its argument.
    expected = module.preprocess_input(faces.copy())
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.slow
def test_transfer_answers_and_keeps_its_statistics(transfer):
  before = [v.numpy() for v in transfer.non_trainable_variables]
  outputs = transfer(_faces(_SIZE).astype(np.uint8), training=True)
  assert list(outputs) == list(labels.HEADS)
  for head, vocabulary in labels.HEADS.items():
    assert outputs[head].dtype == tf.float32
    assert outputs[head].shape == (2, len(vocabulary.names))
    np.testing.assert_allclose(tf.reduce_sum(outputs[head], 1), 1, atol=1e-5)
  for old, variable in zip(
    before, transfer.non_trainable_variables, strict=True
  ):
    np.testing.assert_array_equal(old, variable.numpy())


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_networks")
def test_transfer_in_low_precision():
  model = models.build_model(
    models.ModelSettings(model="transfer_ensemble"), "mixed_bfloat16"
  )
  assert model.get_layer("VGG19").network.compute_dtype == "bfloat16"
  outputs = model(_faces(150), training=False)
  assert {output.dtype for output in outputs.values()} == {tf.float32}


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_networks")
def test_transfer_weights_of_a_folder(tmp_path, monkeypatch):
  sources = []
  for name in _NAMES:
    # The ending of these files is that of Keras 2, which Keras 3 cannot write.
    network = backbones.Network(path=f"x/{name}.weights.h5")
    monkeypatch.setitem(backbones.NETWORKS, name, network)
    source = getattr(keras.applications, name)(
      include_top=False, weights=None, input_shape=(75, 75, 3), pooling="avg"
    )
    source.save_weights(tmp_path / network.file)
    sources.append(source)
  model = _build("transfer_ensemble", weights=str(tmp_path))
  for name, source in zip(_NAMES, sources, strict=True):
    assert not model.get_layer(name).trainable
    for got, want in zip(
      model.get_layer(name).network.get_weights(),
      source.get_weights(),
      strict=True,
    ):
      np.testing.assert_array_equal(got, want)


def test_transfer_weights_that_are_not_there(tmp_path):
  folder = str(tmp_path / "weights")
  settings = models.ModelSettings(model="transfer_ensemble", weights=folder)
  kernels = "weights_tf_dim_ordering_tf_kernels_notop.h5"
  assert _message(models.build_model, settings) == (
    f"--weights: no resnet50v2_{kernels}, vgg19_{kernels}, "
    f"inception_resnet_v2_{kernels} in {folder!r}; allowed: none, imagenet or "
    "a folder with Keras' files of ResNet50V2, VGG19, InceptionResNetV2"
  )


@pytest.mark.usefixtures("tiny_networks")
def test_transfer_weights_that_are_of_another_network(tmp_path):
  for name in _NAMES:
    (tmp_path / backbones.NETWORKS[name].file).write_bytes(b"nothing")
  settings = models.ModelSettings(
    model="transfer_ensemble", weights=str(tmp_path)
  )
  path = tmp_path / backbones.NETWORKS["ResNet50V2"].file
  assert _message(models.build_model, settings).startswith(
    f"--weights: {path} cannot be read as HDF5 ("
  )


@pytest.mark.usefixtures("tiny_networks")
def test_other_labels(monkeypatch):
  heads = {
    name: labels.Head(names=tuple("abc"[:n]), korean=tuple("가나다"[:n]))
    for name, n in (("hat", 2), ("age", 3), ("mood", 2), ("hair", 3))
  }
  monkeypatch.setattr(labels, "HEADS", heads)
  for name in ensembles.ENSEMBLES:
    model = _build(name, image_size=_SIZE)
    outputs = model(_faces(_SIZE), training=False)
    assert {head: x.shape[1] for head, x in outputs.items()} == {
      "hat": 2,
      "age": 3,
      "mood": 2,
      "hair": 3,
    }


@pytest.mark.usefixtures("tiny_networks")
@pytest.mark.parametrize("name", ensembles.ENSEMBLES)
def test_weights_round_trip(name, tmp_path):
  settings = {"image_size": _SIZE}
  keras.utils.set_random_seed(0)
  saved = _build(name, **settings)
  saved.save_weights(tmp_path / "best.weights.h5")
  loaded = _build(name, **settings)
  faces = _faces(_SIZE)
  before = loaded(faces, training=False)["face_type"]
  loaded.load_weights(tmp_path / "best.weights.h5")
  for head in labels.HEADS:
    np.testing.assert_array_equal(
      saved(faces, training=False)[head], loaded(faces, training=False)[head]
    )
  assert np.abs(before - loaded(faces, training=False)["face_type"]).max() > 0
