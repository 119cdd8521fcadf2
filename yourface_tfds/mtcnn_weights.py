"""The weights of MTCNN's nets, from the installed `mtcnn` package (MIT).

nets = mtcnn_weights.load_weights()
"""

import hashlib
import importlib.metadata
import io
import pathlib
from collections.abc import Mapping

import joblib

from yourface_tfds import mtcnn_nets

WEIGHTS_SHA256: Mapping[str, str] = {
  "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
  "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
  "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""Net -> hash of its file (`pnet.lz4`) in mtcnn 1.0.0."""


def weights_folder() -> pathlib.Path:
  """Returns the folder of the weights in the installed `mtcnn` package.

  The package is looked up as installed, not imported: it would build Keras
  models, prefers a ./pnet.lz4 to its own, and a ./mtcnn.py would replace it.

  Raises:
    FileNotFoundError: the package is not installed.
  """
  try:
    package = importlib.metadata.distribution("mtcnn")
  except importlib.metadata.PackageNotFoundError as error:
    raise FileNotFoundError(
      "Got no package mtcnn, needed by the detector: pip install mtcnn==1.0.0"
    ) from error
  return pathlib.Path(
    str(package.locate_file("mtcnn/assets/weights"))
  ).resolve()


def load_weights(folder: pathlib.Path | None = None) -> mtcnn_nets.Weights:
  """Returns the weights of the three nets, their files checked by hash first.

  joblib unpickles, that is, executes what it reads. So the bytes that are
  hashed are the bytes that are loaded.

  Args:
    folder: where the three files are; that of the package by default.

  Raises:
    FileNotFoundError: a file or the package is missing.
    ValueError: a file is not the one of mtcnn 1.0.0.
  """
  folder = folder or weights_folder()
  nets = []
  for net, expected in WEIGHTS_SHA256.items():
    path = folder / f"{net}.lz4"
    if not path.is_file():
      raise FileNotFoundError(
        f"Got no file {path}, needed by the detector: "
        "pip install --force-reinstall mtcnn==1.0.0"
      )
    content = path.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != expected:
      raise ValueError(
        f"Got sha256 {got} for {path}, expected {expected}: "
        "pip install --force-reinstall mtcnn==1.0.0"
      )
    nets.append(joblib.load(io.BytesIO(content)))
  return nets
