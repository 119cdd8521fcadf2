"""Tests of card, card_bars, paint and lettering."""

import importlib.metadata
import re

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFont

from yourface_tfds import animals, card, labels, lettering, paint

_SENTENCE = "당신은 강아지상의 남자 배우 같아요!"
_ENGLISH = "You look like a man actor with a dog face!"
_HANGUL = re.compile("[가-힣]")
_LONG = labels.Head(
  names=("Donaudampfschifffahrtsgesellschaftskapitaen of the river", "x"),
  korean=("도나우증기선운항회사선장님의 아주아주 기다란 모자걸이", "엑스"),
)


def _values(count, best=0, top=0.7):
  values = np.full(count, (1 - top) / max(count - 1, 1))
  values[best] = top if count > 1 else 1.0
  return values.tolist()


def _answer(best=0, top=0.7, animal=None, **probabilities):
  probabilities = probabilities or {
    head: _values(len(vocabulary.names), best % len(vocabulary.names), top)
    for head, vocabulary in labels.HEADS.items()
  }
  return card.Answer(
    sentence_ko=_SENTENCE,
    sentence_en=_ENGLISH,
    probabilities=probabilities,
    animal=animal,
  )


def _face(side=150):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (side, side, 3), np.uint8)


def _replace(monkeypatch, **heads):
  monkeypatch.setattr(labels, "HEADS", heads)


def _head(count):
  return labels.Head(
    names=tuple(f"class {i}" for i in range(count)),
    korean=tuple(f"부류 {i}" for i in range(count)),
  )


@pytest.fixture
def written(monkeypatch):
  """Records what is written: text, ground, colour, left, right, middle."""
  calls = []
  write = paint.write

  def record(picture, text, at, **settings):
    ground = picture.getpixel((round(at[0]), round(at[1])))
    width = write(picture, text, at, **settings)
    anchor = settings.get("anchor", "m")
    left = at[0] - {"l": 0, "m": width / 2, "r": width}[anchor]
    color = settings.get("color", "ink")
    calls.append((text, ground, color, left, left + width, at[1]))
    return width

  monkeypatch.setattr(paint, "write", record)
  return calls


def _luminance(color):
  """Relative luminance of WCAG 2.2."""
  channels = np.array(ImageColor.getrgb(color)) / 255
  linear = np.where(
    channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
  )
  return float(linear @ (0.2126, 0.7152, 0.0722))


def _contrast(one, other):
  low, high = sorted(_luminance(paint.PALETTE[color]) for color in (one, other))
  return (high + 0.05) / (low + 0.05)


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
    "0123456789.%<>… ",
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


@pytest.mark.parametrize("side", [1, 48, 150, 508, 2000])
def test_any_side_of_the_face(side):
  face = np.full((side, side, 3), (0, 0, 255), np.uint8)
  picture = card.draw(face, _answer())
  assert (picture.mode, picture.size) == ("RGB", (1080, 1350))
  for place in ((330, 330), (90, 330), (570, 330), (330, 90), (330, 570)):
    assert picture.getpixel(place) == (0, 0, 255)
  assert picture.getpixel((330, 70)) == (255, 255, 255)


def test_a_small_face_is_enlarged_smoothly():
  face = np.zeros((48, 48, 3), np.uint8)
  face[:, 24:] = 255
  row = np.asarray(card.draw(face, _answer()))[330, 80:580, 0].astype(int)
  assert row[0] == 0 and row[-1] == 255
  # Between two pixels of a face 48 wide lie 10 of the card.
  assert np.abs(np.diff(row)).max() < 60


def test_every_text_can_be_read(written):
  for pair in paint.TEXT_ON:
    assert _contrast(*pair) >= 4.5
  for bar in ("bar", "other"):
    assert _contrast(bar, "track") >= 3
  for language in card.LANGUAGES:
    card.draw(_face(), _answer(best=3, top=0.2), language)
  grounds = {ImageColor.getrgb(c): name for name, c in paint.PALETTE.items()}
  pairs = {(color, grounds[ground]) for _, ground, color, *_ in written}
  assert len(pairs) >= 5
  assert pairs <= set(paint.TEXT_ON)


def test_one_language_only(written):
  card.draw(_face(), _answer(best=3), "en")
  english = [text for text, *_ in written]
  assert not any(_HANGUL.search(text) for text in english)
  assert {_ENGLISH, "Gender", "Job", "Animal face", "fox"} <= set(english)
  assert "7 others together" in english
  assert "Just for fun: a face does not tell who somebody is." in english
  written.clear()
  card.draw(_face(), _answer(best=3))
  korean = [text for text, *_ in written]
  assert {_SENTENCE, "성별", "직업", "동물상", "여우"} <= set(korean)
  assert "나머지 7가지 모두" in korean
  assert "재미로 보는 결과예요. 얼굴만으로 그 사람을 알 수는 없어요." in korean
  for text in korean:
    assert not re.search("[A-Za-z]", text)


def test_eleven_classes_are_four_and_the_sum_of_the_rest(written):
  row = [0.02, 0.3, 0.01, 0.4, 0.1, 0.05, 0.02, 0.06, 0.02, 0.01, 0.01]
  card.draw(_face(), _answer(face_type=row), "en")
  texts = [text for text, *_ in written]
  bars = texts[texts.index("Animal face", texts.index(_ENGLISH)) + 1 : -1]
  assert bars == [
    "40.0 %", "fox", "30.0 %", "cat", "10.0 %", "dinosaur", "6.0 %", "turtle",
    "14.0 %", "7 others together",
  ]  # fmt: skip


@pytest.mark.parametrize("count, shown", [(1, 1), (4, 4), (5, 5), (6, 4)])
def test_how_many_classes_have_a_bar_of_their_own(
  monkeypatch, written, count, shown
):
  _replace(monkeypatch, kind=_head(count))
  card.draw(_face(), _answer(kind=_values(count)), "en")
  texts = [text for text, *_ in written]
  own = {text for text in texts if text.startswith("class")}
  assert len(own) == shown
  assert any("others" in text for text in texts) == (shown < count)


def test_bars_are_as_long_as_their_numbers():
  row = [0.5, 0.25, 0.1, 0.05] + [0.1 / 7] * 7
  picture = np.asarray(card.draw(_face(), _answer(face_type=row)))[900:1262]
  bars = {
    name: (picture == ImageColor.getrgb(paint.PALETTE[name])).all(axis=2)
    for name in ("bar", "other", "track")
  }
  # One head alone has bars of 952 pixels; their middles, top to bottom.
  rows = np.nonzero(bars["track"][:, 1000])[0]
  starts = rows[np.diff(rows, prepend=-2) > 1] + 5
  assert len(starts) == 5
  lengths = [int((~bars["track"][y, 64:1016]).sum()) for y in starts]
  np.testing.assert_allclose(lengths, [476, 238, 95, 48, 95], atol=2)
  assert bars["bar"][starts[0], 70:530].all()
  assert all(bars["other"][y, 70:106].all() for y in starts[1:4])
  # The rest is hollow.
  assert not bars["other"][starts[4], 70:150].any()
  assert bars["other"][starts[4] - 5, 75:145].all()


@pytest.mark.parametrize(
  "value, text",
  [
    (0, "0.0 %"),
    (0.0004, "<0.1 %"),
    (0.0006, "0.1 %"),
    (0.502, "50.2 %"),
    (0.9994, "99.9 %"),
    (0.9996, ">99.9 %"),
    (1, "100.0 %"),
    (1.0000001, "100.0 %"),
  ],
)
def test_percent(value, text):
  assert paint.percent(value) == text


def test_the_animal_is_the_likeliest_or_the_one_given(monkeypatch, written):
  names = []
  draw = animals.draw
  monkeypatch.setattr(
    animals, "draw", lambda name, side: names.append(name) or draw(name, side)
  )
  card.draw(_face(), _answer(best=8), "en")
  assert written[1][0] == "bear" and written[2][0] == "70.0 %"
  written.clear()
  card.draw(_face(), _answer(best=8, animal="frog"), "en")
  assert written[1][0] == "frog" and written[2][0] == "3.0 %"
  written.clear()
  card.draw(_face(), _answer(best=8, animal="unicorn"), "en")
  assert written[1][0] == "bear"
  assert names == ["bear", "frog", "unicorn"]


def test_replaced_vocabularies(monkeypatch, written):
  _replace(monkeypatch, hair_colour=_head(3), shape=_head(2))
  picture = card.draw(_face(), _answer(), "ko")
  assert picture.size == (1080, 1350)
  texts = [text for text, *_ in written]
  assert texts[:3] == ["Shape", "부류 0", "70.0 %"]
  assert "Hair colour" in texts


@pytest.mark.parametrize("language", card.LANGUAGES)
@pytest.mark.parametrize("heads", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 11, 40])
def test_nothing_overlaps_whatever_the_vocabulary(
  monkeypatch, written, language, heads, count
):
  names = tuple(f"{_LONG.names[0]} {i}" for i in range(count))
  korean = tuple(f"{_LONG.korean[0]} {i}" for i in range(count))
  _replace(
    monkeypatch,
    **{
      f"head_{i}": labels.Head(names=names, korean=korean) for i in range(heads)
    },
  )
  picture = card.draw(_face(), _answer(), language)
  for one in written:
    assert one[3] >= 39 and one[4] <= 1041
  for i, (*_, left, right, y) in enumerate(written):
    for *_, other_left, other_right, other_y in written[i + 1 :]:
      apart = right + 4 <= other_left or other_right + 4 <= left
      assert apart or abs(y - other_y) >= 12
  # Between the bars and the last line is nothing.
  band = np.asarray(picture)[1264:1290]
  assert (band == ImageColor.getrgb(paint.PALETTE["paper"])).all()


def _sentence_rows(answer):
  """Returns rows and columns of the card that the sentence has changed."""
  blank = card.Answer(
    sentence_ko="", sentence_en="", probabilities=answer.probabilities
  )
  one, other = (np.asarray(card.draw(_face(), a)) for a in (answer, blank))
  return np.nonzero((one != other).any(axis=2))


@pytest.mark.parametrize("times", [1, 3, 10, 100])
@pytest.mark.parametrize("space", [" ", ""])
def test_sentence_of_any_length_stays_in_its_place(times, space):
  answer = card.Answer(
    sentence_ko=space.join([_SENTENCE.replace(" ", space)] * times),
    sentence_en="",
    probabilities=_answer().probabilities,
  )
  rows, columns = _sentence_rows(answer)
  assert len(rows) > 2000
  assert rows.min() > 670 and rows.max() < 862
  assert columns.min() >= 60 and columns.max() < 1020
  assert abs(columns.min() + columns.max() - 1080) < 30


def test_sentence_in_decomposed_letters_is_the_same():
  answer = card.Answer(
    sentence_ko="\u1100\u1161",
    sentence_en="",
    probabilities=_answer().probabilities,
  )
  other = card.Answer(
    sentence_ko="가", sentence_en="", probabilities=_answer().probabilities
  )
  assert (
    card.draw(_face(), answer).tobytes() == card.draw(_face(), other).tobytes()
  )


def test_fit_prefers_large_letters_and_even_lines():
  face = lettering.font(40)
  short = lettering.fit("곰", face=face, width=400, height=60, smallest=10)
  assert (short.lines, short.face.size) == (("곰",), 40)
  two = lettering.fit(
    "one two three four five six", face=face, width=400, height=110, smallest=10
  )
  assert two.face.size == 40
  assert len(two.lines) == 2
  lengths = [two.face.getlength(line) for line in two.lines]
  assert max(lengths) <= 400 and min(lengths) > 0.6 * max(lengths)
  small = lettering.fit(
    "one two three four five six", face=face, width=400, height=60, smallest=10
  )
  assert len(small.lines) == 1 and 20 <= small.face.size < 40
  assert small.width <= 400


def test_fit_breaks_and_cuts_as_a_last_resort():
  face = lettering.font(40)
  word = lettering.fit("가" * 50, face=face, width=300, height=80, smallest=20)
  assert word.face.size == 20
  assert len(word.lines) == 2 and word.lines[-1].endswith("…")
  assert word.width <= 300 and word.height <= 80
  whole = lettering.fit("가" * 20, face=face, width=300, height=80, smallest=20)
  assert "".join(whole.lines) == "가" * 20
  nothing = lettering.fit(" \n\t", face=face, width=9, height=9, smallest=8)
  assert nothing.lines == () and nothing.width == nothing.height == 0
  lines = lettering.fit("a\nb\tc", face=face, width=300, height=80, smallest=20)
  assert lines.lines == ("a b c",)


@pytest.mark.parametrize(
  "face, text",
  [
    (np.zeros((4, 5, 3), np.uint8), "shape (4, 5, 3); it is [side, side, 3]"),
    (np.zeros((4, 4), np.uint8), "shape (4, 4); it is [side, side, 3]"),
    (np.zeros((4, 4, 4), np.uint8), "shape (4, 4, 4); it is [side, side, 3]"),
    (np.zeros((4, 4, 3)), "48 values of float64; they are uint8"),
    (np.zeros((0, 0, 3), np.uint8), "0 values of uint8; they are uint8"),
  ],
)
def test_what_is_no_face_is_refused(face, text):
  with pytest.raises(ValueError, match=re.escape(text)):
    card.draw(face, _answer())


def test_another_language_is_refused():
  with pytest.raises(ValueError, match="language 'fr'; allowed: ko, en"):
    card.draw(_face(), _answer(), "fr")


@pytest.mark.parametrize(
  "probabilities, text",
  [
    ({"gender": [1.0]}, "Got 1 probabilities for 'gender', which has 2"),
    ({"mood": [1.0]}, "Got 1 probabilities for 'mood', which has 0"),
    ({"gender": [0.5, np.nan]}, "probabilities are 0..1"),
    ({"gender": [-0.5, 1.5]}, "probabilities are 0..1"),
    ({}, "Got no probabilities; a card needs one head or more"),
  ],
)
def test_what_is_no_answer_is_refused(probabilities, text):
  with pytest.raises(ValueError, match=re.escape(text)):
    card.Answer(sentence_ko="", sentence_en="", probabilities=probabilities)


def test_probabilities_may_be_an_array():
  row = np.full(11, 1 / 11, np.float32)
  one = card.draw(_face(), _answer(face_type=row))
  assert one.tobytes() == card.draw(_face(), _answer(face_type=row)).tobytes()


def test_card_can_be_saved_and_says_nothing_else(tmp_path):
  picture = card.draw(_face(), _answer())
  assert not picture.info
  picture.save(tmp_path / "card.png")
  with Image.open(tmp_path / "card.png") as image:
    assert (image.format, image.size) == ("PNG", (1080, 1350))
    assert not image.info
