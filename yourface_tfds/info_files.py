"""The files that describe a built dataset: which one is damaged.

  try:
    builder = tfds.builder(...)
  except info_files.ERRORS as error:
    info_files.blame(config_dir, error)   # UserError that names the file

TFDS's own errors name none, and are those of whatever parser came upon it.
"""

import os
import re
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf import json_format
from tensorflow_datasets.core import dataset_info

from yourface_tfds import cli, json_files, storage

ERRORS = (
  tfds.core.DatasetNotFoundError,
  dataset_info.DatasetInfoFileError,
  json_format.Error,
  ValueError,
  TypeError,
  KeyError,
  IndexError,
  AttributeError,
  RecursionError,
)
"""What TFDS raises on files that are damaged, or not there."""

_INFO, _FEATURES, _METADATA = (
  "dataset_info.json",
  "features.json",
  "metadata.json",
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_MEND = "build it again or copy it again"


def check(builder: tfds.core.DatasetBuilder) -> None:
  """Checks what TFDS takes as it is, until it is used.

  Args:
    builder: of a dataset that is built.

  Raises:
    UserError: metadata.json is damaged.
    one of `ERRORS`: another one is.
  """
  _check_metadata(storage.path(os.fspath(builder.data_path)))
  splits: Any = builder.info.splits
  for split in splits.values():
    if split.num_examples:
      [part.filename for part in split.file_instructions]


def _check_metadata(folder: storage.Path) -> None:
  path = folder / _METADATA
  if not path.exists():
    return
  content = json_files.read(path, _MEND)
  for name in ("margin", "min_score"):
    value = content.get(name, 0.0)
    if type(value) not in (int, float):
      raise json_files.damaged(path, f"{name} is no number", _MEND)


def blame(config_dir: storage.Path, error: Exception) -> None:
  """Raises what is wrong with the versions of a config, if there are any.

  Args:
    config_dir: the folder of the versions, may be missing.
    error: what TFDS made of it.

  Raises:
    UserError: it names the damaged file.
  """
  if isinstance(error, cli.UserError):
    raise error
  if not config_dir.exists():
    return
  folders = [
    folder for folder in config_dir.iterdir() if _VERSION.fullmatch(folder.name)
  ]
  for folder in sorted(folders):
    present = [(folder / name).exists() for name in (_INFO, _FEATURES)]
    if not any(present):
      continue
    for name, is_there, parse in zip(
      (_INFO, _FEATURES), present, (_parse_info, _parse_features), strict=True
    ):
      if not is_there:
        raise json_files.damaged(folder / name, "it is missing", _MEND)
      json_files.read(folder / name, _MEND)
      _parsed(folder / name, parse)
    _check_metadata(folder)
    if not isinstance(error, tfds.core.DatasetNotFoundError):
      raise json_files.damaged(folder / _INFO, cli.one_line(error), _MEND)


def _parsed(path: storage.Path, parse: Callable[[str], Any]) -> None:
  try:
    parse(str(path.parent))
  except ERRORS as error:
    raise json_files.damaged(path, cli.one_line(error), _MEND) from error


def _parse_info(folder: str) -> Any:
  return dataset_info.read_proto_from_builder_dir(folder)


def _parse_features(folder: str) -> Any:
  return tfds.features.FeaturesDict.from_config(folder)
