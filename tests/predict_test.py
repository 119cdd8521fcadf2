"""Tests of predict_inputs, predict_words, predict_models, predict_lib,
predict_output and predict_pictures."""

import concurrent.futures
import csv
import io
import json
import os
import pathlib
import re
import shutil
import tracemalloc
import unicodedata
from typing import Any

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
  predict_inputs,
  predict_lib,
  predict_models,
  predict_output,
  predict_pictures,
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


def _paths(*arguments):
  return [
    photo.path for photo in predict_inputs.find(list(map(str, arguments)))
  ]


def _touch(folder, *names):
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _below(folder, *names):
  return [str(folder / name) for name in names]


def test_a_folder_is_every_file_in_it_but_the_hidden(tmp_path):
  _touch(tmp_path, "b/2.jpg", "b/1.png", "a.txt", "c/d/e", ".hid", ".git/x.jpg")
  assert _paths(tmp_path) == _below(
    tmp_path, "a.txt", "b/1.png", "b/2.jpg", "c/d/e"
  )
  # What is named is meant.
  assert _paths(tmp_path / ".hid", tmp_path / "a.txt", tmp_path / "a.txt") == (
    _below(tmp_path, ".hid", "a.txt", "a.txt")
  )


def test_links(tmp_path):
  _touch(tmp_path, "a/1.jpg")
  (tmp_path / "a/loop").symlink_to(tmp_path / "a")
  (tmp_path / "a/self").symlink_to("self")
  (tmp_path / "to").symlink_to("a")
  found = predict_inputs.find([str(tmp_path / "to")])
  assert [photo.path for photo in found] == _below(
    tmp_path / "to", "1.jpg", "loop", "self"
  )
  assert [predict_inputs.read(photo).error for photo in found] == [
    "",
    "unreadable: a link to a folder; name it as an argument",
    "unreadable: Too many levels of symbolic links",
  ]
  # Each level of a** would find all of it again, without end.
  assert _paths(tmp_path / "**" / "*.jpg") == _below(tmp_path, "a/1.jpg")


@pytest.mark.parametrize(
  ("pattern", "names"),
  [
    ("*.jpg", ["0.jpg", "10.jpg"]),
    ("**/*.jpg", ["0.jpg", "10.jpg", "a/1.jpg", "a/b/2.jpg"]),
    ("**/**/?.jpg", ["0.jpg", "a/1.jpg", "a/b/2.jpg"]),
    ("a/**", ["a/1.jpg", "a/b/2.jpg", "a/x.png"]),
    ("[ab]/*", ["a/1.jpg", "a/b/2.jpg", "a/x.png"]),
    ("[1]/[!3].jpg", ["[1]/4.jpg"]),
    (".h/*", [".h/5.jpg"]),
    # One file, by its first name.
    ("*/../0.*", ["[1]/../0.jpg"]),
  ],
)
def test_patterns(tmp_path, pattern, names):
  _touch(tmp_path, "0.jpg", "10.jpg", "a/1.jpg", "a/b/2.jpg", "a/x.png")
  _touch(tmp_path, "[1]/3.jpg", "[1]/4.jpg", ".h/5.jpg", "a/.6.jpg")
  if pattern.startswith("**"):
    names = [*names, "[1]/3.jpg", "[1]/4.jpg"]
  assert _paths(tmp_path / pattern) == sorted(_below(tmp_path, *names))


def test_patterns_are_relative_to_where_one_is(tmp_path, monkeypatch):
  _touch(tmp_path, "a/1.jpg")
  monkeypatch.chdir(tmp_path)
  assert _paths("*/*.jpg") == ["a/1.jpg"]
  assert _paths("a") == ["a/1.jpg"]


def test_names_of_macos_are_found(tmp_path):
  names = [unicodedata.normalize("NFD", f"각/{i}각.jpg") for i in range(2)]
  _touch(tmp_path, *names)
  assert _paths(f"{tmp_path}/각/0각.jpg") == _below(tmp_path, names[0])
  assert _paths(f"{tmp_path}/각/?각*") == _below(tmp_path, *names)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "got no photo; write the paths of photos behind the flags"),
    (
      ["-", "a", "-"],
      "got - twice, allowed: once, as standard input holds one photo; give the "
      "others as files",
    ),
    (
      ["a", "no\n.jpg"],
      r"got 'no\n.jpg', a path that does not exist, allowed: files, folders, "
      "patterns, - for standard input; mend it, or leave it out",
    ),
    (
      ["*.png"],
      "got '*.png', a pattern that matches nothing, allowed: files, folders, "
      "patterns, - for standard input; mend it, or leave it out",
    ),
    (
      ["empty"],
      "got 'empty', which holds no file (hidden ones do not count); name a "
      "folder with photos",
    ),
  ],
)
def test_arguments_that_mean_nothing(tmp_path, monkeypatch, arguments, message):
  _touch(tmp_path, "a", "empty/.hidden")
  monkeypatch.chdir(tmp_path)
  with pytest.raises(cli.UserError, match=f"^{re.escape(message)}$"):
    predict_inputs.find(arguments)


def _error_of(path):
  (photo,) = predict_inputs.find([str(path)])
  return predict_inputs.read(photo).error


def test_what_cannot_be_read_is_said_at_once(tmp_path, monkeypatch):
  os.mkfifo(tmp_path / "pipe")
  assert _error_of(tmp_path / "pipe") == (
    "unreadable: neither a file nor a link to one"
  )
  (tmp_path / "gone").symlink_to("nowhere")
  assert _error_of(tmp_path / "gone") == "unreadable: No such file or directory"
  _touch(tmp_path, "closed/1.jpg")
  scandir = os.scandir

  def refuse(path):
    if str(path).endswith("closed"):
      raise PermissionError(13, "Permission denied", str(path))
    return scandir(path)

  monkeypatch.setattr(os, "scandir", refuse)
  assert _error_of(tmp_path / "closed") == "unreadable: Permission denied"


def test_a_huge_file_is_not_read(tmp_path):
  huge, limit = tmp_path / "huge.jpg", predict_inputs.MAX_BYTES
  huge.touch()
  os.truncate(huge, limit + 1)
  tracemalloc.start()
  error = _error_of(huge)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert error == "too_large: more than 100,000,000 bytes"
  assert peak < 1_000_000


def test_a_file_that_grows_is_cut_off(tmp_path, monkeypatch):
  monkeypatch.setattr(predict_inputs, "MAX_BYTES", 10)
  with pytest.raises(photos.RejectedError, match="more than 10 bytes"):
    predict_inputs._at_most(io.BytesIO(b"x" * 11))
  assert predict_inputs._at_most(io.BytesIO(b"x" * 10)) == b"x" * 10


def test_batches_are_bounded_in_number_and_bytes(tmp_path, monkeypatch):
  _touch(tmp_path, *(f"{i:02d}" for i in range(20)))
  found = [*predict_inputs.find([str(tmp_path)])]
  found.insert(3, predict_inputs.Photo(path="x", error="unreadable: no"))
  batches = list(predict_inputs.batches(found))
  assert [len(batch) for batch in batches] == [16, 5]
  joined = [photo for batch in batches for photo in batch]
  assert [photo.path for photo in joined] == [photo.path for photo in found]
  assert [photo.content for photo in joined[2:5]] == [b"x", b"", b"x"]
  monkeypatch.setattr(predict_inputs, "BATCH_BYTES", 6)
  assert [len(b) for b in predict_inputs.batches(found)] == [7, 6, 6, 2]


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


HOSTILE = "a\n\x1b[31m\x9b\u202e\u2028\udcff각 b.jpg"


def _prediction(number=0, heads=labels.HEADS, faces=1):
  said = {}
  for place, (head, vocabulary) in enumerate(heads.items()):
    count = len(vocabulary.names)
    row = np.full(count, 0.25 / (count - 1), np.float32)
    row[(number + place) % count] = 0.75
    said[head] = row.tolist()
  return predict_lib.Prediction(
    sentence_ko=f'문장 "{number}", 끝',
    sentence_en=f"sentence {number}",
    box=(0.25, 0.5, 0.75, 1.0),
    score=0.5,
    faces=faces,
    landmarks=((0.1, 0.2),) * 5,
    probabilities=said,
    heads=heads,
  )


def _answer(path, *faces, error=""):
  return predict_output.Answer(
    photo=predict_inputs.Photo(path=path), faces=faces, error=error
  )


def _layout(name, **options):
  return predict_output.layout(name, labels.HEADS, **options)


def test_text():
  answer = _answer(HOSTILE, _prediction(0), _prediction(1))
  layout = _layout("text")
  assert layout.header == ""
  assert layout.lines(answer) == '문장 "0", 끝\n'
  assert _layout("text", several=True, language="en").lines(answer) == (
    r"a\n\x1b[31m\x9b\u202e\u2028\udcff각 b.jpg: sentence 0" + "\n"
  )
  every = _layout("text", all_faces=True, language="en").lines(answer)
  assert every == "1: sentence 0\n2: sentence 1\n"
  assert layout.lines(_answer("x", error="no_face: none")) == ""


def test_json_lines_are_exact_and_harmless():
  line = _layout("json").lines(_answer(HOSTILE + "😀\u200d", _prediction(2)))
  assert line.endswith("}\n")
  assert line[:-1].isprintable()
  assert "각" in line
  said = json.loads(line)
  assert said.pop("path") == HOSTILE + "😀\u200d"
  assert said["sentence_ko"] == '문장 "2", 끝'
  assert said["probabilities"]["gender"] == {"man": 0.75, "woman": 0.25}
  assert list(said) == [*SENTENCES, "box", "score", "faces", "probabilities"]
  failed = _answer("x", error="no_face: none")
  assert json.loads(_layout("json").lines(failed)) == {
    "path": "x",
    "error": "no_face: none",
  }


def test_json_of_all_faces():
  layout = _layout("json", all_faces=True)
  line = layout.lines(_answer("x", _prediction(0), _prediction(1)))
  assert line.count("\n") == 1
  said = json.loads(line)
  assert [face["face"] for face in said["faces"]] == [1, 2]
  assert [face["sentence_en"][-1] for face in said["faces"]] == ["0", "1"]
  assert said["faces"][1]["landmarks"] == [[0.1, 0.2]] * 5
  failed = json.loads(layout.lines(_answer("x", error="no_face: none")))
  assert failed == {"path": "x", "error": "no_face: none", "faces": []}


def test_csv_is_read_back():
  layout = _layout("csv", all_faces=True)
  path = 'a"b,\r\nc.jpg'
  text = layout.header
  text += layout.lines(_answer(path, _prediction(0), _prediction(3)))
  text += layout.lines(_answer("bad.jpg", error="no_face: none"))
  rows = list(csv.DictReader(io.StringIO(text, newline="")))
  assert list(rows[0]) == predict_output.csv_columns(labels.HEADS)
  assert [row["path"] for row in rows] == [path, path, "bad.jpg"]
  assert [row["face"] for row in rows] == ["1", "2", ""]
  assert [row["found"] for row in rows] == ["true", "true", "false"]
  assert rows[2]["error"] == "no_face: none"
  assert not any(list(rows[2].values())[4:])
  assert rows[0]["sentence_ko"] == '문장 "0", 끝'
  assert (rows[0]["y_min"], rows[0]["x_max"]) == ("0.250000", "1.000000")
  assert (rows[1]["gender"], rows[1]["gender_woman"]) == ("woman", "0.750000")
  assert rows[1]["face_type"] == labels.HEADS["face_type"].names[5]
  assert None not in rows[0]


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_csv_holds_no_formulas(start):
  heads = {
    "x": labels.Head(names=(f"{start}1", "b"), korean=("a", "b")),
  }
  layout = predict_output.layout("csv", heads)
  text = layout.header + layout.lines(
    _answer(f"{start}cmd|' /C calc'!A0", _prediction(0, heads))
  )
  (row,) = csv.DictReader(io.StringIO(text, newline=""))
  assert row["path"] == f"'{start}cmd|' /C calc'!A0"
  assert row["x"] == f"'{start}1"
  assert row["x_b"] == "0.250000"


def test_a_name_that_is_no_utf8_can_be_written_as_csv():
  line = _layout("csv").lines(_answer("\udcff.jpg", error="x"))
  assert line.encode("utf-8").startswith(rb"\udcff.jpg,")


class _Fake(predict_lib.Model):
  """A model that says what it was asked."""

  def __init__(self):
    self.heads = labels.HEADS
    self.calls = []

  def predict(self, contents):
    self.calls.append(len(contents))
    return [
      predict_lib.Prediction(error="no_face: none", heads=self.heads)
      if content == b"none"
      else _prediction(int(content))
      for content in contents
    ]

  def all_faces(self, content):
    if content == b"none":
      raise photos.RejectedError("no_face", "none")
    return [_prediction(int(content), faces=2)] * 2


@pytest.mark.parametrize("every", [False, True])
def test_answers_keep_their_order(tmp_path, every):
  words = []
  for i in range(40):
    content = "none" if i % 7 == 3 else str(i)
    words.append("no_face: none" if content == "none" else f"sentence {i}")
    (tmp_path / f"{i:02d}").write_text(content)
  found = predict_inputs.find([str(tmp_path)])
  found.insert(5, predict_inputs.Photo(path="x", error="unreadable: no"))
  words.insert(5, "unreadable: no")
  model = _Fake()
  said = list(predict_output.answers(model, found, every=every))
  assert [a.photo.path for a in said] == [photo.path for photo in found]
  assert [a.error or a.faces[0].sentence_en for a in said] == words
  assert {len(a.faces) for a in said if not a.error} == {2 if every else 1}
  assert model.calls == ([] if every else [15, 16, 9])


def test_answers_come_as_soon_as_they_are_known(tmp_path):
  for i in range(40):
    (tmp_path / f"{i:02d}").write_text(str(i))
  model = _Fake()
  answers = predict_output.answers(model, predict_inputs.find([str(tmp_path)]))
  next(answers)
  assert model.calls == [16]


def _drawn_names(folder, several, all_faces, number, answer):
  pictures = predict_pictures.Pictures(
    card=folder / "new" / "card.PNG",
    annotated=folder / "a.b.jpg",
    several=several,
    all_faces=all_faces,
  )
  written = pictures.draw(number, answer)
  for path in written:
    with Image.open(path) as picture:
      assert picture.format == ("PNG" if path.suffix == ".PNG" else "JPEG")
  found = [path for path in folder.rglob("*") if path.is_file()]
  assert sorted(written) == sorted(found)
  return [path.relative_to(folder).as_posix() for path in written]


@pytest.mark.parametrize(
  ("several", "all_faces", "names"),
  [
    (False, False, ["new/card.PNG", "a.b.jpg"]),
    (True, False, ["new/card_012.PNG", "a.b_012.jpg"]),
    (
      True,
      True,
      ["new/card_012_1.PNG", "new/card_012_2.PNG", "a.b_012.jpg"],
    ),
    (False, True, ["new/card_012_1.PNG", "new/card_012_2.PNG", "a.b.jpg"]),
  ],
)
def test_names_of_pictures(tmp_path, several, all_faces, names):
  photo = predict_inputs.Photo(path="x", content=WALL)
  faces = (_prediction(0), _prediction(1))
  answer = predict_output.Answer(photo=photo, faces=faces)
  assert _drawn_names(tmp_path, several, all_faces, 12, answer) == names


def test_no_picture_of_an_error(tmp_path):
  answer = _answer("x", error="no_face: none")
  assert _drawn_names(tmp_path, False, False, 1, answer) == []


@pytest.mark.parametrize(
  ("names", "message"),
  [
    (
      {"card": "card.txt"},
      "--output: got 'card.txt', allowed: a name ending in .png or .jpg",
    ),
    (
      {"annotated": ""},
      "--annotated: got '.', allowed: a name ending in .png or .jpg",
    ),
    (
      {"card": "x.png", "annotated": "x.png"},
      "got 'x.png' for both --output and --annotated, allowed: a name for each",
    ),
    (
      {"annotated": "./p.jpg", "several": True},
      "--annotated: got 'p.jpg', and 'p_002.jpg' is one of the photos, "
      "allowed: a name of its own; nothing was written",
    ),
    (
      {"card": "p.jpg", "all_faces": True},
      "--output: got 'p.jpg', and 'p_002_1.jpg' is one of the photos, allowed: "
      "a name of its own; nothing was written",
    ),
  ],
)
def test_names_that_no_picture_can_have(tmp_path, monkeypatch, names, message):
  monkeypatch.chdir(tmp_path)
  given: dict[str, Any] = {
    key: value if isinstance(value, bool) else pathlib.Path(value)
    for key, value in names.items()
  }
  pictures = predict_pictures.Pictures(**given)
  found = [
    predict_inputs.Photo(path=str(tmp_path / name))
    for name in ("p_002.jpg", "p_002_1.jpg")
  ]
  with pytest.raises(cli.UserError, match=f"^{re.escape(message)}$"):
    pictures.check(found)


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
