"""The gate of the export: what passes it, and verify.json.

results = gate.saved_model(folder, model, photos)   # RefusedError if it fails
gate.record("E", results, on={"dataset": ..., "split": "test"})
print(gate.table(results))
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from yourface_tfds import (
  built_dataset,
  cli,
  json_files,
  manifest,
  parity,
  parity_ways,
  storage,
  tflite_lib,
)

NAME = "verify.json"

Photos = Callable[[], Iterable[parity.Batch]]
"""What all are asked about, from its beginning."""

Results = Mapping[str, Mapping[str, Any]]
"""As from `parity.compare`."""

SAVED_MODEL = "saved_model"
SIGNATURES = ("serving_default", "photos")
_NAMES = (*SIGNATURES, *tflite_lib.KINDS)


_LIMITS = {
  "difference": parity.LIMITS,
  "accuracy_lost": {
    name: {"points": 100 * most, "or_photos": 1}
    for name, most in parity.MAX_LOST.items()
  },
}


class RefusedError(cli.UserError):
  """An artefact that differs from its model by more than is allowed."""


def split_of(dataset: built_dataset.Dataset) -> str:
  """Returns the split to compare on: test, or what there is instead."""
  for split in ("test", "validation"):
    if dataset.has_split(split):
      return split
  return "train"


def ways_of_saved_model(
  folder: str | os.PathLike[str], model: keras.Model
) -> dict[str, parity.Way]:
  """Returns both signatures of a SavedModel, which `model` is in."""
  loaded = parity_ways.load(folder)
  return {
    "serving_default": parity_ways.serving_default(loaded),
    "photos": parity_ways.photos(loaded, model),
  }


def saved_model(
  folder: str | os.PathLike[str], model: keras.Model, photos: Photos
) -> Results:
  """Compares a SavedModel with its model.

  Raises:
    RefusedError: it differs by more than is allowed.
  """
  ways = ways_of_saved_model(folder, model)
  return _judged(parity.compare(model, ways, photos()))


def tflite(
  path: str | os.PathLike[str], kind: str, model: keras.Model, photos: Photos
) -> Results:
  """Compares a .tflite file with its model.

  Raises:
    RefusedError: it differs by more than is allowed.
  """
  return _judged(
    parity.compare(model, {kind: parity_ways.tflite(path)}, photos())
  )


def failures(results: Results) -> list[str]:
  """Returns what fails, a text each."""
  return [
    text for figures in results.values() for text in figures.get("failures", ())
  ]


def _judged(results: Results) -> Results:
  found = failures(results)
  if found:
    raise RefusedError(f"{'; '.join(found)}; it was not written")
  return results


def record(
  export_dir: str | os.PathLike[str],
  results: Results,
  on: Mapping[str, Any],
  model: keras.Model | None = None,
) -> storage.Path:
  """Writes results into verify.json, beside those of other artefacts.

  An artefact that was written anew since loses the older figures, by its
  SHA-256; so does one of another model than this. It is then `not_compared`,
  and nothing has `passed` while there is one.

  Args:
    export_dir: with the artefacts.
    results: of some of them.
    on: what they were compared on, but for those whose figures say `on`.
    model: that they are of.

  Returns:
    The file's path.
  """
  folder = storage.path(export_dir)
  path = folder / NAME
  of = None if model is None else _identity(model)
  ways = {
    name: figures
    for name, figures in read(folder)["ways"].items()
    if name not in _NAMES
    or (
      figures.get("sha256") == _digest(folder, name)
      and figures.get("model") == of
    )
  }
  for name, figures in results.items():
    extra = {"on": figures.get("on", dict(on)), "model": of}
    if name != parity.KERAS:
      extra |= {
        "file": _path(folder, name).name,
        "bytes": _bytes(_path(folder, name)),
        "sha256": _digest(folder, name),
      }
    ways[name] = {**figures, **extra}
  others = not_compared(folder, ways)
  content = {
    "passed": not failures(ways) and not others,
    "not_compared": others,
    "limits": _LIMITS,
    "ways": ways,
  }
  storage.write_text(path, cli.dump_json(content))
  return path


def read(export_dir: str | os.PathLike[str]) -> dict[str, Any]:
  """Returns what verify.json holds; no ways where there is none of ours."""
  path = storage.path(export_dir) / NAME
  try:
    content = json_files.read(path, "")
    if all(isinstance(one, dict) for one in content["ways"].values()):
      return content
  except (OSError, ValueError, KeyError, AttributeError):
    pass  # It is written anew.
  return {"ways": {}}


def forget(export_dir: str | os.PathLike[str], *names: str) -> None:
  """Takes the figures of artefacts that are about to be replaced away.

  So that verify.json speaks of what is there, wherever an export is cut off.
  """
  folder = storage.path(export_dir)
  content = read(folder)
  if set(names) & set(content["ways"]):
    ways = {k: v for k, v in content["ways"].items() if k not in names}
    content |= {"passed": False, "ways": ways}
    content["not_compared"] = not_compared(folder, ways)
    storage.write_text(folder / NAME, cli.dump_json(content))


def not_compared(
  export_dir: str | os.PathLike[str], ways: Results
) -> list[str]:
  """Returns the artefacts that are there and not among these figures."""
  folder = storage.path(export_dir)
  paths = [_path(folder, name) for name in _NAMES if name not in ways]
  return sorted({path.name for path in paths if path.exists()})


def _identity(model: keras.Model) -> str:
  """Returns the SHA-256 of a model's weights, temperatures included."""
  digest = hashlib.sha256()
  for weights in model.get_weights():
    digest.update(weights.tobytes())
  return digest.hexdigest()


def of_other_models(export_dir: str | os.PathLike[str]) -> str:
  """Returns a line for people on what `not_compared` names; "" for nothing."""
  found = read(export_dir).get("not_compared")
  if not found:
    return ""
  return (
    f"Mind: {', '.join(found)} in {os.fspath(export_dir)} may be of another "
    "model; export again what you use, or remove it"
  )


def _path(folder: storage.Path, name: str) -> storage.Path:
  if name in SIGNATURES:
    return folder / SAVED_MODEL
  return folder / tflite_lib.file_name(name)


def _digest(folder: storage.Path, name: str) -> str | None:
  """Returns the SHA-256 of a file; of a folder, that of its manifest."""
  path = _path(folder, name)
  if path.is_dir():
    path = path / manifest.NAME
  if not path.is_file():
    return None
  return storage.sha256(path)


def _bytes(path: storage.Path) -> int:
  if not path.is_dir():
    return storage.size(path) if path.is_file() else 0
  return sum(storage.size(path / name) for name in storage.files(path))


def table(results: Results) -> str:
  """Returns results as lines for people to read."""
  lines = [
    f"{'':<16}{'head':<11}{'largest':>9}{'same':>8}{'accuracy':>10}"
    f"{'95 % interval':>17}{'lost':>7}{'images':>8} of",
    f"{'':<16}{'':<11}{'differ.':>9}{'answer':>8}",
  ]
  for name, figures in results.items():
    shown = name
    for head, values in figures["heads"].items():
      low_high = values["interval_95"]
      interval = "{:.3f} to {:.3f}".format(*low_high) if low_high else "-"
      lines.append(
        f"{shown:<16}{head:<11}{_cell(values.get('max_difference'), '.1e'):>9}"
        f"{_cell(values.get('agreement'), '.4f'):>8}"
        f"{_cell(values['accuracy'], '.3f'):>10}{interval:>17}"
        f"{_cell(values.get('accuracy_lost'), '.3f'):>7}"
        f"{figures['images']:>8,} of {figures['asked']:,}"
      )
      shown = ""
  for name, figures in results.items():
    if on := figures.get("on"):
      lines.append(
        f"{name}: no face was found in these images, so on {on['split']}"
      )
    if name in parity.MAX_LOST:
      points = 100 * parity.MAX_LOST[name]
      lines.append(
        f"{name}: may lose {points:g} point of accuracy, or one photo where "
        "that is more"
      )
  return "\n".join(lines)


def sizes_and_latency(ways: Results) -> str:
  """Returns size and milliseconds of each way as lines for people to read."""
  lines = [f"{'':<16}{'size':>12}{'ms, 1 thread':>14}{'2 threads':>11}"]
  for name, figures in ways.items():
    size = figures.get("bytes")
    shown = "-" if size is None else f"{size / 1024:,.0f} KB"
    times = figures.get("latency_ms", {})
    lines.append(
      f"{name:<16}{shown:>12}{_cell(times.get('1'), '.2f'):>14}"
      f"{_cell(times.get('2'), '.2f'):>11}"
    )
  return "\n".join(lines)


def _cell(value: float | None, spec: str) -> str:
  return "-" if value is None else format(value, spec)
