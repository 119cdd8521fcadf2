"""Tests of the drawn people: labels, determinism, files, and the detector."""

import collections
import csv
import io
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests import drawn
from yourface_tfds import labels, sample_drawing, sample_files, sample_people

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "yourface_tfds.sample_photos", *flags],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    encoding="utf-8",
    check=False,
  )


def _files(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def _jpeg(drawing):
  data = io.BytesIO()
  drawing.image.save(data, "JPEG", quality=drawing.quality)
  return data.getvalue()


def test_same_seed_same_bytes_whatever_the_totals(tmp_path):
  sample_files.write_photos(tmp_path / "few", people=2, photos=1, seed=3)
  sample_files.write_photos(tmp_path / "more", people=3, photos=2, seed=3)
  few, more = _files(tmp_path / "few"), _files(tmp_path / "more")
  assert len(few) == 3 and len(more) == 7
  assert all(more[name] == few[name] for name in few if name != "people.csv")
  assert more["people.csv"].startswith(few["people.csv"])


def test_other_seed_other_person_and_photo():
  first = sample_people.make_person(1, 0)
  second = sample_people.make_person(2, 0)
  assert first.skin != second.skin
  photos = [
    _jpeg(sample_drawing.draw(first, seed=seed, index=index))
    for seed, index in ((1, 0), (1, 1), (2, 0))
  ]
  assert len(set(photos)) == 3


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_labels_are_balanced(seed):
  people = [sample_people.make_person(seed, index) for index in range(44)]
  triples = {(p.gender, p.job, p.face_type) for p in people}
  assert len(triples) == 44
  first = people[:22]
  assert len({(p.gender, p.face_type) for p in first}) == 22
  assert len({(p.job, p.face_type) for p in first}) == 22
  pairs = collections.Counter((p.gender, p.job) for p in first)
  assert max(pairs.values()) - min(pairs.values()) <= 1
  assert len({p.face_type for p in people[:11]}) == 11


def test_names_are_unique_and_tell_no_label():
  names = [sample_people.make_person(1, index).name for index in range(200)]
  assert len({labels.normalize(name) for name in names}) == 200
  assert names[0] == "사람_000"
  assert names[1] == "person_001"
  assert names[4] == "person 004"


def test_negative_seed_is_refused():
  with pytest.raises(ValueError, match="allowed: 0 or more"):
    sample_people.make_person(-1, 0)


def test_sizes_and_face_within_the_photo():
  shapes = set()
  for index in range(30):
    person = sample_people.make_person(1, index)
    drawing = sample_drawing.draw(person, seed=1, index=index)
    image = drawing.image
    shapes.add(image.width > image.height)
    assert image.mode == "RGB"
    assert 320 <= max(image.size) <= 800
    x_min, y_min, x_max, y_max = drawing.face_box
    assert 0 <= x_min < x_max <= image.width
    assert 0 <= y_min < y_max <= image.height
    assert 0.2 <= (y_max - y_min) / min(image.size) <= 0.6
    assert 80 <= drawing.quality <= 95
  assert shapes == {True, False}


def test_every_head_fits_its_photo():
  for number in range(5000):
    rng = sample_people.photo_rng(21, number, 0)
    place = sample_drawing._make_place(rng)
    assert 0 < place.x < place.width
    assert 0 < place.y < place.height


def test_draw_photo_is_the_image_of_draw():
  person = sample_people.make_person(1, 5)
  image = sample_drawing.draw_photo(person, 1, 2)
  drawing = sample_drawing.draw(person, seed=1, index=2)
  assert image.tobytes() == drawing.image.tobytes()


def test_command_writes_refuses_and_overwrites(tmp_path):
  folder = tmp_path / "새 폴더"
  flags = [f"--output_dir={folder}", "--people=3", "--photos=1", "--seed=2"]
  done = _run(*flags)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-2:] == [
    f"wrote 3 photos of 3 people to {folder}",
    f"next: tfds build builders/your_face --manual_dir={folder} --data_dir=D",
  ]
  with (folder / "people.csv").open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 3
  for row in rows:
    assert (folder / "photos" / row.pop("person") / "000.jpg").is_file()
    assert all(labels.HEADS[key].index(row[key]) >= 0 for key in labels.HEADS)
  before = _files(folder)

  again = _run(*flags)
  assert again.returncode == 1
  assert again.stderr.startswith("error: --output_dir: got ")
  assert len(again.stderr.splitlines()) == 1
  assert _files(folder) == before

  (folder / "photos" / "person_001" / "mine.txt").write_text("mine")
  (folder / "notes.txt").write_text("mine")
  over = _run(*flags, "--people=1", "--overwrite")
  assert over.returncode == 0, over.stderr
  assert set(_files(folder)) == {
    "people.csv",
    "notes.txt",
    "photos/person_001/mine.txt",
    "photos/사람_000/000.jpg",
  }
  assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
  ("flag", "got"), [("people", 0), ("photos", -1), ("seed", -2)]
)
def test_bad_number_is_one_line(tmp_path, flag, got):
  done = _run(f"--output_dir={tmp_path / 'm'}", f"--{flag}={got}")
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith(f"error: --{flag}: got {got}, allowed: ")
  assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing(tmp_path):
  with subprocess.Popen(
    drawn.interruptible(
      [sys.executable, "-m", "yourface_tfds.sample_photos",
       f"--output_dir={tmp_path / 'm'}", "--people=500"]
    ),
    cwd=_ROOT,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:  # fmt: skip
    deadline = time.monotonic() + 30
    while not list(tmp_path.rglob("*.jpg")) and time.monotonic() < deadline:
      time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
  assert process.returncode == 130
  assert "Traceback" not in errors
  assert list(tmp_path.iterdir()) == []


def _overlap(box, other):
  """Returns intersection over union of two x_min, y_min, x_max, y_max."""
  low = np.maximum(box[:2], other[:2])
  high = np.minimum(box[2:], other[2:])
  both = np.prod(np.maximum(high - low, 0))
  areas = [np.prod(np.subtract(b[2:], b[:2])) for b in (box, other)]
  return both / (sum(areas) - both)


def test_detector_finds_the_drawn_face():
  from mtcnn import MTCNN

  detector = MTCNN()
  found, total = 0, 66
  for index in range(total):
    person = sample_people.make_person(1, index % 33)
    drawing = sample_drawing.draw(person, seed=1, index=index // 33)
    image = drawing.image
    shrink = max(1, max(image.size) / 480)
    size = [round(side / shrink) for side in image.size]
    # Rows: image, x_min, y_min, x_max, y_max, score, landmarks.
    rows = detector.detect_faces(
      np.asarray(image.resize(size, Image.Resampling.BOX)),
      box_format="xyxy",
      output_type="numpy",
    )
    boxes = [row[1:5] * shrink for row in np.array(rows) if row[5] > 0.9]
    truth = np.array(drawing.face_box)
    found += any(_overlap(box, truth) > 0.5 for box in boxes)
  assert found / total >= 0.97
