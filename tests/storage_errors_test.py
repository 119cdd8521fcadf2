"""What a store says ends a command with one line."""

import subprocess
import sys

import pytest

from tests import drawn, far

_PROGRAM = """
from absl import flags
from yourface_tfds import cli, storage
flags.DEFINE_string("read", "", "")
flags.DEFINE_string("write", "", "")
def main(argv):
  if flags.FLAGS.write:
    storage.write_text(flags.FLAGS.write, "text")
  print(storage.path(flags.FLAGS.read).read_text())
cli.run(main)
"""


def _run(store, *arguments, fault=""):
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, *arguments],
    cwd=drawn.ROOT,
    env=store.environment(fault),
    capture_output=True,
    text=True,
    timeout=120,
  )
  store.check_no_strays(drawn.ROOT / "tests")
  return done


@pytest.mark.parametrize(
  ("arguments", "fault", "says"),
  [
    pytest.param(
      ["--read=s3://b/none"],
      "",
      "s3://b/none; No such file or directory",
      marks=pytest.mark.slow,
    ),
    (
      ["--write=s3://b/x"],
      "write b/.incomplete.x 14 1",
      "the store refused to write {root}/b/.incomplete.x",
    ),
    pytest.param(
      ["--write=s3://b/x", "--read=s3://b/x"],
      "read b/x 7 1",
      "the store refused to read {root}/b/x",
      marks=pytest.mark.slow,
    ),
    (
      ["--read=az://b/x"],
      "",
      "File system scheme 'az' not implemented (file: 'az://b/x'), allowed: "
      "gs://, a path of this disk, or a scheme that a package registers with "
      "TensorFlow; BUILD.md, Storage elsewhere, says how",
    ),
    (
      ["--read=ftp://b/x"],
      "",
      "got 'ftp://b/x', allowed: a path of this disk, or one of gs://, s3://, "
      "az:// and hf://; nobody knows ftp://",
    ),
  ],
)
def test_one_line(tmp_path, arguments, fault, says):
  store = far.Store(tmp_path)
  done = _run(store, *arguments, fault=fault)
  assert done.returncode == 1
  assert done.stderr == f"error: {says.format(root=store.root)}\n"
  assert done.stdout == ""


@pytest.mark.slow
def test_verbosity_shows_where_it_came_from(tmp_path):
  store = far.Store(tmp_path)
  done = _run(store, "--read=az://b/x", "--verbosity=1")
  assert done.returncode == 1
  assert "Traceback (most recent call last):" in done.stderr
  assert "UnimplementedError" in done.stderr


@pytest.mark.parametrize(
  "command",
  [
    ["export.predict", "--model=E", "--output=s3://b/card.png", "a.jpg"],
    pytest.param(
      ["export.predict", "--model=E", "--annotated=s3://b/card.png", "a.jpg"],
      marks=pytest.mark.slow,
    ),
    ["export.predict", "--model=E", "s3://b/a.jpg"],
    pytest.param(
      ["export.predict", "--model=E", "s3://b/*.jpg"],
      marks=pytest.mark.slow,
    ),
    ["yourface_tfds.sample_photos", "--output_dir=s3://b/people"],
    ["yourface_tfds.demo", "--output_dir=s3://b/demo"],
  ],
)
def test_what_must_lie_on_this_disk(tmp_path, command):
  store = far.Store(tmp_path)
  photo = tmp_path / "a.jpg"
  photo.write_bytes(b"no photo")
  command = [str(photo) if word == "a.jpg" else word for word in command]
  done = subprocess.run(
    [sys.executable, "-m", *command],
    cwd=drawn.ROOT,
    env=store.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  flag, _, place = next(w for w in command if "s3://" in w).rpartition("=")
  assert done.returncode == 1
  assert done.stderr == (
    f"error: {flag or 'PHOTO'}: got {place!r}, allowed: a path of this disk; "
    "give one, and copy it yourself\n"
  )
  assert store.files("") == []
  store.check_no_strays(tmp_path)


@pytest.mark.slow
def test_asking_for_tensorflow_does_not_make_it_loud():
  code = """
import importlib.util
from yourface_tfds import cli
print(importlib.util.find_spec("tensorflow").name)
import tensorflow
"""
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert (done.stdout, done.stderr) == ("tensorflow\n", "")
