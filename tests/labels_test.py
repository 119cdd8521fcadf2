"""Tests of labels: every accepted spelling, and the order on disk."""

import unicodedata

import pytest

from yourface_tfds import labels

_VOCABULARY = {
  "gender": [("man", "남자"), ("woman", "여자")],
  "job": [("actor", "배우"), ("singer", "가수")],
  "face_type": [
    ("dog", "강아지"),
    ("cat", "고양이"),
    ("rabbit", "토끼"),
    ("fox", "여우"),
    ("dinosaur", "공룡"),
    ("frog", "개구리"),
    ("snake", "뱀"),
    ("turtle", "꼬북이"),
    ("bear", "곰"),
    ("mouse", "쥐"),
    ("tiger", "호랑이"),
  ],
}
_CLASSES = [
  (head, index, word)
  for head, classes in _VOCABULARY.items()
  for index, words in enumerate(classes)
  for word in words
]
_ALIASES = [
  ("male", 0),
  ("m", 0),
  ("female", 1),
  ("f", 1),
]


def test_vocabularies_are_the_contract_of_the_dataset():
  assert list(labels.HEADS) == list(_VOCABULARY)
  for head, classes in _VOCABULARY.items():
    assert labels.HEADS[head].names == tuple(name for name, _ in classes)
    assert labels.HEADS[head].korean == tuple(word for _, word in classes)


@pytest.mark.parametrize(
  "spell",
  [
    str,
    str.upper,
    str.title,
    lambda word: f"  {word}\t",
    lambda word: f"\N{NO-BREAK SPACE}{word}\r\n",
    lambda word: unicodedata.normalize("NFD", word),
    lambda word: unicodedata.normalize("NFD", word.upper()) + " ",
  ],
  ids=["as it is", "upper", "title", "spaces", "nbsp", "nfd", "all at once"],
)
@pytest.mark.parametrize(("head", "index", "word"), _CLASSES)
def test_names_and_korean_words(head, index, word, spell):
  assert labels.HEADS[head].index(spell(word)) == index


@pytest.mark.parametrize("spell", [str, str.upper, lambda word: f" {word} "])
@pytest.mark.parametrize(("word", "index"), _ALIASES)
def test_gender_aliases(word, index, spell):
  assert labels.HEADS["gender"].index(spell(word)) == index


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\N{IDEOGRAPHIC SPACE}"])
@pytest.mark.parametrize("head", _VOCABULARY)
def test_blank_is_unknown(head, blank):
  assert labels.HEADS[head].index(blank) == -1
  assert labels.UNKNOWN == -1


@pytest.mark.parametrize(
  ("head", "label", "message"),
  [
    (
      "gender",
      "x",
      "got 'x', allowed: man (남자), woman (여자), or blank for unknown",
    ),
    (
      "job",
      " Dancer",
      "got ' Dancer', allowed: actor (배우), singer (가수), or blank for "
      "unknown",
    ),
    (
      "face_type",
      "dogs",
      "got 'dogs', allowed: dog (강아지), cat (고양이), rabbit (토끼), fox "
      "(여우), dinosaur (공룡), frog (개구리), snake (뱀), turtle (꼬북이), "
      "bear (곰), mouse (쥐), tiger (호랑이), or blank for unknown",
    ),
  ],
)
def test_unknown_label_lists_what_is_allowed(head, label, message):
  with pytest.raises(KeyError) as caught:
    labels.HEADS[head].index(label)
  assert caught.value.args == (message,)


@pytest.mark.parametrize(
  ("head", "label"), [("job", "man"), ("face_type", "m"), ("gender", "개")]
)
def test_words_of_another_head_are_unknown(head, label):
  with pytest.raises(KeyError):
    labels.HEADS[head].index(label)


def test_every_class_needs_both_words():
  with pytest.raises(ValueError) as caught:
    labels.Head(names=("a", "b"), korean=("가",))
  assert str(caught.value) == (
    "Got 2 names and 1 Korean words; each class needs one of both."
  )


@pytest.mark.parametrize("word", ["Model", "model", "MODEL", "모델", "Idol"])
def test_own_vocabulary_in_any_case(word):
  head = labels.Head(
    names=("Model", "Host"),
    korean=("모델", "진행자"),
    aliases={"idol": "Model"},
  )
  assert head.index(word) == 0


def test_normalize():
  decomposed = unicodedata.normalize("NFD", "김유정")
  assert len(decomposed) > 3
  assert labels.normalize(f" {decomposed}\n") == "김유정"
  assert labels.normalize("Kim  Yoo Jung ") == "Kim  Yoo Jung"


@pytest.mark.parametrize(
  ("indices", "korean", "english"),
  [
    (
      {"gender": 0, "job": 0, "face_type": 0},
      "당신은 강아지상의 남자 배우 같아요!",
      "You look like a man actor with a dog face!",
    ),
    (
      {"face_type": 10, "job": 1, "gender": 1},
      "당신은 호랑이상의 여자 가수 같아요!",
      "You look like a woman singer with a tiger face!",
    ),
  ],
)
def test_sentences(indices, korean, english):
  assert labels.sentence_ko(**indices) == korean
  assert labels.sentence_en(**indices) == english
