"""The builder through the stock `tfds` command, on drawn people."""

import collections
import csv
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from builders.your_face import your_face_dataset_builder as builder_module
from tests import drawn
from yourface_tfds import (
  build_settings,
  built_dataset,
  labels,
  people,
  prepare,
)

ROOT = pathlib.Path(__file__).parents[1]
TFDS = pathlib.Path(sys.executable).with_name("tfds")


def tfds_build(manual_dir, data_dir, *arguments, **environment):
  return subprocess.run(
    [
      *(TFDS, "build", "builders/your_face", f"--manual_dir={manual_dir}"),
      *(f"--data_dir={data_dir}", *arguments),
    ],
    cwd=ROOT,
    env={**drawn.environment(), **environment},
    capture_output=True,
    encoding="utf-8",
  )


def load(*arguments, **options) -> Any:
  """tfds.load, whose result depends on its arguments beyond what types say."""
  return tfds.load(*arguments, **options)


def read_rows(data_dir, config="jpeg"):
  path = data_dir / "your_face" / config / "1.0.0" / "photos.csv"
  with path.open(encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("build") / "사진 모음"
  drawn.write(folder, people=12, photos=5)
  first, second = sorted(
    path for path in (folder / "photos").iterdir() if path.is_dir()
  )[:2]
  pictures = sorted(first.iterdir())
  # A near-duplicate, mirrored and smaller; the same picture under two people.
  with Image.open(pictures[0]) as image:
    small = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    small.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
      first / "again.webp", quality=80
    )
  shutil.copy(pictures[1], second / "stolen.jpg")
  # Dirt as it comes from the web.
  (first / "page.jpg").write_text("<html>404</html>")
  (first / "cut.jpg").write_bytes(pictures[2].read_bytes()[:3000])
  (first / "nothing.jpg").write_bytes(b"")
  (first / ".DS_Store").write_bytes(b"\0\1\2")
  (first / "deeper" / "still").mkdir(parents=True)
  shutil.copy(pictures[3], first / "deeper" / "still" / "🙂 a.png")
  (folder / "photos" / "loose.txt").write_text("notes")
  Image.new("RGB", (300, 300), "teal").save(second / "wall.png")
  with Image.open(pictures[4]) as image:
    scale = 60 / image.width
    tiny = image.resize((60, max(1, round(image.height * scale))))
    canvas = Image.new("RGB", (400, 400), "grey")
    canvas.paste(tiny, (10, 10))
    canvas.save(second / "far away.png")
  return folder


@pytest.fixture(scope="module")
def data_dir(manual_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  run = tfds_build(manual_dir, folder)
  assert run.returncode == 0, run.stderr[-2000:]
  words = run.stdout[run.stdout.rindex("your_face/jpeg/1.0.0\n") :]
  assert "accepted" in words and "used, one example each" in words
  assert f"Files in {folder}/your_face/jpeg/1.0.0:\n" in words
  assert f"--data_dir={folder} --config=raw --workdir=W\n" in run.stdout
  return folder


def test_every_file_has_exactly_one_row(manual_dir, data_dir):
  root = manual_dir / "photos"
  files = sorted(
    path.relative_to(root).as_posix()
    for path in root.rglob("*")
    if path.is_file()
  )
  assert [row["path"] for row in read_rows(data_dir)] == files


def test_the_reasons_are_the_right_ones(data_dir):
  status = {
    row["path"].split("/")[-1]: row["status"] for row in read_rows(data_dir)
  }
  assert status["page.jpg"] == "not_an_image"
  assert status[".DS_Store"] == "not_an_image"
  assert status["cut.jpg"] == "unreadable"
  assert status["nothing.jpg"] == "unreadable"
  assert status["loose.txt"] == "unknown_person"
  assert status["wall.png"] == "no_face"
  assert status["stolen.jpg"] == "duplicate"
  assert status["far away.png"] in ("face_too_small", "no_face")
  assert status["again.webp"] == "accepted"
  assert status["🙂 a.png"] == "accepted"


def test_the_stolen_picture_is_rejected_on_both_sides(data_dir):
  rows = {row["path"]: row for row in read_rows(data_dir)}
  stolen = next(
    row for path, row in rows.items() if path.endswith("stolen.jpg")
  )
  original = rows[stolen["detail"].removeprefix("the same picture as ")]
  assert original["status"] == "duplicate"
  assert original["person"] != stolen["person"]


def test_groups_and_people_stay_on_their_side(data_dir):
  rows = [row for row in read_rows(data_dir) if row["split"]]
  splits_of_group = collections.defaultdict(set)
  splits_of_person = collections.defaultdict(set)
  for row in rows:
    splits_of_group[row["group"]].add(row["split"])
    splits_of_person[row["person"]].add(row["split"])
  assert all(len(splits) == 1 for splits in splits_of_group.values())
  for splits in splits_of_person.values():
    assert splits == {"unseen"} or "unseen" not in splits
  again = next(row for row in rows if row["path"].endswith("again.webp"))
  twins = [row for row in rows if row["group"] == again["group"]]
  assert len(twins) == 2


def test_shards_hold_what_the_table_says(data_dir):
  for config in ("jpeg", "raw"):
    rows = read_rows(data_dir, config)
    loaded, info = load(
      f"your_face/{config}", data_dir=data_dir, with_info=True
    )
    by_split = collections.Counter(row["split"] for row in rows)
    del by_split[""]
    assert {
      split: info.splits[split].num_examples for split in info.splits
    } == by_split
    for split, examples in loaded.items():
      expected = {row["path"]: row for row in rows if row["split"] == split}
      for example in tfds.as_numpy(examples):
        row = expected.pop(example["photo"].decode())
        assert example["person"].decode() == row["person"]
        assert example["image"].shape == (150, 150, 3)
        assert example["image"].dtype == np.uint8
        box = [float(number) for number in row["box"].split()]
        np.testing.assert_allclose(example["box"], box, atol=1e-5)
        assert example["score"] == pytest.approx(float(row["score"]), abs=1e-4)
        assert example["faces"] == int(row["faces"]) >= 1
        # Eyes are above the mouth, left of each other, inside the photo.
        points = example["landmarks"]
        assert points.shape == (5, 2)
        assert points[:2, 0].max() < points[3:, 0].min()
        assert points[0, 1] < points[1, 1]
        assert 0 <= points.min() <= points.max() <= 1
      assert not expected


def test_labels_are_those_of_people_csv(manual_dir, data_dir):
  table = people.read(manual_dir / "people.csv")
  for example in tfds.as_numpy(
    load("your_face", data_dir=data_dir, split="train")
  ):
    known = table[example["person"].decode()]
    assert known == {head: example[head] for head in labels.HEADS}


def test_jpeg_and_raw_are_the_same_crops(data_dir):
  def images(config):
    loaded = load(f"your_face/{config}", data_dir=data_dir, split="train")
    return {
      example["photo"]: example["image"].astype(int)
      for example in tfds.as_numpy(loaded)
    }

  jpeg, raw = images("jpeg"), images("raw")
  assert jpeg.keys() == raw.keys()
  for photo, image in raw.items():
    assert np.abs(image - jpeg[photo]).mean() < 4


def test_as_supervised_gives_the_three_labels_by_name(data_dir):
  image, heads = next(
    iter(
      load("your_face", data_dir=data_dir, split="train", as_supervised=True)
    )
  )
  assert image.shape == (150, 150, 3)
  assert set(heads) == {"gender", "job", "face_type"}


def test_a_reader_needs_none_of_our_code(data_dir):
  code = (
    "import sys, tensorflow_datasets as tfds\n"
    f"ds = tfds.load('your_face', data_dir={str(data_dir)!r}, split='train')\n"
    "print(len(list(ds)))\n"
    "assert 'yourface_tfds' not in sys.modules\n"
    "try:\n"
    "  import yourface_tfds\n"
    "except ModuleNotFoundError:\n"
    "  print('not installed')\n"
  )
  run = drawn.run_without_us(code)
  assert run.returncode == 0, run.stderr[-2000:]
  count, installed = run.stdout.split("\n")[:2]
  expected = sum(row["split"] == "train" for row in read_rows(data_dir))
  assert (int(count), installed) == (expected, "not installed")


def assert_same_files(first, second, *, but=()):
  names = sorted(path.name for path in first.iterdir())
  assert names == sorted([path.name for path in second.iterdir()] + list(but))
  assert sum(".tfrecord" in name for name in names) >= 3
  for name in names:
    if name not in (*but, *_TIMED, "croissant.json" if but else ""):
      assert (first / name).read_bytes() == (second / name).read_bytes(), name


_TIMED = ("dataset_info.json",)  # TFDS's own, with the paths of the machine.


def detected(run):
  words = re.search(r"The detector looked at (\d+) photos", run.stdout)
  assert words, run.stdout[-2000:]
  return int(words[1])


def test_a_second_build_gives_the_same_bytes(manual_dir, data_dir, tmp_path):
  run = tfds_build(manual_dir, tmp_path, "--config=jpeg", PYTHONHASHSEED="7")
  assert run.returncode == 0, run.stderr[-2000:]
  assert_same_files(
    data_dir / "your_face/jpeg/1.0.0", tmp_path / "your_face/jpeg/1.0.0"
  )


def test_another_crop_and_split_detect_nothing(manual_dir, data_dir, tmp_path):
  shutil.copytree(data_dir, tmp_path / "d")
  options = '{"image_size": 64, "margin": 1.5, "seed": 3, "min_score": 0.95}'
  run = tfds_build(manual_dir, tmp_path / "d", f"--config={options}")
  assert run.returncode == 0, run.stderr[-2000:]
  assert detected(run) == 0
  # The same from nothing gives the same.
  fresh = tfds_build(manual_dir, tmp_path / "e", f"--config={options}")
  assert fresh.returncode == 0, fresh.stderr[-2000:]
  assert detected(fresh) > 50
  folders = [
    next((tmp_path / name / "your_face").glob("jpeg-*")) / "1.0.0"
    for name in "de"
  ]
  assert_same_files(*folders)


def kill_and_build_again(manual_dir, data_dir, tmp_path, seed):
  """Kills a build at a random moment, builds again, compares."""
  command = [TFDS, "build", "builders/your_face", "--config=jpeg"]
  process = subprocess.Popen(
    [*command, f"--manual_dir={manual_dir}", f"--data_dir={tmp_path}"],
    cwd=ROOT,
    env=drawn.environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  cache = tmp_path / "your_face" / prepare.CACHE_NAME
  deadline = time.monotonic() + 120
  while not cache.exists() and time.monotonic() < deadline:
    time.sleep(0.01)
  # From here on it detects, writes, reports, renames.
  time.sleep(random.Random(seed).uniform(0, 6))
  process.kill()
  process.wait()
  was_done = (tmp_path / "your_face/jpeg/1.0.0/photos.csv").exists()
  run = tfds_build(manual_dir, tmp_path, "--config=jpeg")
  assert run.returncode == 0, run.stderr[-2000:]
  assert not list(tmp_path.rglob("incomplete.*"))
  assert_same_files(
    data_dir / "your_face/jpeg/1.0.0", tmp_path / "your_face/jpeg/1.0.0"
  )
  if not was_done:
    # Nothing of it is known only if it was killed before its first record.
    again = tfds_build(manual_dir, tmp_path, "--config=raw")
    assert detected(again) == 0


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_build_goes_on(manual_dir, data_dir, tmp_path, seed):
  kill_and_build_again(manual_dir, data_dir, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 11))
def test_a_killed_build_goes_on_often(manual_dir, data_dir, tmp_path, seed):
  kill_and_build_again(manual_dir, data_dir, tmp_path, seed)


@pytest.mark.slow
def test_on_beam_with_processes_of_its_own(manual_dir, data_dir, tmp_path):
  options = (
    "runner=DirectRunner,direct_running_mode=multi_processing,"
    "direct_num_workers=2"
  )
  run = tfds_build(
    manual_dir, tmp_path, "--config=jpeg", f"--beam_pipeline_options={options}"
  )
  assert run.returncode == 0, run.stderr[-2000:]
  assert_same_files(
    data_dir / "your_face/jpeg/1.0.0",
    tmp_path / "your_face/jpeg/1.0.0",
    but=["contact_sheet.jpg"],
  )
  assert not list((tmp_path / "your_face").glob("beam.*"))


def test_names_are_replaced_where_asked(manual_dir, data_dir, tmp_path):
  secret = tmp_path / "m"
  shutil.copytree(manual_dir, secret, symlinks=True)
  options = '--config={"hash_names": true}'
  run = tfds_build(secret, tmp_path / "d", options)
  assert run.returncode == 1
  assert "hash_names needs a secret" in run.stderr.strip().splitlines()[-1]
  (secret / "name_salt").write_text("not for you to know")
  run = tfds_build(secret, tmp_path / "d", options)
  assert run.returncode == 0, run.stderr[-2000:]
  folder = tmp_path / "d/your_face/jpeg-hash_names_True/1.0.0"
  content = b"".join(path.read_bytes() for path in folder.iterdir())
  table = people.read(manual_dir / "people.csv")
  for word in (*table, "again.webp", "stolen.jpg", "not for you"):
    assert word.encode() not in content, word
  # Else it is the same dataset.
  count = collections.Counter
  plain, hashed = (
    count((row["status"], row["split"], row["score"]) for row in rows)
    for rows in (
      read_rows(data_dir),
      read_rows(tmp_path / "d", "jpeg-hash_names_True"),
    )
  )
  assert plain == hashed


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph:DeprecationWarning")
def test_reports_lie_beside_the_shards(data_dir):
  mlcroissant = pytest.importorskip("mlcroissant")
  for config in ("jpeg", "raw"):
    folder = data_dir / "your_face" / config / "1.0.0"
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    records = list(dataset.records("photos"))
    assert len(records) == len(read_rows(data_dir, config))
    assert f"your_face/{config}" in (folder / "DATASET_CARD.md").read_text()
    with Image.open(folder / "contact_sheet.jpg") as sheet:
      assert sheet.width > 1000 and sheet.height > 1000


def test_a_config_of_ones_own(manual_dir, tmp_path):
  options = '{"image_size": 64, "margin": 1.5, "encoding": "raw"}'
  run = tfds_build(manual_dir, tmp_path, f"--config={options}")
  assert run.returncode == 0, run.stderr[-2000:]
  folders = list((tmp_path / "your_face").glob("raw-*"))
  assert [folder.name for folder in folders] == ["raw-image_size_64-margin_1.5"]
  loaded = load(f"your_face/{folders[0].name}", data_dir=tmp_path)
  dataset = built_dataset.open_dataset(tmp_path, folders[0].name)
  assert (dataset.image_size, dataset.is_raw) == (64, True)
  assert (dataset.margin, dataset.min_score) == (1.5, 0.9)
  assert next(iter(loaded["train"]))["image"].shape == (64, 64, 3)


_ROW = "person,gender,job,face_type\n"


@pytest.mark.parametrize(
  ("people_csv", "message"),
  [
    (None, "people.csv: no such file; write one with the columns"),
    (_ROW + "kim,alien,,\n", "row 2: gender: got 'alien', allowed: man (남자)"),
    (_ROW + "lee,,,\n", "no row for the folder photos/kim; add one"),
  ],
)
def test_bad_input_is_one_line_of_the_stock_command(
  tmp_path, people_csv, message
):
  # people_test has every message; this is how they reach the user.
  manual = tmp_path / "m"
  (manual / "photos" / "kim").mkdir(parents=True)
  (manual / "photos/kim/a.jpg").write_bytes(b"x")
  if people_csv:
    (manual / "people.csv").write_text(people_csv, encoding="utf-8")
  run = tfds_build(manual, tmp_path / "d", "--config=jpeg")
  assert run.returncode == 1
  assert "Traceback" not in run.stderr
  last = run.stderr.strip().splitlines()[-1]
  assert last.startswith("error: ")
  assert message in last
  assert not list((tmp_path / "d").rglob("1.0.0"))
  assert not list((tmp_path / "d").rglob("incomplete*"))


def test_a_folder_of_bad_photos_says_why_each_failed(tmp_path):
  manual = tmp_path / "m"
  (manual / "photos" / "kim").mkdir(parents=True)
  (manual / "photos/kim/a.jpg").write_bytes(b"")
  (manual / "photos/kim/b.jpg").write_bytes(b"<html>")
  (manual / "people.csv").write_text(_ROW + "kim,,,\n")
  run = tfds_build(manual, tmp_path / "d", "--config=jpeg")
  assert run.returncode == 1
  assert (
    run.stderr.strip()
    .splitlines()[-1]
    .endswith(
      "none of 2 files has a usable face (unreadable 1, not_an_image 1); add "
      "photos that show one"
    )
  )


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ('--config={"imagesize": 1}', "got the option 'imagesize', allowed: enc"),
    ("--manual_dir=/nonexistent", "--manual_dir: missing or empty. Give --man"),
    ("--file_format=parquet", "--file_format: got parquet, which loses examp"),
  ],
)
def test_bad_options_are_one_line(manual_dir, tmp_path, argument, message):
  run = tfds_build(manual_dir, tmp_path, argument)
  assert run.returncode == 1
  assert "Traceback" not in run.stderr
  assert message in run.stderr.strip().splitlines()[-1]


def test_a_config_named_like_the_stock_ones_is_refused():
  with pytest.raises(ValueError, match="the config raw; use --config=raw"):
    builder_module.YourFaceConfig(encoding="raw")


class StockTest(tfds.testing.DatasetBuilderTestCase):
  """TFDS's own checks of a builder: info, tags, shapes, splits, reload."""

  DATASET_CLASS = builder_module.Builder
  BUILDER_CONFIG_NAMES_TO_TEST = ["jpeg"]  # noqa: RUF012
  # It replaces `os` in the builder module, where nothing uses it.
  MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False

  @classmethod
  def setUpClass(cls):
    folder = drawn.stock_example_dir()
    cls.EXAMPLE_DIR = str(folder)
    settings = build_settings.BuildSettings()
    prepared = prepare.prepare(folder, settings, work_dir=folder.parent)
    prepared.close()
    rows = prepared.rows
    cls.SPLITS = collections.Counter(row.split for row in rows if row.split)
    super().setUpClass()
