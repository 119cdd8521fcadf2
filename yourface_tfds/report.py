"""Everything known of a run in one place: JSON, a page, a model card.

whole = report.make(model, dataset, "W", results, temperatures)
report.write("W", whole, report.mistaken_faces(dataset, results))
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import keras
from PIL import Image

from yourface_tfds import (
  built_dataset,
  cli,
  metrics,
  mistakes,
  model_card,
  report_cards,
  report_page,
  report_text,
  slices,
  storage,
)

FILES = ("report.json", "report.html", model_card.NAME)
"""What `write` leaves in the workdir."""


def make(
  model: keras.Model,
  dataset: built_dataset.Dataset,
  workdir: str | os.PathLike[str],
  results: Mapping[str, Mapping[str, Any]],
  temperatures: metrics.Temperatures,
) -> dict[str, Any]:
  """Gathers the figures of a run.

  Args:
    model: that was evaluated.
    dataset: it was evaluated on.
    workdir: of the run, with settings.json and, if it is done, train.json.
    results: split -> as from `metrics.evaluate`.
    temperatures: as from `metrics.fit_temperatures`.

  Returns:
    What report.json holds; ready for JSON, a number that is not finite is
    None.

  Raises:
    UserError: settings.json or train.json is no JSON object.
  """
  folder = storage.path(workdir)
  return _finite(
    {
      "dataset": dataset.info.full_name,
      "settings": _read(folder / "settings.json") or {},
      "parameters": model.count_params(),
      "data": _data(dataset, results),
      "calibration": _calibration(dataset, temperatures, results),
      "splits": results,
      "gaps": {
        split: slices.widest_gaps(figures["slices"])
        for split, figures in results.items()
      },
      "training": _read(folder / "train.json"),
    }
  )


def _read(path: storage.Path) -> dict[str, Any] | None:
  if not path.is_file():
    return None
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise cli.UserError(
      f"{path}: got no JSON ({cli.one_line(error)}), allowed: what training "
      "wrote; remove it and train again"
    ) from error
  if not isinstance(content, dict):
    raise cli.UserError(
      f"{path}: got a JSON {type(content).__name__}, allowed: an object as "
      "training writes it; remove it and train again"
    )
  return content


def _data(
  dataset: built_dataset.Dataset, results: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, int | None]]:
  """Photos and people of every split; people are counted in photos.csv."""
  rows = slices.read_table(dataset)
  data = {}
  for split in dataset.info.splits:
    people = None
    if rows is not None:
      people = len({row["person"] for row in rows if row["split"] == split})
    if split in results:
      people = results[split]["people"]
    data[split] = {"photos": dataset.num_examples(split), "people": people}
  return data


def _calibration(
  dataset: built_dataset.Dataset,
  temperatures: metrics.Temperatures,
  results: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
  if not dataset.has_split("validation"):
    return {"split": None, "note": report_text.NO_VALIDATION, "heads": {}}
  heads = dict.fromkeys(
    head for figures in results.values() for head in figures["heads"]
  )
  return {
    "split": "validation",
    "note": None,
    "heads": {
      head: {
        **(
          dataclasses.asdict(temperatures[head]) if head in temperatures else {}
        ),
        "text": report_text.temperature(temperatures.get(head)),
      }
      for head in heads
    },
  }


def _finite(value: Any) -> Any:
  """Returns `value` with None for numbers that JSON does not have."""
  if isinstance(value, Mapping):
    return {key: _finite(one) for key, one in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(one) for one in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def mistaken_faces(
  dataset: built_dataset.Dataset, results: Mapping[str, Mapping[str, Any]]
) -> report_page.Faces:
  """Reads the faces of the mistakes that are shown."""
  return {
    split: mistakes.faces(
      dataset,
      split,
      [
        one["index"]
        for values in figures["heads"].values()
        for one in values.get("mistakes", ())
      ],
    )
    for split, figures in results.items()
  }


def cards(
  model: keras.Model,
  dataset: built_dataset.Dataset,
  results: Mapping[str, Mapping[str, Any]],
  temperatures: metrics.Temperatures,
) -> dict[str, Image.Image]:
  """Draws a card for each split that has a right answer; see `make`."""
  drawn = {
    split: report_cards.surest(model, dataset, split, temperatures)
    for split in results
  }
  return {split: one for split, one in drawn.items() if one is not None}


def write(
  workdir: str | os.PathLike[str],
  report: Mapping[str, Any],
  faces: report_page.Faces,
  cards: Mapping[str, Image.Image] | None = None,
) -> list[storage.Path]:
  """Writes report.json, report.html and model_card.md; returns their paths.

  Args:
    workdir: of the run.
    report: as from `make`.
    faces: as from `mistaken_faces`.
    cards: of a right answer, by split, as from `cards`.
  """
  folder = storage.path(workdir)
  paths = [folder / name for name in FILES]
  storage.write_text(paths[0], cli.dump_json(report))
  storage.write_text(paths[1], report_page.text(report, faces, cards))
  model_card.write(folder, report)
  return paths
