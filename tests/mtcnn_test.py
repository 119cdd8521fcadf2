"""Tests of mtcnn and mtcnn_graph: against the package, and by themselves."""

import os
import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from yourface_tfds import mtcnn, mtcnn_nets, sample_drawing

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
  return [
    np.asarray(
      sample_drawing.draw_photo(sample_drawing.make_person(1, index), 1, index)
    )
    for index in range(8)
  ]


@pytest.fixture(scope="module")
def alike(drawn):
  """Eleven photos of one padded shape, but of sizes of their own.

  Eight drawn people, then gray, black and noise, which show no face.
  """
  rng = np.random.default_rng(2)
  photos = []
  for photo in drawn:
    height, width = int(rng.integers(337, 385)), int(rng.integers(433, 481))
    photos.append(np.asarray(Image.fromarray(photo).resize((width, height))))
  photos.append(np.full((384, 480, 3), round(mtcnn_nets.GRAY), np.uint8))
  photos.append(np.zeros((350, 440, 3), np.uint8))
  photos.append(rng.integers(0, 256, (340, 470, 3), np.uint8))
  return photos


def _web_photos(count=None, long_side=None):
  """Yields photos from the web in random order, all of them at full size."""
  paths = sorted(_PHOTOS.glob("*/*.jpg"))
  if not paths:
    pytest.skip(f"no photos in {_PHOTOS}; set YOURFACE_SHARED_DATA")
  random.Random(1).shuffle(paths)
  for path in paths[:count]:
    with Image.open(path) as image:
      image = ImageOps.exif_transpose(image).convert("RGB")
    if long_side:
      image.thumbnail((long_side, long_side), Image.Resampling.BOX)
    yield np.asarray(image)


def _fitted(photos, detector):
  """Returns images and sizes of photos that share one padded shape."""
  fitted = [
    mtcnn.fit_photo(photo, detector.settings.input_size) for photo in photos
  ]
  images, sizes = zip(*fitted, strict=True)
  return tf.stack(images), tf.stack(sizes)


def _detect(detector, photos):
  """Detects together; the photos must share one padded shape."""
  images, sizes = _fitted(photos, detector)
  return detector.detect(images, sizes), sizes.numpy()


def _detect_each(detector, photos):
  """Detects one by one, and puts the faces together as if in one batch."""
  found, sizes = [], []
  for row, photo in enumerate(photos):
    faces, size = _detect(detector, [photo])
    found.append(faces._replace(photo=faces.photo + row))
    sizes.append(size[0])
  joined = (tf.concat(values, 0) for values in zip(*found, strict=True))
  return mtcnn.Faces(*joined), np.stack(sizes)


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
  for photo in photos:
    # One photo at a time: the package mixes up the offsets of a list.
    theirs = package.detect_faces(photo, output_type="numpy", box_format="xyxy")
    theirs = theirs[theirs[:, 5] > 0.9]
    if not len(theirs):
      continue
    areas = (theirs[:, 3] - theirs[:, 1]) * (theirs[:, 4] - theirs[:, 2])
    main = theirs[areas.argmax()]
    faces, sizes = _detect(detector, [photo])
    boxes, _, landmarks = _of_photo(faces, 0)
    scale = np.array(photo.shape[:2]) / sizes[0]
    overlap = _overlap(main[[2, 1, 4, 3]], boxes * np.tile(scale, 2))
    overlaps.append(overlap.max(initial=0))
    if overlaps[-1] > 0.5:
      points = np.stack([main[11:16], main[6:11]], -1)
      points = landmarks[overlap.argmax()] * scale - 0.5 - points
      errors.append(np.hypot(*points.T).mean() / areas.max() ** 0.5)
  return np.array(overlaps), np.array(errors)


def test_agrees_with_the_package_on_photos_from_the_web(detector, package):
  photos = _web_photos(40, _LONG_SIDE)
  overlaps, errors = _agreement(detector, package, photos)
  assert len(overlaps) > 36
  # One photo is 2.5 %; the test below holds the criterion.
  assert (overlaps >= 0.7).mean() >= 0.97
  assert (overlaps >= 0.8).mean() >= 0.95
  assert np.median(errors) < 0.025


@pytest.mark.slow
def test_agrees_with_the_package_on_all_photos_from_the_web(detector, package):
  overlaps, errors = _agreement(detector, package, _web_photos())
  # 99.18 % and 98.35 % of 364. Of a photo cropped by 3 px, the package agrees
  # with itself on 99.5 % and 99.2 %.
  assert len(overlaps) > 350
  assert (overlaps >= 0.7).mean() >= 0.99
  assert (overlaps >= 0.8).mean() >= 0.97
  assert np.median(errors) < 0.025


def test_agrees_with_the_package_on_drawn_people(detector, package, drawn):
  overlaps, errors = _agreement(detector, package, drawn)
  assert len(overlaps) >= len(drawn) - 1
  assert (overlaps >= 0.7).all()
  assert np.median(errors) < 0.04


def test_finds_drawn_people(detector, drawn):
  faces, sizes = _detect_each(detector, drawn)
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
  faces, _ = _detect_each(detector, drawn[:2])
  assert len(faces.scores) >= 2
  for values in (faces.boxes.numpy(), faces.landmarks.numpy()):
    np.testing.assert_array_equal(values * 16, np.round(values * 16))
  scores = faces.scores.numpy()
  np.testing.assert_allclose(scores, np.round(scores, 4), atol=1e-7)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_same_faces_to_the_bit_whatever_is_in_the_batch(detector, alike, count):
  alone = [_of_photo(_detect(detector, [photo])[0], 0) for photo in alike]
  assert sum(len(boxes) > 0 for boxes, _, _ in alone) >= 7
  assert not any(len(boxes) for boxes, _, _ in alone[8:])
  rng = random.Random(count)
  for _ in range(4):
    order = [*rng.sample(range(8), count - 1), rng.randrange(8, len(alike))]
    rng.shuffle(order)
    together, _ = _detect(detector, [alike[i] for i in order])
    for row, i in enumerate(order):
      for one, other in zip(_of_photo(together, row), alone[i], strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_retracing_for_other_batches_and_shapes(detector, drawn, alike):
  for count in (1, 3, 2):
    _detect(detector, alike[:count])
  _detect_each(detector, drawn[:3])
  assert detector.detect.experimental_get_tracing_count() == 1


def test_images_of_any_shape(detector, drawn):
  # Neither multiples of the unit nor even.
  photo = Image.fromarray(drawn[3])
  found = []
  for width, height in ((314, 480), (303, 463), (286, 437)):
    image = np.asarray(photo.resize((width, height)))[np.newaxis]
    size = np.array([[height, width]], np.int32)
    main = mtcnn.main_faces(detector.detect(image, size), 1)
    assert main.found.numpy().all()
    found.append(main.boxes.numpy()[0] / (height, width, height, width))
  np.testing.assert_allclose(found[1:], found[:1] * 2, atol=0.05)


def test_nothing_in_black_and_in_noise(detector):
  # No candidate at all, and candidates that none of the nets believes.
  noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
  photos = [np.zeros((330, 240, 3), np.uint8), noise]
  for batch in (photos[:1], photos[1:], photos):
    faces, _ = _detect(detector, batch)
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    main = mtcnn.main_faces(faces, len(batch))
    assert not main.found.numpy().any()
    np.testing.assert_array_equal(main.boxes, np.zeros((len(batch), 4)))
    np.testing.assert_array_equal(main.count, np.zeros(len(batch)))
    np.testing.assert_array_equal(main.area_ratio, np.zeros(len(batch)))


def test_a_photo_without_a_face_between_two_with(detector, alike):
  faces, _ = _detect(detector, [alike[0], alike[9], alike[1]])
  assert 1 not in faces.photo.numpy()
  assert (np.diff(faces.photo.numpy()) >= 0).all()
  main = mtcnn.main_faces(faces, 3)
  np.testing.assert_array_equal(main.found, [True, False, True])


def test_nothing_is_found_in_the_padding(detector, drawn):
  # The face lies in the image, but the photo is said to end before it.
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


def test_same_faces_in_tf_data(detector, alike):
  size = detector.settings.input_size
  photos = tf.data.Dataset.from_generator(
    lambda: iter(alike[:3]),
    output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
  )
  dataset = photos.map(lambda photo: mtcnn.fit_photo(photo, size)).batch(3)

  def detect(images, sizes):
    faces = detector.detect(images, sizes)
    return faces, mtcnn.main_faces(faces, tf.shape(images)[0])

  faces, main = next(iter(dataset.map(detect)))
  eager, _ = _detect(detector, alike[:3])
  for one, other in zip(faces, eager, strict=True):
    np.testing.assert_allclose(one, other, atol=1 / 16)
  eager_main = mtcnn.main_faces(eager, 3)
  assert eager_main.found.numpy().any()
  np.testing.assert_array_equal(main.found, eager_main.found)
  np.testing.assert_allclose(main.boxes, eager_main.boxes, atol=1 / 16)


def test_same_faces_in_a_saved_model(detector, alike, tmp_path):
  module = tf.Module()
  module.detector = detector

  @tf.function(input_signature=detector.detect.input_signature)
  def serve(images, sizes):
    faces = detector.detect(images, sizes)
    return mtcnn.main_faces(faces, tf.shape(images)[0])._asdict()

  tf.saved_model.save(module, str(tmp_path / "model"), signatures=serve)
  loaded = tf.saved_model.load(str(tmp_path / "model"))
  images, sizes = _fitted(alike[:2], detector)
  got = loaded.signatures["serving_default"](images=images, sizes=sizes)  # pyright: ignore
  expected = mtcnn.main_faces(detector.detect(images, sizes), 2)
  assert expected.found.numpy().any()
  np.testing.assert_allclose(got["boxes"], expected.boxes, atol=1 / 16)
  np.testing.assert_array_equal(got["count"], expected.count)


@pytest.mark.parametrize(
  ("shape", "fitted", "padded"),
  [
    ((100, 50), (100, 50), (144, 96)),  # Never enlarged.
    ((528, 528), (528, 528), (528, 528)),  # Already full units.
    ((529, 1), (528, 1), (528, 48)),
    ((1056, 528), (528, 264), (528, 288)),
    ((1000, 334), (528, 176), (528, 192)),  # 176.352
    ((3, 2000), (1, 528), (48, 528)),
    ((1, 5000), (1, 528), (48, 528)),
  ],
)
def test_fit_photo(shape, fitted, padded):
  photo = np.full((*shape, 3), 7, np.uint8)
  in_data = tf.data.Dataset.from_tensors(photo).map(
    lambda photo: mtcnn.fit_photo(photo, 528)
  )
  expected = np.full((*padded, 3), 128, np.uint8)
  expected[: fitted[0], : fitted[1]] = 7
  for image, size in (
    mtcnn.fit_photo(photo, 528),
    next(iter(in_data)),
    mtcnn.fit_array(photo, 528),
  ):
    np.testing.assert_array_equal(size, fitted)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
  "shape",
  [
    *((1, 1), (48, 48), (47, 49), (300, 168), (480, 480), (481, 700)),
    *((2000, 900), (1200, 3)),
  ],
  ids=lambda shape: "x".join(map(str, shape)),
)
def test_fit_array_is_fit_photo_to_the_bit(shape):
  rng = np.random.default_rng(shape[0])
  photo = rng.integers(0, 256, (*shape, 3), np.uint8)
  image, size = mtcnn.fit_photo(photo, 480)
  array, fitted = mtcnn.fit_array(photo, 480)
  assert (array.dtype, fitted.dtype) == (np.uint8, np.int32)
  assert (image.dtype, size.dtype) == (tf.uint8, tf.int32)
  np.testing.assert_array_equal(array, image)
  np.testing.assert_array_equal(fitted, size)
  assert all(side % mtcnn.UNIT == 0 for side in array.shape[:2])


def test_fit_photo_averages_areas():
  photo = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
  image, _ = mtcnn.fit_photo(photo, 32)
  means = photo.reshape(16, 4, 32, 4, 3).mean((1, 3))
  np.testing.assert_allclose(image.numpy()[:16, :32], means, atol=0.501)


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
    ({"min_face": 8}, "Got min_face 8 and input_size 480; allowed: 12 <="),
    ({"min_face": 600}, "Got min_face 600 and input_size 480"),
    ({"thresholds": (0.5,)}, "Got 1 thresholds and 4 overlaps"),
    ({"thresholds": (0.5, 0.6, 1.0)}, "each must be above 0 and below 1"),
    ({"factor": 1.0}, "factor 1.0; each must be above 0 and below 1"),
  ],
)
def test_settings_out_of_range(settings, message):
  with pytest.raises(ValueError, match=message):
    mtcnn.DetectorSettings(**settings)


def test_defaults():
  settings = mtcnn.DetectorSettings()
  assert (settings.input_size, settings.min_face) == (480, 30)
  assert mtcnn.UNIT == 48


@pytest.mark.parametrize(
  ("input_size", "min_face", "factor"),
  [(480, 30, 0.709), (480, 20, 0.709), (480, 30, 0.5), (1000, 12, 0.8)],
)
def test_pyramid_ends_at_the_window_of_the_first_net(
  input_size, min_face, factor
):
  settings = mtcnn.DetectorSettings(
    input_size=input_size, min_face=min_face, factor=factor
  )
  scales = np.array(settings.scales())
  assert scales[0] == pytest.approx(12 / min_face)
  np.testing.assert_allclose(scales[1:] / scales[:-1], factor)
  assert scales[-1] * input_size >= 12 * (1 - 1e-9)
  assert scales[-1] * factor * input_size < 12


def test_pyramid_of_one_level():
  settings = mtcnn.DetectorSettings(input_size=64, min_face=64)
  assert settings.scales() == [12 / 64]
