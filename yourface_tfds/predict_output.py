"""Answers as text, JSON lines and CSV.

  layout = predict_output.layout("csv", model.heads, several=True)
  print(layout.header, end="")
  for answer in predict_output.answers(model, found):
    print(layout.lines(answer), end="")

One answer is whole lines, so that a reader of a pipe never sees half of one.
"""

import dataclasses
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from yourface_tfds import labels, photos, predict_inputs, predict_lib

FORMATS = ("text", "json", "csv")

_BOX = ("y_min", "x_min", "y_max", "x_max")
# A spreadsheet takes such a cell for a formula, and it may have come from the
# name of a file: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What came out for one photo.

  Attributes:
    photo: with its content.
    error: "" when fine, else why there is no face.
    faces: of every face or the main one, without errors; none on error.
  """

  photo: predict_inputs.Photo
  error: str = ""
  faces: Sequence[predict_lib.Prediction] = ()


def answers(
  model: predict_lib.Model,
  found: Iterable[predict_inputs.Photo],
  *,
  every: bool = False,
) -> Iterator[Answer]:
  """Yields the answer for each photo, in order, as soon as it is known.

  Args:
    model: from `predict_lib.load`.
    found: from `predict_inputs.find`; they are read here, a few at a time.
    every: whether all faces are answered for, one photo at a time; else the
      main one, in batches.
  """
  if every:
    for (photo,) in predict_inputs.batches(found, 1):
      yield _every(model, photo)
    return
  for batch in predict_inputs.batches(found):
    contents = [photo.content for photo in batch if not photo.error]
    predictions = iter(model.predict(contents))
    for photo in batch:
      if photo.error:
        yield Answer(photo=photo, error=photo.error)
        continue
      said = next(predictions)
      faces = () if said.error else (said,)
      yield Answer(photo=photo, error=said.error, faces=faces)


def _every(model: predict_lib.Model, photo: predict_inputs.Photo) -> Answer:
  if photo.error:
    return Answer(photo=photo, error=photo.error)
  try:
    return Answer(photo=photo, faces=model.all_faces(photo.content))
  except photos.RejectedError as rejected:
    return Answer(photo=photo, error=f"{rejected.status}: {rejected}")


def escaped(text: str) -> str:
  r"""Returns text for a terminal: what would steer it becomes \n, \x1b, ...

  Also what cannot be seen, turns the order of letters around, or is no UTF-8.
  """
  return _escaped(text, lambda c: c.encode("unicode_escape").decode("ascii"))


def _escaped(text: str, escape: Callable[[str], str]) -> str:
  if text.isprintable():
    return text
  return "".join(
    c if c.isprintable() or unicodedata.category(c) == "Zs" else escape(c)
    for c in text
  )


def _json_escape(character: str) -> str:
  units = character.encode("utf-16-be", "surrogatepass").hex()
  return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """How answers are written.

  Attributes:
    heads: the model's vocabularies.
    all_faces: whether a photo stands for its faces, or for the main one.
    several: whether there are several photos, which text tells apart.
    language: "ko" or "en", of text.
    header: what comes before the answers; whole lines, or nothing.
  """

  heads: Mapping[str, labels.Head]
  all_faces: bool = False
  several: bool = False
  language: str = "ko"
  header: str = ""

  def lines(self, answer: Answer) -> str:
    """Returns an answer as whole lines; a photo's error may have none."""
    raise NotImplementedError

  def _shown(self, answer: Answer) -> Sequence[predict_lib.Prediction]:
    return answer.faces if self.all_faces else answer.faces[:1]


class Text(Layout):
  """A sentence a line. Errors are not among them."""

  def lines(self, answer: Answer) -> str:
    """Implements `Layout.lines`."""
    name = f"{escaped(answer.photo.path)}: " if self.several else ""
    lines = []
    for number, face in enumerate(self._shown(answer), 1):
      place = f"{number}: " if self.all_faces else ""
      lines.append(f"{name}{place}{escaped(face.sentence(self.language))}\n")
    return "".join(lines)


class Json(Layout):
  """An object a photo and line, with the exact path; `faces` is their list."""

  def lines(self, answer: Answer) -> str:
    """Implements `Layout.lines`."""
    values: dict[str, Any] = {"path": answer.photo.path}
    if answer.error:
      values["error"] = answer.error
    if self.all_faces:
      values["faces"] = [
        {"face": number, **face.as_json()}
        for number, face in enumerate(answer.faces, 1)
      ]
    else:
      for face in self._shown(answer):
        values |= face.as_json()
      values.pop("landmarks", None)  # Known of all faces only.
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return _escaped(text, _json_escape) + "\n"


class Csv(Layout):
  """A row a face, or one for the error of a photo: RFC 4180, Unix newlines."""

  def lines(self, answer: Answer) -> str:
    """Implements `Layout.lines`."""
    path = answer.photo.path
    shown = self._shown(answer)
    if not shown:
      row = [path, "", answer.error, "false"]
      return _row([*row, *[""] * (len(csv_columns(self.heads)) - len(row))])
    rows = []
    for number, face in enumerate(shown, 1):
      row = [path, number, "", "true", face.score, face.faces, *face.box]
      best = face.best()
      for head, values in face.probabilities.items():
        row += [best[head], *values]
      rows.append(_row([*row, face.sentence_ko, face.sentence_en]))
    return "".join(rows)


def csv_columns(heads: Mapping[str, labels.Head]) -> list[str]:
  """Returns the names of the columns, the same for every answer of a model."""
  columns = ["path", "face", "error", "found", "score", "faces", *_BOX]
  for head, vocabulary in heads.items():
    columns += [head, *(f"{head}_{name}" for name in vocabulary.names)]
  return [*columns, "sentence_ko", "sentence_en"]


def _row(values: Iterable[object]) -> str:
  line = ",".join(map(_cell, values)) + "\n"
  # A file name that is not UTF-8 on disk is shown escaped.
  return line.encode("utf-8", "backslashreplace").decode("utf-8")


def _cell(value: object) -> str:
  if isinstance(value, float):
    return f"{value:.6f}"
  text = str(value)
  if text.startswith(_FORMULA):
    text = f"'{text}"
  if any(c in text for c in '",\r\n'):
    return '"' + text.replace('"', '""') + '"'
  return text


def layout(
  format_name: str,
  heads: Mapping[str, labels.Head],
  *,
  all_faces: bool = False,
  several: bool = False,
  language: str = "ko",
) -> Layout:
  """Returns one of `FORMATS`; see `Layout`."""
  kind = {"text": Text, "json": Json, "csv": Csv}[format_name]
  return kind(
    heads=heads,
    all_faces=all_faces,
    several=several,
    language=language,
    header=_row(csv_columns(heads)) if kind is Csv else "",
  )
