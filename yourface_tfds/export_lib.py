"""The exported SavedModel that takes photos.

A SavedModel holds the whole road: decode, upright, detect, crop, classify, and
the words. It needs TensorFlow and nothing of ours.

  export_lib.save_saved_model(model, settings, "E/saved_model")
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from yourface_tfds import (
  cli,
  crop,
  faces,
  labels,
  manifest,
  photo_graph,
  serving,
  storage,
  train_settings,
)

SIGNATURE = "serving_default"

WORDS = "assets.extra/labels.json"
"""Where a SavedModel holds `labels_json`: its graph has sentences only."""


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
    # TensorFlow must see plain variables only. Of Keras' own it restores copies
    # that the graph does not read; tf.saved_model.load puts that right, but in
    # TensorFlow Serving, C and saved_model_cli the variables would be missing.
    self._model = functools.partial(model)
    self._weights = [variable.value for variable in model.variables]
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
  *,
  check: Callable[[pathlib.Path], None] | None = None,
) -> None:
  """Writes the SavedModel with its three signatures, whole or not at all.

  With warm-up requests for TensorFlow Serving and a manifest.

  Args:
    model: from `models.build_model`, float32, trained.
    settings: of its training, which say how faces are cut out.
    path: the folder to write; an older one is replaced.
    check: called with the folder before it takes its place; where it raises,
      nothing is left.
  """
  module = FaceModel(model, settings)
  with storage.replaced_dir(path) as folder:
    tf.saved_model.save(
      module,
      str(folder),
      signatures={
        SIGNATURE: module.classify,
        "photos": module.answer,
        "all_faces": module.answer_all,
      },
    )
    serving.warm_up(folder, settings.image_size)
    (folder / WORDS).write_text(labels_json(settings), encoding="utf-8")
    manifest.write(folder)
    if check:
      check(folder)
