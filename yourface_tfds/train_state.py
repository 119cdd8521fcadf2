"""A training's state on disk: enough to go on bit by bit.

`state.npz` holds every variable of the model (the seed states of dropout among
them, which no weights file has), of the optimizer and of the epoch's sums, the
step, and the figures of the epochs before. The order of the images and their
changes are functions of the seed and the step, and need nothing.
"""

import dataclasses
import io
import json
import os
from collections.abc import Sequence

import keras
import numpy as np

from yourface_tfds import cli, storage

NAME = "state.npz"


@dataclasses.dataclass(kw_only=True)
class Progress:
  """How far a training has come.

  Attributes:
    step: steps done, of the whole run.
    sums: float64[3, heads], of `running_sums`, of the epoch in progress.
    history: the figures of each whole epoch.
  """

  step: int
  sums: np.ndarray
  history: list[dict[str, float]]


def save(
  folder: storage.Path,
  progress: Progress,
  model: Sequence[keras.Variable],
  optimizer: Sequence[keras.Variable],
) -> None:
  """Writes the state, whole or not at all.

  Raises:
    OSError: no room; the state before is still there.
  """
  arrays = {f"model_{i}": np.asarray(v) for i, v in enumerate(model)}
  arrays |= {f"optimizer_{i}": np.asarray(v) for i, v in enumerate(optimizer)}
  arrays["sums"] = progress.sums
  arrays["progress"] = np.array(
    json.dumps({"step": progress.step, "history": progress.history})
  )
  with (
    storage.replaced_file(folder / NAME) as temporary,
    temporary.open("wb") as file,
  ):
    np.savez(file, allow_pickle=False, **arrays)
    # After a power cut the name must not lead to an empty file.
    file.flush()
    os.fsync(file.fileno())


def read(folder: storage.Path) -> bytes:
  """Returns the state of a folder as it is stored; nothing if there is none.

  Raises:
    UserError: there is a file, and it is empty.
  """
  path = folder / NAME
  if not path.exists():
    return b""
  stored = path.read_bytes()
  if not stored:  # Which is no way to start a training again without a word.
    raise _unreadable(path, "it is empty")
  return stored


def load(folder: storage.Path, stored: bytes | None = None) -> Progress | None:
  """Returns how far the run of a folder is, None if it never saved.

  Args:
    folder: the workdir; names the file in errors.
    stored: as from `read`, perhaps on another machine; None: of this folder.

  Raises:
    UserError: the file is damaged, or of an older version.
  """
  stored = read(folder) if stored is None else stored
  if not stored:
    return None
  try:
    with np.load(io.BytesIO(stored), allow_pickle=False) as state:
      found = json.loads(str(state["progress"]))
      progress = Progress(
        step=found["step"], sums=state["sums"], history=found["history"]
      )
  except Exception as error:  # zipfile and NumPy raise anything on damage.
    raise _unreadable(folder / NAME, cli.one_line(error)) from error
  return progress


def restore(
  folder: storage.Path,
  model: Sequence[keras.Variable],
  optimizer: Sequence[keras.Variable],
  stored: bytes | None = None,
) -> None:
  """Assigns what `save` wrote.

  Args:
    folder: that holds a state.
    model: variables, as many and as large as were saved.
    optimizer: the same.
    stored: as for `load`.

  Raises:
    UserError: the file is damaged, or of another model.
  """
  stored = read(folder) if stored is None else stored
  try:
    with np.load(io.BytesIO(stored), allow_pickle=False) as state:
      for prefix, variables in (("model", model), ("optimizer", optimizer)):
        count = sum(name.startswith(f"{prefix}_") for name in state.files)
        if count != len(variables):
          raise ValueError(
            f"{count} variables of the {prefix}, not {len(variables)}"
          )
        for i, variable in enumerate(variables):
          variable.assign(state[f"{prefix}_{i}"])
  except Exception as error:  # zipfile and NumPy raise anything on damage.
    raise _unreadable(folder / NAME, cli.one_line(error)) from error


def _unreadable(path: storage.Path, why: str) -> cli.UserError:
  return cli.UserError(
    f"{path}: cannot be continued from ({why}); remove it to start again, or "
    "take another --workdir"
  )
