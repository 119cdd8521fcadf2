"""The words that a model answers in, which may be others than ours.

  words = predict_words.read("E/labels.json")
  words.heads["job"].korean                          # ("배우", "가수")
  words.sentences({"gender": 0, "job": 0, "face_type": 0})

`labels.json` is written at export, beside the model or into it: whoever has
replaced `labels.HEADS` since, or never had it, gets what the model was made of.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from yourface_tfds import cli, labels, storage

_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
  """Vocabularies and sentences.

  Attributes:
    heads: head -> its classes, in the order of the model's probabilities.
    sentence_ko: Korean, with `{head}` where the word of a head belongs.
    sentence_en: the same in English.

  Raises:
    ValueError: there is no head, a head without a class, or a sentence names
      another head.
  """

  heads: Mapping[str, labels.Head]
  sentence_ko: str
  sentence_en: str

  def __post_init__(self) -> None:
    if not self.heads:
      raise ValueError("Got no head; there is at least one.")
    for head, vocabulary in self.heads.items():
      if not vocabulary.names:
        raise ValueError(f"Got head {head!r} without a class.")
    for sentence in (self.sentence_ko, self.sentence_en):
      for head in _PLACE.findall(sentence):
        if head not in self.heads:
          raise ValueError(
            f"Got {{{head}}} in a sentence, allowed: {', '.join(self.heads)}."
          )

  def sentences(self, best: Mapping[str, int]) -> tuple[str, str]:
    """Returns the Korean and the English sentence.

    Args:
      best: head -> index of its class.
    """
    korean = {head: self.heads[head].korean[i] for head, i in best.items()}
    english = {head: self.heads[head].names[i] for head, i in best.items()}
    return _filled(self.sentence_ko, korean), _filled(self.sentence_en, english)


def _filled(sentence: str, words: Mapping[str, str]) -> str:
  # Not str.format, which lets whoever wrote the sentence ask for attributes
  # and for gigabytes of padding.
  return _PLACE.sub(lambda place: words[place[1]], sentence)


def ours() -> Words:
  """Returns the words of `labels`."""
  return Words(
    heads=labels.HEADS,
    sentence_ko=labels.SENTENCE_KO,
    sentence_en=labels.SENTENCE_EN,
  )


def parse(content: Any, where: str) -> Words:
  """Returns the words of a labels.json.

  Args:
    content: as `json.loads` gave it.
    where: what it was read from, for the error.

  Raises:
    UserError: it is not what export writes.
  """
  try:
    heads = {
      str(head): labels.Head(
        names=_texts(classes["names"]), korean=_texts(classes["korean"])
      )
      for head, classes in content["heads"].items()
    }
    sentences = _texts([content["sentence_ko"], content["sentence_en"]])
    return Words(
      heads=heads, sentence_ko=sentences[0], sentence_en=sentences[1]
    )
  except (TypeError, KeyError, AttributeError, ValueError) as error:
    raise cli.UserError(
      f"{where} is not as export wrote it ({_reason(error)}); export again"
    ) from error


def _texts(values: Any) -> tuple[str, ...]:
  if not isinstance(values, list) or not all(
    isinstance(value, str) for value in values
  ):
    raise TypeError("no list of words")
  return tuple(values)


def _reason(error: Exception) -> str:
  if isinstance(error, KeyError):
    return f"no {cli.one_line(error)}"
  return cli.one_line(error).rstrip(".")


def read(path: str | os.PathLike[str]) -> Words:
  """Reads the words of a labels.json.

  Raises:
    UserError: it cannot be read, or is not what export writes.
  """
  return parse(read_json(path), os.fspath(path))


def read_json(path: str | os.PathLike[str]) -> Any:
  """Returns what a labels.json holds, for `parse`.

  Raises:
    UserError: it cannot be read.
  """
  path = storage.path(path)
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError, RecursionError) as error:
    raise cli.UserError(
      f"{path} cannot be read ({cli.one_line(error)}); export again"
    ) from error
