"""Tests of predict_words, predict_models and predict_lib."""

import concurrent.futures
import io
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import small_export
from yourface_tfds import (
  annotate,
  app_answer,
  card,
  cli,
  export_lib,
  labels,
  photos,
  predict_lib,
  predict_models,
  predict_words,
  tflite_lib,
  train_settings,
)

SENTENCES = ("sentence_ko", "sentence_en")
WALL = small_export.jpeg(Image.new("RGB", (200, 100), "teal"))
# Another project's words, of as many classes.
OTHERS = {
  "heads": {
    "gender": {"names": ["he", "she"], "korean": ["그", "그녀"]},
    "job": {"names": ["cook", "=1+1"], "korean": ["요리사", "합"]},
    "face_type": {
      "names": [f"plant {i}" for i in range(11)],
      "korean": [f"식물{i}" for i in range(11)],
    },
  },
  "sentence_ko": "{face_type} {job} {gender}",
  "sentence_en": "{gender}: {job} of {face_type}",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  """Folder of saved_model/ and face.tflite, and the bare TFLite model."""
  folder = tmp_path_factory.mktemp("export")
  return folder, small_export.write(folder)


@pytest.fixture(scope="module")
def saved_model(exported):
  return predict_lib.load(exported[0] / "saved_model")


@pytest.fixture(scope="module")
def tflite(exported):
  return predict_lib.load(exported[0] / "face.tflite")


@pytest.fixture(scope="module")
def contents():
  drawn = [small_export.jpeg(small_export.drawing(i)) for i in range(2)]
  return [drawn[0], b"", WALL, drawn[1], b"<html>"]


@pytest.fixture(scope="module")
def crowd():
  return small_export.crowd()


def test_words_of_a_file():
  words = predict_words.parse(OTHERS, "it")
  assert words.sentences({"gender": 1, "job": 0, "face_type": 10}) == (
    "식물10 요리사 그녀",
    "she: cook of plant 10",
  )
  ours = predict_words.parse(json.loads(small_export.LABELS), "it")
  indices = {"gender": 1, "job": 1, "face_type": 3}
  assert ours.sentences(indices) == (
    labels.sentence_ko(**indices),
    labels.sentence_en(**indices),
  )


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    ([], "list indices must be integers or slices, not str"),
    ({"heads": {}}, "Got no head; there is at least one"),
    ({"heads": {"a": {"names": ["x"]}}}, "no korean"),
    ({"heads": {"a": {"names": "x", "korean": ["x"]}}}, "no list of words"),
    (
      {"heads": {"a": {"names": [], "korean": []}}},
      "Got head 'a' without a class",
    ),
    (
      {"heads": {"a": {"names": ["x", "y"], "korean": ["x"]}}},
      "Got 2 names and 1 Korean words; each class needs one of both",
    ),
    ({"sentence_en": 3}, "no list of words"),
    (
      {"sentence_en": "{job.__class__}"},
      "Got {job.__class__} in a sentence, allowed: gender, job, face_type",
    ),
  ],
)
def test_words_that_export_did_not_write(change, reason):
  content = OTHERS | change if isinstance(change, dict) else change
  message = f"labels is not as export wrote it ({reason}); export again"
  with pytest.raises(cli.UserError, match=f"^{re.escape(message)}$"):
    predict_words.parse(content, "labels")


def test_predictions_are_the_outputs_of_the_signature(
  exported, saved_model, contents
):
  loaded = tf.saved_model.load(str(exported[0] / "saved_model"))
  said = loaded.signatures["photos"](tf.constant(contents))
  predictions = saved_model.predict(contents)
  assert [p.error for p in predictions] == [
    error.decode() for error in said["error"].numpy()
  ]
  for i in (0, 3):
    one = predictions[i]
    for name in SENTENCES:
      assert getattr(one, name) == said[name].numpy()[i].decode()
    np.testing.assert_array_equal(one.box, said["box"][i])
    assert one.score == said["score"][i]
    assert one.faces == said["faces"][i]
    for head in labels.HEADS:
      np.testing.assert_array_equal(one.probabilities[head], said[head][i])
      best = labels.HEADS[head].korean[int(np.argmax(said[head][i]))]
      assert one.best("ko")[head] == best
      assert best in one.sentence("ko")


def _assert_same(one, other):
  assert one.error == other.error
  assert one.sentence_ko == other.sentence_ko
  assert one.sentence_en == other.sentence_en
  assert one.faces == other.faces
  np.testing.assert_allclose(one.box, other.box, atol=1e-5)
  assert one.score == pytest.approx(other.score, abs=1e-4)
  assert one.probabilities.keys() == other.probabilities.keys()
  for head, values in one.probabilities.items():
    np.testing.assert_allclose(values, other.probabilities[head], atol=1e-4)


def test_tflite_answers_as_the_saved_model(
  saved_model, tflite, contents, crowd
):
  for one, other in zip(
    saved_model.predict(contents), tflite.predict(contents), strict=True
  ):
    _assert_same(one, other)
  theirs, ours = saved_model.all_faces(crowd), tflite.all_faces(crowd)
  for one, other in zip(theirs, ours, strict=True):
    _assert_same(one, other)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-5)


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_all_faces_begin_with_the_main_one(request, kind, crowd):
  model = request.getfixturevalue(kind)
  faces = model.all_faces(crowd)
  assert len(faces) == 2
  assert {face.faces for face in faces} == {2}
  sides = [face.box[2] - face.box[0] for face in faces]
  assert sides == sorted(sides, reverse=True)
  _assert_same(faces[0], model.predict([crowd])[0])
  for face in faces:
    assert len(face.landmarks) == 5
    for y, x in face.landmarks[:2]:
      assert face.box[0] < y < face.box[2]
      assert face.box[1] < x < face.box[3]


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
@pytest.mark.parametrize(
  ("content", "status"),
  [(b"", "unreadable"), (b"<html>", "not_an_image"), (WALL, "no_face")],
  ids=["empty", "html", "wall"],
)
def test_a_photo_without_an_answer(request, kind, content, status):
  model = request.getfixturevalue(kind)
  (said,) = model.predict([content])
  assert said.error.startswith(f"{status}: ")
  assert not said.sentence_ko and not said.probabilities
  with pytest.raises(photos.RejectedError) as raised:
    model.all_faces(content)
  assert f"{raised.value.status}: {raised.value}" == said.error
  assert model.predict([]) == []


def test_one_tflite_model_serves_several_threads(tflite, contents):
  expected = tflite.predict(contents)
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for said in pool.map(tflite.predict, [contents] * 8):
      assert [p.sentence_en for p in said] == [p.sentence_en for p in expected]


@pytest.fixture(scope="module")
def others(exported, tmp_path_factory):
  """The same two models with other words."""
  folder = tmp_path_factory.mktemp("others")
  shutil.copytree(exported[0] / "saved_model", folder / "saved_model")
  words = json.loads(small_export.LABELS) | OTHERS
  (folder / "labels.json").write_text(json.dumps(words), encoding="utf-8")
  file = tflite_lib.attach(exported[1], {"labels.json": json.dumps(words)})
  (folder / "other.tflite").write_bytes(file)
  return folder


@pytest.fixture(scope="module")
def other_tflite(others):
  return predict_lib.load(others / "other.tflite")


def test_a_model_speaks_its_own_words(others, other_tflite, tflite, contents):
  (ours,) = tflite.all_faces(contents[0])
  (said,) = other_tflite.all_faces(contents[0])
  best = {head: int(np.argmax(row)) for head, row in ours.probabilities.items()}
  words = predict_words.parse(OTHERS, "it")
  assert (said.sentence_ko, said.sentence_en) == words.sentences(best)
  names = list(said.as_json()["probabilities"]["job"])
  assert names == OTHERS["heads"]["job"]["names"]
  # The sentence of a SavedModel is in it; its classes are named beside it.
  folder = predict_lib.load(others / "saved_model")
  assert folder.heads == other_tflite.heads == words.heads


def _refused(path, message, **options):
  with pytest.raises(cli.UserError) as raised:
    predict_lib.load(path, **options)
  assert str(raised.value).startswith(message), raised.value
  assert "\n" not in str(raised.value)


def test_what_is_no_model(tmp_path, exported):
  _refused(
    tmp_path / "none",
    f"--model: no SavedModel in '{tmp_path}/none'; export one with: python -m "
    "export.export_saved_model ",
  )
  _refused(tmp_path, f"--model: no SavedModel in '{tmp_path}'; ")
  _refused(
    exported[0],
    f"--model: got '{exported[0]}', the folder around the SavedModel; give "
    f"--model={exported[0]}/saved_model",
  )
  _refused(
    tmp_path / "a.tflite", f"--model: got '{tmp_path}/a.tflite', no such file"
  )
  (tmp_path / "a.tflite").write_bytes(b"no")
  _refused(
    tmp_path / "a.tflite",
    f"--model: got '{tmp_path}/a.tflite', which is no TFLite file",
  )
  (tmp_path / "b").write_bytes(exported[1])
  _refused(
    tmp_path / "b", f"--model: got '{tmp_path}/b', a TFLite file without labels"
  )


def test_a_changed_saved_model_must_be_trusted(tmp_path, exported):
  folder = tmp_path / "saved_model"
  shutil.copytree(exported[0] / "saved_model", folder)
  (folder / "more").touch()
  _refused(folder, f"--model: {folder}/more is not in its manifest.json; ")
  (folder / "manifest.json").unlink()
  _refused(folder, f"--model: {folder} has no manifest.json; ")
  trusted = predict_lib.load(folder, trust=True)
  for head, words in labels.HEADS.items():
    assert trusted.heads[head].names == words.names
    assert trusted.heads[head].korean == words.korean
  (folder / "saved_model.pb").write_bytes(b"no")
  _refused(folder, f"--model: '{folder}' cannot be loaded (", trust=True)


def test_a_saved_model_of_somebody_else(tmp_path):
  module = tf.Module()
  module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([])])
  tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.f)
  _refused(
    tmp_path / "m",
    f"--model: '{tmp_path}/m' has no signature photos and no all_faces, only "
    "serving_default; export it with: ",
    trust=True,
  )


def test_words_that_do_not_fit_the_model(tmp_path, others, exported):
  folder = tmp_path / "saved_model"
  shutil.copytree(others / "saved_model", folder)
  three = {"names": ["a", "b", "c"], "korean": ["a", "b", "c"]}
  words = json.loads(small_export.LABELS)
  words["heads"]["job"] = three
  file = tmp_path / "a.tflite"
  text = json.dumps(words)
  (tmp_path / "labels.json").write_text(text)
  file.write_bytes(tflite_lib.attach(exported[1], {"labels.json": text}))
  _refused(
    folder,
    f"--model: '{folder}' has 2 classes of 'job', {tmp_path}/labels.json has "
    "3; put the labels.json of its export beside the model, or export again",
  )
  _refused(
    file, f"--model: '{file}' has 2 classes of 'job', labels.json in it has 3; "
  )
  del words["heads"]["job"]
  words["sentence_ko"] = words["sentence_en"] = "{gender}"
  (tmp_path / "labels.json").write_text(json.dumps(words))
  _refused(
    folder, f"--model: '{folder}' has 2 classes of 'job', {tmp_path}/labels.js"
  )
  (tmp_path / "labels.json").write_text("{")
  _refused(folder, f"{tmp_path}/labels.json cannot be read (Expecting ")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"crop": {"side": 3}}, "does not say how faces are cut out ("),
    ({"crop": {"margin": -1.0}}, "does not say how faces are cut out (Got "),
    ({"min_score": None}, "does not say how faces are cut out ("),
    (
      {"crop": {"image_size": 65}},
      "is of faces of 65 pixels, the model takes 64; export again",
    ),
  ],
)
def test_a_tflite_file_that_does_not_say_how_to_crop(
  tmp_path, exported, change, message
):
  path = tmp_path / "a.tflite"
  text = json.dumps(json.loads(small_export.LABELS) | change)
  path.write_bytes(tflite_lib.attach(exported[1], {"labels.json": text}))
  _refused(path, f"--model: '{path}': labels.json in it {message}")


def test_boxes_are_of_the_photo_as_the_model_decodes_it():
  stored = small_export.drawing(0)
  exif = Image.Exif()
  exif[0x0112] = 6
  turned = predict_lib.decode(small_export.jpeg(stored, exif=exif))
  plain = predict_lib.decode(small_export.jpeg(stored))
  np.testing.assert_array_equal(turned, np.rot90(plain, -1))
  out = io.BytesIO()
  stored.save(out, "PNG", exif=exif)
  np.testing.assert_array_equal(predict_lib.decode(out.getvalue()), stored)
  with pytest.raises(photos.RejectedError, match="truncated or corrupt"):
    predict_lib.decode(small_export.jpeg(stored)[:3000])


@pytest.fixture
def drawn(monkeypatch):
  """Records faces and answers that are drawn, and the words at that time."""
  calls = []
  draw = card.draw

  def record(face, answer, language):
    calls.append((face, answer, labels.HEADS))
    return draw(face, answer, language)

  monkeypatch.setattr(card, "draw", record)
  return calls


def test_the_face_on_a_card_is_sharp_and_upright(saved_model, drawn):
  image = small_export.drawing(1)
  factor = 1600 / max(image.size)
  large = image.resize([round(side * factor) for side in image.size])
  # Not in the middle, not square, and rolled.
  canvas = Image.new("RGB", (2600, 1900), "silver")
  canvas.paste(large, (700, 100))
  photo = small_export.jpeg(canvas.rotate(15, fillcolor="silver"))
  (face,) = saved_model.all_faces(photo)
  picture = predict_lib.draw_card(photo, face)
  assert picture.size == card.SIZE
  upright = drawn[0][0]
  assert upright.shape == (640, 640, 3)
  loaded = saved_model._runtime._model.signatures["all_faces"]
  seen = loaded(tf.constant(photo))["crop"].numpy()[0]

  def distance(cut):
    small = Image.fromarray(cut).resize(seen.shape[:2], Image.Resampling.BOX)
    return np.abs(np.asarray(small, np.float32) - seen).mean()

  assert distance(upright) < 6
  # Finer than what the model saw, enlarged.
  enlarged = Image.fromarray(seen).resize((640, 640), Image.Resampling.BICUBIC)
  detail = [
    np.abs(np.diff(np.asarray(x, np.float32), axis=1)).max(axis=2).std()
    for x in (upright, enlarged)
  ]
  assert detail[0] > 1.3 * detail[1]
  (main,) = saved_model.predict([photo])
  predict_lib.draw_card(predict_lib.decode(photo), main, "en")
  assert distance(drawn[1][0]) > 2 * distance(upright)


@pytest.fixture(scope="module")
def wide_models(tmp_path_factory):
  """A SavedModel and a .tflite file that look at more than the face."""
  folder = tmp_path_factory.mktemp("wide")
  settings = train_settings.TrainSettings(
    image_size=small_export.SIZE, margin=2.4
  )
  model = small_export.model()
  export_lib.save_saved_model(model, settings, folder / "saved_model")
  size = small_export.SIZE
  content = tflite_lib.convert(
    model, "float32", size, np.zeros([1, size, size, 3], np.uint8)
  )
  words = {"labels.json": export_lib.labels_json(settings)}
  (folder / "wide.tflite").write_bytes(tflite_lib.attach(content, words))
  return [
    predict_lib.load(folder / name) for name in ("saved_model", "wide.tflite")
  ]


def test_what_is_shown_is_what_the_model_sees(wide_models):
  photo = small_export.jpeg(small_export.drawing(0))
  pixels = predict_lib.decode(photo)
  for model in wide_models:
    seen = model._runtime.every(photo)["crop"][0]
    (face,) = model.all_faces(photo)
    for shown in (
      Image.fromarray(predict_lib.cut_face(pixels, face, 640)),
      app_answer._crop(pixels, face),
    ):
      small = shown.resize(seen.shape[:2], Image.Resampling.BOX)
      assert np.abs(np.asarray(small, np.float32) - seen).mean() < 4


def test_pictures_speak_the_words_of_the_model(
  other_tflite, contents, drawn, monkeypatch
):
  (face,) = other_tflite.all_faces(contents[0])
  predict_lib.draw_card(contents[0], face, "en")
  answer = drawn[0][1]
  assert answer.vocabularies["job"].names == ("cook", "=1+1")
  assert answer.sentence_en == face.sentence_en
  with pytest.raises(ValueError, match="allowed: ko, en"):
    predict_lib.draw_card(contents[0], face, "fr")
  marks = []
  monkeypatch.setattr(annotate, "draw", lambda _, given: marks.extend(given))
  predict_lib.draw_annotated(contents[0], [face], "en")
  best = face.best("en")
  assert (
    marks[0].text == f"{best['face_type']} · {best['gender']} {best['job']}"
  )
  assert marks[0].number is None
  assert best["face_type"].startswith("plant ")


def test_annotated_faces_are_numbered(tflite, crowd, monkeypatch):
  marks = []
  draw = annotate.draw

  def record(photo, given):
    marks.extend(given)
    return draw(photo, given)

  monkeypatch.setattr(annotate, "draw", record)
  faces = tflite.all_faces(crowd)
  picture = predict_lib.draw_annotated(crowd, faces)
  height, width = predict_lib.decode(crowd).shape[:2]
  assert picture.width / picture.height == pytest.approx(width / height, 0.01)
  assert [mark.number for mark in marks] == [1, 2]
  assert [mark.box for mark in marks] == [face.box for face in faces]
  for mark, face in zip(marks, faces, strict=True):
    word = labels.HEADS["face_type"].korean[
      int(np.argmax(face.probabilities["face_type"]))
    ]
    assert mark.text.startswith(f"{word} · ")
  with pytest.raises(ValueError, match="Got language 'fr'; allowed: ko, en"):
    predict_lib.draw_annotated(crowd, faces, "fr")


def test_a_card_needs_an_answer(tflite):
  (said,) = tflite.predict([b""])
  with pytest.raises(ValueError, match=r"Got 'unreadable: .*a card needs"):
    predict_lib.draw_card(WALL, said)


def test_a_runtime_is_what_the_protocol_says(saved_model, tflite, contents):
  for model in (saved_model, tflite):
    runtime: predict_models.Runtime = model._runtime
    outputs = runtime.main(contents)
    assert set(outputs) == {
      *(*labels.HEADS, *SENTENCES),
      *("found", "box", "score", "faces", "error"),
    }
    assert {len(values) for values in outputs.values()} == {len(contents)}
    every = runtime.every(contents[0])
    assert every["error"].shape == ()
    assert every["crop"].shape[1:] == (small_export.SIZE, small_export.SIZE, 3)
