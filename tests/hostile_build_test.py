"""The stock build of a hostile tree, with crafted weights lying around."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import joblib
import pytest

from tests import drawn, hostile, small_export
from yourface_tfds import (
  build_settings,
  cli,
  curate,
  mtcnn_weights,
  prepare,
)


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
  for number, name in enumerate(hostile.NAMES):
    parts = [(evil, second, name)[number % 3], name]
    hostile.place(root, outside, parts, kinds[number % 7], b"<script>")
  face = sorted((root / second).glob("00*"))[0]
  for name in ("=2\x1b[2J\n.jpg", "\udcb1.jpg", r"\udcb1.jpg"):
    # Not the same bytes: each has its own place in the splits.
    (root / second / name).write_bytes(
      face.read_bytes() + name.encode("utf-8", "surrogateescape")
    )
  done = subprocess.run(
    [
      *(hostile.TFDS, "build", hostile.ROOT / "builders/your_face", "--config"),
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
  expected = hostile.files_under(folder / "m/photos")
  assert [row["path"] for row in rows] == [
    curate.utf8(path) for path in expected
  ]
  accepted = [row for row in rows if row["status"] == "accepted"]
  assert len(accepted) == 7
  info = json.loads((reports / "dataset_info.json").read_text())
  lengths = [int(n) for split in info["splits"] for n in split["shardLengths"]]
  assert sum(lengths) == 7  # None fell together with another.
  assert not hostile.STEERING.search(
    (reports / "photos.csv").read_text("utf-8")
  )


def test_names_do_not_steer_the_terminal(build):
  _, done = build
  said = done.stdout + done.stderr
  # hostile.TFDS and tqdm have colours and carriage returns of their own.
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
  (manual / "people.csv").write_text(f"{hostile.HEADER}\nkim,,,\n")


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
      *(
        hostile.TFDS,
        "build",
        hostile.ROOT / "builders/your_face",
        "--config=jpeg",
      ),
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
      env={**drawn.environment(), "PYTHONPATH": str(hostile.ROOT)},
      capture_output=True,
      encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("당신은 ")
    assert not mark.exists()
