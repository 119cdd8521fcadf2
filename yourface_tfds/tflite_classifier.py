"""Answers for faces from an exported .tflite file, without TensorFlow.

  classifier = tflite_classifier.Classifier("E/your_face_int8.tflite")
  answer = classifier(faces)  # uint8[B, S, S, 3] -> {head: float32[B, classes]}

Importing this module takes a tenth of a second: the runtime is ai-edge-litert.
"""

import io
import json
import os
import zipfile
from typing import Any

import numpy as np
from ai_edge_litert import interpreter

from yourface_tfds import cli, quiet, storage

SIGNATURE = "serving_default"
"""The one signature of a classifier's file."""

INPUT = "faces"
"""The one input of that signature."""

LABELS = "labels.json"
"""The file in the appended zip archive that holds the words."""

_AGAIN = (
  "export one with: python -m export.export_tflite --workdir=W --data_dir=D "
  "--output_dir=E"
)


class Classifier:
  """Classifies faces by a file of `export.export_tflite`.

  Pixels go in as they are, 0..255, whatever the kind of the file: an int8 one
  takes uint8 with scale 1 and zero point 0, the others float32. Inputs and
  outputs are addressed by name; their order differs between runtimes.

  Attributes:
    image_size: side of the faces, pixels.
    labels: the words, parsed from the archive in the file.
  """

  image_size: int
  labels: dict[str, Any]

  def __init__(
    self, source: str | os.PathLike[str] | bytes, threads: int = 1
  ) -> None:
    """Opens a file.

    Args:
      source: its path or its content.
      threads: of the runtime.

    Raises:
      UserError: it is missing, no TFLite file, or none of ours.
    """
    name = _name(source)
    source = _here(source, name)
    self._runner = _open(source, name, threads)
    details = self._runner.get_input_details()[INPUT]
    self._dtype = details["dtype"]
    self.image_size = int(details["shape"][1])
    self._classes = {
      head: int(output["shape"][-1])
      for head, output in self._runner.get_output_details().items()
    }
    self.labels = _read_labels(source, name)

  def __call__(self, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Classifies a batch, face by face: the file takes one at a time.

    Args:
      faces: uint8[B, S, S, 3], 0..255.

    Returns:
      Head -> probabilities, float32[B, classes].

    Raises:
      ValueError: the faces have another shape or dtype.
    """
    expected = (self.image_size, self.image_size, 3)
    if faces.dtype != np.uint8 or faces.shape[1:] != expected:
      raise ValueError(
        f"Got faces {faces.dtype}{list(faces.shape)}, allowed: "
        f"uint8[B, {self.image_size}, {self.image_size}, 3]."
      )
    answer = {
      head: np.empty((len(faces), classes), np.float32)
      for head, classes in self._classes.items()
    }
    for row, face in enumerate(faces):
      said = self._runner(**{INPUT: face[np.newaxis].astype(self._dtype)})
      for head, probabilities in answer.items():
        probabilities[row] = said[head][0]
    return answer


def _name(source: str | os.PathLike[str] | bytes) -> str:
  if isinstance(source, bytes):
    return f"{len(source)} bytes"
  return repr(os.fspath(source))


def _here(
  source: str | os.PathLike[str] | bytes, name: str
) -> str | os.PathLike[str] | bytes:
  """Returns a path of this disk or the content."""
  if isinstance(source, bytes):
    return source
  if not storage.path(source).is_file():
    raise cli.UserError(f"got {name}, no such file; {_AGAIN}")
  if storage.is_local(source):
    return source
  return storage.path(source).read_bytes()


def _open(
  source: str | os.PathLike[str] | bytes, name: str, threads: int
) -> Any:
  """Returns the runner of the file's signature."""
  where: dict[str, Any]
  if isinstance(source, bytes):
    where = {"model_content": source}
  else:
    where = {"model_path": os.fspath(source)}
  try:
    with quiet.without_greeting():
      runtime = interpreter.Interpreter(**where, num_threads=threads)
      signature = runtime.get_signature_list().get(SIGNATURE, {})
      is_ours = signature.get("inputs") == [INPUT]
      runner = runtime.get_signature_runner(SIGNATURE) if is_ours else None
      if runner:
        # The first call makes the runtime ready: its greeting comes then, and
        # its error where it lacks an operator. A few ms for a small_cnn.
        details = runner.get_input_details()[INPUT]
        runner(**{INPUT: np.zeros(details["shape"], details["dtype"])})
  except (ValueError, RuntimeError) as error:
    raise cli.UserError(
      f"got {name}, which is no TFLite file that can be run "
      f"({cli.one_line(error).rstrip('.')}); {_AGAIN}"
    ) from error
  if runner is None:
    raise cli.UserError(
      f"got {name}, a TFLite file without a signature {SIGNATURE} of "
      f"one input {INPUT}; {_AGAIN}"
    )
  return runner


def _read_labels(
  source: str | os.PathLike[str] | bytes, name: str
) -> dict[str, Any]:
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  try:
    with zipfile.ZipFile(file) as archive:
      return json.loads(archive.read(LABELS))
  except (zipfile.BadZipFile, KeyError, ValueError) as error:
    raise cli.UserError(
      f"got {name}, a TFLite file without {LABELS} in it; {_AGAIN}"
    ) from error
