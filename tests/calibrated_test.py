import json

import keras
import numpy as np
import pytest

from yourface_tfds import (
  calibrated,
  calibration,
  cli,
  labels,
  models,
  train_settings,
)

SIZE = 64
TEMPERATURES = {"gender": 2.5, "face_type": 0.4}


def temperature(value):
  return calibration.Temperature(
    value=value,
    status="fitted",
    examples=9,
    log_loss_before=1.0,
    log_loss_after=0.5,
  )


@pytest.fixture
def run(tmp_path):
  """A workdir with a model, and its probabilities of some faces."""
  keras.utils.set_random_seed(0)
  settings = train_settings.TrainSettings(image_size=SIZE)
  model = models.build_model(settings.model_settings())
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(10.0 * kernel)
    model.get_layer(head).bias.assign_add(
      np.linspace(-1, 1, len(labels.HEADS[head].names))
    )
  model.save_weights(tmp_path / "best.weights.h5")
  (tmp_path / "settings.json").write_text(json.dumps(vars(settings)))
  faces = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3))
  faces = faces.astype(np.float32)
  said = model(faces, training=False)
  return tmp_path, faces, {head: np.asarray(said[head]) for head in said}


def test_probabilities_are_those_of_calibration(run):
  folder, faces, before = run
  calibrated.write(
    folder, {head: temperature(value) for head, value in TEMPERATURES.items()}
  )
  model, settings = calibrated.load_model(folder, SIZE)
  assert settings.image_size == SIZE
  after = model(faces, training=False)
  for head in labels.HEADS:
    expected = calibration.soften(before[head], TEMPERATURES.get(head, 1.0))
    np.testing.assert_allclose(after[head], expected, atol=1e-5)
  assert not np.allclose(after["gender"], before["gender"], atol=1e-3)
  np.testing.assert_array_equal(after["job"], before["job"])


def test_every_kind_of_model_has_such_heads():
  for name in ("small_cnn", "cnn_ensemble"):
    model = models.build_model(
      models.ModelSettings(model=name, image_size=SIZE)
    )
    for head in labels.HEADS:
      layer = model.get_layer(head)
      assert layer.activation is keras.activations.softmax
      # Nothing but the answer stands on them, or it would change too.
      assert not layer._outbound_nodes


def _change_temperatures(folder, head, key, value):
  calibrated.write(folder, {head: temperature(2.0)})
  path = folder / "temperatures.json"
  content = json.loads(path.read_text(encoding="utf-8"))
  content["heads"][head][key] = value
  path.write_text(json.dumps(content))


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (lambda f: None, "got no .*temperatures.json, without which the model is"),
    (
      lambda f: (f / "temperatures.json").write_text("{"),
      "got a file that training did not write, allowed: its temperatures",
    ),
    (
      lambda f: (f / "temperatures.json").write_text("[" * 100_000),
      "got a file that training did not write, allowed: its temperatures",
    ),
    (
      lambda f: _change_temperatures(f, "gender", "value", 0.0),
      "got a file that training did not write, allowed: its temperatures",
    ),
    (
      lambda f: (f / "temperatures.json").write_text(
        json.dumps({"weights_sha256": "0", "heads": {}})
      ),
      "got the temperatures of other weights, allowed: those of best.weights",
    ),
  ],
  ids=["none", "damaged", "deep", "zero", "stale"],
)
def test_without_its_temperatures_no_model(run, change, words):
  folder, _, _ = run
  change(folder)
  with pytest.raises(cli.UserError, match=words) as error:
    calibrated.load_model(folder)
  assert str(error.value).endswith(
    f"python -m training.evaluate --data_dir=D --workdir={folder} fits them"
  )
