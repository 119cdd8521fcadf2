"""Tests of export.predict as a command."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
from PIL import Image

from tests import drawn, small_export
from yourface_tfds import labels

# Processes that import TensorFlow anew, each: minutes.
pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).parents[1]
_SENTENCE = re.compile(
  "당신은 ({})상의 ({}) ({}) 같아요!".format(
    *(
      "|".join(labels.HEADS[head].korean)
      for head in ("face_type", "gender", "job")
    )
  )
)

# Importing TensorFlow takes seconds and the commands are many: one process
# imports it and forks for each. Flags are the child's own. Only the import: a
# child of a process that has run an operation waits for its threads forever.
_FORKS = """
import json, os, runpy, sys, tempfile, traceback
sys.path.insert(0, os.getcwd())
from yourface_tfds import annotate, card, cli
import tensorflow

def run(argv):
  code = 0
  try:
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
  except SystemExit as end:
    code = end.code or 0
  except BaseException:
    traceback.print_exc()
    code = 1
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)

for line in sys.stdin:
  argv, stdin = json.loads(line)
  files = [open(stdin, "rb"), *(tempfile.TemporaryFile() for _ in range(2))]
  pid = os.fork()
  if not pid:
    for number, file in enumerate(files):
      os.dup2(file.fileno(), number)
    run(argv)
  answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
  for file in files[1:]:
    file.seek(0)
    answer.append(file.read().decode())
  print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def run():
  """Returns a function that runs the command and returns how it ended."""
  with subprocess.Popen(
    [sys.executable, "-c", _FORKS],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    encoding="utf-8",
    env=drawn.environment(),
    cwd=_ROOT,
  ) as server:
    assert server.stdin is not None
    assert server.stdout is not None
    to_server, from_server = server.stdin, server.stdout

    def run_one(*arguments, stdin=os.devnull):
      argv = ["export.predict", *map(str, arguments)]
      to_server.write(json.dumps([argv, str(stdin)]) + "\n")
      to_server.flush()
      code, out, err = json.loads(from_server.readline())
      return subprocess.CompletedProcess(argv, code, out, err)

    yield run_one
    server.stdin.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_export.write(folder)
  return folder


@pytest.fixture(scope="module")
def model(exported):
  return f"--model={exported / 'saved_model'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Photos of two people and of one, a page, and a hidden file."""
  folder = tmp_path_factory.mktemp("photos")
  (folder / "a.jpg").write_bytes(small_export.crowd())
  (folder / "각\n\x1b[31m").mkdir()
  small_export.drawing(1).save(folder / "각\n\x1b[31m" / "b.png")
  (folder / "c.jpg").write_text("<html>")
  (folder / ".hidden.jpg").touch()
  return folder


def test_a_folder_in_english(run, model, folder):
  done = run(model, folder, "--language=en", "--all_faces")
  assert done.returncode == 0
  lines = done.stdout.splitlines()
  starts = [
    *(f"{folder}/a.jpg: 1: ", f"{folder}/a.jpg: 2: "),
    rf"{folder}/각\n\x1b[31m/b.png: 1: ",
  ]
  for line, start in zip(lines, starts, strict=True):
    assert line.startswith(f"{start}You look like a ")
  assert done.stderr == (
    f"{folder}/c.jpg: not_an_image: not a JPEG, PNG, GIF, BMP or WebP file\n"
  )


def test_csv_with_pictures(run, model, folder, tmp_path):
  card, annotated = tmp_path / "new" / "card.png", tmp_path / "photo.jpg"
  card.parent.mkdir()
  (card.parent / "card_001_2.png").write_bytes(b"old")
  done = run(
    *(model, "--format=csv", "--all_faces", f"--output={card}"),
    *(f"--annotated={annotated}", folder / "a.jpg", folder / "c.jpg"),
  )
  assert done.returncode == 0, done.stderr
  rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
  assert [row["face"] for row in rows] == ["1", "2", ""]
  assert [row["found"] for row in rows] == ["true", "true", "false"]
  names = [
    *("new/card_001_1.png", "new/card_001_2.png"),
    "photo_001.jpg",
  ]
  assert done.stderr.splitlines() == [
    *(f"Wrote {tmp_path / name}" for name in names),
    "1 of 2 photos could not be answered",
  ]
  written = [path for path in tmp_path.rglob("*") if path.is_file()]
  assert sorted(written) == [tmp_path / name for name in names]
  for path in written:
    with Image.open(path) as picture:
      assert picture.mode == "RGB"


def test_json_of_standard_input_and_a_pattern_from_a_tflite_file(
  run, exported, folder, tmp_path
):
  flag, card = f"--model={exported / 'face.tflite'}", tmp_path / "card.png"
  done = run(
    *(flag, "--format=json", "-", f"{folder}/**/[bc].*", f"--output={card}"),
    stdin=folder / "a.jpg",
  )
  assert done.returncode == 0, done.stderr
  first, bad, last = map(json.loads, done.stdout.splitlines())
  assert (first["path"], first["faces"]) == ("-", 2)
  assert bad["error"].startswith("not_an_image: ")
  assert last["path"] == f"{folder}/각\n\x1b[31m/b.png"
  assert _SENTENCE.fullmatch(last["sentence_ko"])
  assert "landmarks" not in last
  for head, vocabulary in labels.HEADS.items():
    assert tuple(last["probabilities"][head]) == vocabulary.names
  cards = [tmp_path / "card_001.png", tmp_path / "card_003.png"]
  assert sorted(tmp_path.iterdir()) == cards
  assert done.stderr.splitlines() == [
    *(f"Wrote {path}" for path in cards),
    "1 of 3 photos could not be answered",
  ]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    # No model is loaded before these are said.
    (["--model=/no"], "got no photo; write the paths of photos behind "),
    (["--model=/no", "/no/*"], "got '/no/*', a pattern that matches nothing, "),
    (
      ["--model=/no", __file__, "--output=a.txt"],
      "--output: got 'a.txt', allowed: a name ending in .png or .jpg",
    ),
    (
      ["--model=/no", __file__, "--json", "--format=csv"],
      "got --json and --format=csv, allowed: one of them",
    ),
    (["--model=/no", __file__], "--model: no SavedModel in '/no'; export one "),
    ([__file__], "flag --model=None: Flag --model must have a value other "),
    (["--model=/no", "--language=fr"], "flag --language=fr: value should be "),
  ],
)
def test_errors_are_one_line(run, arguments, message):
  done = run(*arguments)
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr.startswith(f"error: {message}")
  assert len(done.stderr.splitlines()) == 1


def test_one_photo_is_one_sentence_of_a_trusted_model(
  run, exported, folder, tmp_path
):
  changed = tmp_path / "saved_model"
  shutil.copytree(exported / "saved_model", changed)
  (changed / "more").touch()
  done = run(f"--model={changed}", folder / "a.jpg")
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr.startswith(f"error: --model: {changed}/more is not in ")
  assert len(done.stderr.splitlines()) == 1
  done = run(f"--model={changed}", "--trust", folder / "a.jpg")
  assert (done.returncode, done.stderr) == (0, "")
  assert _SENTENCE.fullmatch(done.stdout.removesuffix("\n"))


def test_many_photos_have_a_bar_and_no_answer_is_a_failure(
  run, model, folder, tmp_path
):
  output = f"--output={tmp_path / 'card.png'}"
  done = run(model, "--json", output, *[folder / "c.jpg"] * 33)
  assert done.returncode == 1
  assert len(done.stdout.splitlines()) == 33
  assert "Predicting: 100%" in done.stderr
  assert " photos/s]" in done.stderr
  assert done.stderr.endswith("\n33 of 33 photos could not be answered\n")
  assert not list(tmp_path.iterdir())


def test_help_explains_every_flag(run):
  done = run("--help")
  assert done.returncode == 0
  shown = done.stdout.replace("[no]", "")
  for name in (
    *("all_faces", "annotated", "format", "json", "language", "model"),
    *("output", "trust"),
  ):
    assert re.search(rf"--{name}: \S+ \S+", shown), name
  assert "PHOTO" in shown


def _process(arguments, **options):
  command = [sys.executable, "-m", "export.predict", *map(str, arguments)]
  return subprocess.Popen(
    drawn.interruptible(command),
    cwd=_ROOT,
    env=drawn.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    encoding="utf-8",
    **options,
  )


@pytest.fixture(scope="module")
def many(folder):
  return [folder / "a.jpg"] * 400


def test_ctrl_c_leaves_whole_lines(model, many):
  with _process([model, "--json", *many]) as process:
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    lines += process.stdout.readlines()
    err = process.stderr.read()
    assert process.wait() == 130
  assert len(lines) < len(many)
  for line in lines:
    assert line.endswith("\n")
    assert json.loads(line)["faces"] == 2
  assert err.endswith("\ninterrupted: nothing half-written was kept\n")
  assert "Traceback" not in err


def test_a_closed_pipe_ends_it_quietly(model, many):
  with _process([model, *many]) as process:
    assert process.stdout is not None
    assert process.stderr is not None
    assert _SENTENCE.search(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 141
  assert not re.search("Traceback|Exception|error", err)
