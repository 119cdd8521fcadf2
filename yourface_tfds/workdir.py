"""The folder of one training run: whose it is, and its model.

It holds `settings.json`, `best.weights.h5` (lowest validation loss) and its
SHA-256 in `best.weights.json`, `state.npz` (everything needed to go on after
the last saved step), `train.json` (the figures of every epoch) and what
`training.evaluate` writes.
"""

import dataclasses
import hashlib
import json
import math
import os
from typing import cast

import keras

from yourface_tfds import (
  best_weights,
  built_dataset,
  cli,
  json_files,
  models,
  storage,
  train_settings,
)

_DATASET = "dataset.json"
_SETTINGS = "settings.json"
_ENDS = 4096  # Bytes of each end of a shard that are looked at.
_DATA = "data_fingerprints"  # In settings.json; older runs have none.
_MEND = "copy it again, or name another --workdir"
_KINDS = {
  str: "a text",
  int: "a whole number",
  float: "a number",
  bool: "true or false",
}


def claim(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  workdir: storage.Path,
  *,
  only_look: bool = False,
) -> None:
  """Makes a workdir this run's: compares its settings, and writes them.

  Args:
    dataset: that is trained on.
    settings: of the run.
    workdir: of the run, may be missing.
    only_look: whether nothing is written yet.

  Raises:
    UserError: it holds a run with other settings or data.
  """
  path = workdir / _SETTINGS
  splits = [s for s in ("train", "validation") if dataset.has_split(s)]
  mine = {
    "dataset": dataset.info.full_name,
    "train_examples": dataset.num_examples("train"),
    **dataclasses.asdict(settings),
    _DATA: {split: _fingerprint(dataset, split) for split in splits},
  }
  if path.exists():
    theirs = json_files.read(path, _MEND)
    theirs.setdefault(_DATA, mine[_DATA])
    for name in mine:
      if name == _DATA and mine[name] != theirs[name]:
        raise cli.UserError(
          f"--workdir: {workdir} holds a run on other faces, "
          f"{dataset.info.full_name} was built anew or changed since; give the "
          "--data_dir it was trained on to continue it, or another --workdir"
        )
      if mine[name] != theirs.get(name):
        raise cli.UserError(
          f"--workdir: {workdir} holds a run with {name}="
          f"{theirs.get(name)!r}, this one has {mine[name]!r}; give the same "
          "flags to continue it, or another --workdir"
        )
  if not only_look:
    storage.write_text(path, cli.dump_json(mine))


def _fingerprint(dataset: built_dataset.Dataset, split: str) -> str:
  """Returns what tells a split from that of another build of this name."""
  digest = hashlib.blake2b(digest_size=12)
  for shard in dataset.shards(split):
    size = storage.size(storage.path(shard.path))
    with storage.path(shard.path).open("rb") as file:
      digest.update(repr((size, shard.records)).encode() + file.read(_ENDS))
      file.seek(max(0, size - _ENDS))
      digest.update(file.read(_ENDS))
  return digest.hexdigest()


def remember_dataset(
  workdir: str | os.PathLike[str], data_dir: str, config: str
) -> None:
  """Writes down where the dataset lies, for commands that need not be told."""
  storage.write_text(
    storage.path(workdir) / _DATASET,
    cli.dump_json({"data_dir": storage.absolute(data_dir), "config": config}),
  )


def remembered_dataset(
  workdir: str | os.PathLike[str],
) -> tuple[str, str] | None:
  """Returns data_dir and config as they were, None where nothing tells."""
  try:
    content = json_files.read(storage.path(workdir) / _DATASET, "")
    return str(content["data_dir"]), str(content["config"])
  except (OSError, ValueError, KeyError):
    return None


def load_model(
  workdir: str | os.PathLike[str], image_size: int | None = None
) -> tuple[keras.Model, train_settings.TrainSettings]:
  """Returns the best model of a run, in float32 whatever it was trained in.

  Args:
    workdir: of a run with at least one finished epoch.
    image_size: the side of the images it shall be fed, checked if given.

  Raises:
    UserError: no epoch is finished, a file of the run is damaged, or the image
      size is another.
  """
  workdir = storage.path(workdir)
  if not (workdir / best_weights.NAME).exists():
    raise cli.UserError(
      f"--workdir: no best.weights.h5 in {str(workdir)!r}; train first: python "
      f"-m training.train --data_dir=D --workdir={workdir}"
    )
  settings = _settings(workdir / _SETTINGS)
  if image_size not in (None, settings.image_size):
    raise cli.UserError(
      f"--workdir: {workdir} has a model for {settings.image_size} pixels, the "
      f"dataset has {image_size}; give the --config it was trained on"
    )
  model = models.build_model(
    # The file holds all weights; ImageNet's need not be fetched again.
    dataclasses.replace(settings.model_settings(), weights="none")
  )
  best_weights.load(workdir, model)
  return model, settings


def _settings(path: storage.Path) -> train_settings.TrainSettings:
  """Returns what a run was started with.

  Raises:
    UserError: the file is damaged, or of a version that knew fewer settings.
  """
  stored = json_files.read(path, _MEND)
  found = {}
  for field in dataclasses.fields(train_settings.TrainSettings):
    kind = cast(type, field.type)
    if field.name not in stored:
      raise json_files.damaged(path, f"no {field.name} in it", _MEND)
    value = stored[field.name]
    is_whole = type(value) is int and kind in (int, float)
    is_number = type(value) is float and math.isfinite(value)
    if not (is_whole or (is_number if kind is float else type(value) is kind)):
      raise json_files.damaged(
        path,
        f"{field.name}: got {json.dumps(value)[:40]}, allowed: {_KINDS[kind]}",
        _MEND,
      )
    found[field.name] = value
  try:
    return train_settings.TrainSettings(**found)
  except ValueError as error:
    raise json_files.damaged(path, cli.one_line(error), _MEND) from error
