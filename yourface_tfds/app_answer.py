"""What the local page shows of a photo, as HTML; and the card of a face.

  answers = app_answer.Answers(model)
  shown = answers.look(photo_bytes)          # {"photo": ..., "faces": [...]}
  png = answers.card(photo_bytes, 0, "ko")

Nothing of a photo outlives a call. Text is in both languages, see `app_texts`.
"""

import base64
import contextlib
import html
import io
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from yourface_tfds import (
  animals,
  annotate,
  app_texts,
  card,
  card_bars,
  labels,
  paint,
  photos,
  predict_lib,
  quiet,
  sample_drawing,
  sample_people,
)

MOST_FACES = 12
"""Faces of one photo that can be chosen, the largest."""

CROP_SIZE = 360
"""Side of the face that is shown, pixels: 288 CSS pixels at most."""

_THUMB_SIZE = 96
_LEAD = "face_type"
_MOST_BARS = 4
_QUALITY = 88


class Answers:
  """A model's answers for a page. One photo at a time, from many threads.

  A photo of 50 megapixels takes 150 MB while it is looked at.
  """

  def __init__(self, model: predict_lib.Model) -> None:
    """Keeps the model."""
    self._model = model
    self._one_at_a_time = threading.Lock()

  def look(self, content: bytes) -> dict[str, Any]:
    """Returns what is shown of a photo.

    Args:
      content: the bytes of its file.

    Returns:
      `photo`, `count` and `thumbs`, HTML of the whole photo, and `faces`: for
      each the HTML of its `panel`, `sentence`, the `other` language's, `bars`.

    Raises:
      RejectedError: it cannot be read or has no face.
    """
    with self._one_at_a_time:
      found = self._model.all_faces(content)
      shown = found[:MOST_FACES]
      pixels = predict_lib.decode(content)
      crops = [_crop(pixels, face) for face in shown]
    return {
      "photo": _photo(pixels, shown, len(found)),
      "count": _count(len(shown), len(found)),
      "thumbs": _thumbs(crops),
      "faces": [
        {
          "panel": _panel(picture, face),
          "sentence": app_texts.pair(face.sentence_ko, face.sentence_en),
          "other": app_texts.pair(
            face.sentence_ko, face.sentence_en, swapped=True
          ),
          "bars": "".join(
            _bars(head, values, face.heads[head])
            for head, values in face.probabilities.items()
          ),
        }
        for picture, face in zip(crops, shown, strict=True)
      ],
    }

  def card(self, content: bytes, number: int, language: str) -> bytes:
    """Returns the card of one face, a PNG file.

    Args:
      content: the bytes of the photo.
      number: of the face, from 0, the largest first.
      language: "ko" or "en".

    Raises:
      RejectedError: it cannot be read or has no face.
      IndexError: there is no face of that number.
      ValueError: the language is another.
    """
    with self._one_at_a_time:
      faces = self._model.all_faces(content)
      if not 0 <= number < len(faces):
        raise IndexError(f"Got face {number}, allowed: 0 to {len(faces) - 1}.")
      picture = predict_lib.draw_card(content, faces[number], language)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()

  def warm_up(self) -> None:
    """Answers for a drawn photo: the first answer takes seconds."""
    drawn = sample_drawing.draw_photo(sample_people.make_person(1, 0), 1, 0)
    out = io.BytesIO()
    drawn.save(out, "JPEG", quality=_QUALITY)
    # A model may see no face in a drawing.
    with contextlib.suppress(photos.RejectedError), quiet.without_greeting():
      self.look(out.getvalue())
      self.card(out.getvalue(), 0, card.LANGUAGES[0])


def data_uri(picture: Image.Image) -> str:
  """Returns an RGB picture as the address of an image: a JPEG in itself."""
  out = io.BytesIO()
  picture.save(out, "JPEG", quality=_QUALITY)
  encoded = base64.b64encode(out.getvalue()).decode("ascii")
  return f"data:image/jpeg;base64,{encoded}"


def animal_uri(name: str) -> str:
  """Returns the drawing of a class as the address of an image."""
  encoded = base64.b64encode(animals.svg(name, 64).encode()).decode("ascii")
  return f"data:image/svg+xml;base64,{encoded}"


def _crop(pixels: np.ndarray, face: predict_lib.Prediction) -> Image.Image:
  """Returns the face as the model gets it, but larger: RGB, `CROP_SIZE`."""
  return Image.fromarray(predict_lib.cut_face(pixels, face, CROP_SIZE))


def _photo(
  pixels: np.ndarray, shown: Sequence[predict_lib.Prediction], count: int
) -> str:
  picture = Image.fromarray(pixels)
  picture.thumbnail((annotate.LONGEST, annotate.LONGEST))
  text = app_texts.both("photo", faces=count)
  boxes = "".join(
    _box(face.box, number, several=count > 1)
    for number, face in enumerate(shown)
  )
  return (
    f'<img src="{data_uri(picture)}" alt=""><span class="unseen">{text}</span>'
    f"{boxes}"
  )


def _box(sides: Sequence[float], number: int, *, several: bool) -> str:
  """Returns the box of a face, in parts of the photo; its number if several."""
  top, left, bottom, right = (100 * min(max(x, 0.0), 1.0) for x in sides)
  place = (
    f"left: {left:.3f}%; top: {top:.3f}%; width: {right - left:.3f}%; "
    f"height: {bottom - top:.3f}%"
  )
  frame = (
    f'<label class="box" for="face-{number}" data-face="{number}" '
    f'style="{place}"></label>'
  )
  if not several:
    return frame
  # As in the browser's page; style.css keeps it within the photo.
  return (
    f'{frame}<span class="plate" aria-hidden="true" data-face="{number}" '
    f'style="--left: {left:.3f}%; --top: {top:.3f}%">{number + 1}</span>'
  )


def _count(shown: int, count: int) -> str:
  """Returns the words above the faces to choose from, "" with one face."""
  if count == 1:
    return ""
  if shown == count:
    return app_texts.both("faces", faces=count)
  return app_texts.both("largest", faces=count, shown=shown)


def _thumbs(crops: Sequence[Image.Image]) -> str:
  """Returns radio buttons with small faces, "" with one face."""
  if len(crops) == 1:
    return ""
  side = (_THUMB_SIZE, _THUMB_SIZE)
  return "".join(
    f'<input type="radio" name="face" id="face-{i}" value="{i}" '
    f'class="thumb-input"{"" if i else " checked"}>'
    f'<label class="thumb" for="face-{i}">'
    f'<img src="{data_uri(picture.resize(side))}" alt="">'
    f'<span class="unseen">{app_texts.both("face", number=i + 1)}</span>'
    f'<span aria-hidden="true">{i + 1}</span></label>'
    for i, picture in enumerate(crops)
  )


def _panel(picture: Image.Image, face: predict_lib.Prediction) -> str:
  """Returns the aligned crop, and the animal with its name and number."""
  head = _LEAD if _LEAD in face.heads else [*face.heads][-1]
  row, words = face.probabilities[head], face.heads[head]
  best = int(np.argmax(row))
  return (
    f'<figure class="crop"><img src="{data_uri(picture)}" alt="">'
    f'<figcaption class="unseen">{app_texts.both("crop")}</figcaption></figure>'
    f'<figure class="animal"><img src="{animal_uri(words.names[best])}" alt="">'
    f'<figcaption><span id="animal-title">{_title(head)}</span>'
    f'<strong id="animal-word">'
    f"{app_texts.pair(words.korean[best], words.names[best])}</strong>"
    f'<span id="animal-percent">{html.escape(paint.percent(row[best]))}</span>'
    "</figcaption></figure>"
  )


def _title(head: str) -> str:
  return app_texts.pair(
    *(card_bars.title(head, language) for language in card.LANGUAGES)
  )


def _bars(head: str, values: Sequence[float], words: labels.Head) -> str:
  """Returns the title of a head and the bars that the card has."""
  order = np.argsort(-np.asarray(values, np.float64), kind="stable").tolist()
  # One class left over is shown by its name, in the row it would take anyway.
  count = len(order) if len(order) <= _MOST_BARS + 1 else _MOST_BARS
  rows = [
    _row(
      app_texts.pair(words.korean[i], words.names[i]),
      values[i],
      "" if rank else "first",
    )
    for rank, i in enumerate(order[:count])
  ]
  others = order[count:]
  if others:
    said = (card_bars.REST[key].format(len(others)) for key in card.LANGUAGES)
    value = math.fsum(values[i] for i in others)
    rows.append(_row(app_texts.pair(*said), value, "rest"))
  return (
    f'<div class="head"><h4>{_title(head)}</h4><ul>{"".join(rows)}</ul></div>'
  )


def _row(word: str, value: float, kind: str) -> str:
  width = 100 * min(value, 1.0)
  return (
    f'<li class="{kind}"><span class="word">{word}</span>'
    f'<span class="value">{html.escape(paint.percent(value))}</span>'
    f'<div class="track"><div style="width: {width:.2f}%"></div></div></li>'
  )
