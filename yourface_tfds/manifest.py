"""What a SavedModel folder holds, file by file, so that a changed one is seen.

A SavedModel is a program: loading and calling it runs whatever operations it
was saved with, reading and writing files among them. `write` lists the SHA-256
of each file in `manifest.json` at export; `check` refuses a folder without that
list, or with other files than it names. It tells damage and mix-ups from what
was exported, not a forger from us: who can write the folder can write the list.

  manifest.write("E/saved_model")
  manifest.check("E/saved_model")
"""

import json
import os

from yourface_tfds import cli, storage

NAME = "manifest.json"

_FORMAT = 1
_WARNING = (
  "a SavedModel is a program that can read and write your files; if you know "
  "where it comes from, add --trust"
)


def write(folder: str | os.PathLike[str]) -> None:
  """Writes the manifest of a folder into it.

  Args:
    folder: of a SavedModel; an older manifest is replaced.
  """
  folder = storage.path(folder)
  files = {name: storage.sha256(folder / name) for name in _files(folder)}
  content = cli.dump_json({"format": _FORMAT, "sha256": files})
  storage.write_text(folder / NAME, content + "\n")


def check(
  folder: str | os.PathLike[str], *, trust: bool = False, flag: str = "--model"
) -> None:
  """Compares a folder with its manifest.

  Args:
    folder: of a SavedModel.
    trust: whether it is loaded whatever it holds.
    flag: that named the folder, for the error.

  Raises:
    UserError: there is no manifest, it cannot be read, it is of another
      format, or the files are not those that it lists.
  """
  if trust:
    return
  folder = storage.path(folder)
  if not folder.is_dir():
    raise cli.UserError(
      f"{flag}: {folder} is no folder, allowed: one that "
      "export.export_saved_model wrote"
    )
  try:
    content = json.loads((folder / NAME).read_text(encoding="utf-8"))
    form, listed = content["format"], content["sha256"]
    listed = {str(name): str(digest) for name, digest in listed.items()}
  except FileNotFoundError:
    raise cli.UserError(f"{flag}: {folder} has no {NAME}; {_WARNING}") from None
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise cli.UserError(
      f"{flag}: {folder / NAME} is not as export wrote it; {_WARNING}"
    ) from error
  if form != _FORMAT:
    raise cli.UserError(
      f"{flag}: {folder / NAME} is of format {form!r}, allowed: {_FORMAT}; "
      "load it with the version that wrote it, or export again"
    )
  found = set(_files(folder))
  for name in sorted(found ^ set(listed)):
    state = "is not in" if name in found else "is missing, but in"
    raise cli.UserError(
      f"{flag}: {folder / name} {state} its {NAME}; {_WARNING}"
    )
  for name in sorted(found):
    if storage.sha256(folder / name) != listed[name]:
      raise cli.UserError(
        f"{flag}: {folder / name} is not the file that was exported, its "
        f"SHA-256 differs from {NAME}; export again, or: {_WARNING}"
      )


def _files(folder: storage.Path) -> list[str]:
  """Returns the files below a folder but the manifest, links as files."""
  return [name for name in storage.files(folder) if name != NAME]
