"""Writes drawn people as a folder that `tfds build` reads.

  sample_files.write_photos("M", people=24, photos=20, seed=1)

  M/people.csv                  person,gender,job,face_type
  M/photos/<person>/000.jpg ... the photos

The folder is drawn beside its place and moved there when it is complete.
"""

import contextlib
import csv
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator

from yourface_tfds import cli, labels, sample_drawing, sample_people, storage

_PHOTO = re.compile(r"\d{3,}\.jpg")
_NUMBER = re.compile(r"\d{3,}$")


def write_photos(
  output_dir: str | os.PathLike[str],
  *,
  people: int,
  photos: int,
  seed: int,
  overwrite: bool = False,
  progress: Callable[[int], object] = lambda done: None,
) -> int:
  """Draws people and writes `people.csv` and `photos/`.

  Args:
    output_dir: the folder to make, or to write into.
    people: how many people, 1 or more.
    photos: how many photos of each, 1 or more.
    seed: 0 or more; the same seed gives the same bytes.
    overwrite: whether to replace drawn people that are there already. Files
      that this function does not write are left alone.
    progress: called with 1 after each photo.

  Returns:
    The number of photos written.

  Raises:
    cli.UserError: a number is too small, or there is something in the way.
  """
  output_dir = storage.only_local(output_dir, "--output_dir")
  for name, value, least in (
    ("people", people, 1),
    ("photos", photos, 1),
    ("seed", seed, 0),
  ):
    if value < least:
      raise cli.UserError(
        f"--{name}: got {value}, allowed: {least} or more; give another number"
      )
  _check_place(output_dir, overwrite)
  with _folder_beside(output_dir) as drawn:
    for person in _write_people(drawn, people, seed):
      folder = drawn / "photos" / person.name
      folder.mkdir(parents=True)
      for index in range(photos):
        drawing = sample_drawing.draw(person, seed=seed, index=index)
        drawing.image.save(folder / f"{index:03d}.jpg", quality=drawing.quality)
        progress(1)
    _move(drawn, output_dir)
  return people * photos


def _check_place(output_dir: pathlib.Path, overwrite: bool) -> None:
  if output_dir.exists() and not output_dir.is_dir():
    raise cli.UserError(
      f"--output_dir: got {output_dir}, which is a file; give a folder"
    )
  taken = [
    name for name in ("people.csv", "photos") if (output_dir / name).exists()
  ]
  if taken and not overwrite:
    raise cli.UserError(
      f"--output_dir: got {output_dir}, which holds {' and '.join(taken)} "
      "already; allowed: a new folder; give another, or add --overwrite to "
      "replace the drawn people in it"
    )


def _write_people(
  folder: pathlib.Path, people: int, seed: int
) -> list[sample_people.Person]:
  made = [sample_people.make_person(seed, index) for index in range(people)]
  with (folder / "people.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["person", *labels.HEADS])
    for person in made:
      names = [
        head.names[getattr(person, key)] for key, head in labels.HEADS.items()
      ]
      writer.writerow([person.name, *names])
  return made


@contextlib.contextmanager
def _folder_beside(output_dir: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an empty folder next to `output_dir`, removed in the end."""
  parent = output_dir.absolute().parent
  parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    prefix=f".{output_dir.name}.incomplete.", dir=parent
  ) as temporary:
    # Only the outer folder has mkdtemp's private mode.
    inner = pathlib.Path(temporary) / "drawn"
    inner.mkdir()
    yield inner


def _move(drawn: pathlib.Path, output_dir: pathlib.Path) -> None:
  """Moves the drawn folder to its place, over what was drawn there before."""
  if not output_dir.exists():
    drawn.rename(output_dir)
    return
  # people.csv goes first and comes last: without it nothing is taken for a
  # result.
  (output_dir / "people.csv").unlink(missing_ok=True)
  for folder in sorted((output_dir / "photos").glob("*")):
    if folder.is_dir() and _is_drawn(folder.name):
      _remove_photos(folder)
  for folder in sorted((drawn / "photos").iterdir()):
    target = output_dir / "photos" / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for photo in sorted(folder.iterdir()):
      shutil.move(photo, target / photo.name)
  shutil.move(drawn / "people.csv", output_dir / "people.csv")


def _is_drawn(name: str) -> bool:
  """Returns whether a folder has the name of a drawn person."""
  number = _NUMBER.search(name)
  return number is not None and (
    sample_people.person_name(int(number.group())) == labels.normalize(name)
  )


def _remove_photos(folder: pathlib.Path) -> None:
  """Removes drawn photos, and the folder if nothing else is in it."""
  for photo in folder.iterdir():
    if _PHOTO.fullmatch(photo.name):
      photo.unlink()
  if not any(folder.iterdir()):
    folder.rmdir()
