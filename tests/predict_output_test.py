"""Tests of predict_output and predict_pictures: text and pictures."""

import csv
import io
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import small_export
from yourface_tfds import (
  cli,
  labels,
  photos,
  predict_inputs,
  predict_lib,
  predict_output,
  predict_pictures,
)

WALL = small_export.jpeg(Image.new("RGB", (200, 100), "teal"))
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
  assert list(said) == [
    *("sentence_ko", "sentence_en", "box", "score", "faces", "probabilities")
  ]
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
