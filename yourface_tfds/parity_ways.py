"""The artefacts of an export, each as a way to ask it about faces.

Used by `parity`, which says what a way is.
"""

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from yourface_tfds import labels, parity, tflite_classifier

_SMALLEST = 150
"""Faces are enlarged to it, pixels, or the detector would overlook them."""


def load(folder: str | os.PathLike[str]) -> Any:
  """Loads a SavedModel."""
  return tf.saved_model.load(os.fspath(folder))


def serving_default(loaded: Any) -> parity.Way:
  """Returns the signature `serving_default` of a loaded SavedModel."""
  signature = loaded.signatures["serving_default"]

  def way(
    faces: np.ndarray, expected: parity.Answers
  ) -> tuple[parity.Answers, parity.Answers]:
    said = signature(faces=tf.constant(faces))
    return {head: said[head].numpy() for head in labels.HEADS}, expected

  return way


def photos(loaded: Any, model: keras.Model) -> parity.Way:
  """Returns the signature `photos` of a loaded SavedModel.

  Each face is handed over as a photo of its own, a PNG. What Keras should say
  is what it says of the crop that the same SavedModel cuts from it, its output
  `crop` of `all_faces`. Photos without a face are left out.
  """
  signature = loaded.signatures["photos"]
  every = loaded.signatures["all_faces"]
  step = tf.function(lambda crops: model(crops, training=False))

  def way(
    faces: np.ndarray, expected: parity.Answers
  ) -> tuple[parity.Answers, parity.Answers]:
    encoded = [_png(face) for face in faces]
    said = {
      name: value.numpy()
      for name, value in signature(photos=tf.constant(encoded)).items()
    }
    rows = np.flatnonzero(said["found"])
    answer = {
      head: np.full_like(values, np.nan) for head, values in expected.items()
    }
    meant = {head: values.copy() for head, values in answer.items()}
    if len(rows):
      crops = [every(photo=tf.constant(encoded[i]))["crop"][0] for i in rows]
      right = step(tf.cast(tf.stack(crops), tf.float32))
      for head in labels.HEADS:
        answer[head][rows] = said[head][rows]
        meant[head][rows] = right[head].numpy()
    return answer, meant

  return way


def _png(face: np.ndarray) -> bytes:
  factor = -(-_SMALLEST // len(face))
  return tf.io.encode_png(face.repeat(factor, 0).repeat(factor, 1)).numpy()


def tflite(path: str | os.PathLike[str] | bytes) -> parity.Way:
  """Returns a .tflite file."""
  classifier = tflite_classifier.Classifier(path)
  return lambda faces, expected: (classifier(faces), expected)
