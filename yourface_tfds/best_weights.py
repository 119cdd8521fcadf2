"""A run's best weights, and whether they are still what training wrote.

  best_weights.save("W", model)   # best.weights.h5 and best.weights.json
  best_weights.load("W", model)   # UserError where one bit is another

HDF5 keeps no checksum of the weights: with a flipped bit it loads another model
without a word. So their SHA-256 stands in the file beside them; while they are
replaced that of both the old and the new ones, so that a kill in between leaves
a pair that fits.
"""

import os
import pathlib

import keras
from absl import logging

from yourface_tfds import cli, json_files, storage

NAME = "best.weights.h5"
DIGESTS_NAME = "best.weights.json"

_MEND = "copy it again, or train again in another --workdir"
_LOOKS = 3  # Training may replace the weights between two looks.
_HEADER = 4096  # Bytes of HDF5's own that a variable may need.


def save(folder: storage.Anywhere, model: keras.Model) -> None:
  """Writes the weights of a model, whole or not at all.

  Raises:
    OSError: no room; the weights before are still there.
  """
  with storage.replaced_file(storage.path(folder) / NAME) as temporary:
    _check_room(temporary, model)
    model.save_weights(temporary)
    with temporary.open("rb") as file:
      # After a power cut the name must not lead to an empty file.
      os.fsync(file.fileno())
    new = storage.sha256(temporary)
    _write_digests(folder, [new, *_still_good(folder)])
  _write_digests(folder, [new])


def load(folder: storage.Anywhere, model: keras.Model) -> None:
  """Gives a model the weights of a run.

  Raises:
    FileNotFoundError: there are none.
    UserError: they are not those that training wrote, or of another model.
  """
  check(folder)
  weights = storage.path(folder) / NAME
  with storage.local_file(weights) as path:
    try:
      model.load_weights(path)
    except Exception as error:
      # h5py and Keras raise anything on damaged files.
      raise json_files.damaged(weights, cli.one_line(error), _MEND) from error


def check(folder: storage.Anywhere) -> None:
  """Checks the weights; a run older than its digests gets a warning.

  Raises:
    FileNotFoundError: there are no weights.
    UserError: they are not those that training wrote.
  """
  weights = storage.path(folder) / NAME
  for _ in range(_LOOKS):
    known = _digests(folder)
    if known is None:
      logging.warning(
        "%s: there is no %s beside it, so that damage to it would not be "
        "noticed",
        weights,
        DIGESTS_NAME,
      )
      return
    if digest(folder) in known:
      return
  raise cli.UserError(
    f"--workdir: {weights} is not the file that training wrote (its SHA-256 "
    f"differs from {DIGESTS_NAME}); {_MEND}"
  )


def digest(folder: storage.Anywhere) -> str:
  """Returns the SHA-256 of the weights that are there."""
  return storage.sha256(storage.path(folder) / NAME)


def _check_room(path: pathlib.Path, model: keras.Model) -> None:
  """Takes the room of a model's weights and gives it back.

  HDF5 that runs out of disk ends the process: a segmentation fault when it
  closes what it could not write (h5py 3.14).

  Raises:
    OSError: there is none.
  """
  weights = model.get_weights()
  size = sum(one.nbytes for one in weights) + _HEADER * (1 + len(weights))
  with path.open("wb") as file:
    try:
      os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
      raise OSError(error.errno, error.strerror, str(path)) from error


def _still_good(folder: storage.Anywhere) -> list[str]:
  """Returns the digest of the weights that are about to be replaced."""
  if not (storage.path(folder) / NAME).exists():
    return []
  now = digest(folder)
  try:
    known = _digests(folder)
  except cli.UserError:
    return []
  return [now] if known is None or now in known else []


def _digests(folder: storage.Anywhere) -> list[str] | None:
  path = storage.path(folder) / DIGESTS_NAME
  try:
    known = json_files.read(path, _MEND).get("sha256")
  except FileNotFoundError:
    return None
  if not isinstance(known, list):
    raise json_files.damaged(path, "it has no list sha256", _MEND)
  return known


def _write_digests(folder: storage.Anywhere, digests: list[str]) -> None:
  path = storage.path(folder) / DIGESTS_NAME
  storage.write_text(path, cli.dump_json({"sha256": digests}))
