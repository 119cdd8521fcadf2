"""The model of a run as it is exported: as sure as it is right.

`fit` finds one temperature a head on `validation`; `load_model` divides the
last layer of each head by it, so that every export of that model, a quantised
one too, answers with calibrated probabilities and costs not one operation more.

  calibrated.fit("W", dataset)
  model, settings = calibrated.load_model("W")
"""

import dataclasses
import math
import os
from collections.abc import Mapping

import keras

from yourface_tfds import (
  best_weights,
  built_dataset,
  cli,
  json_files,
  labels,
  metrics,
  report_text,
  storage,
  train_settings,
  workdir,
)

NAME = "temperatures.json"


def fit(folder: str | os.PathLike[str], dataset: built_dataset.Dataset) -> None:
  """Fits the temperatures of a run's best model and keeps them in its folder.

  Raises:
    UserError: as `workdir.load_model`.
  """
  model, _ = workdir.load_model(folder, dataset.image_size)
  write(folder, metrics.fit_temperatures(model, dataset))


def write(
  folder: str | os.PathLike[str], temperatures: metrics.Temperatures
) -> None:
  """Writes temperatures.json, which names the weights it belongs to.

  Args:
    folder: the workdir.
    temperatures: as from `metrics.fit_temperatures`.
  """
  content = {
    "weights_sha256": best_weights.digest(folder),
    "heads": {
      head: dataclasses.asdict(one) | {"text": report_text.temperature(one)}
      for head, one in temperatures.items()
    },
  }
  storage.write_text(storage.path(folder) / NAME, cli.dump_json(content))


def read(folder: str | os.PathLike[str]) -> dict[str, float]:
  """Returns head -> temperature; heads without one are left out.

  Raises:
    UserError: there is none for the weights that are there.
  """
  path = storage.path(folder) / NAME
  mend = (
    "python -m training.evaluate --data_dir=D --workdir="
    f"{os.fspath(folder)} fits them"
  )
  try:
    content = json_files.read(path, mend)
    heads = {
      head: float(content["heads"][head]["value"])
      for head in labels.HEADS
      if head in content["heads"]
    }
    if not all(0 < value < math.inf for value in heads.values()):
      raise ValueError("a temperature that is none")
    stale = content["weights_sha256"] != best_weights.digest(folder)
  except FileNotFoundError:
    raise cli.UserError(
      f"--workdir: got no {path}, without which the model is not calibrated; "
      f"{mend}"
    ) from None
  except (ValueError, KeyError, TypeError, OverflowError) as error:
    raise cli.UserError(
      f"{path}: got a file that training did not write, allowed: its "
      f"temperatures; {mend}"
    ) from error
  if stale:
    raise cli.UserError(
      f"{path}: got the temperatures of other weights, allowed: those of "
      f"best.weights.h5; {mend}"
    )
  return heads


def load_model(
  folder: str | os.PathLike[str], image_size: int | None = None
) -> tuple[keras.Model, train_settings.TrainSettings]:
  """Returns the best model of a run, calibrated, in float32.

  Args:
    folder: the workdir.
    image_size: as `workdir.load_model`.

  Raises:
    UserError: there is no model, or there are no temperatures for it.
  """
  model, settings = workdir.load_model(folder, image_size)
  apply(model, read(folder))
  return model, settings


def apply(model: keras.Model, temperatures: Mapping[str, float]) -> None:
  """Divides the logits of a model's heads, once and for all.

  softmax((W x + b) / T) is a layer with W / T and b / T (Guo et al. 2017,
  section 4.2).

  Args:
    model: from `models.build_model`; changed.
    temperatures: head -> above 0.
  """
  for head, temperature in temperatures.items():
    layer = model.get_layer(head)
    for variable in (layer.kernel, layer.bias):
      variable.assign(variable / temperature)
