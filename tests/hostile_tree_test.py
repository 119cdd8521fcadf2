"""Any tree of folders and files is a row for each file, and nothing else."""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess

import hypothesis
import hypothesis.strategies as st
import pytest
from PIL import Image

from tests import hostile, small_export
from yourface_tfds import (
  build_facts,
  build_reports,
  build_settings,
  cli,
  curate,
  examples,
  labels,
  people,
  photo_worker,
  photos,
)

_HOSTILE_BYTES = st.one_of(
  st.binary(max_size=60),
  st.sampled_from(
    [
      b"",
      b"<script>alert(1)</script>",
      b"%PDF-1.7\n",
      b"\xff\xd8\xff\xd9",
      b"\x89PNG\r\n\x1a\n",
      b"GIF89a\x01\0\x01\0\0\0\0;",
      b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(40),
      hostile.bomb("PNG"),
      hostile.bomb("TIFF"),
      hostile.many_scans(200),
      small_export.jpeg(Image.new("RGB", (40, 30), "teal")),
    ]
  ),
)
_NAMES = st.one_of(
  st.sampled_from([name for name in hostile.NAMES if name != ".."]),
  st.binary(min_size=1, max_size=20).map(os.fsdecode),
  st.text(min_size=1, max_size=20).map(
    lambda name: os.fsdecode(name.encode("utf-8", "replace"))
  ),
).map(lambda name: name.translate({0: "0", ord("/"): "⁄"}))
_KINDS = st.sampled_from(
  [
    *["file"] * 6,
    *("fifo", "loop", "out", "out folder", "up", "long link", "sparse"),
  ]
)
_ENTRIES = st.lists(
  st.tuples(st.lists(_NAMES, min_size=1, max_size=4), _KINDS, _HOSTILE_BYTES),
  min_size=1,
  max_size=8,
)


@pytest.fixture(scope="module")
def worker():
  settings = build_settings.BuildSettings(image_size=48)
  return photo_worker.PhotoWorker(settings)


def check_tree(folder, worker, entries):
  shutil.rmtree(folder, ignore_errors=True)
  root, outside = folder / "photos", folder / "outside"
  root.mkdir(parents=True)
  outside.mkdir()
  (outside / "secret.jpg").write_bytes(
    small_export.jpeg(Image.new("RGB", (40, 30), "red"))
  )
  for parts, kind, content in entries:
    hostile.place(root, outside, parts, kind, content)
  expected = hostile.files_under(root)
  try:
    files = photos.scan(root)
  except cli.UserError as error:
    assert not expected
    assert "no file in it" in str(error)
    return
  assert [file.path for file in files] == expected
  rows = [outcome.row for outcome in worker.work(files)]
  assert [row.path for row in rows] == expected
  for row in rows:
    assert row.status in build_facts.STATUS_MEANINGS
    assert row.status != curate.ACCEPTED
    assert row.detail.isprintable() and row.detail
    target = os.path.realpath(root / row.path)
    if not pathlib.Path(target).is_relative_to(root.resolve()):
      assert row.status in ("outside", "unreadable")
  # Two names never fall together in the dataset.
  assert len({examples.key(row) for row in rows}) == len(rows)
  check_folders(files, folder)
  check_reports(rows, folder / "reports")


def check_folders(files, folder):
  """Folders without a row: our error, whatever they are called."""
  try:
    people.check_folders({"x": {}}, files, folder / "people.csv")
  except cli.UserError as error:
    assert cli.one_line(error).isprintable()
  else:
    raise AssertionError("x has no folder")


def check_reports(rows, folder):
  folder.mkdir()
  settings = build_settings.BuildSettings(image_size=48)
  # With the names of hostile people in the table, too.
  persons = {row.person: dict.fromkeys(labels.HEADS, -1) for row in rows}
  build_reports.write(
    folder,
    rows,
    persons,
    settings,
    config_name="jpeg",
    version="1.0.0",
    picture=lambda row: b"",
  )
  text = (folder / "photos.csv").read_bytes().decode("utf-8")
  assert not hostile.STEERING.search(text)
  table = list(csv.DictReader(io.StringIO(text, newline="")))
  assert len(table) == len(rows)
  for row in table:
    assert None not in row
    for name in ("path", "person", "status", "detail"):
      assert not row[name].startswith(hostile.FORMULA)
  read = curate.read_csv(folder / "photos.csv")
  assert [row["path"] for row in read] == [examples.key(row) for row in rows]
  assert [row["person"] for row in read] == [
    curate.utf8(row.person) for row in rows
  ]
  card = (folder / "DATASET_CARD.md").read_text("utf-8")
  metadata = (folder / "croissant.json").read_text("utf-8")
  json.loads(metadata)
  for said in (card, metadata):
    assert all(line.isprintable() for line in said.split("\n"))
    assert "<script" not in said and "javascript:" not in said
  with Image.open(folder / "contact_sheet.jpg") as sheet:
    assert sheet.width == 1600


@hostile.fuzz(40)
@hypothesis.given(entries=_ENTRIES)
def test_any_tree_is_one_row_a_file(tmp_path_factory, worker, entries):
  check_tree(tmp_path_factory.getbasetemp() / "any", worker, entries)


@pytest.mark.slow
@hostile.fuzz(1_500)
@hypothesis.given(entries=_ENTRIES)
def test_any_tree_at_length(tmp_path_factory, worker, entries):
  check_tree(tmp_path_factory.getbasetemp() / "many", worker, entries)


def test_every_name_at_once(tmp_path, worker):
  kinds = ("file", "out", "loop", "fifo", "long link", "sparse")
  entries = [
    ([name, f"{number}{name}"[:60], name], kinds[number % 6], b"<script>")
    for number, name in enumerate(hostile.NAMES)
    if name != ".."
  ]
  check_tree(tmp_path / "tree", worker, entries)


def test_the_tree_outside_is_not_read(tmp_path, monkeypatch):
  outside = tmp_path / "outside"
  outside.mkdir()
  (outside / "secret.jpg").write_bytes(b"secret")
  root = tmp_path / "photos"
  links = {
    "a": outside / "secret.jpg",
    "b": "../../outside/secret.jpg",
    "c": outside,
    "d": "/etc/passwd",
    "e": "/proc/self/environ",
    "f": "a",
  }
  for name, target in links.items():
    hostile.place(root, outside, ["kim", name], "file", b"")
    (root / "kim" / name).unlink()
    (root / "kim" / name).symlink_to(target)
  read = []
  monkeypatch.setattr(pathlib.Path, "read_bytes", read.append)
  for file in photos.scan(root):
    with pytest.raises(photos.RejectedError) as caught:
      file.read()
    assert caught.value.status == "outside"
  assert not read


def test_a_tree_deeper_than_python_calls_itself(tmp_path):
  root = tmp_path / "photos"
  root.mkdir()
  folder = os.open(root, os.O_RDONLY)
  depth = 1_500
  for _ in range(depth):
    os.mkdir("d", dir_fd=folder)
    inner = os.open("d", os.O_RDONLY, dir_fd=folder)
    os.close(folder)
    folder = inner
  os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
  os.close(folder)
  try:
    (file,) = photos.scan(root)
    assert file.path == "d/" * depth + "a.jpg"
    assert file.read() == b""
  finally:
    # rmtree of Python 3.11 calls itself, too.
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_files_larger_than_any_photo_are_not_read(tmp_path):
  path = tmp_path / "kim" / "a.jpg"
  path.parent.mkdir()
  with path.open("wb") as file:
    file.truncate(photos.MAX_BYTES + 1)
  (file,) = photos.scan(tmp_path)
  with pytest.raises(photos.RejectedError) as caught:
    file.read()
  assert caught.value.status == "too_large"
  assert str(caught.value) == "400,000,001 bytes, allowed: 400,000,000"


def test_small_pictures_in_large_files_are_held_one_by_one(
  tmp_path, worker, monkeypatch
):
  out = io.BytesIO()
  Image.new("RGB", (4, 4)).save(out, "PNG")
  for number in range(3):
    (tmp_path / f"{number}.png").write_bytes(out.getvalue() + bytes(9_000))
  files = photos.scan(tmp_path)
  assert [len(batch) for batch in worker._decoded(files, {})] == [3]
  monkeypatch.setattr(photo_worker, "_BATCH_PIXELS", 3_000)
  assert [len(batch) for batch in worker._decoded(files, {})] == [1, 1, 1]


def test_a_name_that_looks_escaped_is_another_name(tmp_path):
  names = ["\udcb1", r"\udcb1", r"\x5cudcb1", r"\x5cx5cudcb1", "\\\udcb1"]
  names += ["\x1b", r"\x1b", r"\x5cx1b", "\\\x1b", r"\u202e", "\u202e", "'=1"]
  names += ["=1", "''=1", "'a", "", "'", "\\", r"\x", "\\\\x1b"]
  rows = [
    curate.PhotoRow(path=name, person="", status="no_face") for name in names
  ]
  keys = [examples.key(row) for row in rows]
  assert len(set(keys)) == len(names)
  path = tmp_path / "photos.csv"
  text = curate.csv_text(rows)
  path.write_text(text, encoding="utf-8", newline="")
  assert [row["path"] for row in curate.read_csv(path)] == keys
  raw = [row["path"] for row in csv.DictReader(io.StringIO(text, newline=""))]
  assert len(set(raw)) == len(names)
  assert raw[12:14] == ["'=1", "'''=1"]
