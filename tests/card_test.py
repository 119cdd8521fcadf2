"""Tests of card: its font, and that any photo and box can be drawn."""

import importlib.metadata

import numpy as np
import pytest
from PIL import Image, ImageFont

from yourface_tfds import card, labels

_SENTENCE = "당신은 강아지상의 남자 배우 같아요!"
_PAPER = (255, 252, 246)


def _answer(box=(0.2, 0.3, 0.6, 0.7), sentence=_SENTENCE, best=0):
  probabilities = {}
  for head, vocabulary in labels.HEADS.items():
    count = len(vocabulary.names)
    values = np.full(count, 0.3 / (count - 1), np.float32)
    values[best % count] = 0.7
    probabilities[head] = values
  return card.Answer(sentence=sentence, box=box, probabilities=probabilities)


def _photo(height, width):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def _glyph(face, letter):
  return bytes(face.getmask(letter))


@pytest.mark.parametrize("bold", [False, True])
def test_font_has_every_letter_of_the_labels(bold):
  face = card.font(40, bold=bold)
  missing = _glyph(face, "\U000f0000")
  assert any(missing)
  words = [
    _SENTENCE,
    labels.SENTENCE_KO,
    labels.SENTENCE_EN,
    "0123456789.% ",
    *(word for head in labels.HEADS.values() for word in head.korean),
    *(word for head in labels.HEADS.values() for word in head.names),
  ]
  for letter in set("".join(words)) - {" "}:
    assert _glyph(face, letter) != missing
    assert any(_glyph(face, letter))
  assert _glyph(face, "가") != _glyph(face, "나")


def test_font_sizes_and_weights():
  thin, bold = card.font(40), card.font(40, bold=True)
  assert thin.size == bold.size == 40
  assert thin.getname() != bold.getname()
  assert all("Nanum" in str(face.getname()[0]) for face in (thin, bold))
  assert card.font(80).getlength("가") == pytest.approx(
    2 * thin.getlength("가"), rel=0.05
  )


def test_font_is_no_font_of_the_system(monkeypatch):
  truetype = ImageFont.truetype
  paths = []

  def record(path, size):
    paths.append(path)
    return truetype(path, size)

  monkeypatch.setattr(ImageFont, "truetype", record)
  monkeypatch.setenv("XDG_DATA_DIRS", "/nowhere")
  card.font(20)
  assert "koreanize_matplotlib" in paths[0]


@pytest.mark.parametrize("files", [None, [], "uninstalled"])
def test_missing_font_package(monkeypatch, files):
  def find(name):
    if files == "uninstalled":
      raise importlib.metadata.PackageNotFoundError(name)
    return files

  monkeypatch.setattr(importlib.metadata, "files", find)
  with pytest.raises(FileNotFoundError) as caught:
    card.font(20, bold=True)
  assert str(caught.value) == (
    "no NanumGothicBold.ttf; install the font package: pip install "
    "koreanize-matplotlib"
  )


@pytest.mark.parametrize(
  "size",
  [(1, 1), (2, 3), (10, 10), (4000, 30), (30, 4000), (1, 3000), (3000, 1)],
)
@pytest.mark.parametrize(
  "box",
  [
    (0.2, 0.3, 0.6, 0.7),
    (0, 0, 1, 1),
    (0, 0, 0.001, 0.001),
    (0.999, 0.999, 1, 1),
    (0.5, 0.5, 0.5, 0.5),
    (-0.2, -0.1, 1.3, 1.1),
  ],
)
def test_any_photo_and_box(size, box):
  picture = card.draw(_photo(*size), _answer(box))
  assert picture.mode == "RGB"
  assert picture.width == 1080
  assert 400 < picture.height < 3000


def test_sentence_stands_under_the_photo():
  with_it = np.asarray(card.draw(_photo(540, 540), _answer()))
  without = np.asarray(card.draw(_photo(540, 540), _answer(sentence="")))
  changed = (with_it != without).any(axis=2)
  rows, columns = np.nonzero(changed)
  assert changed.sum() > 2000
  assert rows.min() >= 1080
  assert rows.max() < 1080 + 2 * 56 + 60
  # Centred, and inside of the card.
  assert columns.min() > 20
  assert columns.max() < 1060
  assert abs(columns.min() + columns.max() - 1080) < 20


def test_photo_and_box_are_where_they_belong():
  photo = np.full((200, 200, 3), (0, 0, 255), np.uint8)
  picture = np.asarray(card.draw(photo, _answer((0.25, 0.5, 0.75, 1.0))))
  assert picture[10, 10].tolist() == [0, 0, 255]
  assert picture[540, 700].tolist() == [0, 0, 255]
  assert picture[1075, 100].tolist() == [0, 0, 255]
  for y, x in ((273, 800), (807, 800), (540, 543)):
    assert picture[y, x].tolist() == [232, 93, 79]
  assert (picture[540, 535:550] == 255).all(axis=1).any()


def test_tall_photo_is_centred():
  picture = np.asarray(card.draw(np.zeros((1000, 100, 3), np.uint8), _answer()))
  assert tuple(picture[500, 400]) == _PAPER
  assert picture[100, 540].tolist() == [0, 0, 0]
  assert tuple(picture[500, 680]) == _PAPER


def test_the_likeliest_class_is_shown_first():
  one, other = (
    np.asarray(card.draw(_photo(100, 100), _answer(best=best)))
    for best in (0, 1)
  )
  assert one.shape == other.shape
  assert (one[1080:] != other[1080:]).any()


def test_probabilities_of_nothing_and_all():
  probabilities = {"gender": [0.0, 1.0], "job": [1.0, 0.0]}
  answer = card.Answer(
    sentence=_SENTENCE, box=(0, 0, 1, 1), probabilities=probabilities
  )
  picture = card.draw(_photo(50, 50), answer)
  assert picture.size[0] == 1080
  accent = (np.asarray(picture)[1080:] == (232, 93, 79)).all(axis=2)
  assert accent.any(axis=1).sum() >= 2 * 16


def test_long_sentence_is_made_smaller():
  short = card.draw(_photo(50, 50), _answer())
  long = card.draw(_photo(50, 50), _answer(sentence=_SENTENCE * 2))
  ink = (np.asarray(long)[1080 : 1080 + 160] < 100).all(axis=2)
  columns = np.nonzero(ink.any(axis=0))[0]
  assert columns.min() >= 40
  assert columns.max() < 1040
  assert long.height < short.height


def test_card_can_be_saved(tmp_path):
  card.draw(_photo(50, 50), _answer()).save(tmp_path / "card.png")
  with Image.open(tmp_path / "card.png") as image:
    assert image.format == "PNG"
