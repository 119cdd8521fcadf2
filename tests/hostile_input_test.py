"""Hostile input to the build: nothing but our own one-line errors comes out."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import unicodedata
import zlib
from typing import Any

import hypothesis
import hypothesis.strategies as st
import joblib
import numpy as np
import pytest
from PIL import Image

from tests import drawn, small_export
from yourface_tfds import (
  build_facts,
  build_reports,
  build_settings,
  cli,
  curate,
  examples,
  labels,
  mtcnn_weights,
  people,
  photo_worker,
  photos,
  prepare,
)
from yourface_tfds import jpeg_scans as scans

ROOT = pathlib.Path(__file__).parents[1]
TFDS = pathlib.Path(sys.executable).with_name("tfds")
HEADER = "person,gender,job,face_type"
# What steers a terminal, but for the line ends and tabs that quotes hold.
STEERING = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e]")
FORMULA = tuple("=+-@\t\r\n＝＋－＠")

NAMES = [
  "=1+1",
  '=HYPERLINK("http:⁄⁄x","y")',
  "+cmd|' ⁄C calc'!A0",
  "-rf",
  "--help",
  "@SUM(A1)",
  "＝1+1",
  "\t=1",
  "\r=1",
  "\n=1",
  "'=1",
  "''@x",
  "a\nb",
  "a\r\nb",
  "\x1b]0;title\x07",
  "\x1b[31mred\x1b[0m",
  "\x9b31m",
  "a\u202egpj.exe",
  "a\u2028b",
  'a"b,c;d',
  "<script>alert(1)<",
  "[x](javascript:y)",
  "| a | `b` |",
  "${HOME}$(id)`id`",
  "..",
  "...",
  "trailing ",
  " leading",
  " ",
  unicodedata.normalize("NFD", "김유정"),
  "😀\u200d🎤",
  "\udcb1\udce8",
  r"\udcb1\udce8",
  r"\x1b[31m",
  r"\x5cx1b",
  "C:\\x20",
  "a" * 255,
  "%s%n{0}",
  "NUL",
  "people.csv",
  "pnet.lz4",
]
"""Names of files and folders; `..` is left out where a folder has its own."""


def fuzz(count):
  return hypothesis.settings(
    max_examples=count,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
  )


# people.csv


_LETTERS = st.text(
  st.sampled_from(list('\r\n",;mf\0 \ufeff\x1b\u202e\u0301=@김A')), max_size=30
)
_CELLS = st.one_of(
  st.sampled_from([*HEADER.split(","), "김", "man", "배우", "", *NAMES]),
  _LETTERS,
  st.text(max_size=12),
  st.integers(100, 140_000).map(lambda length: "\u0301\u0316" * (length // 2)),
)
_TABLES = st.lists(st.lists(_CELLS, max_size=6), max_size=5).map(
  lambda rows: "\n".join(",".join(row) for row in rows)
)


@st.composite
def _quoted_tables(draw):
  out = io.StringIO()
  writer = csv.writer(out, quoting=csv.QUOTE_ALL)
  extra = draw(st.lists(_CELLS, max_size=2))
  writer.writerow([*HEADER.split(","), *extra])
  writer.writerows(draw(st.lists(st.lists(_CELLS, max_size=6), max_size=4)))
  return out.getvalue()


_CONTENTS = st.one_of(
  st.binary(max_size=200),
  st.one_of(
    _TABLES,
    _TABLES.map(lambda text: f"{HEADER}\n{text}"),
    _LETTERS.map(lambda text: f"{HEADER}\n{text}"),
    _quoted_tables(),
  ).map(lambda text: text.encode("utf-8", "surrogateescape")),
)


def check_people(folder, content):
  path = folder / "any.csv"
  path.write_bytes(content)
  try:
    result = people.read(path)
  except cli.UserError as error:
    text = str(error)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert len(text) < 800
    if "not UTF-8" not in text and "no people" not in text:
      assert re.match(r": row \d+: ", text.removeprefix(str(path)))
    return
  assert result
  for name, indices in result.items():
    assert name == labels.normalize(name) != ""
    assert list(indices) == list(labels.HEADS)
    for head, index in indices.items():
      assert -1 <= index < len(labels.HEADS[head].names)


@fuzz(300)
@hypothesis.given(content=_CONTENTS)
def test_any_people_csv_is_read_or_complained_of(tmp_path_factory, content):
  check_people(tmp_path_factory.getbasetemp(), content)


@pytest.mark.slow
@fuzz(5_000)
@hypothesis.given(content=_CONTENTS)
def test_any_people_csv_at_length(tmp_path_factory, content):
  check_people(tmp_path_factory.getbasetemp(), content)


def test_a_table_that_is_no_file_is_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "endless").symlink_to("/dev/zero")
  (tmp_path / "loop").symlink_to("loop")
  with (tmp_path / "sparse").open("wb") as file:
    file.truncate(10**12)
  for name, message in {
    "pipe": "neither a file nor a link to one; needed: a CSV file",
    "endless": "neither a file nor a link to one; needed: a CSV file",
    "loop": "cannot be read (Too many levels of symbolic links); needed: a C",
    "sparse": "got 1,000,000,000,000 bytes, allowed: 32,000,000; needed: a C",
  }.items():
    with pytest.raises(cli.UserError, match=f": {re.escape(message)}"):
      people.read(tmp_path / name)


def test_a_long_cell_is_refused_before_it_is_normalized(tmp_path):
  path = tmp_path / "people.csv"
  path.write_text(f"{HEADER}\nA,,,\n{'̖́' * 60_000},m,,\n")
  with pytest.raises(cli.UserError) as caught:
    people.read(path)
  assert str(caught.value) == (
    f"{path}: row 3: person: got 120,000 letters, allowed: 255; mend the "
    "quotes or shorten it"
  )


def test_columns_of_any_name_do_not_steer_the_message(tmp_path):
  path = tmp_path / "people.csv"
  path.write_text(f'{HEADER},"\x1b[31m\n{"x " * 400}"\nA\n')
  with pytest.raises(cli.UserError) as caught:
    people.read(path)
  text = str(caught.value)
  assert text.startswith(
    f"{path}: row 3: got 1 cells, needed: one for each column, "
    rf"{HEADER},\x1b[31m\nx x"
  )
  assert text.endswith(" x...")


# A folder tree


def _bomb(kind, side=20_000):
  """A header that claims a square of pixels, and little behind it."""
  if kind == "TIFF":
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8}
    tags |= {277: 1, 278: side, 279: side * side}
    entries = [
      struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()
    ]
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries)
  out = io.BytesIO()
  if kind == "WEBP":
    side = min(side, 16_000)  # The format's own limit is 16,383.
    Image.new("RGB", (side, 8)).save(out, kind, lossless=True)
    data = bytearray(out.getvalue())
    place = data.index(b"VP8L") + 9  # 14 bits each of width and height less 1.
    (bits,) = struct.unpack_from("<I", data, place)
    bits = bits & ~(0x3FFF << 14) | (side - 1) << 14
    struct.pack_into("<I", data, place, bits)
    return bytes(data)
  Image.new("RGB", (side, 1), "red").save(out, kind)
  data = bytearray(out.getvalue())
  if kind == "PNG":
    struct.pack_into(">I", data, 20, side)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
  elif kind == "JPEG":
    struct.pack_into(">H", data, data.index(b"\xff\xc0") + 5, side)
  elif kind == "GIF":
    struct.pack_into("<H", data, 8, side)
  elif kind == "BMP":
    struct.pack_into("<I", data, 22, side)
  return bytes(data)


BOMBS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


def _many_scans(count, side=64):
  """A progressive JPEG whose last scan is there `count` times more."""
  out = io.BytesIO()
  Image.new("L", (side, side), 128).save(out, "JPEG", progressive=True)
  data = out.getvalue()
  start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
  return data[:end] + data[start:end] * count + data[end:]


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
      _bomb("PNG"),
      _bomb("TIFF"),
      _many_scans(200),
      small_export.jpeg(Image.new("RGB", (40, 30), "teal")),
    ]
  ),
)
_NAMES = st.one_of(
  st.sampled_from([name for name in NAMES if name != ".."]),
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


def _place(root, outside, parts, kind, content):
  """Puts something into a tree; where its name cannot be, nothing."""
  path = str(root.joinpath(*(p for p in parts if p not in (".", ".."))))
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if kind == "fifo":
      os.mkfifo(path)
    elif kind in ("file", "sparse"):
      with open(path, "xb") as file:  # noqa: PTH123
        file.write(content)
        if kind == "sparse":
          file.truncate(10**12)
    else:
      target = {
        "loop": os.path.basename(path),  # noqa: PTH119
        "out": outside / "secret.jpg",
        "out folder": outside,
        "up": "..",
        "long link": "x" * 300,
      }[kind]
      pathlib.Path(path).symlink_to(target)
  except OSError:  # A name too long, a file in the place of a folder.
    pass


def _files_under(root):
  """Paths of all that is no folder, told without the code under test."""
  found = []
  for folder, folders, names in os.walk(root):
    links = [n for n in folders if os.path.islink(f"{folder}/{n}")]  # noqa: PTH114
    found += [os.path.relpath(f"{folder}/{n}", root) for n in names + links]
  return sorted(found)


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
    _place(root, outside, parts, kind, content)
  expected = _files_under(root)
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
  assert not STEERING.search(text)
  table = list(csv.DictReader(io.StringIO(text, newline="")))
  assert len(table) == len(rows)
  for row in table:
    assert None not in row
    for name in ("path", "person", "status", "detail"):
      assert not row[name].startswith(FORMULA)
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


@fuzz(40)
@hypothesis.given(entries=_ENTRIES)
def test_any_tree_is_one_row_a_file(tmp_path_factory, worker, entries):
  check_tree(tmp_path_factory.getbasetemp() / "any", worker, entries)


@pytest.mark.slow
@fuzz(1_500)
@hypothesis.given(entries=_ENTRIES)
def test_any_tree_at_length(tmp_path_factory, worker, entries):
  check_tree(tmp_path_factory.getbasetemp() / "many", worker, entries)


def test_every_name_at_once(tmp_path, worker):
  kinds = ("file", "out", "loop", "fifo", "long link", "sparse")
  entries = [
    ([name, f"{number}{name}"[:60], name], kinds[number % 6], b"<script>")
    for number, name in enumerate(NAMES)
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
    _place(root, outside, ["kim", name], "file", b"")
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


# Bytes of images


MUTATE = """
import collections, pathlib, random, resource, sys
import numpy as np
from yourface_tfds import photos
folder, count, seed = sys.argv[1:]
good = [p.read_bytes() for p in sorted(pathlib.Path(folder).iterdir())]
rng = random.Random(int(seed))
said = collections.Counter()
for data in good:
  photos.decode_scaled(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(int(count)):
  data = bytearray(rng.choice(good))
  kind = rng.random()
  if kind < .2:
    del data[rng.randrange(len(data)):]
  elif kind < .3:
    start = rng.randrange(len(data))
    del data[start:start + rng.choice((1, 2, 100))]
  elif kind < .4:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.choice((1, 2, 100)))
  if data:
    reach = min(len(data), rng.choice((40, 700, len(data), len(data))))
    for _ in range(rng.choice((0, 1, 3, 20))):
      data[rng.randrange(reach)] = rng.choice((0, 255, rng.randrange(256)))
  try:
    photo = photos.decode_scaled(bytes(data), rng.choice((None, 40, 640)))
  except photos.RejectedError as error:
    said[error.status] += 1
    continue
  said["fine"] += 1
  assert photo.pixels.dtype == np.uint8
  assert photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3
  assert photo.size[0] * photo.size[1] <= photos.MAX_PIXELS
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(said.values()), (after - before) // 1024, dict(said))
"""


def _run(code, *arguments):
  return subprocess.run(
    [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
    capture_output=True,
    encoding="utf-8",
    env=drawn.environment(),
    cwd=ROOT,
  )


@pytest.mark.parametrize(
  "count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)]
)
def test_no_mutation_of_a_photo_crashes_the_decoder(tmp_path, count):
  image = small_export.drawing(0)
  image.thumbnail((120, 120))
  deep = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
  moving = Image.new("RGB", image.size, "red")
  for number, (what, kind, options) in enumerate(
    [
      (image, "JPEG", {}),
      (image, "JPEG", {"progressive": True}),
      (image.convert("CMYK"), "JPEG", {}),
      (image, "PNG", {}),
      (deep, "PNG", {}),
      (image, "WEBP", {}),
      (image, "WEBP", {"save_all": True, "append_images": [moving]}),
      (image, "GIF", {"save_all": True, "append_images": [moving]}),
      (image, "BMP", {}),
      (image, "TIFF", {}),
      (image, "TIFF", {"compression": "tiff_lzw"}),
      (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
      (image, "MPO", {"save_all": True, "append_images": [moving]}),
    ]
  ):
    with (tmp_path / f"{number:02}").open("wb") as out:
      what.save(out, kind, **options)
  seed = os.environ.get("YOURFACE_FUZZ_SEED", "0")
  done = _run(MUTATE, tmp_path, count, seed)
  assert done.returncode == 0, done.stderr[-2000:]
  total, megabytes, said = done.stdout.split(" ", 2)
  assert int(total) == count
  # What one photo of MAX_PIXELS takes; only a header that lies below it can.
  assert int(megabytes) < 1_500
  for status in ("'fine'", "'unreadable'", "'not_an_image'"):
    assert status in said


PEAK = """
import pathlib, resource, sys
from yourface_tfds import photos
data = [pathlib.Path(path).read_bytes() for path in sys.argv[1:]]
photos.decode(data[0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in data[1:]:
  try:
    photos.decode(bomb)
  except photos.RejectedError as error:
    print(error.status)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024)
"""


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
  contents = [small_export.jpeg(small_export.drawing(0))]
  # Pillow refuses 179 million pixels by itself, and 81 million never.
  contents += [_bomb(kind, side) for kind in BOMBS for side in (20_000, 9_000)]
  contents.append(_many_scans(10_000, 7_000))
  paths = []
  for number, content in enumerate(contents):
    paths.append(tmp_path / f"{number:02}")
    paths[-1].write_bytes(content)
    assert len(content) < 2_000_000
  done = _run(PEAK, *paths)
  assert done.returncode == 0, done.stderr[-2000:]
  *said, megabytes = done.stdout.split()
  assert said == ["too_large"] * (len(contents) - 1)
  assert int(megabytes) < 60  # One channel of the smallest takes 81.


def test_scans_are_counted_of_the_picture_alone():
  plain = _many_scans(0)
  at_once = plain.count(b"\xff\xda")
  for more in (0, 1, 50):
    data = _many_scans(more)
    assert scans.are_more_than(at_once + more - 1, data)
    assert not scans.are_more_than(at_once + more, data)
  assert photos.decode(_many_scans(90)).shape == (64, 64, 3)
  with pytest.raises(photos.RejectedError, match="more than 100 scans"):
    photos.decode(_many_scans(101))
  # The film after a phone's photo, and a comment.
  film = b"\xff\xda\0\x02" * 500
  comment = b"\xff\xfe" + (len(film) + 2).to_bytes(2, "big") + film
  for data in (plain + film, plain[:2] + comment + plain[2:]):
    assert photos.decode(data).shape == (64, 64, 3)


@fuzz(300)
@hypothesis.given(
  data=st.lists(
    st.sampled_from([b"\xff\xda", b"\xff", b"\0\x02", b"\xff\xd8", b"\xff\xd0"])
  ).map(b"".join)
)
def test_counting_scans_ends(data):
  assert scans.are_more_than(0, data) <= (b"\xff\xda" in data)


# The whole build


class _Bomb:
  """Unpickled, it leaves a mark."""

  def __init__(self, mark: pathlib.Path) -> None:
    self._mark = mark

  def __reduce__(self) -> tuple[Any, ...]:
    return pathlib.Path.touch, (self._mark,)


def _lay_weights(folder, mark):
  folder.mkdir(parents=True, exist_ok=True)
  for net in mtcnn_weights.WEIGHTS_SHA256:
    joblib.dump(_Bomb(mark), folder / f"{net}.lz4", compress=3)


def test_the_crafted_weights_would_work(tmp_path):
  mark = tmp_path / "mark"
  _lay_weights(tmp_path, mark)
  assert not mark.exists()
  joblib.load(tmp_path / "pnet.lz4")
  assert mark.exists()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
  """A build by the stock command, of two people in a hostile tree."""
  folder = tmp_path_factory.mktemp("hostile")
  manual, mark = folder / "m", folder / "mark"
  drawn.write(manual, people=2, photos=2)
  root = manual / "photos"
  first, second = sorted(path.name for path in root.iterdir())
  evil = "=1+1\x1b[31m\u202e"  # A person with photos.
  (root / first).rename(root / evil)
  table = (manual / "people.csv").read_text("utf-8").replace(first, evil)
  (manual / "people.csv").write_text(table, "utf-8")
  outside = folder / "outside"
  for place in (outside, folder / "cwd", root / second, manual):
    _lay_weights(place, mark)
  kinds = ("file", "out", "loop", "fifo", "long link", "sparse", "out folder")
  for number, name in enumerate(NAMES):
    parts = [(evil, second, name)[number % 3], name]
    _place(root, outside, parts, kinds[number % 7], b"<script>")
  face = sorted((root / second).glob("00*"))[0]
  for name in ("=2\x1b[2J\n.jpg", "\udcb1.jpg", r"\udcb1.jpg"):
    # Not the same bytes: each has its own place in the splits.
    (root / second / name).write_bytes(
      face.read_bytes() + name.encode("utf-8", "surrogateescape")
    )
  done = subprocess.run(
    [
      *(TFDS, "build", ROOT / "builders/your_face", "--config"),
      '{"strict_people": false}',
      *(f"--manual_dir={manual}", f"--data_dir={folder / 'd'}"),
    ],
    cwd=folder / "cwd",
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
    timeout=200,
  )
  return folder, done


def test_a_hostile_tree_is_built(build):
  folder, done = build
  assert done.returncode == 0, done.stderr[-3000:]
  (reports,) = (folder / "d/your_face").glob("jpeg-*/1.0.0")
  rows = curate.read_csv(reports / "photos.csv")
  expected = _files_under(folder / "m/photos")
  assert [row["path"] for row in rows] == [
    curate.utf8(path) for path in expected
  ]
  accepted = [row for row in rows if row["status"] == "accepted"]
  assert len(accepted) == 7
  info = json.loads((reports / "dataset_info.json").read_text())
  lengths = [int(n) for split in info["splits"] for n in split["shardLengths"]]
  assert sum(lengths) == 7  # None fell together with another.
  assert not STEERING.search((reports / "photos.csv").read_text("utf-8"))


def test_names_do_not_steer_the_terminal(build):
  _, done = build
  said = done.stdout + done.stderr
  # TFDS and tqdm have colours and carriage returns of their own.
  assert "\x1b[2J" not in said and "\x1b]0;" not in said
  assert "1+1" not in said and "\u202e" not in said and "\x9b" not in said


def test_weights_that_lie_around_are_not_loaded(build):
  folder, done = build
  assert done.returncode == 0
  assert not (folder / "mark").exists()


def _stranger(manual):
  """Lays out a person without a row, whose name clears the screen."""
  (manual / "photos" / "\x1b[2J\nevil").mkdir(parents=True)
  (manual / "photos" / "\x1b[2J\nevil" / "a").touch()
  (manual / "people.csv").write_text(f"{HEADER}\nkim,,,\n")


NO_ROW = r"people.csv: no row for the folder photos/\x1b[2J evil; add one ("


def test_a_person_without_a_row_is_one_harmless_line(
  tmp_path, monkeypatch, capsys
):
  _stranger(tmp_path)
  monkeypatch.setattr(sys, "argv", ["bin/tfds", "build"])
  monkeypatch.setattr(sys, "excepthook", sys.excepthook)
  cli.one_line_errors_under("tfds")
  with pytest.raises(cli.UserError) as caught:
    prepare.read_input(tmp_path, build_settings.BuildSettings())
  sys.excepthook(type(caught.value), caught.value, None)
  said = capsys.readouterr().err
  assert NO_ROW in said
  assert said.removesuffix("\n").isprintable()


@pytest.mark.slow
def test_the_stock_command_says_that_line(tmp_path):
  _stranger(tmp_path / "m")
  done = subprocess.run(
    [
      *(TFDS, "build", ROOT / "builders/your_face", "--config=jpeg"),
      *(f"--manual_dir={tmp_path / 'm'}", f"--data_dir={tmp_path / 'd'}"),
    ],
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )
  assert done.returncode == 1
  assert NO_ROW in done.stderr.splitlines()[-1]
  assert "\x1b[2J" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_predict_loads_no_weights_that_lie_around(tmp_path):
  small_export.write(tmp_path)
  mark, photo = tmp_path / "mark", tmp_path / "photos" / "a.jpg"
  _lay_weights(photo.parent, mark)
  _lay_weights(tmp_path / "cwd", mark)
  photo.write_bytes(small_export.jpeg(small_export.drawing(0)))
  for model in ("saved_model", "face.tflite"):
    done = subprocess.run(
      [
        *(sys.executable, "-m", "export.predict"),
        *(f"--model={tmp_path / model}", photo),
      ],
      cwd=tmp_path / "cwd",
      env={**drawn.environment(), "PYTHONPATH": str(ROOT)},
      capture_output=True,
      encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("당신은 ")
    assert not mark.exists()
