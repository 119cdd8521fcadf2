"""Tests of build_folder: one build at a time, and no leftovers."""

import contextlib
import signal
import subprocess
import sys

import pytest

from tests import drawn
from yourface_tfds import build_folder, cli

_CLAIM = """
import pathlib, sys
from yourface_tfds import build_folder, cli
try:
  with build_folder.claimed(pathlib.Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.readline()
except cli.UserError as error:
  print(f"error: {error}", flush=True)
"""


@pytest.fixture
def unpublished(tmp_path):
  folder = tmp_path / "your_face" / "jpeg" / "incomplete.ABC123_1.0.0"
  folder.mkdir(parents=True)
  (folder / "own").write_bytes(b"x")
  return folder


@contextlib.contextmanager
def _other_build(unpublished):
  """Yields a process that wants the folder, and its first line."""
  process = subprocess.Popen(
    [sys.executable, "-c", _CLAIM, str(unpublished)],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    encoding="utf-8",
  )
  try:
    assert process.stdout
    yield process, process.stdout.readline()
  finally:
    process.kill()
    process.communicate()


def _refused(folder):
  return (
    f"{folder}: another build writes to it; wait for it to end, or give "
    "another --data_dir"
  )


def test_a_second_build_is_refused(unpublished):
  other = unpublished.with_name("incomplete.XYZ789_1.0.0")
  with (
    build_folder.claimed(unpublished),
    _other_build(other) as (process, line),
  ):
    assert line == f"error: {_refused(unpublished.parent)}\n"
    assert process.wait(30) == 0
    assert (unpublished / "own").exists()
  with _other_build(unpublished) as (_, line):  # It was given back.
    assert line == "claimed\n"


def test_the_refused_one_removes_nothing(unpublished):
  mine = unpublished.with_name("incomplete.XYZ789_1.0.0")
  mine.mkdir()
  with _other_build(unpublished) as (_, line):
    assert line == "claimed\n"
    assert not mine.exists()  # It was there before that build.
    mine.mkdir()
    with (
      pytest.raises(cli.UserError) as caught,
      build_folder.claimed(mine),
    ):
      raise AssertionError("two builds at once")
    assert str(caught.value) == _refused(unpublished.parent)
    assert (unpublished / "own").exists()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_build_frees_the_folder(unpublished, ending):
  with _other_build(unpublished) as (process, line):
    assert line == "claimed\n"
    process.send_signal(ending)
    assert process.wait(30) == -ending
    mine = unpublished.with_name("incomplete.XYZ789_1.0.0")
    mine.mkdir()
    with build_folder.claimed(mine):
      assert mine.exists()
      assert not unpublished.exists()  # What it left is gone.


def test_another_config_may_be_built_at_once(unpublished, tmp_path):
  other = tmp_path / "your_face" / "raw" / "incomplete.ABC123_1.0.0"
  other.mkdir(parents=True)
  with build_folder.claimed(unpublished), build_folder.claimed(other):
    assert unpublished.exists()
    assert other.exists()


def test_leftovers_go_and_all_else_stays(unpublished):
  folder = unpublished.parent
  for name in ("incomplete.DEAD00_1.0.0", "incomplete.DEAD01_0.9.0"):
    (folder / name / "deeper").mkdir(parents=True)
    (folder / name / "deeper" / "shard").write_bytes(b"x")
  kept = ["1.0.1", "0.9.0", "incomplete", "my incomplete.x"]
  for name in kept:
    (folder / name).mkdir()
    (folder / name / "shard").write_bytes(b"x")
  with build_folder.claimed(unpublished):
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([*kept, unpublished.name])
    assert (unpublished / "own").read_bytes() == b"x"
  assert (unpublished / "own").exists()


def test_a_link_among_the_leftovers_is_not_followed(unpublished, tmp_path):
  (tmp_path / "precious").mkdir()
  (tmp_path / "precious" / "photo").write_bytes(b"x")
  link = unpublished.with_name("incomplete.LINK00_1.0.0")
  link.symlink_to(tmp_path / "precious")
  with build_folder.claimed(unpublished):
    assert (tmp_path / "precious" / "photo").exists()


def test_the_folder_is_free_after_an_error(unpublished):
  with pytest.raises(KeyError), build_folder.claimed(unpublished):
    raise KeyError
  with build_folder.claimed(unpublished):
    pass


def test_describe_names_what_is_there(tmp_path):
  for split, sizes in (("train", (700_000, 850_000)), ("test", (50_000,))):
    for number, size in enumerate(sizes):
      name = f"your_face-{split}.tfrecord-{number:05}-of-{len(sizes):05}"
      (tmp_path / name).write_bytes(bytes(size))
  (tmp_path / "features.json").write_text("{}")
  (tmp_path / "photos.csv").write_text("path\n")
  (tmp_path / "croissant.json").write_text("{}")
  assert build_folder.describe(tmp_path).split("\n") == [
    f"Files in {tmp_path}:",
    "  photos.csv        every file and what became of it",
    "  croissant.json    the same for programs",
    "  3 shards, 1.6 MB",
  ]
  (tmp_path / "contact_sheet.jpg").write_bytes(b"")
  (tmp_path / "DATASET_CARD.md").write_text("#")
  words = build_folder.describe(tmp_path)
  assert "  contact_sheet.jpg the crops and the rejected photos" in words
  assert "  DATASET_CARD.md   what is in it and what it is not for" in words


def test_what_is_left_of_a_version_is_refused(tmp_path):
  version = tmp_path / "1.0.0"
  shards = ["a-of-2", "b-of-2"]
  build_folder.check_whole(version, shards)  # Not there, to be built.
  version.mkdir()
  for name in ("dataset_info.json", "features.json", *shards):
    with pytest.raises(cli.UserError) as caught:
      build_folder.check_whole(version, shards)
    assert str(caught.value) == (
      f"{version}: {name} is missing, this is no whole version; build it anew "
      "with --overwrite"
    )
    (version / name).touch()
  build_folder.check_whole(version, shards)
