"""Tests of build_reports: what lies beside the shards."""

import csv
import io
import json
import logging

import mlcroissant
import numpy as np
import pytest
from PIL import Image

from yourface_tfds import build_reports, build_settings, curate, photos

# rdflib 7.6 warns of its own class when it parses JSON-LD.
pytestmark = pytest.mark.filterwarnings(
  "ignore:ConjunctiveGraph is deprecated:DeprecationWarning:rdflib"
)

SIDE = 150
PEOPLE = {
  "김하나": {"gender": 1, "job": 0, "face_type": -1},
  "Lee Dul": {"gender": 0, "job": 1, "face_type": 2},
  "nobody yet": {"gender": -1, "job": -1, "face_type": -1},
}
SHARDS = {
  "your_face-train.tfrecord-00000-of-00001": b"one",
  "your_face-test.tfrecord-00000-of-00001": b"two",
  "features.json": b"{}",
}
NAMES = ["DATASET_CARD.md", "croissant.json", "photos.csv"]


def _accepted(path, split, **values):
  return curate.PhotoRow(
    path=path,
    person=path.split("/")[0],
    status=curate.ACCEPTED,
    split=split,
    group=f"{len(path):04x}",
    faces=1,
    score=0.9975,
    box=(0.1, 0.25, 0.5, 0.75),
    source_side=149.5,
    **values,
  )


ROWS = [
  _accepted("Lee Dul/1.jpg", "train"),
  curate.PhotoRow(
    path="Lee Dul/Icon\r", person="Lee Dul", status="not_an_image"
  ),
  curate.PhotoRow(
    path="Lee Dul/no face.jpg",
    person="Lee Dul",
    status="no_face",
    detail="nothing scored 0.9 or more",
  ),
  curate.PhotoRow(path="note \udcb1.txt", person="", status="unknown_person"),
  _accepted('김하나/a, "b" 🙂.jpg', "test"),
  _accepted("김하나/c.jpg", "train"),
]


def _settings(encoding="jpeg"):
  return build_settings.BuildSettings(encoding=encoding, image_size=SIDE)


def _colour(row):
  """Each photo has one of its own."""
  generator = np.random.default_rng(ROWS.index(row))
  return generator.integers(0, 256, 3).astype(np.uint8)


def _picture(encoding):
  """Returns what `Prepared.picture` would: plain colours."""

  def picture(row):
    if row.status in ("not_an_image", "unknown_person"):
      return b""
    pixels = np.broadcast_to(_colour(row), (SIDE, SIDE, 3))
    if row.status != curate.ACCEPTED:
      return photos.thumbnail(np.ascontiguousarray(pixels))
    if encoding == "raw":
      return pixels.tobytes()
    return photos.encode_jpeg(np.ascontiguousarray(pixels))

  return picture


def _write(folder, rows=ROWS, encoding="jpeg", picture=None, people=PEOPLE):
  folder.mkdir()
  for name, content in SHARDS.items():
    (folder / name).write_bytes(content)
  build_reports.write(
    folder,
    rows,
    people,
    _settings(encoding),
    config_name=encoding,
    version="1.0.0",
    picture=picture,
  )
  return {
    path.name: path.read_bytes()
    for path in folder.iterdir()
    if path.name not in SHARDS
  }


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_same_rows_give_the_same_bytes(tmp_path, encoding):
  picture = _picture(encoding)
  first = _write(tmp_path / "one", encoding=encoding, picture=picture)
  second = _write(tmp_path / "two", encoding=encoding, picture=picture)
  assert sorted(first) == sorted([*NAMES, "contact_sheet.jpg"])
  assert first == second
  for name, content in SHARDS.items():
    assert (tmp_path / "one" / name).read_bytes() == content


def test_photos_csv_has_every_row(tmp_path):
  written = _write(tmp_path / "x")
  assert written["photos.csv"] == curate.csv_text(ROWS).encode()
  text = written["photos.csv"].decode()
  read = list(csv.DictReader(io.StringIO(text, newline="")))
  assert [row["path"] for row in read] == [
    row.path.replace("\udcb1", "\\udcb1") for row in ROWS
  ]
  assert read[1]["path"] == "Lee Dul/Icon\r"


def test_the_card_counts_the_rows_and_names_the_shards(tmp_path):
  card = _write(tmp_path / "x")["DATASET_CARD.md"].decode()
  assert "| `accepted` | 3 |" in card
  assert "| `no_face` | 1 |" in card
  assert "| `train` | 2 | 2 |" in card
  assert "your_face-train.tfrecord-00000-of-00001" in card
  assert "your_face/jpeg" in card


def test_without_pictures_there_is_no_sheet(tmp_path):
  assert sorted(_write(tmp_path / "x", picture=None)) == NAMES


def _open(content):
  with Image.open(io.BytesIO(content)) as image:
    return np.asarray(image.convert("RGB")).astype(int)


def _shows(sheet, colour):
  """Returns whether a tile's worth of pixels have a colour, as JPEG has it."""
  return (np.abs(sheet - colour.astype(int)).max(2) <= 6).sum() > 2500


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_sheet_shows_every_picture(tmp_path, encoding):
  written = _write(
    tmp_path / "x", encoding=encoding, picture=_picture(encoding)
  )
  sheet = _open(written["contact_sheet.jpg"])
  assert sheet.shape[1] == 1600
  for row in ROWS:
    is_accepted = row.status == curate.ACCEPTED
    assert _shows(sheet, _colour(row)) == is_accepted, row.path
  # A rejected photo is drawn over, but it is there.
  without = _write(
    tmp_path / "y",
    encoding=encoding,
    picture=lambda row: (row.split and _picture(encoding)(row)) or b"",
  )
  changed = np.abs(sheet - _open(without["contact_sheet.jpg"])).max(2) > 20
  assert 1000 < changed.sum() < 75 * 75 * 1.2


def test_many_photos_fill_pages(tmp_path):
  rows = [_accepted(f"김하나/{i:05}.jpg", "train") for i in range(1900)]
  crop = _picture("raw")(ROWS[0])
  written = _write(
    tmp_path / "x", rows, encoding="raw", picture=lambda row: crop
  )
  pages = sorted(name for name in written if name.startswith("contact_sheet"))
  assert len(pages) == 2
  heights = [_open(written[page]).shape[0] for page in pages]
  assert max(heights) <= 8000
  metadata = json.loads(written["croissant.json"])
  described = json.dumps(metadata)
  assert all(page in described for page in pages)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("has_sheet", [True, False])
def test_croissant_is_valid(tmp_path, caplog, encoding, has_sheet):
  picture = _picture(encoding) if has_sheet else None
  _write(tmp_path / "x", encoding=encoding, picture=picture)
  with caplog.at_level(logging.WARNING):
    dataset = mlcroissant.Dataset(tmp_path / "x" / "croissant.json")
  issues = dataset.metadata.ctx.issues
  assert issues.errors | issues.warnings == set()
  assert not [record.getMessage() for record in caplog.records]
  listed = {
    getattr(one, "content_url", None) for one in dataset.metadata.distribution
  }
  assert {*listed} >= {"photos.csv", "DATASET_CARD.md"}
  assert ("contact_sheet.jpg" in listed) == has_sheet
  records = list(dataset.records("photos"))
  assert len(records) == len(ROWS)


def test_a_build_without_examples_of_some_people(tmp_path):
  rows = [row for row in ROWS if row.person != "김하나"]
  written = _write(tmp_path / "x", rows, picture=_picture("jpeg"))
  assert "| `accepted` | 1 |" in written["DATASET_CARD.md"].decode()
