"""The three label features: vocabularies, accepted spellings, missing values.

This is the only place that knows the labels. To use others, replace `HEADS`:
every later module (dataset features, model heads, metrics, export, sentence)
is driven by it.

  labels.HEADS["gender"].names         -> ("man", "woman")
  labels.HEADS["gender"].index("남자")  -> 0
  labels.HEADS["gender"].index("")     -> -1 (unknown)
  labels.sentence_ko(gender=0, job=0, face_type=0)
      -> "당신은 강아지상의 남자 배우 같아요!"
"""

import dataclasses
import unicodedata
from collections.abc import Mapping

UNKNOWN = -1
"""A label nobody gave. Masked in losses and metrics (see `train_lib`)."""


def normalize(text: str) -> str:
  """Returns `text` in Unicode NFC, without white space around it.

  macOS hands out file names in NFD; "한" and its decomposed form must be the
  same person.
  """
  return unicodedata.normalize("NFC", text).strip()


def _folded(text: str) -> str:
  return normalize(text).lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
  """One label feature, and so one head of the model.

  Attributes:
    names: class names in index order, as stored in the dataset.
    korean: the Korean word of each class, in the same order.
    aliases: further accepted spellings, each to its class name.
  """

  names: tuple[str, ...]
  korean: tuple[str, ...]
  aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    if len(self.names) != len(self.korean):
      raise ValueError(
        f"Got {len(self.names)} names and {len(self.korean)} Korean words; "
        "each class needs one of both."
      )

  def index(self, label: str) -> int:
    """Returns the class index of a label as written in people.csv.

    Args:
      label: a class name, Korean word or alias, in any case; blank for unknown.

    Returns:
      0..len(names)-1, or `UNKNOWN` for a blank label.

    Raises:
      KeyError: the label is in no vocabulary; the message lists what is.
    """
    word = _folded(label)
    if not word:
      return UNKNOWN
    aliases = {_folded(alias): name for alias, name in self.aliases.items()}
    word = _folded(aliases.get(word, word))
    for spellings in (self.names, self.korean):
      for index, spelling in enumerate(spellings):
        if word == _folded(spelling):
          return index
    allowed = ", ".join(
      f"{name} ({korean})"
      for name, korean in zip(self.names, self.korean, strict=True)
    )
    raise KeyError(f"got {label!r}, allowed: {allowed}, or blank for unknown")


HEADS: Mapping[str, Head] = {
  "gender": Head(
    names=("man", "woman"),
    korean=("남자", "여자"),
    aliases={"male": "man", "m": "man", "female": "woman", "f": "woman"},
  ),
  "job": Head(names=("actor", "singer"), korean=("배우", "가수")),
  "face_type": Head(
    names=(
      "dog",
      "cat",
      "rabbit",
      "fox",
      "dinosaur",
      "frog",
      "snake",
      "turtle",
      "bear",
      "mouse",
      "tiger",
    ),
    korean=(
      "강아지",
      "고양이",
      "토끼",
      "여우",
      "공룡",
      "개구리",
      "뱀",
      "꼬북이",
      "곰",
      "쥐",
      "호랑이",
    ),
  ),
}
"""Head name -> vocabulary. The order is the contract of the dataset."""

SENTENCE_KO = "당신은 {face_type}상의 {gender} {job} 같아요!"
SENTENCE_EN = "You look like a {gender} {job} with a {face_type} face!"


def sentence_ko(**indices: int) -> str:
  """Returns the Korean sentence for one class index per head."""
  return SENTENCE_KO.format(
    **{head: HEADS[head].korean[index] for head, index in indices.items()}
  )


def sentence_en(**indices: int) -> str:
  """Returns the English sentence for one class index per head."""
  return SENTENCE_EN.format(
    **{head: HEADS[head].names[index] for head, index in indices.items()}
  )
