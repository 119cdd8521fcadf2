"""The exported files, loaded where none of our code can be imported."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import drawn
from yourface_tfds import (
  build_settings,
  crop,
  export_lib,
  faces,
  labels,
  models,
  photo_graph,
  photo_worker,
  photos,
  sample_drawing,
  sample_people,
  train_settings,
)

SIZE = 64
# Not the defaults: what a dataset was built with must reach the graph.
SETTINGS = train_settings.TrainSettings(
  image_size=SIZE, margin=1.6, min_score=0.95
)

LOAD = """
import json, pathlib, sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
folder = pathlib.Path(sys.argv[2])
"""


def jpeg(image, **options):
  out = io.BytesIO()
  image.save(out, "JPEG", quality=92, **options)
  return out.getvalue()


@pytest.fixture(scope="module")
def drawings():
  return [
    sample_drawing.draw_photo(sample_people.make_person(3, i), 3, 0)
    for i in range(4)
  ]


@pytest.fixture(scope="module")
def model():
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  # Heads of a new model say .5 to everything; these tell faces apart.
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(30.0 * kernel)
  return model


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
  path = tmp_path_factory.mktemp("export") / "saved_model"
  export_lib.save_saved_model(model, SETTINGS, path)
  return path


@pytest.fixture(scope="module")
def photos_signature(saved_model):
  loaded = tf.saved_model.load(str(saved_model))
  signature = loaded.signatures["photos"]
  signature.keep = loaded
  return signature


def answer(signature, contents):
  outputs = signature(tf.constant(contents, tf.string, shape=[len(contents)]))
  return {name: value.numpy() for name, value in outputs.items()}


def test_signatures_are_those_of_the_contract(saved_model):
  signatures = tf.saved_model.load(str(saved_model)).signatures
  assert set(signatures) == {"serving_default", "photos", "all_faces"}

  def spec(values):
    return {
      name: (value.dtype.name, value.shape.as_list())
      for name, value in values.items()
    }

  heads = {
    "gender": ("float32", [None, 2]),
    "job": ("float32", [None, 2]),
    "face_type": ("float32", [None, 11]),
  }
  classify = signatures["serving_default"]
  assert spec(classify.structured_input_signature[1]) == {
    "faces": ("uint8", [None, SIZE, SIZE, 3])
  }
  assert spec(classify.structured_outputs) == heads
  answer = signatures["photos"]
  assert spec(answer.structured_input_signature[1]) == {
    "photos": ("string", [None])
  }
  dtypes = {
    name: value.dtype.name for name, value in answer.structured_outputs.items()
  }
  assert dtypes == {
    **dict.fromkeys(labels.HEADS, "float32"),
    "found": "bool",
    "box": "float32",
    "score": "float32",
    "faces": "int64",
    "error": "string",
    "sentence_ko": "string",
    "sentence_en": "string",
  }


def test_an_interpreter_without_our_code_answers_a_jpeg(
  model, saved_model, drawings, tmp_path
):
  (tmp_path / "a.jpg").write_bytes(jpeg(drawings[0]))
  np.save(tmp_path / "faces.npy", np.full((2, SIZE, SIZE, 3), 99, np.uint8))
  code = LOAD + (
    "data = (folder / 'a.jpg').read_bytes()\n"
    "said = model.signatures['photos'](tf.constant([data]))\n"
    "print(said['sentence_ko'].numpy()[0].decode())\n"
    "print(bool(said['found'][0]), said['error'].numpy()[0])\n"
    "faces = np.load(folder / 'faces.npy')\n"
    "out = model.signatures['serving_default'](tf.constant(faces))\n"
    "print(json.dumps({k: v.numpy().tolist() for k, v in out.items()}))\n"
    "assert not [m for m in sys.modules if m.startswith('yourface')]\n"
  )
  run = drawn.run_without_us(code, str(saved_model), str(tmp_path))
  assert run.returncode == 0, run.stderr[-2000:]
  sentence, found, probabilities = run.stdout.strip().splitlines()[-3:]
  assert sentence.startswith("당신은 ")
  assert sentence.endswith(" 같아요!")
  assert found == "True b''"
  expected = model(np.full((2, SIZE, SIZE, 3), 99, np.float32), training=False)
  for head, values in json.loads(probabilities).items():
    np.testing.assert_allclose(values, expected[head], atol=1e-5)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
  """Returns a function: contents of photos -> their outcomes in the build."""
  worker = photo_worker.PhotoWorker(
    build_settings.BuildSettings(
      encoding="raw", image_size=SIZE, margin=1.6, min_score=0.95
    )
  )

  def work(contents):
    root = tmp_path_factory.mktemp("photos")
    files = []
    for i, content in enumerate(contents):
      (root / f"{i}.jpg").write_bytes(content)
      files.append(
        photos.PhotoFile(path=f"{i}.jpg", person="somebody", root=root)
      )
    return worker.work(files)

  return work


def crop_of(outcome):
  crop_bytes = np.frombuffer(outcome.pixels, np.uint8)
  return crop_bytes.reshape(SIZE, SIZE, 3)


def test_photos_and_faces_agree_with_the_build(
  model, photos_signature, drawings, build
):
  contents = [jpeg(image) for image in drawings]
  said = answer(photos_signature, contents)
  built = build(contents)
  crops = np.stack([crop_of(outcome) for outcome in built]).astype(np.float32)
  expected = model(crops, training=False)
  assert said["found"].all()
  for i, outcome in enumerate(built):
    np.testing.assert_allclose(said["box"][i], outcome.row.box, atol=1e-4)
    assert said["score"][i] == pytest.approx(outcome.row.score, abs=1e-3)
    assert said["faces"][i] == outcome.row.faces
  for head in labels.HEADS:
    np.testing.assert_allclose(said[head], expected[head], atol=1e-4)
  best = {head: np.argmax(expected[head], -1) for head in labels.HEADS}
  for i in range(len(drawings)):
    indices = {head: int(best[head][i]) for head in labels.HEADS}
    assert said["sentence_ko"][i].decode() == labels.sentence_ko(**indices)
    assert said["sentence_en"][i].decode() == labels.sentence_en(**indices)


def enlarged(image, long_side):
  factor = long_side / max(image.size)
  size = [round(side * factor) for side in image.size]
  return image.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def finder():
  return faces.FaceFinder(
    crop.CropSettings(image_size=SIZE, margin=1.6), min_score=0.95
  )


@pytest.mark.parametrize(
  ("long_side", "shrink"),
  [(None, 1), (959, 1), (960, 2), (1500, 2), (2000, 4), (4100, 8)],
)
def test_crops_are_those_of_the_build(
  drawings, build, finder, long_side, shrink
):
  contents = []
  for image in drawings:
    image = enlarged(image, long_side) if long_side else image
    contents.append(jpeg(image))
    assert photos.shrinking(image.size, 480) == shrink
  found, _, errors = photo_graph.find_main(finder, tf.constant(contents))
  assert not errors.numpy().any()
  for row, outcome in enumerate(build(contents)):
    pixels = found.crops[row].numpy()
    assert pixels.std() > 10  # Not plain: a face.
    np.testing.assert_array_equal(pixels, crop_of(outcome))
    np.testing.assert_allclose(found.boxes[row], outcome.row.box, atol=1e-6)


def crowd(drawings):
  """A photo of drawn people in a row, each smaller than the one before."""
  photo = Image.new("RGB", (1500, 700), "silver")
  left = 0
  for image, side in zip(drawings, (700, 600, 550, 500), strict=True):
    image = enlarged(image, side)
    photo.paste(image, (left, 0))
    left += image.width
  return photo.crop((0, 0, left, 700))


def test_small_faces_of_large_photos_are_decoded_finer(drawings, build, finder):
  # A quarter of 2,900 pixels is enough to find the face; for all that the crop
  # can show it takes a half.
  canvas = Image.new("RGB", (2900, 1600), "silver")
  canvas.paste(enlarged(drawings[0], 400), (700, 400))
  contents = [jpeg(drawings[0]), jpeg(canvas)]
  assert photos.shrinking(canvas.size, 480) == 4
  found, _, errors = photo_graph.find_main(finder, tf.constant(contents))
  assert not errors.numpy().any()
  for row, outcome in enumerate(build(contents)):
    np.testing.assert_array_equal(found.crops[row], crop_of(outcome))
  box = found.boxes[1].numpy() * (1600, 2900, 1600, 2900)
  covered = 1.6 * max(box[2:] - box[:2])
  assert covered / 4 < SIZE, "the photo does not show what it is meant to"


def test_all_faces_of_one_photo(saved_model, photos_signature, drawings, model):
  every = tf.saved_model.load(str(saved_model)).signatures["all_faces"]
  photo = jpeg(crowd(drawings))
  said = {k: v.numpy() for k, v in every(tf.constant(photo)).items()}
  main = answer(photos_signature, [photo])
  count = int(main["faces"][0])
  assert count >= 2
  assert said["error"] == b""
  assert said["crop"].shape == (count, SIZE, SIZE, 3)
  assert said["landmarks"].shape == (count, 5, 2)
  sides = said["box"][:, 2:] - said["box"][:, :2]
  assert (np.diff(sides.prod(1)) <= 0).all()
  np.testing.assert_array_equal(said["box"][0], main["box"][0])
  for head in labels.HEADS:
    np.testing.assert_allclose(said[head][0], main[head][0], atol=1e-5)
    np.testing.assert_allclose(
      said[head],
      model(said["crop"].astype(np.float32), training=False)[head],
      atol=1e-5,
    )
  assert said["sentence_ko"][0] == main["sentence_ko"][0]
  eyes = said["landmarks"][:, :2]
  inside = (eyes > said["box"][:, None, :2]) & (eyes < said["box"][:, None, 2:])
  assert inside.all()


@pytest.mark.parametrize(
  ("content", "error"),
  [
    (b"", "unreadable"),
    (b"<html>", "not_an_image"),
    (jpeg(Image.new("RGB", (200, 100), "teal")), "no_face"),
  ],
  ids=["empty", "html", "wall"],
)
def test_all_faces_of_none(saved_model, content, error):
  every = tf.saved_model.load(str(saved_model)).signatures["all_faces"]
  said = {k: v.numpy() for k, v in every(tf.constant(content)).items()}
  assert said.pop("error").decode().partition(":")[0] == error
  assert {name: len(values) for name, values in said.items()} == dict.fromkeys(
    said, 0
  )


def test_a_turned_photo_gives_the_same_answer(photos_signature, drawings):
  upright = drawings[1]
  exif = Image.Exif()
  exif[0x0112] = 6  # Shown turned by 90 degrees clockwise.
  turned = jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
  plain = jpeg(upright.transpose(Image.Transpose.ROTATE_90))
  said = answer(photos_signature, [jpeg(upright), turned, plain])
  assert said["found"][:2].all()
  np.testing.assert_allclose(said["box"][1], said["box"][0], atol=0.03)
  for head in labels.HEADS:
    np.testing.assert_allclose(said[head][1], said[head][0], atol=0.2)
  # Without the tag it lies on its side, which must show.
  assert (
    not said["found"][2] or abs(said["box"][2] - said["box"][0]).max() > 0.05
  )


def test_a_bad_photo_spoils_only_its_own_row(photos_signature, drawings):
  good = jpeg(drawings[2])
  wall = jpeg(Image.new("RGB", (200, 100), "teal"))
  contents = [good, b"", b"<html>", good[:2000], wall, good]
  said = answer(photos_signature, contents)
  alone = answer(photos_signature, [good])
  assert said["found"].tolist() == [True, False, False, False, False, True]
  assert [error.decode().partition(":")[0] for error in said["error"]] == [
    *("", "unreadable", "not_an_image", "unreadable", "no_face", "")
  ]
  for name, values in alone.items():
    for row in (0, 5):
      if values.dtype == object:
        assert said[name][row] == values[0]
      else:
        np.testing.assert_allclose(said[name][row], values[0], atol=1e-4)
  for row in (1, 2, 3, 4):
    assert said["sentence_ko"][row] == said["sentence_en"][row] == b""
    for name in (*labels.HEADS, "box", "score", "faces"):
      assert not np.any(said[name][row]), name


def test_no_photo_gives_no_row(photos_signature):
  said = answer(photos_signature, [])
  assert {name: len(values) for name, values in said.items()} == dict.fromkeys(
    said, 0
  )


def test_the_export_holds_no_augmentation(photos_signature, drawings):
  first = answer(photos_signature, [jpeg(drawings[3])])
  second = answer(photos_signature, [jpeg(drawings[3])])
  for name, values in first.items():
    np.testing.assert_array_equal(values, second[name])
  functions = drawn.functions_of(photos_signature.graph.as_graph_def())
  operations = {node.op for one in functions for node in one.node_def}
  assert "Conv2D" in operations  # The functions of the model are among them.
  assert not {op for op in operations if "Random" in op}


def test_a_failed_export_leaves_the_old_one(saved_model, model, monkeypatch):
  before = sorted(path.name for path in saved_model.parent.iterdir())
  content = (saved_model / "saved_model.pb").read_bytes()

  def fail(*_args, **_options):
    raise OSError("disk full")

  monkeypatch.setattr(tf.saved_model, "save", fail)
  with pytest.raises(OSError, match="disk full"):
    export_lib.save_saved_model(model, SETTINGS, saved_model)
  assert sorted(path.name for path in saved_model.parent.iterdir()) == before
  assert (saved_model / "saved_model.pb").read_bytes() == content


def test_labels_json_holds_both_languages():
  content = json.loads(export_lib.labels_json(SETTINGS))
  assert content["heads"]["job"] == {
    "names": ["actor", "singer"],
    "korean": ["배우", "가수"],
  }
  assert list(content["heads"]) == ["gender", "job", "face_type"]
  assert (
    content["sentence_ko"] == "당신은 {face_type}상의 {gender} {job} 같아요!"
  )
