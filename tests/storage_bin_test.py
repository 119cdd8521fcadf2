"""The commands with everything on a store: the same results as on this disk.

Real processes; s3:// is the file system of `far_storage.c`.
"""

import hashlib
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import drawn, far, small_site, train_resume_test
from yourface_tfds import train_state

_CONFIG = "--config=jpeg-image_size_32"
_TRAIN = ("--batch_size=4", "--epochs=2", "--mix=mixup", "--seed=3")
_STEPS = 30


def _start(store, command, fault=""):
  module, *flags = map(str, command)
  return subprocess.Popen(
    drawn.interruptible([sys.executable, "-m", module, *flags]),
    cwd=drawn.ROOT,
    env=store.environment(fault),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _run(store, *command, fault="", code=0):
  """Returns what a command says: with an error, the line of it."""
  process = _start(store, command, fault)
  said, errors = process.communicate(timeout=500)
  assert process.returncode == code, errors
  if not code:
    return said
  assert "Traceback" not in errors
  return errors.strip().splitlines()[-1]


def _train(data, workdir, *more):
  where = (f"--data_dir={data}", f"--workdir={workdir}")
  return ("training.train", _CONFIG, *_TRAIN, *where, *more)


def _state(store, run):
  with np.load(store.root / run / train_state.NAME) as state:
    return json.loads(str(state["progress"]))["step"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_data_dir):
  """A store with a dataset, s3://data, and nothing left behind at the end."""
  folder = tmp_path_factory.mktemp("far")
  found = far.Store(folder)
  found.put(tiny_data_dir, "data")
  before = far.digests(found.root / "data")
  yield found
  found.check_no_strays(folder)
  # Whatever read the dataset wrote nothing beside it.
  assert far.digests(found.root / "data") == before


@pytest.fixture(scope="module")
def here(tmp_path_factory, tiny_data_dir, store):
  """The same training on this disk, in one go."""
  folder = tmp_path_factory.mktemp("here") / "run"
  _run(store, *_train(tiny_data_dir, folder))
  return folder


@pytest.fixture(scope="module")
def run(store):
  """s3://runs/1, trained in three parts: killed, interrupted, finished."""
  command = _train("s3://data", "s3://runs/1")
  often = (*command, "--save_seconds=0")
  process = _start(store, often)
  train_resume_test._wait_for(process, store.root / "runs/1", 3)
  process.kill()
  process.communicate()
  # Not at once: a signal before the program takes it would end it its own way.
  later = max(18, _state(store, "runs/1") + 1)
  process = _start(store, often)
  train_resume_test._wait_for(process, store.root / "runs/1", later)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=100)
  step = _state(store, "runs/1")
  assert process.returncode == 130
  assert f"{step} of {_STEPS} steps are saved" in errors
  assert 18 <= step < _STEPS
  said = _run(store, *command, "--tensorboard")
  assert said.splitlines()[-1] == (
    f"Next: python -m training.evaluate --data_dir=s3://data {_CONFIG} "
    "--workdir=s3://runs/1"
  )
  assert "figures of all epochs: s3://runs/1/train.json" in said
  return "s3://runs/1"


@pytest.fixture(scope="module")
def exported(store, run):
  """s3://out/e, with all that the exports write."""
  where = ("--data_dir=s3://data", _CONFIG, f"--workdir={run}")
  said = _run(store, "training.evaluate", *where)
  assert f"Report: {run}/report.html\n" in said
  where += ("--output_dir=s3://out/e",)
  said = _run(store, "export.export_saved_model", *where)
  assert "Wrote s3://out/e/serving/your_face/1 (" in said
  said = _run(store, "export.export_tflite", *where)
  assert said.splitlines()[-1] == (
    f"Next: python -m export.verify --workdir={run} --data_dir=s3://data "
    "--export_dir=s3://out/e"
  )
  return "s3://out/e"


def test_a_run_that_is_not_there(store):
  said = _run(
    store,
    *("training.evaluate", _CONFIG, "--data_dir=s3://data"),
    "--workdir=s3://runs/none",
    code=1,
  )
  assert said == (
    "error: --workdir: no best.weights.h5 in 's3://runs/none'; train first: "
    "python -m training.train --data_dir=D --workdir=s3://runs/none"
  )
  assert not (store.root / "runs/none").exists()


@pytest.mark.slow
def test_training_ends_as_on_this_disk(store, here, run):
  train_resume_test._check_equal(here, store.root / "runs/1")
  names = set(store.files("runs/1"))
  logs = {name for name in names if name.startswith("tensorboard/")}
  assert len(logs) == 1
  assert {path.name for path in here.iterdir()} <= names - logs
  told = json.loads((store.root / "runs/1/dataset.json").read_text())
  assert told["data_dir"] == "s3://data"


@pytest.mark.slow
def test_evaluation_and_exports_have_the_bytes_of_this_disk(
  store, run, exported, tiny_data_dir, tmp_path
):
  copied = tmp_path / "run"
  store.get("runs/1", copied)
  for path in copied.glob("evaluate_*"):
    path.unlink()
  where = (f"--data_dir={tiny_data_dir}", _CONFIG, f"--workdir={copied}")
  _run(store, "training.evaluate", *where)
  there, copies = far.digests(store.root / "runs/1"), far.digests(copied)
  assert there == copies
  assert {"evaluate_test.json", "evaluate_unseen.json"} <= set(there)
  where += (f"--output_dir={tmp_path / 'e'}",)
  _run(store, "export.export_saved_model", *where)
  _run(store, "export.export_tflite", *where)
  there, copies = far.digests(store.root / "out/e"), far.digests(tmp_path / "e")
  assert sorted(there) == sorted(copies)
  other = {name for name in there if there[name] != copies[name]}
  # Among the variables is dropout's seed, drawn anew by every export.
  own = ("fingerprint.pb", "manifest.json", "verify.json")
  other = {name for name in other if "/variables/" not in name}
  assert not [name for name in other if not name.endswith(own)]
  one, two = (
    tf.train.load_checkpoint(f"{export}/saved_model/variables/variables")
    for export in (store.root / "out/e", tmp_path / "e")
  )
  shapes = one.get_variable_to_shape_map()
  assert shapes == two.get_variable_to_shape_map()
  for name in shapes:
    if one.get_variable_to_dtype_map()[name] == tf.float32:
      found = one.get_tensor(name), two.get_tensor(name)
      np.testing.assert_array_equal(*found, name)


@pytest.mark.slow
def test_verify(store, run, exported):
  said = _run(
    store,
    *("export.verify", "--data_dir=s3://data", _CONFIG, f"--workdir={run}"),
    f"--export_dir={exported}",
  )
  assert f"Figures: {exported}/verify.json" in said
  ways = json.loads((store.root / "out/e/verify.json").read_text())["ways"]
  assert set(ways) == {
    *("keras", "serving_default", "photos", "float32", "float16", "int8")
  }
  for name, figures in ways.items():
    assert set(figures["latency_ms"]) == {"1", "2"}
    if "float" in name:
      path = store.root / f"out/e/your_face_{name}.tflite"
      assert figures["bytes"] == path.stat().st_size
      digest = hashlib.sha256(path.read_bytes()).hexdigest()
      assert figures["sha256"] == digest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved_model", "your_face_int8.tflite"])
def test_predict(store, exported, name, tmp_path):
  drawn.write(tmp_path, people=1, photos=2)
  photos = tmp_path / "photos"
  # A copy of this disk answers the same: its words are found beside it too.
  store.get("out/e", tmp_path / "e")
  card = tmp_path / "card.png"
  said = [
    _run(
      store,
      *("export.predict", f"--model={place}/{name}", "--json"),
      *(f"--output={card}", photos),
    )
    for place in (exported, tmp_path / "e")
  ]
  assert said[0] == said[1]
  answers = [json.loads(line) for line in said[0].splitlines()]
  assert len(answers) == 2
  assert all(answer["sentence_ko"] for answer in answers)
  store.check_no_strays(tmp_path)


@pytest.mark.slow
def test_a_store_that_fails_while_it_trains(store, here):
  command = _train("s3://data", "s3://runs/2", "--save_seconds=0")
  said = _run(store, *command, fault="write state.npz 14 6", code=1)
  assert said == (
    "error: the store refused to write "
    f"{store.root}/runs/2/.incomplete.state.npz"
  )
  # What was saved before is whole, and the same command goes on with it.
  assert _state(store, "runs/2") == 5
  _run(store, *command)
  train_resume_test._check_equal(here, store.root / "runs/2")


@pytest.mark.slow
def test_a_store_that_refuses_the_dataset(store):
  said = _run(
    store,
    *_train("s3://data", "s3://runs/3"),
    fault="read .tfrecord 7 1",
    code=1,
  )
  assert said.startswith("error: ")
  assert "the store refused to read" in said
  assert "runs/3" not in "".join(store.files(""))


@pytest.mark.slow
def test_a_store_that_fails_while_a_model_is_sent(store, run, exported):
  command = (
    *("export.export_saved_model", "--noverify", f"--workdir={run}"),
    f"--output_dir={exported}",
  )

  def whole():
    """What is there; verify.json forgets what is about to be replaced."""
    found = far.digests(store.root / "out/e")
    return {name: found[name] for name in found if name != "verify.json"}

  before = whole()
  said = _run(
    store, *command, fault="write incomplete.saved_model/v 14 1", code=1
  )
  assert said.startswith("error: the store refused to write ")
  assert whole() == before
  process = _start(store, command, "write incomplete.saved_model/v 0 1")
  process.communicate(timeout=500)
  assert process.returncode == -signal.SIGKILL
  # What was sent so far is left, what was there is whole.
  left = whole()
  assert any(".incomplete.saved_model/" in name for name in left)
  kept = {name: left[name] for name in left if ".incomplete." not in name}
  assert kept == before
  _run(store, *command)
  assert set(whole()) == set(before)


@pytest.mark.slow
def test_the_pages_are_those_of_this_disk(store, exported, tmp_path):
  for name in small_site.FILES:
    path = tmp_path / "node_modules/@litertjs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("// What npm would install.")
  store.get("out/e", tmp_path / "e")
  sites = (exported, "s3://out/site"), (tmp_path / "e", tmp_path / "site")
  for export, site in (*sites, sites[0]):  # Again: it takes its own place.
    said = _run(
      store,
      *("export.build_web", f"--export_dir={export}", f"--output_dir={site}"),
      f"--node_modules={tmp_path / 'node_modules'}",
    )
    assert said.startswith(f"Wrote {site}, ")
  there = far.digests(store.root / "out/site")
  assert there == far.digests(tmp_path / "site")
  assert {"index.html", "sw.js", "your_face_float32.tflite"} <= set(there)
