"""The picture that people share: the face, its animal, the sentence, the bars.

  picture = card.draw(face, answer)                    # PIL.Image, 1080 x 1350
  picture = card.draw(face, answer, language="en")
  picture.save("card.png")

The probabilities are shown as the model gave them; see `card_bars`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from yourface_tfds import animals, card_bars, labels, lettering, paint

SIZE = (1080, 1350)
"""Width and height, pixels: 4 to 5, the tallest that feeds show uncut."""
LANGUAGES = ("ko", "en")

_LEAD = "face_type"
FOOTER = {
  "ko": "재미로 보는 결과예요. 얼굴만으로 그 사람을 알 수는 없어요.",
  "en": "Just for fun: a face does not tell who somebody is.",
}

_MARGIN = 64
_PANEL_END = 660
_FACE = (64, 64, 532)
_ANIMAL = (832, 236, 288)
_SENTENCE = (_PANEL_END + 24, 848)
_BARS = (_MARGIN, 872, SIZE[0] - _MARGIN, 1262)
_FOOTER_Y = 1306

font = lettering.font


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What a model said of one face.

  Attributes:
    sentence_ko: the words of the card in Korean.
    sentence_en: the same in English.
    probabilities: head -> float[classes], 0..1.
    heads: head -> vocabulary; None: `labels.HEADS`.
    animal: class whose drawing stands beside the face; None: the likeliest of
      `face_type`, or of the last head where there is none of that name.
  """

  sentence_ko: str
  sentence_en: str
  probabilities: Mapping[str, Sequence[float]]
  heads: Mapping[str, labels.Head] | None = None
  animal: str | None = None

  @property
  def vocabularies(self) -> Mapping[str, labels.Head]:
    """Returns the words of the heads."""
    return labels.HEADS if self.heads is None else self.heads

  def __post_init__(self) -> None:
    if not self.probabilities:
      raise ValueError("Got no probabilities; a card needs one head or more.")
    for head, row in self.probabilities.items():
      known = self.vocabularies.get(head)
      count = len(known.names) if known else 0
      if len(row) != count or not count:
        raise ValueError(
          f"Got {len(row)} probabilities for {head!r}, which has {count} "
          "classes."
        )
      if not all(0 <= value <= 1.001 for value in row):
        raise ValueError(
          f"Got {list(row)} for {head!r}; probabilities are 0..1."
        )


def draw(face: np.ndarray, answer: Answer, language: str = "ko") -> Image.Image:
  """Draws the card.

  Args:
    face: uint8[side, side, 3], RGB, the crop of the face.
    answer: for that face.
    language: "ko" or "en", of every word on the card.

  Returns:
    RGB, 1080 x 1350.

  Raises:
    ValueError: `face` is no square of RGB pixels, or the language is another.
    FileNotFoundError: the font's package is not installed.
  """
  if face.ndim != 3 or face.shape[0] != face.shape[1] or face.shape[2] != 3:
    raise ValueError(
      f"Got a face of shape {face.shape}; it is [side, side, 3]."
    )
  if face.dtype != np.uint8 or not face.size:
    raise ValueError(f"Got {face.size} values of {face.dtype}; they are uint8.")
  if language not in LANGUAGES:
    raise ValueError(f"Got language {language!r}; allowed: ko, en.")
  picture = Image.new("RGB", SIZE, paint.PALETTE["paper"])
  paint.rounded(
    picture, (0, -100, SIZE[0], _PANEL_END), 72, paint.PALETTE["panel"]
  )
  _draw_face(picture, face)
  _draw_animal(picture, answer, language)
  sentence = answer.sentence_ko if language == "ko" else answer.sentence_en
  paint.write(
    picture,
    sentence,
    (SIZE[0] / 2, sum(_SENTENCE) / 2),
    size=(60, 26),
    room=(SIZE[0] - 2 * _MARGIN, _SENTENCE[1] - _SENTENCE[0]),
    color="ink",
    bold=True,
  )
  card_bars.draw(
    picture, answer.probabilities, answer.vocabularies, language, _BARS
  )
  paint.write(
    picture,
    FOOTER[language],
    (SIZE[0] / 2, _FOOTER_Y),
    size=(24, 20),
    room=(SIZE[0] - 2 * _MARGIN, 30),
    color="soft",
  )
  return picture


def _draw_face(picture: Image.Image, face: np.ndarray) -> None:
  left, top, side = _FACE
  frame = 12
  paint.rounded(
    picture,
    (left, top, left + side, top + side),
    64,
    paint.PALETTE["white"],
  )
  inner = side - 2 * frame
  large = face.shape[0] >= inner
  # Lanczos sharpens what it shrinks, and rings where it enlarges.
  way = Image.Resampling.LANCZOS if large else Image.Resampling.BICUBIC
  shown = Image.fromarray(face).resize((inner, inner), way)
  picture.paste(
    shown, (left + frame, top + frame), paint.rounded_mask(inner, inner, 52)
  )


def _draw_animal(picture: Image.Image, answer: Answer, language: str) -> None:
  """Draws the animal, and below it what it is called and how likely it is."""
  head = _LEAD if _LEAD in answer.probabilities else [*answer.probabilities][-1]
  vocabulary, row = answer.vocabularies[head], answer.probabilities[head]
  best = int(np.argmax(row))
  if answer.animal in vocabulary.names:
    best = vocabulary.names.index(answer.animal)
  x, y, side = _ANIMAL
  reach = side // 2 + 28
  paint.rounded(
    picture, (x - reach, y - reach, x + reach, y + reach), reach,
    paint.PALETTE["paper"],
  )  # fmt: skip
  drawing = animals.draw(answer.animal or vocabulary.names[best], side)
  picture.paste(drawing, (x - side // 2, y - side // 2), drawing)
  words = vocabulary.korean if language == "ko" else vocabulary.names
  room = 2 * (SIZE[0] - 40 - x)
  for text, middle, size, color, bold in (
    (card_bars.title(head, language), 444, (30, 20), "soft", False),
    (words[best], 505, (72, 24), "ink", True),
    (paint.percent(row[best]), 573, (46, 46), "strong", True),
  ):
    paint.write(
      picture,
      text,
      (x, middle),
      size=size,
      room=(room, size[0] * lettering.LEADING),
      color=color,
      bold=bold,
    )
