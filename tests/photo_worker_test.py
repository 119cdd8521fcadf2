"""Tests of photo_worker: each file's outcome hangs on that file alone."""

import dataclasses
import functools
import hashlib
import io
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from yourface_tfds import (
  build_settings,
  detections,
  faces,
  mtcnn,
  photo_worker,
  photos,
  sample_drawing,
  sample_files,
)

SETTINGS = build_settings.BuildSettings(encoding="raw", min_face_size=60)
DIRT = {
  "page.jpg": "not_an_image",
  "cut.jpg": "unreadable",
  "nothing.jpg": "unreadable",
  "gone.jpg": "unreadable",
  "huge.png": "too_large",
  "link.jpg": "outside",
  "wall.png": "no_face",
  "far away.png": "face_too_small",
}


def _enlarged(image, factor):
  size = (round(image.width * factor), round(image.height * factor))
  return image.resize(size, Image.Resampling.BICUBIC)


def _large_photo(face_factor=1.0):
  """A photo of many pixels with a small face in it, sharp to the pixel."""
  generator = np.random.default_rng(0)
  low = generator.integers(90, 150, (13, 17, 3), np.uint8)
  photo = Image.fromarray(low).resize((2600, 2000), Image.Resampling.BICUBIC)
  person = sample_drawing.make_person(seed=1, index=1)
  drawing = _enlarged(
    sample_drawing.draw(person, seed=1, index=0).image, face_factor
  )
  # Stripes of a pixel over the face: what a decode at 1/4 cannot show.
  pixels = np.asarray(drawing).astype(int)
  pixels[:, ::4] += 14
  pixels[:, 2::4] -= 14
  drawing = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
  photo.paste(drawing, (700, 500))
  return photo


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """photos/ with 12 drawn photos, one of every kind of dirt, a large one."""
  folder = tmp_path_factory.mktemp("worker")
  sample_files.write_photos(folder / "m", people=3, photos=4, seed=1)
  root = folder / "m" / "photos"
  person = sorted(root.iterdir())[0]
  picture = person / "000.jpg"
  (person / "page.jpg").write_text("<html>404</html>")
  (person / "cut.jpg").write_bytes(picture.read_bytes()[:3000])
  (person / "nothing.jpg").write_bytes(b"")
  (person / "gone.jpg").symlink_to("no such photo.jpg")
  Image.new("1", (10_001, 5000)).save(person / "huge.png")
  shutil.copy(picture, folder / "private.jpg")
  (person / "link.jpg").symlink_to(folder / "private.jpg")
  Image.new("RGB", (300, 300), "teal").save(person / "wall.png")
  with Image.open(picture) as image:
    canvas = Image.new("RGB", (400, 400), "grey")
    canvas.paste(image.resize((80, 80 * image.height // image.width)), (9, 9))
    canvas.save(person / "far away.png")
    image.transpose(Image.Transpose.ROTATE_90).save(
      person / "turned.jpg", quality=90, exif=_sideways()
    )
  _large_photo().save(person / "large.jpg", quality=95)
  return root


def _sideways():
  exif = Image.Exif()
  exif[0x0112] = 6
  return exif


@pytest.fixture(scope="module")
def files(root):
  return photos.scan(root)


@pytest.fixture(scope="module")
def worker():
  return photo_worker.PhotoWorker(SETTINGS)


@pytest.fixture(scope="module")
def outcomes(worker, files):
  return worker.work(files)


def _file(files, name):
  return next(file for file in files if file.path.endswith("/" + name))


def _assert_same(one, other):
  assert one.row == other.row
  assert one.digest == other.digest
  assert one.pixels == other.pixels
  assert one.thumbnail == other.thumbnail
  a, b = one.landmarks, other.landmarks
  assert (a is None) == (b is None)
  if a is not None:
    assert a.dtype == b.dtype == np.float32
    assert a.tobytes() == b.tobytes()
  assert (one.found is None) == (other.found is None)
  if one.found is not None:
    assert one.found.to_json() == other.found.to_json()


def _assert_all_same(ones, others):
  for one, other in zip(ones, others, strict=True):
    _assert_same(one, other)


def test_outcomes_come_in_the_order_of_the_files(files, outcomes):
  assert [outcome.row.path for outcome in outcomes] == [
    file.path for file in files
  ]
  assert [outcome.row.person for outcome in outcomes] == [
    file.person for file in files
  ]


def test_every_reason_occurs(outcomes):
  names = {outcome.row.path.split("/")[1]: outcome for outcome in outcomes}
  assert {name: names[name].row.status for name in DIRT} == DIRT
  others = {n: o.row.status for n, o in names.items() if n not in DIRT}
  assert set(others.values()) == {"accepted"}
  assert len(outcomes) == 12 + len(DIRT) + 2


def test_what_is_known_of_each_kind(files, outcomes):
  for file, outcome in zip(files, outcomes, strict=True):
    row = outcome.row
    assert (row.split, row.group) == ("", "")
    if row.status in ("accepted", "no_face", "face_too_small"):
      content = (file.root / file.path).read_bytes()
      assert outcome.digest == hashlib.sha256(content).hexdigest()
      assert outcome.found is not None
      assert "picture" in outcome.found.prints
    else:
      assert (outcome.digest, outcome.found) == ("", None)
      assert row.detail
      assert outcome.thumbnail == b""
    if row.status == "accepted":
      assert len(outcome.pixels) == 150 * 150 * 3
      assert outcome.thumbnail == b""
      assert row.score >= 0.9
      assert row.faces >= 1
      assert row.source_side >= 60 * SETTINGS.margin
      assert outcome.landmarks is not None
      y_min, x_min, y_max, x_max = row.box
      inside = outcome.landmarks[2]  # The nose.
      assert y_min < inside[0] < y_max
      assert x_min < inside[1] < x_max
    else:
      assert (outcome.pixels, outcome.landmarks) == (b"", None)
  by_status = {outcome.row.status: outcome for outcome in outcomes}
  for status in ("no_face", "face_too_small"):
    with Image.open(io.BytesIO(by_status[status].thumbnail)) as image:
      assert max(image.size) == photos.THUMBNAIL_SIDE
  assert by_status["no_face"].row.detail == "nothing scored 0.9 or more"
  assert by_status["face_too_small"].row.detail.endswith("needed: 60")


def test_prints_have_a_face_where_there_is_one(outcomes):
  for outcome in outcomes:
    if outcome.found is not None:
      has_face = "face" in outcome.found.prints
      assert has_face == (outcome.row.status != "no_face")


def test_one_by_one_is_all_together(worker, files, outcomes):
  alone = [worker.work([file])[0] for file in files]
  _assert_all_same(alone, outcomes)


@pytest.mark.parametrize("seed", range(3))
def test_any_chunks_in_any_order_are_all_together(
  worker, files, outcomes, seed
):
  generator = random.Random(seed)
  wanted = {outcome.row.path: outcome for outcome in outcomes}
  shuffled = generator.sample(files, len(files))
  while shuffled:
    size = generator.randint(1, 9)
    chunk, shuffled = shuffled[:size], shuffled[size:]
    done = worker.work(chunk)
    assert [one.row.path for one in done] == [file.path for file in chunk]
    for outcome in done:
      _assert_same(outcome, wanted[outcome.row.path])


def test_a_small_memory_changes_nothing(worker, files, outcomes, monkeypatch):
  monkeypatch.setattr(photo_worker, "_BATCH_PIXELS", 300_000)
  _assert_all_same(worker.work(files), outcomes)


def test_no_files_no_outcomes(worker):
  assert worker.work([]) == []


def _decoded(outcomes):
  return sum(outcome.found is not None for outcome in outcomes)


@pytest.fixture(scope="module")
def cache_path(tmp_path_factory, files, outcomes):
  """A cache that a run has filled."""
  path = tmp_path_factory.mktemp("cache") / "cache.sqlite3"
  with detections.DetectionCache(path, mtcnn.DetectorSettings()) as cache:
    first = photo_worker.PhotoWorker(SETTINGS, cache)
    _assert_all_same(first.work(files), outcomes)
    assert first.detected == _decoded(outcomes)
  return path


@pytest.fixture
def cache(cache_path):
  with detections.DetectionCache(cache_path, mtcnn.DetectorSettings()) as cache:
    yield cache


def test_the_cache_changes_nothing_and_detects_nothing(cache, files, outcomes):
  second = photo_worker.PhotoWorker(SETTINGS, cache)
  _assert_all_same(second.work(files), outcomes)
  assert second.detected == 0


@pytest.mark.parametrize(
  "options",
  [{"image_size": 64}, {"margin": 1.7, "encoding": "jpeg"}],
)
def test_other_crops_detect_nothing(cache, files, outcomes, options):
  settings = dataclasses.replace(SETTINGS, **options)
  other = photo_worker.PhotoWorker(settings, cache)
  done = other.work(files)
  assert other.detected == 0
  for before, after in zip(outcomes, done, strict=True):
    assert before.row.status == after.row.status
    assert before.row.box == after.row.box
    if before.row.status == "accepted":
      assert before.pixels != after.pixels
      ratio = after.row.source_side / before.row.source_side
      assert ratio == pytest.approx(settings.margin / SETTINGS.margin)
  # As without a cache.
  some = files[:3]
  fresh = photo_worker.PhotoWorker(settings)
  _assert_all_same(fresh.work(some), done[:3])
  assert fresh.detected == _decoded(done[:3])


def test_another_limit_is_judged_from_the_cache(cache, files, outcomes):
  settings = dataclasses.replace(SETTINGS, min_face_size=1, min_score=1.0)
  other = photo_worker.PhotoWorker(settings, cache)
  done = other.work(files)
  assert other.detected == 0
  for before, after in zip(outcomes, done, strict=True):
    if before.row.status == "accepted":
      wanted = "accepted" if before.row.score == 1 else "no_face"
      # A smaller face beside the main one may score more.
      assert after.row.status == wanted or before.row.faces > 1
  statuses = [outcome.row.status for outcome in done]
  assert "face_too_small" not in statuses
  assert statuses.count("no_face") > 1


def test_cut_is_work_where_the_faces_are_known(worker, files, outcomes):
  count = 0
  for file, outcome in zip(files, outcomes, strict=True):
    if outcome.found is None:
      continue
    again = detections.Detections.from_json(outcome.found.to_json())
    before = worker.detected
    _assert_same(worker.cut(file, again), outcome)
    assert worker.detected == before
    count += 1
  assert count == _decoded(outcomes) > 12


def test_cut_of_what_cannot_be_decoded_is_an_error(worker, files, outcomes):
  with pytest.raises(photos.RejectedError) as caught:
    worker.cut(_file(files, "cut.jpg"), outcomes[0].found)
  assert caught.value.status == "unreadable"


def test_jpeg_is_the_raw_crop_compressed(files, outcomes):
  settings = dataclasses.replace(SETTINGS, encoding="jpeg")
  done = photo_worker.PhotoWorker(settings).work(files)
  for raw, jpeg in zip(outcomes, done, strict=True):
    assert raw.row == jpeg.row
    if raw.row.status == "accepted":
      pixels = np.frombuffer(raw.pixels, np.uint8).reshape(150, 150, 3)
      assert jpeg.pixels == photos.encode_jpeg(pixels)
      assert np.abs(photos.decode(jpeg.pixels).astype(int) - pixels).mean() < 4


def test_the_turned_photo_is_upright(files, outcomes):
  by_name = {outcome.row.path.split("/")[1]: outcome for outcome in outcomes}
  person = _file(files, "turned.jpg").person
  original = next(
    outcome for outcome in outcomes if outcome.row.path == f"{person}/000.jpg"
  )
  turned = by_name["turned.jpg"]
  np.testing.assert_allclose(turned.row.box, original.row.box, atol=0.02)
  assert turned.found is not None
  assert original.found is not None
  assert turned.found.size == original.found.size


_finder = functools.cache(faces.FaceFinder)


def _cut_from(photo, outcome):
  """Returns the crop that a photo decoded to those pixels gives."""
  face = outcome.found.main(SETTINGS.min_score)
  finder = _finder(SETTINGS.crop_settings())
  pixels, _, _ = finder.cut(
    tf.constant(photo),
    tf.constant(outcome.found.fitted),
    tf.constant(face.box),
    tf.constant(face.landmarks),
  )
  return pixels.numpy().astype(int)


def _pixels(outcome):
  return (
    np.frombuffer(outcome.pixels, np.uint8).reshape(150, 150, 3).astype(int)
  )


def _sharpness(crop):
  return np.abs(np.diff(crop, axis=1)).mean()


def test_a_small_face_in_a_large_photo_is_cut_from_all_pixels(files, outcomes):
  file = _file(files, "large.jpg")
  outcome = outcomes[files.index(file)]
  data = file.read()
  assert outcome.found is not None
  assert outcome.found.size == (2000, 2600)
  # The detector saw a quarter; the crop wants more than a half.
  quarter = photos.decode_scaled(data, 480)
  assert quarter.pixels.shape == (500, 650, 3)
  assert outcome.row.source_side < 2 * 150
  crop = _pixels(outcome)
  np.testing.assert_array_equal(crop, _cut_from(photos.decode(data), outcome))
  blurred = _cut_from(quarter.pixels, outcome)
  assert np.abs(crop - blurred).mean() > 2
  assert _sharpness(crop) > 1.3 * _sharpness(blurred)


def test_a_larger_face_is_cut_from_half_of_them(worker, tmp_path):
  (tmp_path / "a").mkdir()
  photo = _large_photo(face_factor=1.3)
  photo.save(tmp_path / "a" / "1.jpg", quality=95)
  (file,) = photos.scan(tmp_path)
  (outcome,) = worker.work([file])
  assert outcome.row.status == "accepted"
  assert 2 * 150 <= outcome.row.source_side < 4 * 150
  data = file.read()
  full = _cut_from(photos.decode(data), outcome)
  half = photos.decode_scaled(data, 1300)
  assert max(half.pixels.shape) == 1300
  quarter = _cut_from(photos.decode_scaled(data, 650).pixels, outcome)
  crop = _pixels(outcome)
  np.testing.assert_array_equal(crop, _cut_from(half.pixels, outcome))
  assert np.abs(crop - full).mean() < 3
  assert _sharpness(crop) > 1.1 * _sharpness(quarter)
