"""Salted hashes in place of names, for datasets that are passed on.

The salt lies with the photos, in `<manual_dir>/name_salt`, and never enters the
dataset: without it nobody can try names out. Splits do not change with it.

  names = Names(rows, read_salt("M"))
  names.rows(rows)               # person and path replaced
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from yourface_tfds import cli, curate

SALT_NAME = "name_salt"
_MIN_SALT = 16
_Value = TypeVar("_Value")


def read_salt(manual_dir: str | os.PathLike[str]) -> bytes:
  """Returns the content of `<manual_dir>/name_salt`.

  Raises:
    UserError: the file is missing or too short to keep a secret.
  """
  path = pathlib.Path(manual_dir) / SALT_NAME
  advice = f"head -c 32 /dev/urandom | base64 > '{path}'"
  try:
    salt = path.read_bytes().strip()
  except OSError as error:
    raise cli.UserError(
      f"{path}: {error.strerror}; hash_names needs a secret in it, write one: "
      f"{advice}"
    ) from error
  if len(salt) < _MIN_SALT:
    raise cli.UserError(
      f"{path}: got {len(salt)} bytes, needed: {_MIN_SALT} or more; write "
      f"others: {advice}"
    )
  return salt


class Names:
  """What people and files of a build are called."""

  def __init__(self, rows: Sequence[curate.PhotoRow], salt: bytes) -> None:
    """Collects the names.

    Args:
      rows: of all files.
      salt: of the hashes; b"" leaves names as they are.
    """
    self._key = hashlib.blake2b(salt).digest() if salt else b""
    self._paths = (
      {row.path: self._path(row) for row in rows} if self._key else {}
    )

  def _hash(self, word: str) -> str:
    if not self._key or not word:
      return word
    content = word.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(content, key=self._key, digest_size=8).hexdigest()

  def _path(self, row: curate.PhotoRow) -> str:
    # The file's own name may say who it shows, its folder does.
    folder = self._hash(row.person) + "/" if row.person else ""
    return folder + self._hash(row.path)

  def rows(self, rows: Sequence[curate.PhotoRow]) -> list[curate.PhotoRow]:
    """Returns the rows under their new names, sorted by path."""
    if not self._key:
      return sorted(rows, key=lambda row: row.path)
    renamed = [
      dataclasses.replace(
        row,
        path=self._paths[row.path],
        person=self._hash(row.person),
        detail=self._detail(row.detail),
      )
      for row in rows
    ]
    return sorted(renamed, key=lambda row: row.path)

  def _detail(self, detail: str) -> str:
    if not detail.startswith(curate.SAME_AS):
      return detail
    return curate.SAME_AS + self._paths[detail.removeprefix(curate.SAME_AS)]

  def by_path(self, values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Returns what is known by path under the new paths."""
    if not self._key:
      return dict(values)
    return {self._paths[path]: value for path, value in values.items()}

  def by_person(self, values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Returns what is known by person under the new names."""
    return {self._hash(person): value for person, value in values.items()}
