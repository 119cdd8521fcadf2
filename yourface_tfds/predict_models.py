"""The two kinds of exported model, behind one face: photos in, arrays out.

  runtime = predict_models.SavedModel("E/saved_model")
  runtime = predict_models.Tflite("E/your_face_int8.tflite")
  outputs = runtime.main([photo_bytes])

See `predict_lib` for answers in words.
"""

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  cli,
  crop,
  export_lib,
  faces,
  labels,
  manifest,
  photo_graph,
  predict_words,
  storage,
  tflite_classifier,
)

_SIGNATURES = ("serving_default", "photos", "all_faces")
_EXPORT = "python -m export.export_saved_model --workdir=W --output_dir=E"

Outputs = dict[str, np.ndarray]
"""The outputs of a signature of the SavedModel, by name."""


class Runtime(Protocol):
  """What answers for photos."""

  @property
  def heads(self) -> Mapping[str, labels.Head]:
    """Head -> vocabulary, in the order of the probabilities."""
    ...

  @property
  def crop_settings(self) -> crop.CropSettings:
    """How faces are cut out for the model."""
    ...

  def main(self, contents: Sequence[bytes]) -> Outputs:
    """Answers for the main face of each of one or more photos.

    Returns:
      As the signature `photos`: one row a photo in each array.
    """
    ...

  def every(self, content: bytes) -> Outputs:
    """Answers for every face of a photo, the largest first.

    Returns:
      As the signature `all_faces`: one row a face, `error` a scalar.
    """
    ...


class SavedModel:
  """A SavedModel of `export.export_saved_model`: all of it is in its graph."""

  def __init__(
    self, path: str | os.PathLike[str], *, trust: bool = False
  ) -> None:
    """Loads a folder; see `predict_lib.load`."""
    path = storage.path(path)
    if not (path / "saved_model.pb").is_file():
      inner = path / "saved_model"
      if (inner / "saved_model.pb").is_file():
        raise cli.UserError(
          f"--model: got {str(path)!r}, the folder around the SavedModel; give "
          f"--model={inner}"
        )
      raise cli.UserError(
        f"--model: no SavedModel in {str(path)!r}; export one with: {_EXPORT}"
      )
    manifest.check(path, trust=trust)
    inside = path / export_lib.WORDS
    # What a link leads to lies beside its own words.
    beside = storage.path(storage.absolute(path)).parent / "labels.json"
    source = beside if beside.is_file() else inside
    words = predict_words.ours()
    self.crop_settings = crop.CropSettings()
    if source.is_file():
      content = predict_words.read_json(source)
      words = predict_words.parse(content, str(source))
      if "crop" in content:  # Another's words say nothing of it.
        self.crop_settings = _crop_settings(content, str(source))
    self.heads: Mapping[str, labels.Head] = words.heads
    try:
      # A signature does not keep alive the model it belongs to.
      self._model: Any = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
      raise cli.UserError(
        f"--model: {str(path)!r} cannot be loaded ({cli.one_line(error)}); "
        f"export it again with: {_EXPORT}"
      ) from error
    signatures = self._model.signatures
    missing = [name for name in _SIGNATURES if name not in signatures]
    if missing:
      raise cli.UserError(
        f"--model: {str(path)!r} has no signature {' and no '.join(missing)}, "
        f"only {', '.join(signatures) or 'none'}; export it with: {_EXPORT}"
      )
    outputs = signatures["serving_default"].structured_outputs
    _check_classes(
      words,
      {head: output.shape[-1] for head, output in outputs.items()},
      f"--model: {str(path)!r}",
      str(source) if source.is_file() else "yourface_tfds/labels.py",
    )

  def main(self, contents: Sequence[bytes]) -> Outputs:
    """Implements `Runtime.main`."""
    return self._call("photos", tf.constant(list(contents), tf.string))

  def every(self, content: bytes) -> Outputs:
    """Implements `Runtime.every`."""
    return self._call("all_faces", tf.constant(content, tf.string))

  def _call(self, signature: str, values: tf.Tensor) -> Outputs:
    outputs = self._model.signatures[signature](values)
    return {
      # A string scalar comes as bytes.
      name: np.asarray(value.numpy(), value.dtype.as_numpy_dtype)
      for name, value in outputs.items()
    }


class Tflite:
  """A classifier's .tflite file, and the code that finds faces for it."""

  def __init__(self, path: str | os.PathLike[str]) -> None:
    """Opens a file; see `predict_lib.load`."""
    where = f"--model: {os.fspath(path)!r}"
    try:
      self._classifier = tflite_classifier.Classifier(path)
    except cli.UserError as error:
      raise cli.UserError(f"--model: {error}") from error
    self._words = predict_words.parse(
      self._classifier.labels, f"{where}: labels.json in it"
    )
    self.heads: Mapping[str, labels.Head] = self._words.heads
    size = self._classifier.image_size
    none = self._classifier(np.zeros([0, size, size, 3], np.uint8))
    classes = {head: rows.shape[1] for head, rows in none.items()}
    _check_classes(self._words, classes, where, "labels.json in it")
    finder = _finder(self._classifier.labels, size, where)
    self.crop_settings = finder.crop_settings
    self._find_main = tf.function(
      functools.partial(photo_graph.find_main, finder),
      input_signature=[tf.TensorSpec([None], tf.string)],
    )
    self._find_all = tf.function(
      functools.partial(photo_graph.find_all, finder),
      input_signature=[tf.TensorSpec([], tf.string)],
    )
    # One interpreter has one set of buffers.
    self._one_at_a_time = threading.Lock()

  def main(self, contents: Sequence[bytes]) -> Outputs:
    """Implements `Runtime.main`."""
    found, counts, errors = self._find_main(
      tf.constant(list(contents), tf.string)
    )
    rows = np.flatnonzero(errors.numpy() == b"")
    outputs = {
      name: _spread(values, rows, len(contents))
      for name, values in self._said(found.crops.numpy()[rows]).items()
    }
    return outputs | {
      "found": errors.numpy() == b"",
      "box": found.boxes.numpy(),
      "score": found.scores.numpy(),
      "faces": counts.numpy(),
      "error": errors.numpy(),
    }

  def every(self, content: bytes) -> Outputs:
    """Implements `Runtime.every`."""
    found, error = self._find_all(tf.constant(content, tf.string))
    return self._said(found.crops.numpy()) | {
      "box": found.boxes.numpy(),
      "score": found.scores.numpy(),
      "landmarks": found.landmarks.numpy(),
      "crop": found.crops.numpy(),
      "error": np.asarray(error.numpy(), object),
    }

  def _said(self, crops: np.ndarray) -> Outputs:
    """uint8[n, S, S, 3] -> probabilities and sentences, n rows each."""
    with self._one_at_a_time:
      outputs = self._classifier(crops)
    sentences = [
      self._words.sentences(
        {head: int(np.argmax(outputs[head][i])) for head in self.heads}
      )
      for i in range(len(crops))
    ]
    for column, name in enumerate(("sentence_ko", "sentence_en")):
      encoded = [sentence[column].encode("utf-8") for sentence in sentences]
      outputs[name] = np.array(encoded, object)
    return outputs


def _spread(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
  """Puts values into some of `count` rows; 0 or b"" in the others."""
  empty = b"" if values.dtype == object else 0
  spread = np.full([count, *values.shape[1:]], empty, values.dtype)
  spread[rows] = values
  return spread


def _finder(
  content: Mapping[str, Any], image_size: int, where: str
) -> faces.FaceFinder:
  """Returns what finds and cuts out faces as those of the training."""
  source = f"{where}: labels.json in it"
  settings = _crop_settings(content, source)
  try:
    min_score = float(content["min_score"])
  except (KeyError, TypeError, ValueError) as error:
    raise _no_crop(source, error) from error
  if settings.image_size != image_size:
    raise cli.UserError(
      f"{where}: labels.json in it is of faces of {settings.image_size} "
      f"pixels, the model takes {image_size}; export again"
    )
  return faces.FaceFinder(settings, min_score=min_score)


def _crop_settings(
  content: Mapping[str, Any], source: str
) -> crop.CropSettings:
  try:
    return crop.CropSettings(**content["crop"])
  except (KeyError, TypeError, ValueError) as error:
    raise _no_crop(source, error) from error


def _no_crop(source: str, error: Exception) -> cli.UserError:
  return cli.UserError(
    f"{source} does not say how faces are cut out "
    f"({cli.one_line(error).rstrip('.')}); export again"
  )


def _check_classes(
  words: predict_words.Words,
  classes: Mapping[str, int | None],
  model: str,
  source: str,
) -> None:
  named = {head: len(said.names) for head, said in words.heads.items()}
  for head in [*named, *classes]:
    if named.get(head) != classes.get(head):
      raise cli.UserError(
        f"{model} has {classes.get(head, 'no')} classes of {head!r}, {source} "
        f"has {named.get(head, 'none')}; put the labels.json of its export "
        "beside the model, or export again"
      )
