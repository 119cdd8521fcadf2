"""Tests of training.train and training.evaluate as commands."""

import ast
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests import drawn
from yourface_tfds import built_dataset, labels, models

_ROOT = pathlib.Path(__file__).parents[1]
_CONFIG = "--config=raw-image_size_32"
_FAST = ("--batch_size=30", "--epochs=2")


def _command(binary, *flags):
  return [sys.executable, "-m", f"training.{binary}", *map(str, flags)]


# Importing TensorFlow takes seconds and the commands are many: one process
# imports it and forks for each. Flags are the child's own.
_FORKS = """
import json, os, runpy, sys, tempfile, traceback
sys.path.insert(0, os.getcwd())
from yourface_tfds import cli, input_pipeline, metrics, models, train_lib

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
  files = [tempfile.TemporaryFile() for _ in range(2)]
  pid = os.fork()
  if not pid:
    for number, file in enumerate(files, 1):
      os.dup2(file.fileno(), number)
    run(json.loads(line))
  answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
  for file in files:
    file.seek(0)
    answer.append(file.read().decode())
  print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def run():
  """Returns a function that runs a command and returns how it ended."""
  with subprocess.Popen(
    [sys.executable, "-c", _FORKS],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    cwd=_ROOT,
  ) as server:
    assert server.stdin is not None
    assert server.stdout is not None
    to_server, from_server = server.stdin, server.stdout

    def run_one(binary, *flags):
      argv = [f"training.{binary}", *map(str, flags)]
      to_server.write(json.dumps(argv) + "\n")
      to_server.flush()
      code, out, err = json.loads(from_server.readline())
      return subprocess.CompletedProcess(argv, code, out, err)

    yield run_one
    server.stdin.close()


@pytest.fixture(scope="module")
def trained(tiny_data_dir, tmp_path_factory):
  """The workdir of a run, and the finished process that made it."""
  folder = tmp_path_factory.mktemp("run") / "W"
  process = subprocess.run(
    _command(
      "train",
      f"--data_dir={tiny_data_dir}",
      _CONFIG,
      f"--workdir={folder}",
      *_FAST,
    ),
    capture_output=True,
    text=True,
    cwd=_ROOT,
  )
  assert process.returncode == 0, process.stderr
  return folder, process


def _refused(process):
  """Returns the only line of a command that failed as it should."""
  assert process.returncode == 1
  assert process.stdout == ""
  lines = process.stderr.splitlines()
  assert len(lines) == 1, process.stderr
  return lines[0]


def test_train_says_what_came_out(trained, tiny_data_dir):
  folder, process = trained
  lines = process.stdout.splitlines()
  figures = json.loads((folder / "train.json").read_text())
  best = figures["best"]["validation_loss"]
  assert [line.split(":")[0] for line in lines[:2]] == [
    "epoch 1/2",
    "epoch 2/2",
  ]
  assert lines[2:] == [
    f"Best epoch: {figures['best_epoch']} of 2 (validation_loss {best:.3f}); "
    f"figures of all epochs: {folder}/train.json",
    f"Next: python -m training.evaluate --data_dir={tiny_data_dir} {_CONFIG} "
    f"--workdir={folder}",
  ]
  assert "Training: 100%" in process.stderr
  # Nothing but the bar, and none of TensorFlow's greeting.
  for line in process.stderr.replace("\r", "\n").splitlines():
    words = line.strip("\x1b[A ")
    assert not words or words.startswith(
      ("Training:", "Validating:", "Evaluating validation:")
    )


def test_the_next_command_runs(run, trained):
  folder, process = trained
  command = process.stdout.splitlines()[-1].removeprefix("Next: ").split()
  assert command[0] == "python"
  assert command[1:3] == ["-m", "training.evaluate"]
  got = run("evaluate", *command[3:])
  assert got.returncode == 0, got.stderr
  figures = json.loads((folder / "evaluate_test.json").read_text())
  lines = got.stdout.splitlines()
  assert lines[0] == "test: 12 photos of 8 people"
  assert [line.split()[0] for line in lines[2:5]] == list(labels.HEADS)
  accuracy = figures["heads"]["gender"]["accuracy"]
  assert lines[2].split()[1] == f"{accuracy:.3f}"
  assert lines[5] == f"Figures: {folder}/evaluate_test.json"
  assert lines[6] == "unseen: 10 photos of 2 people"
  assert lines[-4:] == [
    f"Figures: {folder}/evaluate_unseen.json",
    f"Report: {folder}/report.html",
    f"Model card: {folder}/model_card.md",
    f"Next: python -m export.export_saved_model --workdir={folder} "
    "--output_dir=E",
  ]


def test_json_is_alone_on_standard_output(run, trained, tiny_data_dir):
  folder, _ = trained
  process = run(
    "evaluate",
    f"--data_dir={tiny_data_dir}",
    _CONFIG,
    f"--workdir={folder}",
    "--json",
  )
  assert process.returncode == 0, process.stderr
  results = json.loads(process.stdout)
  # The two that it looks at by itself.
  assert list(results) == ["test", "unseen"]
  assert results["unseen"]["people"] == 2
  for split, figures in results.items():
    path = folder / f"evaluate_{split}.json"
    assert json.loads(path.read_text()) == figures
  assert "unseen: 10 photos of 2 people" in process.stderr
  assert "Next: python -m export.export_saved_model" in process.stderr


def test_split_that_does_not_exist(run, trained, tiny_data_dir):
  folder, _ = trained
  process = run(
    "evaluate",
    f"--data_dir={tiny_data_dir}",
    _CONFIG,
    f"--workdir={folder}",
    "--split=test,tests",
  )
  assert _refused(process) == (
    "error: --split: got 'tests', allowed: train, validation, test, unseen "
    "(splits of your_face/raw-image_size_32/1.0.0)"
  )


def test_evaluate_before_training(run, tiny_data_dir, tmp_path):
  process = run(
    "evaluate", f"--data_dir={tiny_data_dir}", _CONFIG, f"--workdir={tmp_path}"
  )
  assert _refused(process) == (
    f"error: --workdir: no best.weights.h5 in {str(tmp_path)!r}; train first: "
    f"python -m training.train --data_dir=D --workdir={tmp_path}"
  )


def test_data_dir_without_a_dataset(run, tmp_path):
  workdir = tmp_path / "W"
  process = run("train", f"--data_dir={tmp_path}", f"--workdir={workdir}")
  assert _refused(process) == (
    f"error: --data_dir: no dataset your_face/jpeg in {str(tmp_path)!r}; build "
    "it with: tfds build builders/your_face --config=jpeg --manual_dir=M "
    f"--data_dir={tmp_path}"
  )
  assert not workdir.exists()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (
      ("--data_dir=D", "--workdir=W", "--epoch=3"),
      "error: Unknown command line flag 'epoch'. Did you mean: epochs ?",
    ),
    (
      ("--data_dir=D", "--workdir=W", "--model=resnet"),
      "error: flag --model=resnet: value should be one of "
      f"<{'|'.join(models.model_names())}>",
    ),
    (
      ("--workdir=W",),
      "error: flag --data_dir=None: Flag --data_dir must have a value other "
      "than None.",
    ),
    (
      ("--data_dir=D", "--workdir=W", "--epochs=0"),
      "error: flag --epochs=0: 0 is not a positive integer",
    ),
    (
      ("--data_dir=D", "--workdir=W", "more"),
      "error: got the argument 'more', allowed are flags only; write "
      "--name=value, see --help",
    ),
  ],
)
def test_bad_flags(run, flags, message):
  assert _refused(run("train", *flags)) == message


def test_learning_rate_of_zero(run, tiny_data_dir, tmp_path):
  process = run(
    "train",
    f"--data_dir={tiny_data_dir}",
    _CONFIG,
    f"--workdir={tmp_path / 'W'}",
    "--learning_rate=0",
  )
  assert _refused(process) == (
    "error: --learning_rate: got 0.0, allowed: above 0"
  )
  assert not (tmp_path / "W").exists()


@pytest.mark.parametrize(
  ("binary", "names"),
  [
    (
      "train",
      "data_dir config workdir model weights input_size channels dropout "
      "policy batch_size epochs head_epochs optimizer schedule warmup_epochs "
      "learning_rate fine_tune_rate weight_decay clip_norm label_smoothing "
      "class_weights augment mix mix_alpha patience seed save_seconds "
      "deterministic tensorboard strategy worker_timeout",
    ),
    ("evaluate", "data_dir config workdir split json"),
  ],
)
def test_help_explains_every_flag(run, binary, names):
  process = run(binary, "--help")
  assert process.returncode == 0
  code = (_ROOT / "training" / f"{binary}.py").read_text(encoding="utf-8")
  doc = ast.get_docstring(ast.parse(code))
  assert doc is not None
  for line in doc.splitlines():
    assert line in process.stdout
  # absl breaks long texts and puts the default in a line of its own.
  flags, name = {}, ""
  for line in process.stdout.splitlines():
    text = line.strip()
    if text.startswith("--"):
      name, _, text = text.removeprefix("--").partition(":")
      name = name.removeprefix("[no]")
      flags[name] = ""
    flags[name] = f"{flags.get(name, '')} {text}"
  for name in names.split():
    words = flags[name].partition("(default")[0].split()
    assert len(words) >= 2, name


def test_the_same_command_again_does_nothing_new(run, trained, tiny_data_dir):
  folder, process = trained
  state = (folder / "state.npz").read_bytes()
  again = run(
    "train",
    f"--data_dir={tiny_data_dir}",
    _CONFIG,
    f"--workdir={folder}",
    *_FAST,
  )
  assert again.returncode == 0
  assert again.stdout.splitlines() == process.stdout.splitlines()[2:]
  assert (folder / "state.npz").read_bytes() == state


def test_ctrl_c_and_the_same_command_again(run, tiny_data_dir, tmp_path):
  folder = tmp_path / "W"
  flags = (
    f"--data_dir={tiny_data_dir}",
    _CONFIG,
    f"--workdir={folder}",
    "--batch_size=4",
    "--epochs=6",
  )
  errors = tmp_path / "stderr"
  with errors.open("w") as stderr:
    process = subprocess.Popen(
      drawn.interruptible(_command("train", *flags)),
      stdout=subprocess.PIPE,
      stderr=stderr,
      text=True,
      cwd=_ROOT,
      env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1/6: loss ")
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
  assert process.returncode == 130
  assert "Next:" not in rest
  text = errors.read_text()
  assert "Traceback" not in text
  done = 1 + rest.count("epoch ")
  told = re.fullmatch(
    r"interrupted: nothing half-written was kept; (\d+) of 90 steps are saved; "
    "the same command goes on there",
    text.splitlines()[-1],
  )
  assert told is not None
  assert 15 * done <= int(told[1]) <= 15 * (done + 1)
  assert sorted(path.name for path in folder.iterdir()) == [
    "best.weights.h5",
    "best.weights.json",
    "settings.json",
    "state.npz",
  ]
  again = run("train", *flags)
  assert again.returncode == 0, again.stderr
  epochs = [
    line.split(":")[0]
    for line in again.stdout.splitlines()
    if line.startswith("epoch ")
  ]
  assert epochs == [f"epoch {i}/6" for i in range(done + 1, 7)]
  figures = json.loads((folder / "train.json").read_text())
  assert len(figures["history"]) == 6


@pytest.fixture
def copied(tiny_data_dir, tmp_path):
  """A data_dir of its own, and its first train shard, indexed."""
  path = tmp_path / "data" / "your_face" / "raw-image_size_32" / "1.0.0"
  shutil.copytree(
    tiny_data_dir / "your_face" / "raw-image_size_32" / "1.0.0", path
  )
  dataset = built_dataset.open_dataset(tmp_path / "data", path.parent.name)
  dataset.index("train")
  return tmp_path / "data", sorted(path.glob("*-train.tfrecord-*"))[0]


def _flip(path, offset):
  data = bytearray(path.read_bytes())
  data[offset] ^= 255
  path.write_bytes(data)


def test_damaged_shard(run, copied, tmp_path):
  data_dir, shard = copied
  _flip(shard, 2000)
  flags = (f"--data_dir={data_dir}", _CONFIG, f"--workdir={tmp_path / 'W'}")
  assert _refused(run("train", *flags, *_FAST)) == (
    f"error: {shard}: record 0 at byte 0: its checksum differs; the file was "
    "changed or damaged after it was written, build it again or copy it again"
  )


def test_damage_that_only_reading_can_find(run, copied, tmp_path):
  # A disk that lost a bit: same size, same time, far from both ends.
  data_dir, shard = copied
  before = shard.stat()
  _flip(shard, 30_000)
  os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
  flags = (f"--data_dir={data_dir}", _CONFIG, f"--workdir={tmp_path / 'W'}")
  process = run("train", *flags, *_FAST)
  assert process.returncode == 1
  assert "Traceback" not in process.stderr
  assert re.fullmatch(
    re.escape(f"error: {shard}: record ")
    + r"\d+ at byte \d+: its checksum differs; the file was changed or damaged "
    "after it was written, build it again or copy it again",
    process.stderr.splitlines()[-1],
  )
  assert not list((tmp_path / "W").glob("*.h5"))


def test_missing_shard(run, copied, tmp_path):
  data_dir, shard = copied
  shard.unlink()
  flags = (f"--data_dir={data_dir}", _CONFIG, f"--workdir={tmp_path / 'W'}")
  assert _refused(run("train", *flags, *_FAST)) == (
    f"error: {shard}: is missing; build the dataset again or copy it again"
  )


def test_batch_larger_than_the_data(run, tiny_data_dir, tmp_path):
  flags = (f"--data_dir={tiny_data_dir}", _CONFIG, "--batch_size=61")
  assert _refused(run("train", *flags, f"--workdir={tmp_path / 'W'}")) == (
    "error: --batch_size: got 61, allowed: at most the 60 examples of train "
    "in your_face/raw-image_size_32/1.0.0"
  )
