"""The model card that goes with an export.

exported_card.write("W", model, "E")
"""

import json
import os
from typing import Any

import keras

from yourface_tfds import cli, model_card, storage


def write(
  workdir: str | os.PathLike[str],
  model: keras.Model,
  folder: str | os.PathLike[str],
) -> storage.Path:
  """Writes model_card.md from the figures of the run.

  Where the run was not evaluated, or went on since, the card says that the
  figures are missing.

  Args:
    workdir: of the run.
    model: its model.
    folder: to write to.

  Returns:
    The card's path.
  """
  run = storage.path(workdir)
  trained = _read(run / "train.json")
  report = _read(run / "report.json")
  if not report or report.get("training") != trained:
    settings = _read(run / "settings.json") or {}
    report = {
      "dataset": settings.get("dataset", "missing"),
      "settings": settings,
      "parameters": model.count_params(),
      "data": {},
      "calibration": {"heads": {}, "note": "the run was not evaluated"},
      "splits": {},
      "gaps": {},
      "training": trained,
    }
  path = storage.path(folder) / model_card.NAME
  storage.write_text(path, model_card.text(report, beside_report=False))
  return path


def _read(path: storage.Path) -> dict[str, Any] | None:
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    return None
  except ValueError as error:
    raise cli.UserError(
      f"{path}: got no JSON ({cli.one_line(error)}), allowed: what training "
      "and evaluation wrote; remove it and run training.evaluate"
    ) from error
  return content if isinstance(content, dict) else None
