"""The detector's .tflite file, driven by NumPy, against `mtcnn.Detector`."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import interpreter
from PIL import Image

from tests import numpy_detector
from tests.tflite_lib_test import is_builtin, operators
from yourface_tfds import (
  mtcnn,
  mtcnn_graph,
  mtcnn_nets,
  mtcnn_weights,
  quiet,
  sample_drawing,
  tflite_detector,
)

UNIT = mtcnn.UNIT


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp("tflite") / tflite_detector.FILE_NAME
  tflite_detector.save(path)
  assert list(path.parent.iterdir()) == [path]
  return path


@pytest.fixture(scope="module")
def driver(path):
  with quiet.without_greeting():
    return numpy_detector.Detector(path)


@pytest.fixture(scope="module")
def detector():
  return mtcnn.Detector()


@pytest.fixture(scope="module")
def drawn():
  return [
    np.asarray(
      sample_drawing.draw_photo(sample_drawing.make_person(7, i), 7, i)
    )
    for i in range(8)
  ]


def resized(photo, width, height):
  return np.asarray(Image.fromarray(photo).resize((width, height)))


def side_by_side(*photos):
  return np.concatenate([resized(photo, 400, 500) for photo in photos], 1)


def photos(drawn):
  """Photos of many shapes with 0 to 3 faces."""
  yield from drawn
  yield side_by_side(*drawn[:2])
  yield side_by_side(*drawn[2:5])
  yield resized(drawn[5], 150, 180)  # Smaller than the detector's input.
  yield resized(drawn[6], 480, 480)
  yield np.concatenate([drawn[7]] * 2, 0)  # Twice the same, one above another.
  rng = np.random.default_rng(0)
  yield rng.integers(0, 256, (300, 700, 3), np.uint8)
  for shape in ((1, 1, 3), (3, 900, 3), (200, 90, 3)):
    yield np.full(shape, 128, np.uint8)


def test_it_finds_the_faces_of_our_detector(driver, detector, drawn):
  counts = []
  for photo in photos(drawn):
    image, size = mtcnn.fit_photo(
      tf.constant(photo), detector.settings.input_size
    )
    expected = detector.detect(image[tf.newaxis], size[tf.newaxis])
    faces, fitted = driver.detect(photo)
    assert fitted == tuple(size.numpy())
    assert len(faces) == len(expected.boxes)
    counts.append(len(faces))
    for i, face in enumerate(faces):
      # Coordinates are in steps of 1/16, scores of 1e-4: a step or two.
      np.testing.assert_allclose(face.box, expected.boxes[i], atol=1 / 8)
      np.testing.assert_allclose(
        face.landmarks, expected.landmarks[i], atol=1 / 8
      )
      assert face.score == pytest.approx(float(expected.scores[i]), abs=2e-4)
  assert min(counts[:8]) >= 1
  assert counts[8] >= 2
  assert counts[9] >= 3
  assert min(counts[10:12]) >= 1
  assert counts[12] >= 2
  assert counts[13:] == [0, 0, 0, 0]


def test_fitting_is_that_of_our_detector(driver, drawn):
  for photo in drawn[:3]:
    expected, _ = mtcnn.fit_photo(tf.constant(photo), 480)
    image, _ = numpy_detector.fit_photo(photo, driver.numbers)
    different = image != expected.numpy()
    assert np.abs(image - expected.numpy()).max() <= 1
    assert different.mean() < 1e-4


@pytest.mark.parametrize(
  "settings",
  [
    mtcnn.DetectorSettings(),
    mtcnn.DetectorSettings(input_size=300, min_face=20, factor=0.8),
    mtcnn.DetectorSettings(input_size=200, min_face=100),
  ],
)
def test_canvas_is_that_of_our_detector(settings):
  """For every shape that a padded photo can have."""
  numbers = tflite_detector.constants(settings)
  largest = settings.input_size + -settings.input_size % UNIT
  rng = np.random.default_rng(0)
  photo = rng.integers(0, 256, (largest, largest, 3)).astype(np.float32)
  sides = sorted({UNIT, 2 * UNIT, largest // 2 // UNIT * UNIT, largest})
  shapes = [(height, width) for height in sides for width in sides]
  for height, width in shapes:
    image = photo[:height, :width]
    expected = mtcnn_graph._canvas(image[np.newaxis], numbers["scales"])
    canvas, corners, filled, scales = numpy_detector.draw_pyramid(
      image, numbers
    )
    np.testing.assert_array_equal(corners, expected.corners)
    np.testing.assert_array_equal(filled, expected.sides)
    np.testing.assert_allclose(
      np.array(scales)[:, :2], expected.scales, rtol=1e-6
    )
    pixels = expected.pixels.numpy()[0]
    own_height, own_width = pixels.shape[:2]
    np.testing.assert_allclose(
      canvas[:own_height, :own_width], pixels, atol=1e-3
    )
    canvas[:own_height, :own_width] = mtcnn_nets.GRAY
    assert (canvas == mtcnn_nets.GRAY).all()
  # No larger than the largest photo needs.
  assert [own_height, own_width] == numbers["canvas"]


def test_nets_answer_as_ours(path):
  nets = mtcnn_weights.load_weights()
  rng = np.random.default_rng(1)
  with quiet.without_greeting():
    runtime = interpreter.Interpreter(str(path))
    pixels = rng.uniform(0, 255, (1, 192, 424, 3)).astype(np.float32)
    maps = runtime.get_signature_runner("propose")(pixels=pixels)["maps"]
    np.testing.assert_allclose(
      maps, mtcnn_nets.propose(pixels, nets[0]), atol=1e-3
    )
    for name, side, net in (
      ("refine", 24, nets[1]),
      ("landmarks", 48, nets[2]),
    ):
      crops = rng.integers(0, 256, (16, side, side, 3)).astype(np.uint8)
      runner = runtime.get_signature_runner(name)
      answers = runner(faces=crops.astype(np.float32))["answers"]
      whole = np.tile(np.array([[0, 0, side, side]], np.float32), (16, 1))
      expected = mtcnn_nets.judge(
        tf.constant(crops), tf.range(16), tf.constant(whole), side, net
      )
      np.testing.assert_allclose(answers, expected, atol=1e-3)
      assert np.ptp(answers, axis=0).min() > 0.01


def test_signatures(path):
  runtime = interpreter.Interpreter(str(path))
  found = {}
  for name in runtime.get_signature_list():
    runner = runtime.get_signature_runner(name)
    for details in (runner.get_input_details(), runner.get_output_details()):
      for key, tensor in details.items():
        assert tensor["dtype"] == np.float32
        found[name, key] = tensor["shape"].tolist()
  assert found == {
    ("propose", "pixels"): [1, 192, 424, 3],
    ("propose", "maps"): [1, 91, 207, 5],
    ("refine", "faces"): [16, 24, 24, 3],
    ("refine", "answers"): [16, 5],
    ("landmarks", "faces"): [16, 48, 48, 3],
    ("landmarks", "answers"): [16, 15],
  }


def test_builtin_operators_only(path):
  names = operators(path.read_bytes())
  assert {"CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED"} <= names
  assert all(map(is_builtin, names)), names


def test_constants_are_in_the_file(path):
  with zipfile.ZipFile(path) as archive:
    assert archive.namelist() == ["detector.json"]
    numbers = json.loads(archive.read("detector.json"))
  settings = mtcnn.DetectorSettings()
  assert numbers == json.loads(json.dumps(tflite_detector.constants(settings)))
  assert numbers["canvas"] == [192, 424]
  assert numbers["columns"] == [[[0]], [[1], [4, 5, 6]], [[2], [3], [7, 8]]]
  assert numbers["thresholds"] == list(settings.thresholds)


def test_other_settings_and_same_bytes(drawn, tmp_path):
  settings = mtcnn.DetectorSettings(
    input_size=200, min_face=60, thresholds=(0.7, 0.7, 0.7)
  )
  path = tmp_path / "small.tflite"
  contents = []
  for _ in range(2):
    tflite_detector.save(path, settings)
    contents.append(path.read_bytes())
  assert contents[0] == contents[1]
  with quiet.without_greeting():
    driver = numpy_detector.Detector(path)
    assert driver.numbers["canvas"] == [48, 106]
    faces, size = driver.detect(drawn[0])
  assert max(size) == 200
  image, size = mtcnn.fit_photo(tf.constant(drawn[0]), 200)
  expected = mtcnn.Detector(settings).detect(image[None], size[None])
  assert len(faces) == len(expected.boxes) >= 1
  for i, face in enumerate(faces):
    np.testing.assert_allclose(face.box, expected.boxes[i], atol=1 / 8)
