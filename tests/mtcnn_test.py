"""Tests of mtcnn and mtcnn_graph: against the package, and by themselves."""

import os
import pathlib
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from yourface_tfds import mtcnn

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PHOTOS = (
  pathlib.Path(
    os.environ.get("YOURFACE_SHARED_DATA", _ROOT.parent / "shared" / "data")
  )
  / "webphotos"
  / "photos"
)
_LONG_SIDE = 1280  # The package takes a second for a photo above.


@pytest.fixture(scope="module")
def detector():
  return mtcnn.Detector()


@pytest.fixture(scope="module")
def package():
  return pytest.importorskip("mtcnn").MTCNN()


@pytest.fixture(scope="module")
def drawn():
  drawing = pytest.importorskip("yourface_tfds.sample_drawing")
  photos = []
  for index in range(8):
    person = drawing.make_person(1, index)
    photos.append(np.asarray(drawing.draw_photo(person, 1, index)))
  return photos


def _web_photos(count):
  paths = sorted(_PHOTOS.glob("*/*.jpg"))
  if not paths:
    pytest.skip(f"no photos in {_PHOTOS}; set YOURFACE_SHARED_DATA")
  random.Random(1).shuffle(paths)
  photos = []
  for path in paths[:count]:
    with Image.open(path) as image:
      image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.BOX)
    photos.append(np.asarray(image))
  return photos


def _detect(detector, photos):
  fitted = [
    mtcnn.fit_photo(photo, detector.settings.input_size) for photo in photos
  ]
  images, sizes = zip(*fitted, strict=True)
  return detector.detect(tf.stack(images), tf.stack(sizes)), np.stack(sizes)


def _of_photo(faces, row):
  return [values.numpy()[faces.photo.numpy() == row] for values in faces[1:]]


def _overlap(box, boxes):
  shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
  shared = np.prod(np.maximum(shared, 0), -1)
  areas = np.prod(boxes[:, 2:] - boxes[:, :2], -1)
  return shared / (np.prod(box[2:] - box[:2]) + areas - shared)


def _agreement(detector, package, photos):
  """Overlap, landmark error (share of the face) for the package's main face."""
  overlaps, errors = [], []
  faces, sizes = _detect(detector, photos)
  for row, photo in enumerate(photos):
    # One photo at a time: the package mixes up the offsets of a list.
    theirs = package.detect_faces(photo, output_type="numpy", box_format="xyxy")
    theirs = theirs[theirs[:, 5] > 0.9]
    if not len(theirs):
      continue
    areas = (theirs[:, 3] - theirs[:, 1]) * (theirs[:, 4] - theirs[:, 2])
    main = theirs[areas.argmax()]
    boxes, _, landmarks = _of_photo(faces, row)
    scale = np.array(photo.shape[:2]) / sizes[row]
    overlap = _overlap(main[[2, 1, 4, 3]], boxes * np.tile(scale, 2))
    overlaps.append(overlap.max(initial=0))
    if overlaps[-1] > 0.5:
      points = np.stack([main[11:16], main[6:11]], -1)
      points = landmarks[overlap.argmax()] * scale - 0.5 - points
      errors.append(np.hypot(*points.T).mean() / areas.max() ** 0.5)
  return np.array(overlaps), np.array(errors)


def test_agrees_with_the_package_on_photos_from_the_web(detector, package):
  photos = _web_photos(40)
  overlaps, errors = _agreement(detector, package, photos)
  assert len(overlaps) > 0.9 * len(photos)
  # One photo is 2.5 %. Cropped by 3 px, the package agrees with itself on
  # 99 % and 98 % of 365 photos, this graph with it on 99 % and 98 %.
  assert (overlaps >= 0.7).mean() >= 0.97
  assert (overlaps >= 0.8).mean() >= 0.95
  assert np.median(errors) < 0.025


def test_agrees_with_the_package_on_drawn_people(detector, package, drawn):
  overlaps, errors = _agreement(detector, package, drawn)
  assert len(overlaps) >= len(drawn) - 1
  assert (overlaps >= 0.7).all()
  assert np.median(errors) < 0.04


def test_finds_drawn_people(detector, drawn):
  faces, sizes = _detect(detector, drawn)
  main = mtcnn.main_faces(faces, len(drawn))
  assert main.found.numpy().sum() >= len(drawn) - 1
  found = main.found.numpy()
  boxes, points = main.boxes.numpy()[found], main.landmarks.numpy()[found]
  assert (boxes[:, :2] >= 0).all()
  assert (boxes[:, 2:] <= sizes[found]).all()
  left_eye, right_eye, nose, mouth_left, mouth_right = points.swapaxes(0, 1)
  assert (left_eye[:, 1] < right_eye[:, 1]).all()
  assert (mouth_left[:, 1] < mouth_right[:, 1]).all()
  assert (left_eye[:, 0] < nose[:, 0]).all()
  assert (nose[:, 0] < mouth_left[:, 0]).all()


def test_coordinates_and_scores_are_rounded(detector, drawn):
  faces, _ = _detect(detector, drawn[:2])
  for values in (faces.boxes.numpy(), faces.landmarks.numpy()):
    np.testing.assert_array_equal(values * 16, np.round(values * 16))
  scores = faces.scores.numpy()
  np.testing.assert_allclose(scores, np.round(scores, 4), atol=1e-7)


def test_same_faces_whatever_is_in_the_batch(detector, drawn):
  together, _ = _detect(detector, drawn[:4])
  for row in range(4):
    alone, _ = _detect(detector, drawn[row : row + 1])
    for one, other in zip(
      _of_photo(alone, 0), _of_photo(together, row), strict=True
    ):
      # The last bits may fall on either side of a rounding edge.
      np.testing.assert_allclose(one, other, atol=1 / 16)


def test_no_retracing_for_other_batches(detector, drawn):
  for count in (1, 3, 2):
    _detect(detector, drawn[:count])
  assert detector.detect.experimental_get_tracing_count() == 1


def test_nothing_in_black_and_in_noise(detector):
  # No candidate at all, and candidates that none of the nets believes.
  noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
  photos = [np.zeros((480, 640, 3), np.uint8), noise]
  for batch in (photos[:1], photos[1:], photos):
    faces, _ = _detect(detector, batch)
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    main = mtcnn.main_faces(faces, len(batch))
    assert not main.found.numpy().any()
    np.testing.assert_array_equal(main.boxes, np.zeros((len(batch), 4)))
    np.testing.assert_array_equal(main.count, np.zeros(len(batch)))
    np.testing.assert_array_equal(main.area_ratio, np.zeros(len(batch)))


def test_a_photo_without_a_face_between_two_with(detector, drawn):
  black = np.zeros((100, 900, 3), np.uint8)
  faces, _ = _detect(detector, [drawn[0], black, drawn[1]])
  assert 1 not in faces.photo.numpy()
  assert (np.diff(faces.photo.numpy()) >= 0).all()
  main = mtcnn.main_faces(faces, 3)
  np.testing.assert_array_equal(main.found, [True, False, True])


def test_nothing_is_found_in_the_padding(detector, drawn):
  # The face lies in the square, but the photo is said to end before it.
  image, size = mtcnn.fit_photo(drawn[0], detector.settings.input_size)
  faces = detector.detect(image[tf.newaxis], size[tf.newaxis])
  assert faces.boxes.shape[0] >= 1
  top = int(faces.boxes.numpy()[:, 0].min())
  cut = np.array([[max(top - 20, 1), size.numpy()[1]]], np.int32)
  faces = detector.detect(image[tf.newaxis], cut)
  # A few pixels of forehead may still count; nothing reaches below the cut.
  assert (faces.boxes.numpy()[:, 2] <= cut[0, 0]).all()
  assert not mtcnn.main_faces(faces, 1).count.numpy().any()


def test_tiny_photos(detector):
  for shape in ((1, 1, 3), (2, 700, 3), (11, 13, 3)):
    faces, sizes = _detect(detector, [np.full(shape, 200, np.uint8)])
    assert (sizes >= 1).all()
    assert faces.boxes.shape == (0, 4)


def test_same_faces_in_tf_data(detector, drawn):
  size = detector.settings.input_size
  photos = tf.data.Dataset.from_generator(
    lambda: iter(drawn[:3]),
    output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
  )
  dataset = photos.map(lambda photo: mtcnn.fit_photo(photo, size)).batch(3)

  def detect(images, sizes):
    faces = detector.detect(images, sizes)
    return faces, mtcnn.main_faces(faces, tf.shape(images)[0])

  faces, main = next(iter(dataset.map(detect)))
  eager, _ = _detect(detector, drawn[:3])
  for one, other in zip(faces, eager, strict=True):
    np.testing.assert_allclose(one, other, atol=1 / 16)
  eager_main = mtcnn.main_faces(eager, 3)
  np.testing.assert_array_equal(main.found, eager_main.found)
  np.testing.assert_allclose(main.boxes, eager_main.boxes, atol=1 / 16)


def test_same_faces_in_a_saved_model(detector, drawn, tmp_path):
  module = tf.Module()
  module.detector = detector

  @tf.function(input_signature=detector.detect.input_signature)
  def serve(images, sizes):
    faces = detector.detect(images, sizes)
    return mtcnn.main_faces(faces, tf.shape(images)[0])._asdict()

  tf.saved_model.save(module, str(tmp_path / "model"), signatures=serve)
  loaded = tf.saved_model.load(str(tmp_path / "model"))
  images, sizes = zip(
    *(mtcnn.fit_photo(p, detector.settings.input_size) for p in drawn[:2]),
    strict=True,
  )
  images, sizes = tf.stack(images), tf.stack(sizes)
  got = loaded.signatures["serving_default"](images=images, sizes=sizes)  # pyright: ignore
  expected = mtcnn.main_faces(detector.detect(images, sizes), 2)
  np.testing.assert_allclose(got["boxes"], expected.boxes, atol=1 / 16)
  np.testing.assert_array_equal(got["count"], expected.count)


@pytest.mark.parametrize(
  ("shape", "fitted"),
  [
    ((100, 50), (100, 50)),  # Never enlarged.
    ((512, 512), (512, 512)),
    ((1024, 512), (512, 256)),
    ((1000, 334), (512, 171)),  # 171.008
    ((3, 2000), (1, 512)),
    ((1, 5000), (1, 512)),
  ],
)
def test_fit_photo(shape, fitted):
  photo = np.full((*shape, 3), 7, np.uint8)
  in_data = tf.data.Dataset.from_tensors(photo).map(
    lambda photo: mtcnn.fit_photo(photo, 512)
  )
  for image, size in (mtcnn.fit_photo(photo, 512), next(iter(in_data))):
    np.testing.assert_array_equal(size, fitted)
    assert image.shape == (512, 512, 3)
    assert image.dtype == tf.uint8
    height, width = fitted
    expected = np.zeros((512, 512, 3), np.uint8)
    expected[:height, :width] = 7
    np.testing.assert_array_equal(image, expected)


def test_fit_photo_averages_areas():
  photo = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
  image, _ = mtcnn.fit_photo(photo, 32)
  means = photo.reshape(16, 4, 32, 4, 3).mean((1, 3))
  np.testing.assert_allclose(image.numpy()[:16], means, atol=0.501)


def _faces(*rows):
  """Faces from (photo, side, score); the box is a square at (10, 20)."""
  return mtcnn.Faces(
    photo=tf.constant([row[0] for row in rows], tf.int32),
    boxes=tf.constant(
      [[10, 20, 10 + side, 20 + side] for _, side, _ in rows],
      tf.float32,
      shape=[len(rows), 4],
    ),
    scores=tf.constant([row[2] for row in rows], tf.float32),
    landmarks=tf.stack([tf.fill([5, 2], float(row[1])) for row in rows]),
  )


def test_main_face_is_the_largest_that_scores():
  faces = _faces(
    (0, 40, 0.95), (0, 80, 0.99), (0, 90, 0.89), (2, 50, 0.5), (3, 30, 0.9)
  )
  for pick in (mtcnn.main_faces, tf.function(mtcnn.main_faces)):
    main = pick(faces, 4)
    np.testing.assert_array_equal(main.found, [True, False, False, True])
    np.testing.assert_array_equal(main.count, [2, 0, 0, 1])
    assert main.count.dtype == tf.int64
    np.testing.assert_allclose(main.area_ratio, [0.25, 0, 0, 0])
    np.testing.assert_allclose(main.scores, [0.99, 0, 0, 0.9])
    np.testing.assert_array_equal(main.boxes[0], [10, 20, 90, 100])
    np.testing.assert_array_equal(main.boxes[1], [0, 0, 0, 0])
    np.testing.assert_array_equal(main.landmarks[0], np.full((5, 2), 80))
    np.testing.assert_array_equal(main.landmarks[2], np.zeros((5, 2)))


def test_min_score_is_a_policy():
  faces = _faces((0, 90, 0.6), (0, 80, 0.99))
  assert mtcnn.main_faces(faces, 1).boxes.numpy()[0, 2] == 90
  main = mtcnn.main_faces(faces, 1, min_score=0.5)
  assert main.boxes.numpy()[0, 2] == 100
  np.testing.assert_allclose(main.area_ratio, [(80 / 90) ** 2], rtol=1e-6)


def test_equal_faces_go_by_their_order():
  faces = _faces((0, 80, 0.99), (0, 80, 0.95))
  main = mtcnn.main_faces(faces, 1)
  np.testing.assert_allclose(main.scores, [0.99])
  np.testing.assert_allclose(main.area_ratio, [1])


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"min_face": 8}, "Got min_face 8 and input_size 512; allowed: 12 <="),
    ({"min_face": 600}, "Got min_face 600 and input_size 512"),
    ({"thresholds": (0.5,)}, "Got 1 thresholds and 4 overlaps"),
    ({"thresholds": (0.5, 0.6, 1.0)}, "each must be above 0 and below 1"),
    ({"factor": 1.0}, "factor 1.0; each must be above 0 and below 1"),
  ],
)
def test_settings_out_of_range(settings, message):
  with pytest.raises(ValueError, match=message):
    mtcnn.DetectorSettings(**settings)


def test_pyramid_ends_at_the_window_of_the_first_net():
  settings = mtcnn.DetectorSettings(input_size=480, min_face=20)
  assert settings.level_sides()[0] == 288
  assert min(settings.level_sides()) >= 12
  assert mtcnn.DetectorSettings(input_size=64, min_face=64).level_sides() == [
    12
  ]


@pytest.fixture
def folder(tmp_path):
  """A copy of the weights that a test may break."""
  return pathlib.Path(shutil.copytree(mtcnn.weights_folder(), tmp_path / "w"))


def test_weights_are_those_of_the_package(folder):
  nets = mtcnn.load_weights(folder)
  assert [len(net) for net in nets] == [13, 16, 21]


def test_tampered_weights_are_refused(folder):
  path = folder / "rnet.lz4"
  path.write_bytes(path.read_bytes() + b"\0")
  with pytest.raises(ValueError, match="Got sha256") as error:
    mtcnn.load_weights(folder)
  message = str(error.value)
  assert str(path) in message
  assert f"expected {mtcnn.WEIGHTS_SHA256['rnet']}" in message
  assert message.endswith(": pip install --force-reinstall mtcnn==1.0.0")


def test_missing_weights(folder, monkeypatch):
  (folder / "onet.lz4").unlink()
  with pytest.raises(FileNotFoundError, match=r"Got no file .*onet\.lz4"):
    mtcnn.load_weights(folder)

  def missing(name):
    raise mtcnn.importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(mtcnn.importlib.metadata, "distribution", missing)
  with pytest.raises(FileNotFoundError, match=r"pip install mtcnn==1\.0\.0"):
    mtcnn.load_weights()


def test_files_in_the_working_directory_are_not_touched(tmp_path, monkeypatch):
  # The package itself would unpickle ./pnet.lz4, and a module search would
  # take ./mtcnn.py.
  for net in mtcnn.WEIGHTS_SHA256:
    (tmp_path / f"{net}.lz4").write_bytes(b"not weights")
  (tmp_path / "mtcnn.py").write_text("raise SystemExit('executed')\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  assert len(mtcnn.load_weights()) == 3
