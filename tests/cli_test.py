"""Tests of cli and quiet: one-line errors, exit codes, whole files."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from tests import drawn
from yourface_tfds import cli, storage


def _listing(folder):
  return sorted(path.name for path in folder.iterdir())


def _command(folder, program, name="program.py"):
  path = folder / name
  path.write_text(textwrap.dedent(program), encoding="utf-8")
  return [sys.executable, str(path)]


def _run(folder, program, *arguments, name="program.py"):
  root = pathlib.Path(cli.__file__).parents[1]
  return subprocess.run(
    [*_command(folder, program, name), *arguments],
    capture_output=True,
    text=True,
    encoding="utf-8",
    timeout=60,
    check=False,
    env=os.environ | {"PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
  )


def test_replaced_file(tmp_path):
  path = tmp_path / "new" / "a.keras"
  with storage.replaced_file(path) as temporary:
    assert temporary.parent == path.parent
    assert temporary.suffix == ".keras"
    temporary.write_text("one")
    assert not path.exists()
  assert path.read_text() == "one"
  with storage.replaced_file(str(path)) as temporary:
    temporary.write_text("two")
    assert path.read_text() == "one"
  assert path.read_text() == "two"
  assert _listing(path.parent) == ["a.keras"]


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [True, False])
def test_replaced_file_keeps_the_old_one_on_error(tmp_path, kind, exists):
  path = tmp_path / "a.json"
  if exists:
    path.write_text("old")
  with pytest.raises(kind), storage.replaced_file(path) as temporary:
    temporary.write_text("half")
    raise kind
  assert _listing(tmp_path) == (["a.json"] if exists else [])
  assert not exists or path.read_text() == "old"


def test_replaced_file_needs_a_file(tmp_path):
  path = tmp_path / "a.json"
  path.write_text("old")
  with pytest.raises(FileNotFoundError), storage.replaced_file(path):
    pass
  assert path.read_text() == "old"


def test_write_text(tmp_path):
  storage.write_text(tmp_path / "a.txt", "강아지\n")
  assert (tmp_path / "a.txt").read_bytes() == "강아지\n".encode()


def test_replaced_dir(tmp_path):
  path = tmp_path / "new" / "model"
  with storage.replaced_dir(path) as temporary:
    assert temporary.parent == path.parent
    assert _listing(temporary) == []
    (temporary / "one").write_text("1")
    assert not path.exists()
  assert _listing(path) == ["one"]
  assert path.stat().st_mode & 0o777 == 0o755
  with storage.replaced_dir(str(path)) as temporary:
    (temporary / "two").write_text("2")
    assert _listing(path) == ["one"]
  assert _listing(path) == ["two"]
  assert _listing(path.parent) == ["model"]


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [True, False])
def test_replaced_dir_keeps_the_old_one_on_error(tmp_path, kind, exists):
  path = tmp_path / "model"
  if exists:
    path.mkdir()
    (path / "old").write_text("old")
  with pytest.raises(kind), storage.replaced_dir(path) as temporary:
    (temporary / "half").write_text("half")
    raise kind
  assert _listing(tmp_path) == (["model"] if exists else [])
  assert not exists or _listing(path) == ["old"]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_replaced_dir_interrupted_between_its_two_renames(
  tmp_path, monkeypatch, kind
):
  path = tmp_path / "model"
  path.mkdir()
  (path / "old").write_text("old")
  rename = pathlib.Path.rename

  def fail_into_place(source, target):
    if pathlib.Path(target) == path and not source.name.endswith(".old"):
      raise kind
    return rename(source, target)

  with (
    monkeypatch.context() as patch,
    pytest.raises(kind),
    storage.replaced_dir(path) as temporary,
  ):
    (temporary / "new").write_text("new")
    patch.setattr(pathlib.Path, "rename", fail_into_place)
  assert _listing(tmp_path) == ["model"]
  assert _listing(path) == ["old"]


@pytest.mark.parametrize(
  ("error", "text"),
  [
    (ValueError("a\n  b\tc"), "a b c"),
    (KeyError("got 'x'"), "got 'x'"),
    (KeyError(), "KeyError"),
    (OSError(2, "No such file", "a.csv"), "[Errno 2] No such file: 'a.csv'"),
    (cli.UserError("people.csv: row 1"), "people.csv: row 1"),
    (ValueError(), "ValueError"),
    (ValueError(" \n"), "ValueError"),
  ],
)
def test_one_line(error, text):
  assert cli.one_line(error) == text


def test_no_arguments():
  cli.no_arguments(["program"])
  with pytest.raises(cli.UserError) as caught:
    cli.no_arguments(["program", "data", "more"])
  assert str(caught.value) == (
    "got the argument 'data', allowed are flags only; write --name=value, see "
    "--help"
  )


def test_dump_json():
  text = cli.dump_json({"이름": [1, 2.5], "b": None})
  assert text.startswith('{\n  "이름": [')
  assert json.loads(text) == {"이름": [1, 2.5], "b": None}


_PROGRAM = """
  import time

  from absl import flags, logging
  from yourface_tfds import cli, storage

  flags.DEFINE_string("do", "", "What to do.")
  _DIR = cli.output_dir_flag("it")

  def main(argv):
    logging.info("an absl line")
    what = flags.FLAGS.do
    if what == "user":
      raise cli.UserError("people.csv:\\n  row 3: 강아지")
    if what == "key":
      raise KeyError("got 'x', allowed: y")
    if what == "os":
      open("/nowhere/at/all")
    if what == "bug":
      raise RuntimeError("a bug")
    if what == "wait":
      with storage.replaced_file(_DIR.value + "/result") as path:
        path.write_text("half")
        print("waiting", flush=True)
        time.sleep(60)
    print("done", argv[1:])

  if __name__ == "__main__":
    cli.run(main)
"""


def test_run_without_an_error(tmp_path):
  done = _run(tmp_path, _PROGRAM, f"--output_dir={tmp_path}", "word")
  assert (done.returncode, done.stdout, done.stderr) == (
    0,
    "done ['word']\n",
    "",
  )


@pytest.mark.parametrize(
  ("what", "line"),
  [
    ("user", "error: people.csv: row 3: 강아지\n"),
    ("key", "error: got 'x', allowed: y\n"),
    (
      "os",
      "error: [Errno 2] No such file or directory: '/nowhere/at/all'\n",
    ),
  ],
)
def test_run_puts_an_error_on_one_line(tmp_path, what, line):
  arguments = (f"--do={what}", f"--output_dir={tmp_path}")
  done = _run(tmp_path, _PROGRAM, *arguments)
  assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_run_shows_the_traceback_when_asked(tmp_path):
  arguments = ("--do=user", f"--output_dir={tmp_path}", "--verbosity=1")
  done = _run(tmp_path, _PROGRAM, *arguments)
  assert done.returncode == 1
  assert "Traceback (most recent call last):" in done.stderr
  assert "yourface_tfds.cli.UserError: people.csv:" in done.stderr
  assert "an absl line" in done.stderr


def test_run_shows_the_traceback_of_a_bug(tmp_path):
  done = _run(tmp_path, _PROGRAM, "--do=bug", f"--output_dir={tmp_path}")
  assert done.returncode == 1
  assert "Traceback (most recent call last):" in done.stderr
  assert done.stderr.endswith("RuntimeError: a bug\n")


@pytest.mark.parametrize(
  ("arguments", "word"),
  [
    (["--output_dir=x", "--outputdir=y"], "'outputdir'"),
    ([], "--output_dir"),
    (["--output_dir=x", "--verbosity=loud"], "verbosity"),
  ],
)
def test_run_puts_a_wrong_flag_on_one_line(tmp_path, arguments, word):
  done = _run(tmp_path, _PROGRAM, *arguments)
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert word in done.stderr


def test_run_ends_with_130_on_ctrl_c_and_leaves_nothing(tmp_path):
  folder = tmp_path / "results"
  folder.mkdir()
  (folder / "result").write_text("old")
  root = pathlib.Path(cli.__file__).parents[1]
  with subprocess.Popen(
    drawn.interruptible(
      [*_command(tmp_path, _PROGRAM), "--do=wait", f"--output_dir={folder}"]
    ),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | {"PYTHONPATH": str(root)},
  ) as process:
    assert process.stdout and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  assert errors == "\ninterrupted: nothing half-written was kept\n"
  assert _listing(folder) == ["result"]
  assert (folder / "result").read_text() == "old"


_HOOKED = """
  import sys
  from absl import logging
  from yourface_tfds import cli

  cli.one_line_errors_under("tfds")
  if "verbose" in sys.argv:
    logging.set_verbosity(logging.DEBUG)
  kind = cli.UserError if "user" in sys.argv else ValueError
  raise kind("people.csv:\\n row 3")
"""


@pytest.mark.parametrize(
  ("name", "arguments", "one_line"),
  [
    ("tfds", ["user"], True),
    ("tfds", ["other"], False),
    ("tfds", ["user", "verbose"], False),
    ("notebook.py", ["user"], False),
  ],
)
def test_one_line_errors_under(tmp_path, name, arguments, one_line):
  done = _run(tmp_path, _HOOKED, *arguments, name=name)
  assert done.returncode == 1
  if one_line:
    assert done.stderr == "error: people.csv: row 3\n"
  else:
    assert "Traceback (most recent call last):" in done.stderr


def test_tensorflow_is_imported_quietly(tmp_path):
  done = _run(
    tmp_path,
    """
    from yourface_tfds import cli
    import tensorflow as tf
    print(tf.constant(2).numpy() + 1)
    """,
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


_FAKE_TENSORFLOW = """
import os
import sys
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is\\n")
os.write(2, b"I0000 00:00:1.0 1 port.cc:153] oneDNN custom operations\\n")
print("W: a warning of its own", file=sys.stderr, flush=True)
os.write(2, b"E0000 00:00:1.0 1 cuda_platform.cc:5] no cuda\\n")
os.write(2, b"E0000 00:00:1.0 1 other.cc:5] something is wrong\\n")
os.write(2, b"To enable the following instructions: AVX2\\n")
os.write(2, b"no line end")
if os.environ.get("BROKEN"):
  raise ImportError("broken")
"""


@pytest.mark.parametrize("broken", [False, True])
def test_other_lines_on_import_are_let_through(tmp_path, monkeypatch, broken):
  (tmp_path / "tensorflow.py").write_text(_FAKE_TENSORFLOW)
  if broken:
    monkeypatch.setenv("BROKEN", "1")
  done = _run(
    tmp_path,
    """
    import sys
    from yourface_tfds import quiet
    quiet.install()
    try:
      import tensorflow
    except ImportError as error:
      print(error)
    print("after", file=sys.stderr)
    """,
  )
  assert done.returncode == 0
  assert done.stdout == ("broken\n" if broken else "")
  assert done.stderr == (
    "W: a warning of its own\n"
    "E0000 00:00:1.0 1 other.cc:5] something is wrong\n"
    "no line endafter\n"
  )
