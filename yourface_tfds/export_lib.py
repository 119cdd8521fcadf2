"""The exported files: one SavedModel that takes photos, and TFLite.

A SavedModel holds the whole road: decode, upright, detect, crop, classify, and
the words. It needs TensorFlow and nothing of ours.

  export_lib.save_saved_model(model, settings, "E/saved_model")
  export_lib.save_tflite(model, some_faces, "E/your_face_float32.tflite")
"""

import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import interpreter

from yourface_tfds import cli, crop, faces, labels, photo_graph, train_settings

SIGNATURE = "serving_default"

MAX_FLOAT32_DIFFERENCE = 1e-4
"""Of any probability, between Keras and the float32 file."""


class FaceModel(tf.Module):
  """Classifies faces and photos; its functions become the signatures.

  Attributes:
    classify: `serving_default`, see `_classify`.
    answer: `photos`, see `_answer`.
    answer_all: `all_faces`, see `_answer_all`.
  """

  def __init__(
    self, model: keras.Model, settings: train_settings.TrainSettings
  ) -> None:
    super().__init__(name="your_face")
    self._model = model
    image_size = settings.image_size
    self._finder = faces.FaceFinder(
      crop.CropSettings(image_size=image_size, margin=settings.margin),
      min_score=settings.min_score,
    )
    face = tf.TensorSpec([None, image_size, image_size, 3], tf.uint8, "faces")
    self.classify = tf.function(self._classify, input_signature=[face])
    photo = tf.TensorSpec([None], tf.string, "photos")
    self.answer = tf.function(self._answer, input_signature=[photo])
    one = tf.TensorSpec([], tf.string, "photo")
    self.answer_all = tf.function(self._answer_all, input_signature=[one])

  def _classify(self, faces: tf.Tensor) -> dict[str, tf.Tensor]:
    """uint8[B, S, S, 3] -> float32[B, classes] probabilities per head."""
    # oneDNN's convolutions fail on an empty batch: it gets a row for the way.
    count = tf.shape(faces)[0]
    missing = tf.cast(tf.equal(count, 0), tf.int32)
    faces = tf.pad(faces, [[0, missing], [0, 0], [0, 0], [0, 0]])
    # training=False: no dropout, BatchNorm on its averages.
    answer = self._model(tf.cast(faces, tf.float32), training=False)
    return {head: answer[head][:count] for head in labels.HEADS}

  def _answer(self, photos: tf.Tensor) -> dict[str, tf.Tensor]:
    """string[B], encoded photos -> every output of the `photos` signature.

    A row whose `error` is not "" has zeros and empty sentences.
    """
    main, counts, errors = photo_graph.find_main(self._finder, photos)
    found = tf.equal(errors, "")
    probabilities = self._classify(main.crops)
    known = tf.cast(found, tf.float32)[:, tf.newaxis]
    said = _sentences(probabilities)
    return (
      {head: values * known for head, values in probabilities.items()}
      | {name: tf.where(found, words, "") for name, words in said.items()}
      | {
        "found": found,
        "box": main.boxes,
        "score": main.scores,
        "faces": counts,
        "error": errors,
      }
    )

  def _answer_all(self, photo: tf.Tensor) -> dict[str, tf.Tensor]:
    """string[], one encoded photo -> a row for each of its faces.

    As `_answer`, the largest face first, plus `landmarks` float32[n, 5, 2], y x
    in 0..1 of the upright photo, and `crop` uint8[n, S, S, 3], what was
    classified; `error` is string[].
    """
    every, error = photo_graph.find_all(self._finder, photo)
    probabilities = self._classify(every.crops)
    return {
      **probabilities,
      **_sentences(probabilities),
      "box": every.boxes,
      "score": every.scores,
      "landmarks": every.landmarks,
      "crop": every.crops,
      "error": error,
    }


def _sentences(probabilities: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Returns `sentence_ko` and `sentence_en`, string[B]."""
  return {
    "sentence_ko": _said(probabilities, labels.SENTENCE_KO, korean=True),
    "sentence_en": _said(probabilities, labels.SENTENCE_EN, korean=False),
  }


def _said(
  probabilities: Mapping[str, tf.Tensor], template: str, *, korean: bool
) -> tf.Tensor:
  """Returns string[B]: the template with the likeliest class of each head."""
  parts: list[Any] = []
  rest = template
  while rest:
    before, _, rest = rest.partition("{")
    parts.append(before)
    if rest:
      head, _, rest = rest.partition("}")
      vocabulary = labels.HEADS[head]
      words = tf.constant(vocabulary.korean if korean else vocabulary.names)
      parts.append(tf.gather(words, tf.argmax(probabilities[head], -1)))
  return tf.strings.join(parts)


def labels_json(settings: train_settings.TrainSettings) -> str:
  """Returns what an app needs beside a model file, as JSON.

  The vocabularies and sentences in both languages, and how faces are to be
  found and cut out.
  """
  cut = crop.CropSettings(
    image_size=settings.image_size, margin=settings.margin
  )
  return cli.dump_json(
    {
      "heads": {
        head: {"names": vocabulary.names, "korean": vocabulary.korean}
        for head, vocabulary in labels.HEADS.items()
      },
      "sentence_ko": labels.SENTENCE_KO,
      "sentence_en": labels.SENTENCE_EN,
      "crop": dataclasses.asdict(cut),
      "min_score": settings.min_score,
    }
  )


def save_saved_model(
  model: keras.Model,
  settings: train_settings.TrainSettings,
  path: str | os.PathLike[str],
) -> None:
  """Writes the SavedModel with its two signatures, whole or not at all.

  Args:
    model: from `models.build_model`, float32, trained.
    settings: of its training, which say how faces are cut out.
    path: the folder to write; an older one is replaced.
  """
  module = FaceModel(model, settings)
  with cli.replaced_dir(path) as folder:
    tf.saved_model.save(
      module,
      str(folder),
      signatures={
        SIGNATURE: module.classify,
        "photos": module.answer,
        "all_faces": module.answer_all,
      },
    )


def save_tflite(
  model: keras.Model, check_faces: np.ndarray, path: str | os.PathLike[str]
) -> float:
  """Writes the classifier as float32 TFLite with builtin operators only.

  Its one signature `serving_default` takes `faces`, float32[1, S, S, 3] in
  0..255, and returns float32[1, classes] under each head's name.

  Args:
    model: from `models.build_model`, float32, trained.
    check_faces: uint8[images, S, S, 3], real faces on which both must agree.
    path: the file to write.

  Returns:
    The largest probability difference from Keras on `check_faces`.

  Raises:
    ValueError: the file does not answer as the model does; none is written.
  """
  path = pathlib.Path(path)
  image_size = check_faces.shape[1]
  # Converting concrete functions of a Keras 3 model silently loses the
  # weights; a SavedModel keeps them.
  with tempfile.TemporaryDirectory(prefix="your_face_tflite.") as folder:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
      SIGNATURE,
      functools.partial(model.__call__, training=False),
      input_signature=[
        keras.InputSpec(
          shape=(1, image_size, image_size, 3), dtype="float32", name="faces"
        )
      ],
    )
    archive.write_out(folder, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(
      folder, signature_keys=[SIGNATURE]
    )
    content = converter.convert()
  difference = _largest_difference(content, model, check_faces)
  if not difference <= MAX_FLOAT32_DIFFERENCE:
    raise ValueError(
      f"{path.name} differs from Keras by {difference:.2g}, allowed: "
      f"{MAX_FLOAT32_DIFFERENCE:g}; nothing was written"
    )
  with cli.replaced_file(path) as temporary:
    temporary.write_bytes(content)
  return difference


def _largest_difference(
  content: bytes, model: keras.Model, check_faces: np.ndarray
) -> float:
  runtime = interpreter.Interpreter(model_content=content)
  runner = runtime.get_signature_runner(SIGNATURE)
  worst = 0.0
  for face in check_faces:
    image = face[np.newaxis].astype(np.float32)
    expected = model(image, training=False)
    got = runner(faces=image)
    for head in labels.HEADS:
      difference = np.abs(got[head] - np.asarray(expected[head])).max()
      worst = max(worst, float(difference))
  return worst
