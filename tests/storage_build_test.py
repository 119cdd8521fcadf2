"""The build into a store that is no disk: the same files, and no strays."""

import contextlib
import io
import pathlib
import signal
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from builders.your_face import your_face_dataset_builder as builder_module
from tests import drawn, far
from yourface_tfds import build_folder, cli, storage

TFDS = pathlib.Path(sys.executable).with_name("tfds")
_VERSION = "your_face/jpeg/1.0.0"
_NOTE = (
  "note: s3://{}/your_face/jpeg: not on this disk, where a second build would "
  "be refused; of two at once, the one that ends first is kept"
)


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("photos") / "사진"
  drawn.write(folder, people=5, photos=3)
  (folder / "photos" / "notes.txt").write_text("no photo")
  return folder


@pytest.fixture
def store(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  store = far.Store(tmp_path)
  store.here(monkeypatch)
  yield store
  assert not list(drawn.ROOT.glob("s3:*"))
  assert not list(tmp_path.rglob("s3:*"))


def _command(manual_dir, data_dir, *options):
  return [
    *(TFDS, "build", "builders/your_face", f"--manual_dir={manual_dir}"),
    *(f"--data_dir={data_dir}", *(options or ["--config=jpeg"])),
  ]


def _build(store, *arguments, fault=""):
  return subprocess.run(
    _command(*arguments),
    cwd=drawn.ROOT,
    env={**store.environment(fault), "XDG_CACHE_HOME": _cache(store)},
    capture_output=True,
    encoding="utf-8",
  )


def _cache(store):
  return str(store.root.parent / "cache")


def _build_here(manual_dir, data_dir):
  """Builds in this process; returns what was printed."""
  builder = builder_module.Builder(data_dir=data_dir, config="jpeg")
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  said = io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    builder.download_and_prepare(download_config=config)
  return said.getvalue()


def _content(folder):
  """Returns the content of each file of a built dataset by its name."""
  return {
    path.name: path.read_bytes()
    for path in folder.iterdir()
    if path.name != ".made"
  }


def _database(store):
  (folder,) = pathlib.Path(_cache(store), "yourface_tfds", "build").iterdir()
  assert [path.name for path in folder.iterdir()] == ["detections.sqlite3"]
  return folder / "detections.sqlite3"


def test_the_files_are_those_of_a_local_build(manual_dir, store, tmp_path):
  _build_here(manual_dir, tmp_path / "local")
  words = _build_here(manual_dir, "s3://faces/data")
  expected = _content(tmp_path / "local" / _VERSION)
  assert {
    "photos.csv",
    "contact_sheet.jpg",
    "DATASET_CARD.md",
    "croissant.json",
    "dataset_info.json",
    "your_face-train.tfrecord-00000-of-00001",
  } <= expected.keys()
  assert _content(store.root / "faces" / "data" / _VERSION) == expected
  assert _NOTE.format("faces/data") + "\n" in words
  assert (
    "The detector looked at 15 photos; all it found is kept in\n"
    f"  {_database(store)}\n"
  ) in words
  assert f"Files in s3://faces/data/{_VERSION}:\n" in words
  assert "--data_dir=s3://faces/data --config=jpeg --workdir=W" in words
  # TFDS's own folder of downloads has nothing of ours in it.
  store.check_no_strays(tmp_path)


def test_photos_elsewhere_are_refused(store):
  with pytest.raises(cli.UserError, match="--manual_dir: got 's3://faces/m'"):
    _build_here("s3://faces/m", "s3://faces/data")
  assert not any("photos" in name for name in store.files("faces"))


def test_array_record_elsewhere_is_refused(manual_dir, store):
  builder = builder_module.Builder(
    data_dir="s3://faces/data", config="jpeg", file_format="array_record"
  )
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  with pytest.raises(cli.UserError) as caught:
    builder.download_and_prepare(download_config=config)
  assert str(caught.value) == (
    "--file_format: got array_record, whose library writes to this disk only; "
    "allowed with --data_dir=s3://faces/data: tfrecord"
  )


def test_work_is_put_aside_on_this_disk(store, tmp_path, monkeypatch):
  here = tmp_path / "data" / "your_face"
  assert build_folder.work_dir(here) == here
  assert here.is_dir()
  places = {
    build_folder.work_dir(storage.path(name))
    for name in ("s3://a/your_face", "s3://a/your_face/", "s3://b/your_face")
  }
  assert len(places) == 2
  for place in places:
    assert place.is_dir()
    assert place.is_relative_to(_cache(store))
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setattr(
    pathlib.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError)
  )
  with pytest.raises(cli.UserError) as caught:
    build_folder.work_dir(storage.path("s3://a/your_face"))
  assert str(caught.value) == (
    "s3://a/your_face: what the detector finds is kept on this disk, where you "
    "have no home folder; let XDG_CACHE_HOME name one"
  )


def test_other_builds_of_a_store_are_named_and_let_be(store, capsys):
  folder = store.root / "faces" / "your_face" / "jpeg"
  names = [f"incomplete.{name}_1.0.0" for name in ("MINE01", "B", "A")]
  for name in [*names, "1.0.0"]:
    (folder / name).mkdir(parents=True)
    (folder / name / "shard").write_bytes(b"x")
  mine = storage.path(f"s3://faces/your_face/jpeg/{names[0]}")
  with build_folder.claimed(mine):
    pass
  assert capsys.readouterr().err == (
    f"{_NOTE.format('faces')}; of killed or running ones: {names[2]}, "
    f"{names[1]}\n"
  )
  assert len(store.files("faces")) == 4


@pytest.fixture(scope="module")
def expected(manual_dir, tmp_path_factory):
  """What a local build makes, which has its own tests."""
  data_dir = tmp_path_factory.mktemp("expected")
  subprocess.run(
    _command(manual_dir, data_dir),
    cwd=drawn.ROOT,
    env=drawn.environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    check=True,
  )
  return _content(data_dir / _VERSION)


@pytest.mark.slow
def test_the_stock_command(manual_dir, store, expected):
  run = _build(store, manual_dir, "s3://faces/data")
  assert run.returncode == 0, run.stderr[-2000:]
  assert _content(store.root / "faces" / "data" / _VERSION) == expected
  assert _NOTE.format("faces/data") + "\n" in run.stderr
  assert "The detector looked at 15 photos" in run.stdout
  assert str(_database(store)) in run.stdout
  # The other config finds no face anew, and what is there is used.
  run = _build(store, manual_dir, "s3://faces/data", "--config=raw")
  assert run.returncode == 0, run.stderr[-2000:]
  assert "The detector looked at 0 photos" in run.stdout
  assert f"Files in s3://faces/data/{_VERSION.replace('jpeg', 'raw')}:\n" in (
    run.stdout
  )
  store.check_no_strays(store.root.parent)


@pytest.mark.slow
@pytest.mark.parametrize(
  "operation", ["write tfrecord 0 2", "write photos.csv 0 1", "rename _ 0 3"]
)
def test_a_killed_build_goes_on(manual_dir, store, expected, operation):
  run = _build(store, manual_dir, "s3://faces/data", fault=operation)
  assert run.returncode == -signal.SIGKILL
  run = _build(store, manual_dir, "s3://faces/data")
  assert run.returncode == 0, run.stderr[-2000:]
  assert "The detector looked at 0 photos" in run.stdout
  assert _content(store.root / "faces" / "data" / _VERSION) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
  ("fault", "path"),
  [
    ("write tfrecord 7 2", "your_face-"),
    ("write contact_sheet 14 1", "contact_sheet.jpg"),
    ("rename _ 7 2", "_1.0.0"),
  ],
)
def test_a_store_that_refuses(manual_dir, store, expected, fault, path):
  run = _build(store, manual_dir, "s3://faces/data", fault=fault)
  assert run.returncode == 1
  line = run.stderr.strip().splitlines()[-1]
  assert line.startswith(f"error: the store refused to {fault.split()[0]} ")
  assert path in line
  assert line.endswith("the same command goes on with the faces found so far")
  assert "Traceback" not in run.stderr
  assert not (store.root / "faces" / "data" / _VERSION).exists()
  run = _build(store, manual_dir, "s3://faces/data")
  assert run.returncode == 0, run.stderr[-2000:]
  assert _content(store.root / "faces" / "data" / _VERSION) == expected


@pytest.mark.slow
def test_two_builds_at_once(manual_dir, store, expected):
  builds = [
    subprocess.Popen(
      _command(manual_dir, "s3://faces/data"),
      cwd=drawn.ROOT,
      env={**store.environment(), "XDG_CACHE_HOME": _cache(store)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      encoding="utf-8",
    )
    for _ in range(2)
  ]
  for build, (_, said) in [(one, one.communicate()) for one in builds]:
    if build.returncode:
      assert build.returncode == 1
      assert "Traceback" not in said
      assert "already exists" in said.strip().splitlines()[-1]
  assert 0 in [build.returncode for build in builds]
  assert _content(store.root / "faces" / "data" / _VERSION) == expected


@pytest.mark.slow
def test_on_beam(manual_dir, store, expected):
  run = _build(
    store,
    manual_dir,
    "s3://faces/data",
    "--config=jpeg",
    "--beam_pipeline_options=runner=DirectRunner,"
    "direct_running_mode=multi_processing,direct_num_workers=2",
  )
  assert run.returncode == 0, run.stderr[-2000:]
  built = _content(store.root / "faces" / "data" / _VERSION)
  for name, content in built.items():
    if ".tfrecord-" in name or name == "photos.csv":
      assert content == expected[name]
  assert set(built) == set(expected) - {"contact_sheet.jpg"}
  store.check_no_strays(store.root.parent)
  assert not list(store.root.rglob("beam.*"))
