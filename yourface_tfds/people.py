"""people.csv: who is in the photos, and what is known of each.

people = people.read("M/people.csv")
people["김유정"]  -> {"gender": 1, "job": 0, "face_type": -1}
"""

import csv
import io
import os
import pathlib
import stat
import textwrap
from collections.abc import Mapping, Sequence

from yourface_tfds import cli, labels, photos

COLUMNS = ("person", *labels.HEADS)

_MAX_BYTES = 32_000_000  # Half a million people.
# Of a folder's name on Linux and macOS. Unicode's normal form of a cell as long
# as the csv module takes, 131,072 letters, can take 20 s.
_MAX_LETTERS = 255


def read(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
  """Reads people.csv.

  Args:
    path: a UTF-8 CSV file with the columns person, gender, job, face_type;
      others are ignored.

  Returns:
    Person (NFC) -> head -> class index, `labels.UNKNOWN` where blank.

  Raises:
    UserError: names the file, the row, what was got and what is allowed.
  """
  path = pathlib.Path(path)
  text = _read_text(path)
  rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
  try:
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
      raise cli.UserError(
        f"{path}: row 1: no column {', '.join(missing)}; needed: "
        f"{','.join(COLUMNS)}"
      )
    people: dict[str, dict[str, int]] = {}
    for row in rows:
      name, indices = _parse_row(row, f"{path}: row {rows.line_num}")
      if name in people:
        raise cli.UserError(
          f"{path}: row {rows.line_num}: {name!r} has a row already; keep one"
        )
      people[name] = indices
  except csv.Error as error:
    raise cli.UserError(
      f"{path}: row {rows.line_num}: not CSV: {error}; mend the quotes"
    ) from None
  if not people:
    raise cli.UserError(f"{path}: no people; add one row a person")
  return people


def _read_text(path: pathlib.Path) -> str:
  try:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # A pipe would be waited for for ever.
      raise cli.UserError(
        f"{path}: neither a file nor a link to one; needed: a CSV file"
      )
    if status.st_size > _MAX_BYTES:
      raise cli.UserError(
        f"{path}: got {status.st_size:,} bytes, allowed: {_MAX_BYTES:,}; "
        "needed: a CSV file with one row a person"
      )
    return path.read_bytes().decode("utf-8-sig")
  except FileNotFoundError:
    raise cli.UserError(
      f"{path}: no such file; write one with the columns {','.join(COLUMNS)}"
    ) from None
  except UnicodeDecodeError as error:
    raise cli.UserError(
      f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"
    ) from None
  except OSError as error:
    raise cli.UserError(
      f"{path}: cannot be read ({error.strerror}); needed: a CSV file"
    ) from None


def _parse_row(
  row: Mapping[str | None, str | None], where: str
) -> tuple[str, dict[str, int]]:
  if None in row or None in row.values():
    got = sum(value is not None for key, value in row.items() if key)
    # Columns that are not ours may have any name, of any length.
    columns = cli.escaped(",".join(str(key) for key in row if key))
    raise cli.UserError(
      f"{where}: got {'too many' if None in row else got} cells, needed: one "
      f"for each column, {textwrap.shorten(columns, 200, placeholder='...')}"
    )
  for column in COLUMNS:
    length = len(row[column] or "")
    if length > _MAX_LETTERS:
      raise cli.UserError(
        f"{where}: {column}: got {length:,} letters, allowed: {_MAX_LETTERS}; "
        "mend the quotes or shorten it"
      )
  name = labels.normalize(row["person"] or "")
  if not name:
    raise cli.UserError(f"{where}: person is blank; write the folder's name")
  indices = {}
  for head, vocabulary in labels.HEADS.items():
    try:
      indices[head] = vocabulary.index(row[head] or "")
    except KeyError as error:
      raise cli.UserError(f"{where}: {head}: {cli.one_line(error)}") from None
  return name, indices


def check_folders(
  people: Mapping[str, Mapping[str, int]],
  files: Sequence[photos.PhotoFile],
  csv_path: str | os.PathLike[str],
) -> None:
  """Checks that folders and rows of people.csv match one to one.

  Raises:
    UserError: names the first folder without a row, or row without a folder.
  """
  folders = {file.person for file in files if file.person}
  # Not Path.is_dir: it raises on a link whose target no name can be.
  with os.scandir(files[0].root) as entries:
    folders |= {
      labels.normalize(entry.name)
      for entry in entries
      if os.path.isdir(entry.path)  # noqa: PTH112
    }
  for folder in sorted(folders - set(people)):
    raise cli.UserError(
      f"{csv_path}: no row for the folder photos/{folder}; add one (labels may "
      'be blank), or leave such photos out with --config=\'{"strict_people": '
      "false}'"
    )
  for person in sorted(set(people) - folders):
    raise cli.UserError(
      f"{csv_path}: the row of {person!r} has no folder photos/{person}; add "
      'the folder or remove the row, or go on with --config=\'{"strict_people"'
      ": false}'"
    )
