"""Builds of 100,000 photos of one person and of 10,000 people.

Drawn faces before backgrounds of which no two are alike, so that none is the
near-duplicate of another; blank pages, which are all one picture; and files
that are none.
"""

import os
import re
import time
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests import drawn, faults
from yourface_tfds import curate, sample_drawing, sample_people

_MEMORY = """
import atexit, sys
def tell():
  print(open("/proc/self/status").read(), file=sys.stderr)
atexit.register(tell)
"""


@pytest.fixture(scope="module")
def draw():
  """Returns a function that writes a face of its own for each number."""
  faces = []
  for index in range(120):
    person = sample_people.make_person(5, index)
    drawing = sample_drawing.draw(person, seed=5, index=index)
    left, top, right, bottom = drawing.face_box
    out_x, out_y = (right - left) * 0.2, (bottom - top) * 0.2
    face = drawing.image.crop(
      (int(left - out_x), int(top - out_y), int(right + out_x), int(bottom))
    )
    faces.append(face.resize((100, 120)))

  def write(path, number):
    rng = np.random.default_rng(number)
    blocks = rng.integers(0, 256, (16, 16, 3), np.uint8)
    picture = Image.fromarray(blocks).resize((208, 208), Image.Resampling.BOX)
    left, top = rng.integers(0, (108, 88))
    picture.paste(faces[number % len(faces)], (int(left), int(top)))
    picture.save(path, "JPEG", quality=80)

  return write


def _build(manual_dir, tmp_path):
  """Builds; returns the folder, seconds, and peak memory in MB."""
  begun = time.monotonic()
  process = faults.start(
    faults.command(manual_dir, tmp_path / "d"),
    environment=faults.at_start(tmp_path / "site", _MEMORY),
  )
  # Below faulthandler_timeout, which ends all tests.
  run = faults.finish(process, 900)
  seconds = time.monotonic() - begun
  assert run.returncode == 0, run.stderr[-3000:]
  peak = re.search(r"VmHWM:\s+(\d+) kB", run.stderr)
  assert peak
  return faults.version_dir(tmp_path / "d"), seconds, int(peak[1]) / 1e3


@pytest.fixture(scope="module")
def small_peak(tmp_path_factory):
  """MB that a build of a few photos takes: TensorFlow, most of it."""
  folder = tmp_path_factory.mktemp("small")
  drawn.write(folder / "m", people=6, photos=6)
  return _build(folder / "m", folder)[2]


def _check(folder, paths):
  """Checks that each file has one row, and each accepted one an example."""
  rows = curate.read_csv(folder / "photos.csv")
  assert [row["path"] for row in rows] == sorted(paths)
  accepted = {row["path"]: row for row in rows if row["status"] == "accepted"}
  loaded: Any = tfds.builder_from_directory(folder).as_dataset()
  for split, examples in loaded.items():
    for example in tfds.as_numpy(examples):
      assert accepted.pop(example["photo"].decode())["split"] == split
  assert not accepted
  return rows


def _count(rows):
  found = {}
  for row in rows:
    found[row["status"]] = found.get(row["status"], 0) + 1
  return found


@pytest.mark.slow
def test_100_000_photos_of_one_person(draw, small_peak, tmp_path):
  folder = tmp_path / "m" / "photos" / "kim"
  folder.mkdir(parents=True)
  (tmp_path / "m/people.csv").write_text(
    "person,gender,job,face_type\nkim,f,singer,dog\n"
  )
  blank = Image.new("L", (64, 64), "white")
  paths = []
  for number in range(100_000):
    path = folder / f"{number:06}.jpg"
    if number % 100 == 0:
      draw(path, number)
    elif number % 100 in (40, 80):  # The same file, twice.
      os.link(folder / f"{number - number % 100:06}.jpg", path)
    elif number % 5 == 1:
      blank.save(path, "JPEG", comment=f"{number}".encode())
    else:
      path.write_bytes(b"<html>404 %d</html>" % number)
    paths.append(f"kim/{number:06}.jpg")
  folder, seconds, peak = _build(tmp_path / "m", tmp_path)
  counts = _count(_check(folder, paths))
  print(f"{seconds:.0f} s, {peak:.0f} MB, small {small_peak:.0f} MB", counts)
  assert counts["not_an_image"] == 77_000
  # Of 1,000 faces, some in three files, a few are not found.
  assert 2_500 <= counts["accepted"] <= 3_000
  assert sum(counts.values()) == 100_000
  # 10 kB a decoded photo, 2 kB of any other.
  assert peak < small_peak + 500


@pytest.mark.slow
def test_10_000_people(draw, small_peak, tmp_path):
  lines, paths = ["person,gender,job,face_type"], []
  for number in range(10_000):
    path = tmp_path / "m/photos" / f"p{number:05}" / "a.jpg"
    path.parent.mkdir(parents=True)
    draw(path, number)
    gender, job = "mf"[number % 2], ("actor", "singer")[number // 2 % 2]
    lines.append(f"p{number:05},{gender},{job},")
    paths.append(f"p{number:05}/a.jpg")
  (tmp_path / "m/people.csv").write_text("\n".join(lines) + "\n")
  folder, seconds, peak = _build(tmp_path / "m", tmp_path)
  rows = _check(folder, paths)
  counts = _count(rows)
  print(f"{seconds:.0f} s, {peak:.0f} MB, small {small_peak:.0f} MB", counts)
  assert counts["accepted"] >= 9_000
  unseen = {row["person"] for row in rows if row["split"] == "unseen"}
  assert 800 < len(unseen) < 1_200
  assert peak < small_peak + 500


def test_20_000_people_with_one_picture():
  rows = [
    curate.PhotoRow(
      path=f"p{number:05}/a.jpg",
      person=f"p{number:05}",
      status=curate.ACCEPTED,
      group="g",
    )
    for number in range(20_000)
  ]
  begun = time.process_time()
  details = [row.detail for row in curate.reject_shared(rows)]
  assert details[0] == f"{curate.SAME_AS}p00001/a.jpg"
  assert set(details[1:]) == {f"{curate.SAME_AS}p00000/a.jpg"}
  # It takes .1 s; each with each took 30.
  assert time.process_time() - begun < 5
