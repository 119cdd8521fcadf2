"""The words of the local page, and the desk that takes its questions."""

import base64
import re
import types

import pytest
from PIL import Image

from yourface_tfds import (
  app_answer,
  app_desk,
  app_texts,
  labels,
  photos,
  predict_lib,
)


def test_every_text_is_there_in_both_languages():
  for key, (korean, english) in app_texts._TEXTS.items():
    assert re.search("[가-힣]", korean), key
    assert not re.search("[가-힣]", english), key
    assert set(re.findall(r"{\w+}", korean)) == set(
      re.findall(r"{\w+}", english)
    ), key


def test_a_model_s_words_are_escaped():
  head = labels.Head(names=("<b>", "x&y"), korean=('"', "<i>"))
  html = app_answer._bars("<u>", [0.75, 0.25], head)
  assert not re.search("<[biu]>", html)
  for escaped in ("&lt;b&gt;", "x&amp;y", "&lt;i&gt;", "&lt;u&gt;", "75.0 %"):
    assert escaped in html


def test_more_faces_than_are_shown_are_counted():
  assert app_answer._count(1, 1) == ""
  assert "There are 12 faces." in app_answer._count(12, 12)
  words = "There are 30 faces. Choose one of the 12 largest."
  assert words in app_answer._count(12, 30)


class Told:
  """Answers that are told what to say."""

  def __init__(self, what):
    self.what = what

  def look(self, content):
    if isinstance(self.what, Exception):
      raise self.what
    return {"photo": content.decode()}

  def card(self, content, number, language):
    return f"{content} {number} {language}".encode()


def desk(what=None, **settings):
  return app_desk.Desk(Told(what), app_desk.Settings(**settings))  # type: ignore


def sent(content=b"hello", **more):
  return {"photo": base64.b64encode(content).decode(), **more}


def test_the_desk_hands_on_what_it_is_asked():
  assert desk().look(sent(), "") == {"photo": "hello"}
  answer = desk().card(sent(face=1, language="ko"), "")["card"]
  assert base64.b64decode(answer.split(",")[1]) == b"b'hello' 1 ko"


@pytest.mark.parametrize(
  "asked", [None, 3, [], {}, {"photo": None}, {"photo": "~"}, {"photo": "가"}]
)
def test_the_desk_bears_any_question(asked):
  for ask in (desk().look, desk().card):
    assert "Something went wrong" in ask(asked, "")["error"]


@pytest.mark.parametrize("more", [{}, {"face": "x"}, {"face": 0}])
def test_the_desk_bears_any_question_for_a_card(more):
  assert "error" in desk().card(sent(**more), "")


@pytest.mark.parametrize("number", [-1, 1])
def test_a_face_that_is_not_there_has_no_card(number, monkeypatch):
  model = types.SimpleNamespace(all_faces=lambda content: ["a face"])
  monkeypatch.setattr(
    predict_lib, "draw_card", lambda *_: Image.new("RGB", (4, 5))
  )
  answers = app_answer.Answers(model)  # type: ignore
  assert answers.card(b"", 0, "ko")
  with pytest.raises(IndexError, match=f"Got face {number}, allowed: 0 to 0."):
    answers.card(b"", number, "ko")
  told = app_desk.Desk(answers, app_desk.Settings())
  assert "error" in told.card(sent(face=number, language="ko"), "")


@pytest.mark.parametrize(
  ("status", "words"),
  [
    ("no_face", "No face was found."),
    ("not_an_image", "not a photo that can be opened"),
    ("unreadable", "damaged"),
    ("too_large", "20 MB and 50 megapixels"),
    ("of the future", "Something went wrong"),
  ],
)
def test_what_is_wrong_with_a_photo_is_a_sentence(status, words):
  error = desk(photos.RejectedError(status, "")).look(sent(), "")["error"]
  assert words in error and re.search("[가-힣]", error)


def test_a_crash_tells_nothing_of_the_photo(capsys):
  answer = desk(RuntimeError("secret")).look(sent(), "1.2.3.4")
  assert "Something went wrong" in answer["error"]
  said = capsys.readouterr()
  assert said.out == "" and said.err == "A photo failed: RuntimeError\n"


def test_a_large_file_is_refused_before_it_is_looked_at():
  answer = desk(RuntimeError(), max_megabytes=1).look(
    sent(bytes(1_000_001)), ""
  )
  assert "1 MB and 50 megapixels" in answer["error"]


def test_whoever_asks_too_often_is_told_to_wait():
  busy = desk(photos_per_minute=2)
  for _ in range(2):
    assert "error" not in busy.look(sent(), "a")
  assert re.search(r"again in (60|59) s\.", busy.look(sent(), "a")["error"])
  assert "error" not in busy.look(sent(), "b")
  for _ in range(2 * app_desk.CARDS_A_PHOTO):
    assert "card" in busy.card(sent(face=0, language="en"), "a")
  assert "again in" in busy.card(sent(face=0, language="en"), "a")["error"]
