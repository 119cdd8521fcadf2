"""Drawn people and processes for the tests."""

import atexit
import operator
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from typing import Any

from yourface_tfds import labels, sample_drawing, sample_people

ROOT = pathlib.Path(__file__).parents[1]


def write(folder: pathlib.Path, *, people: int, photos: int, seed: int = 1):
  """Draws people in the layout that the builder reads."""
  lines = ["person,gender,job,face_type"]
  for index in range(people):
    person = sample_people.make_person(seed, index)
    target = folder / "photos" / person.name
    target.mkdir(parents=True)
    words = [
      vocabulary.names[getattr(person, head)]
      for head, vocabulary in labels.HEADS.items()
    ]
    lines.append(",".join([person.name, *words]))
    for number in range(photos):
      image = sample_drawing.draw_photo(person, seed, number)
      image.save(target / f"{number:03d}.jpg", quality=90)
  (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def stock_example_dir() -> pathlib.Path:
  """Draws the people of TFDS's stock test, removed when Python ends."""
  folder = pathlib.Path(tempfile.mkdtemp(prefix="your_face_example."))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  write(folder, people=6, photos=6)
  return folder


def environment() -> dict[str, str]:
  """Returns this process's environment, with quiet and small programs."""
  return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUTF8": "1"}


def functions_of(graph: Any) -> list[Any]:
  """Returns the functions that a GraphDef holds."""
  return list(operator.attrgetter("library.function")(graph))


def interruptible(command: Iterable[str]) -> list[str]:
  """Returns a command that Ctrl-C reaches, wherever the tests run.

  Shells start background jobs with SIGINT ignored, and children inherit that.
  """
  return ["env", "--default-signal=INT", *command]


def run_without_us(code: str, *arguments: str) -> subprocess.CompletedProcess:
  """Runs Python code where the installed packages are, but not this project.

  `-S` leaves out the .pth files, by which an editable install is found.
  """
  packages = sysconfig.get_paths()["purelib"]
  prefix = f"import sys; sys.path.append({packages!r})\n"
  return subprocess.run(
    [sys.executable, "-I", "-S", "-c", prefix + code, *arguments],
    capture_output=True,
    encoding="utf-8",
    cwd=tempfile.gettempdir(),
    env=environment(),
  )
