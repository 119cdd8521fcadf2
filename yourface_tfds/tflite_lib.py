"""The classifier as .tflite: float32, float16 and int8, the words inside.

  tflite_lib.write(
    model, "int8", 150, some_faces, labels_text, "E/your_face_int8.tflite"
  )

Every file has one signature, `serving_default`: `faces` of one face in, the
probabilities under each head's name out, float32[1, classes]. It is made of
builtin operators only, which every TFLite runtime has.

`unzip -p FILE labels.json` prints the words of a file: a zip archive stands
behind the model, where TFLite's metadata keeps associated files too
(https://ai.google.dev/edge/litert/models/metadata). Runtimes do not look there.
"""

import functools
import io
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import interpreter

from yourface_tfds import labels, quiet, storage, tflite_classifier
from yourface_tfds.tflite_classifier import INPUT, SIGNATURE

KINDS = ("float32", "float16", "int8")
"""What weights are stored in; int8 computes in it too."""


def file_name(kind: str) -> str:
  """Returns the name of a kind's file in the export folder."""
  return f"your_face_{kind}.tflite"


def convert(
  model: keras.Model, kind: str, image_size: int, representative: np.ndarray
) -> bytes:
  """Returns the model as TFLite, without the words.

  Args:
    model: from `models.build_model`, float32, trained.
    kind: one of `KINDS`. float32 and float16 take float32[1, S, S, 3] in
      0..255, int8 takes uint8[1, S, S, 3].
    image_size: S.
    representative: uint8[images, S, S, 3], at least one face as in training;
      int8 takes the ranges of its values from them.

  Raises:
    ValueError: `kind` is unknown, the images have another shape or dtype, or
      the int8 file would not take pixels as they are.
  """
  if kind not in KINDS:
    raise ValueError(f"Got kind {kind!r}, allowed: {', '.join(KINDS)}.")
  shape = (image_size, image_size, 3)
  if representative.dtype != np.uint8 or representative.shape[1:] != shape:
    raise ValueError(
      f"Got representative {representative.dtype}{list(representative.shape)}, "
      f"allowed: uint8[images, {image_size}, {image_size}, 3]."
    )
  # Converting concrete functions of a Keras 3 model silently loses the
  # weights; a SavedModel keeps them.
  with tempfile.TemporaryDirectory(prefix="your_face_tflite.") as folder:
    archive = keras.export.ExportArchive()
    archive.track(model)
    face = keras.InputSpec(shape=(1, *shape), dtype="float32", name=INPUT)
    archive.add_endpoint(
      SIGNATURE,
      functools.partial(_answer, model, kind),
      input_signature=[face],
    )
    archive.write_out(folder, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(
      folder, signature_keys=[SIGNATURE]
    )
    _set_kind(converter, kind, representative)
    with quiet.without_greeting():
      content = converter.convert()
  if kind == "int8":
    _check_pixels_go_in_as_they_are(content)
  return content


def _answer(model: keras.Model, kind: str, faces: tf.Tensor) -> Any:
  if kind == "int8":
    # Pixels are never below 0: this only gives them a range of their own. An
    # operator that needs one range for all it reads, such as the concatenation
    # in transfer_ensemble's preprocessing, would change that of the input.
    faces = tf.nn.relu(faces)
  # No dropout, BatchNorm on its averages.
  return model(faces, training=False)


def _set_kind(converter: Any, kind: str, representative: np.ndarray) -> None:
  if kind == "float32":
    return
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if kind == "float16":
    converter.target_spec.supported_types = [tf.float16]
    return

  def examples() -> Iterator[list[np.ndarray]]:
    black = np.zeros_like(representative[:1])
    # The range of the input becomes 0..255 whatever the faces show, so that
    # its scale is 1 and a pixel is its own quantised value.
    for image in (black, ~black):
      yield [image.astype(np.float32)]
    for face in representative:
      yield [face[np.newaxis].astype(np.float32)]

  converter.representative_dataset = examples
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
  converter.inference_input_type = tf.uint8
  converter.inference_output_type = tf.float32


def _check_pixels_go_in_as_they_are(content: bytes) -> None:
  runtime = interpreter.Interpreter(model_content=content)
  (details,) = runtime.get_input_details()
  if details["quantization"] != (1.0, 0):
    raise ValueError(
      "Got an int8 model whose input has scale and zero point "
      f"{details['quantization']}, allowed: (1.0, 0)."
    )


def attach(content: bytes, files: Mapping[str, str]) -> bytes:
  """Returns a TFLite file with a zip archive of text files behind it.

  The same arguments give the same bytes: times are fixed, nothing is deflated.

  Args:
    content: the TFLite file.
    files: name -> text of each file.
  """
  out = io.BytesIO(content)
  with zipfile.ZipFile(out, "a") as archive:
    for name, text in files.items():
      # 1980-01-01, the first day that zip knows.
      info = zipfile.ZipInfo(name)
      info.create_system = 3  # Unix, on any system.
      info.external_attr = 0o644 << 16
      archive.writestr(info, text)
  return out.getvalue()


def write(
  model: keras.Model,
  kind: str,
  image_size: int,
  representative: np.ndarray,
  labels_text: str,
  path: str | os.PathLike[str],
  check: Callable[[pathlib.Path], None] | None = None,
) -> None:
  """Writes the model with its words as .tflite, whole or not at all.

  Args:
    model: see `convert`, as `kind`, `image_size` and `representative`.
    kind: see there.
    image_size: see there.
    representative: see there.
    labels_text: becomes labels.json in the file, beside a file HEAD.txt for
      each head that has one English name a line.
    path: the file to write; an older one is replaced.
    check: is called with the path of the finished file before it takes its
      place, and raises ValueError where it is not good enough.

  Raises:
    ValueError: of `check` or `convert`; nothing is written then.
  """
  words = {
    f"{head}.txt": "".join(f"{name}\n" for name in vocabulary.names)
    for head, vocabulary in labels.HEADS.items()
  }
  content = attach(
    convert(model, kind, image_size, representative),
    {tflite_classifier.LABELS: labels_text, **words},
  )
  with storage.replaced_file(path) as temporary:
    temporary.write_bytes(content)
    if check is not None:
      check(temporary)
