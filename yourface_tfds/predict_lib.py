"""Answers for photos from an exported model, and their pictures.

  model = predict_lib.load("E/saved_model")      # or E/your_face_int8.tflite
  (prediction,) = model.predict([photo_bytes])   # of the main face
  faces = model.all_faces(photo_bytes)           # of each, the largest first
  predict_lib.draw_card(photo_bytes, faces[0]).save("card.png")
  predict_lib.draw_annotated(photo_bytes, faces).save("photo.png")

A SavedModel answers by itself. Of a .tflite file, which only classifies, faces
are found and cut out here by the code that is in a SavedModel, with the
settings and the words in the file.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from yourface_tfds import (
  annotate,
  card,
  crop,
  labels,
  photo_decode,
  photos,
  predict_models,
  storage,
)

CARD_FACE_SIZE = 640
"""Side of the face that is cut out for a card, pixels: it shows 508 of them."""

_LEAD = "face_type"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
  """What a model said of one face, or why it said nothing.

  Attributes:
    error: "" when fine, else what is wrong with the photo; only `heads` is
      given then.
    sentence_ko: the answer in Korean words.
    sentence_en: the same in English.
    box: y_min, x_min, y_max, x_max, 0..1 of the upright photo.
    score: the detector's confidence, 0..1.
    faces: how many faces the photo shows.
    landmarks: y, x of five points, 0..1 of the upright photo, as of
      `photo_graph.Faces`; none from `Model.predict`.
    probabilities: head -> probability of each class, 0..1.
    heads: the model's vocabularies.
    crop_settings: how the face was cut out for the model.
  """

  error: str = ""
  sentence_ko: str = ""
  sentence_en: str = ""
  box: tuple[float, ...] = ()
  score: float = 0.0
  faces: int = 0
  landmarks: tuple[tuple[float, float], ...] = ()
  probabilities: Mapping[str, Sequence[float]] = dataclasses.field(
    default_factory=dict
  )
  heads: Mapping[str, labels.Head] = dataclasses.field(repr=False)
  crop_settings: crop.CropSettings = dataclasses.field(
    default_factory=crop.CropSettings, repr=False
  )

  def sentence(self, language: str) -> str:
    """Returns the answer in words: "ko" or "en"."""
    return self.sentence_ko if language == "ko" else self.sentence_en

  def best(self, language: str = "en") -> dict[str, str]:
    """Returns head -> the word of its likeliest class; "en": its name."""
    words = {}
    for head, row in self.probabilities.items():
      classes = self.heads[head]
      spoken = classes.korean if language == "ko" else classes.names
      words[head] = spoken[int(np.argmax(row))]
    return words

  def as_json(self) -> dict[str, Any]:
    """Returns the answer for JSON, classes by name."""
    if self.error:
      return {"error": self.error}
    return {
      "sentence_ko": self.sentence_ko,
      "sentence_en": self.sentence_en,
      "box": list(self.box),
      "score": self.score,
      "faces": self.faces,
      "landmarks": [list(point) for point in self.landmarks],
      "probabilities": {
        head: dict(zip(self.heads[head].names, row, strict=True))
        for head, row in self.probabilities.items()
      },
    }


class Model:
  """An exported model. Its methods may be called from several threads.

  Attributes:
    heads: head -> vocabulary, in the order of the probabilities.
  """

  def __init__(self, runtime: predict_models.Runtime) -> None:
    self._runtime = runtime
    self.heads: Mapping[str, labels.Head] = runtime.heads

  def predict(self, contents: Sequence[bytes]) -> list[Prediction]:
    """Answers for the main face of each photo.

    Args:
      contents: the bytes of photo files.

    Returns:
      One row a photo, with an `error` where it cannot be read or has no face.
    """
    if not contents:
      return []
    outputs = self._runtime.main(contents)
    return [self._prediction(outputs, i) for i in range(len(contents))]

  def all_faces(self, content: bytes) -> list[Prediction]:
    """Answers for every face of one photo, the largest first: one or more.

    Args:
      content: the bytes of a photo file.

    Raises:
      RejectedError: the photo cannot be read or has no face.
    """
    outputs = self._runtime.every(content)
    error = outputs.pop("error").item().decode("utf-8")
    if error:
      status, _, detail = error.partition(": ")
      raise photos.RejectedError(status, detail)
    count = len(outputs["box"])
    outputs["faces"] = np.full(count, count)
    return [self._prediction(outputs, i) for i in range(count)]

  def _prediction(
    self, outputs: Mapping[str, np.ndarray], i: int
  ) -> Prediction:
    if "error" in outputs and outputs["error"][i]:
      error = outputs["error"][i].decode("utf-8")
      return Prediction(error=error, heads=self.heads)
    landmarks = (
      outputs["landmarks"][i].tolist() if "landmarks" in outputs else ()
    )
    return Prediction(
      sentence_ko=outputs["sentence_ko"][i].decode("utf-8"),
      sentence_en=outputs["sentence_en"][i].decode("utf-8"),
      box=tuple(outputs["box"][i].tolist()),
      score=float(outputs["score"][i]),
      faces=int(outputs["faces"][i]),
      landmarks=tuple((y, x) for y, x in landmarks),
      probabilities={head: outputs[head][i].tolist() for head in self.heads},
      heads=self.heads,
      crop_settings=self._runtime.crop_settings,
    )


def load(path: str | os.PathLike[str], *, trust: bool = False) -> Model:
  """Loads an exported model.

  Args:
    path: the folder of a SavedModel, whose words are in the labels.json beside
      it or in it, or else in `labels`; or a .tflite file.
    trust: whether a SavedModel is loaded whose files are not those that its
      manifest names. It is a program: see `manifest`.

  Raises:
    UserError: there is no model, it is none of ours, or it is not trusted.
  """
  path = storage.path(path)
  if path.suffix == ".tflite" or path.is_file():
    return Model(predict_models.Tflite(path))
  return Model(predict_models.SavedModel(path, trust=trust))


_decode = tf.function(
  photo_decode.decode, input_signature=[tf.TensorSpec([], tf.string)]
)


def decode(content: bytes) -> np.ndarray:
  """Returns the photo that boxes refer to: uint8[height, width, 3], upright.

  As the model decodes it: `photos.decode` also turns what is no JPEG.

  Raises:
    RejectedError: it cannot be read.
  """
  pixels, error = _decode(tf.constant(content))
  text = error.numpy().decode("utf-8")
  if text:
    status, _, detail = text.partition(": ")
    raise photos.RejectedError(status, detail)
  return pixels.numpy()


def cut_face(
  pixels: np.ndarray, prediction: Prediction, image_size: int
) -> np.ndarray:
  """Returns a face as the model got it, but larger.

  Args:
    pixels: of the photo, as from `decode`.
    prediction: without an error. One without landmarks is not turned upright.
    image_size: S of the result, uint8[S, S, 3].
  """
  size = np.array(pixels.shape[:2], np.float32)
  # Without any: no distance between the eyes, which turns nothing.
  landmarks = np.array(prediction.landmarks or np.zeros([5, 2]), np.float32)
  return crop.crop_face(
    tf.constant(pixels),
    tf.constant(np.array(prediction.box, np.float32) * np.tile(size, 2)),
    tf.constant(landmarks * size),
    dataclasses.replace(prediction.crop_settings, image_size=image_size),
  ).numpy()


def draw_card(
  photo: bytes | np.ndarray, prediction: Prediction, language: str = "ko"
) -> Image.Image:
  """Draws the card of a face, cut out anew, sharper than what a model sees.

  Args:
    photo: the bytes of its file, or the pixels of `decode`.
    prediction: see `cut_face`.
    language: "ko" or "en".

  Returns:
    RGB, `card.SIZE`.

  Raises:
    ValueError: there is no answer, or the language is another.
    RejectedError: the bytes cannot be read.
  """
  if prediction.error:
    raise ValueError(f"Got {prediction.error!r}; a card needs an answer.")
  pixels = decode(photo) if isinstance(photo, bytes) else photo
  face = cut_face(pixels, prediction, CARD_FACE_SIZE)
  return card.draw(
    face,
    card.Answer(
      sentence_ko=prediction.sentence_ko,
      sentence_en=prediction.sentence_en,
      probabilities=prediction.probabilities,
      heads=prediction.heads,
    ),
    language,
  )


def draw_annotated(
  photo: bytes | np.ndarray,
  predictions: Sequence[Prediction],
  language: str = "ko",
) -> Image.Image:
  """Draws the whole photo with a box and a short label for each face.

  Args:
    photo: the bytes of its file, or the pixels of `decode`.
    predictions: of its faces, without errors; several are numbered from 1.
    language: "ko" or "en".

  Returns:
    RGB, see `annotate.draw`.

  Raises:
    ValueError: a prediction has an error, or the language is another.
    RejectedError: the bytes cannot be read.
  """
  if language not in card.LANGUAGES:
    raise ValueError(f"Got language {language!r}; allowed: ko, en.")
  pixels = decode(photo) if isinstance(photo, bytes) else photo
  marks = [
    annotate.Mark(
      box=prediction.box,
      text=_label(prediction, language),
      number=number if len(predictions) > 1 else None,
    )
    for number, prediction in enumerate(predictions, 1)
  ]
  return annotate.draw(pixels, marks)


def _label(prediction: Prediction, language: str) -> str:
  """Returns the animal and the other words, as `고양이 · 여자 배우`."""
  words = prediction.best(language)
  lead = words.pop(_LEAD, "") or words.popitem()[1]
  return " · ".join(part for part in (lead, " ".join(words.values())) if part)
