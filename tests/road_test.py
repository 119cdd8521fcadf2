"""The whole road as a user walks it: every command, as processes."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests import drawn
from yourface_tfds import labels

ROOT = pathlib.Path(__file__).parents[1]
SENTENCE = re.compile(
  "당신은 ({})상의 ({}) ({}) 같아요!".format(
    *(
      "|".join(labels.HEADS[head].korean)
      for head in ("face_type", "gender", "job")
    )
  )
)


def run(*arguments, stdin=None):
  return subprocess.run(
    [sys.executable, "-m", *map(str, arguments)],
    cwd=ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
    stdin=stdin,
  )


@pytest.fixture(scope="module")
def road(tmp_path_factory):
  """Runs the demo, smaller than `make demo`; returns its folder and words."""
  out = tmp_path_factory.mktemp("demo") / "out put"
  done = run(
    *("yourface_tfds.demo", f"--output_dir={out}"),
    *("--people=24", "--photos=5", "--epochs=2"),
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return out, done.stdout


def test_each_command_is_shown_before_it_runs(road):
  _, words = road
  commands = [line for line in words.splitlines() if line.startswith("$ ")]
  assert [" ".join(command.split()[1:4]) for command in commands] == [
    "python -m yourface_tfds.sample_photos",
    "tfds build builders/your_face",
    "python -m training.train",
    "python -m training.evaluate",
    "python -m export.export_saved_model",
    "python -m export.export_tflite",
    "python -m export.verify",
    "python -m export.predict",
  ]


def test_it_ends_with_sentence_accuracies_and_paths(road):
  out, words = road
  end = words[words.index("=" * 72) :]
  assert SENTENCE.fullmatch(end.splitlines()[1])
  for split in ("test", "unseen"):
    line = next(row for row in end.splitlines() if row.startswith(split))
    assert re.match(
      rf"{split} +gender \d\.\d{{3}}  job \d\.\d{{3}}  face_type \d\.\d{{3}} ",
      line,
    )
  for name in (
    *("data/your_face/jpeg", "run", "export/saved_model", "card.png"),
    *("export/your_face_float32.tflite", "export/verify.json"),
  ):
    assert f"{out / name}  " in end
    assert (out / name).exists()
  assert "These are drawings" in end


def test_figures_are_kept_as_json(road):
  out, _ = road
  for split in ("test", "unseen"):
    path = out / "run" / f"evaluate_{split}.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert figures["split"] == split
    for head in labels.HEADS:
      values = figures["heads"][head]
      # A single person has no interval.
      low, high = values["interval_95"] or (0, 1)
      assert 0 <= low <= values["accuracy"] <= high <= 1
      assert (values["interval_95"] is None) == (values["people"] == 1)
      assert 0 <= values["majority_baseline"] <= 1


def test_every_runtime_answers_alike(road):
  out, _ = road
  content = json.loads(
    (out / "export" / "verify.json").read_text(encoding="utf-8")
  )
  assert content["passed"] is True
  assert list(content["ways"]) == [
    *("keras", "serving_default", "photos", "float32", "float16", "int8")
  ]
  for name, figures in content["ways"].items():
    assert figures["images"] > 0, name
    assert figures["on"]["split"] == "test"
    assert set(figures["latency_ms"]) == {"1", "2"}
  limits = content["limits"]["difference"]
  for name in ("serving_default", "photos", "float32", "float16"):
    for values in content["ways"][name]["heads"].values():
      assert values["max_difference"] <= limits[name]


def test_verify_ends_with_1_where_the_weights_are_others(road, tmp_path):
  out, _ = road
  export = tmp_path / "export"
  export.mkdir()
  shutil.copy(out / "export" / "your_face_float32.tflite", export)
  other = tmp_path / "run"
  shutil.copytree(out / "run", other)
  temperatures = json.loads((other / "temperatures.json").read_text())
  temperatures["heads"]["gender"]["value"] *= 1.5
  (other / "temperatures.json").write_text(json.dumps(temperatures))
  done = run(
    *("export.verify", f"--workdir={other}", f"--data_dir={out / 'data'}"),
    *(f"--export_dir={export}", "--nolatency", "--json"),
  )
  assert done.returncode == 1
  found = json.loads(done.stdout)
  assert found["passed"] is False
  assert done.stderr.splitlines()[-1].startswith(
    "error: float32: gender differs from Keras by "
  )
  assert done.stderr.strip().endswith("export again from this --workdir")


def test_the_export_has_its_card_and_its_manifest(road):
  out, _ = road
  card = (out / "export" / "model_card.md").read_text(encoding="utf-8")
  assert "Written from the figures of the run that was exported." in card
  assert "report.html" not in card
  served = out / "export" / "serving" / "your_face" / "1"
  for folder in (out / "export" / "saved_model", served):
    assert (folder / "manifest.json").is_file()
    assert (
      folder / "assets.extra" / "tf_serving_warmup_requests"
    ).stat().st_size > 1000


def test_nothing_half_written_is_left(road):
  out, _ = road
  assert not [path for path in out.rglob("*") if "incomplete" in path.name]


def test_the_card_is_a_picture(road):
  out, _ = road
  with Image.open(out / "card.png") as card:
    assert card.width == 1080
    assert card.mode == "RGB"


def test_the_demo_can_be_run_again_but_not_over_anything_else(tmp_path):
  (tmp_path / "precious.txt").write_text("mine")
  again = run("yourface_tfds.demo", f"--output_dir={tmp_path}")
  assert again.returncode == 1
  assert again.stderr.strip() == (
    f"error: --output_dir: {tmp_path} is not empty and holds no demo; name "
    "another"
  )
  assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.fixture(scope="module")
def photo(road):
  out, _ = road
  return min((out / "photos" / "photos").rglob("*.jpg"))


@pytest.fixture(scope="module")
def model(road):
  return f"--model={road[0] / 'export' / 'saved_model'}"


def test_predict_answers_each_photo_and_names_the_bad_ones(
  model, photo, tmp_path
):
  page = tmp_path / "페이지.jpg"
  page.write_text("<html>")
  card = tmp_path / "cards" / "card.png"
  done = run("export.predict", model, f"--output={card}", photo, page, photo)
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  for line in lines[:2]:
    name, _, sentence = line.rpartition(": ")
    assert name == str(photo)
    assert SENTENCE.fullmatch(sentence)
  cards = [card.with_name("card_001.png"), card.with_name("card_003.png")]
  assert lines[2:] == [f"Wrote {path}" for path in cards]
  assert sorted(card.parent.iterdir()) == cards
  assert done.stderr.splitlines() == [
    f"{page}: not_an_image: not a JPEG, PNG, GIF, BMP or WebP file",
  ]


def test_predict_prints_json_lines(model, photo, tmp_path):
  page = tmp_path / "page.jpg"
  page.write_text("<html>")
  done = run("export.predict", model, "--json", photo, page)
  good, bad = map(json.loads, done.stdout.splitlines())
  assert good["path"] == str(photo)
  assert SENTENCE.fullmatch(good["sentence_ko"])
  assert good["sentence_en"].startswith("You look like a ")
  for head, vocabulary in labels.HEADS.items():
    assert tuple(good["probabilities"][head]) == vocabulary.names
    assert sum(good["probabilities"][head].values()) == pytest.approx(
      1, abs=1e-4
    )
  y_min, x_min, y_max, x_max = good["box"]
  assert 0 <= y_min < y_max <= 1
  assert 0 <= x_min < x_max <= 1
  assert bad == {
    "path": str(page),
    "error": "not_an_image: not a JPEG, PNG, GIF, BMP or WebP file",
  }


def test_predict_fails_where_nothing_could_be_answered(model, tmp_path):
  page = tmp_path / "page.jpg"
  page.write_text("")
  card = tmp_path / "card.png"
  done = run("export.predict", model, f"--output={card}", page)
  assert done.returncode == 1
  assert done.stdout == ""
  assert not card.exists()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["export.predict", "--model=/nonexistent", __file__],
      "error: --model: no SavedModel in '/nonexistent'; export one with: ",
    ),
    (
      ["export.predict", "--model=/nonexistent"],
      "error: got no photo; write the paths of photos behind the flags",
    ),
    (
      ["export.predict", "--model=x", "--output=card.txt", __file__],
      "error: --output: got 'card.txt', allowed: a name ending in .png or .jpg",
    ),
    (
      ["export.export_saved_model", "--workdir=/nonexistent", "--output_dir=x"],
      "error: --workdir: no best.weights.h5 in '/nonexistent'; train first: ",
    ),
    (
      ["export.export_saved_model", "--workdir=x"],
      "error: flag --output_dir=None: Flag --output_dir must have a value",
    ),
    (
      ["export.export_tflite", "--workdir=x", "--output_dir=y", "--data_dir=z"],
      "error: --data_dir: no dataset your_face/jpeg in 'z'; build it with: ",
    ),
  ],
)
def test_bad_flags_are_one_line(arguments, message):
  done = run(*arguments)
  assert done.returncode == 1
  assert done.stdout == ""
  assert len(done.stderr.splitlines()) == 1
  assert done.stderr.startswith(message)


def test_help_explains_every_flag():
  done = run("export.predict", "--help")
  for flag in ("--model", "--output", "--json"):
    assert flag in done.stdout.replace("[no]", "")
  assert "PHOTO" in done.stdout


def test_a_copied_model_needs_nothing_else(road, photo, tmp_path):
  out, _ = road
  shutil.copytree(out / "export" / "saved_model", tmp_path / "m")
  code = (
    "import pathlib, tensorflow as tf\n"
    "model = tf.saved_model.load(sys.argv[1])\n"
    "data = pathlib.Path(sys.argv[2]).read_bytes()\n"
    "said = model.signatures['photos'](tf.constant([data]))\n"
    "print(said['sentence_ko'].numpy()[0].decode())\n"
  )
  done = drawn.run_without_us(code, str(tmp_path / "m"), str(photo))
  assert done.returncode == 0, done.stderr[-2000:]
  assert SENTENCE.fullmatch(done.stdout.strip().splitlines()[-1])
