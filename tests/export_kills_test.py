"""Exports that are killed or run out of disk: the old, the new, or nothing.

Real processes of the real commands; every artefact that is there is asked which
of two models it is.
"""

import collections
import hashlib
import itertools
import json
import random
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import faults
from yourface_tfds import (
  calibrated,
  cli,
  gate,
  labels,
  manifest,
  models,
  tflite_classifier,
  tflite_lib,
  train_settings,
)

_SIZE = 32
_CONFIG = f"raw-image_size_{_SIZE}"


def _write_run(folder, seed):
  folder.mkdir()
  settings = train_settings.TrainSettings(image_size=_SIZE)
  keras.utils.set_random_seed(seed)
  model = models.build_model(settings.model_settings())
  for head in labels.HEADS:
    layer = model.get_layer(head)
    layer.kernel.assign(30.0 * layer.kernel)
    # So that the two models never say the same.
    layer.bias.assign([seed * (i == 0) for i in range(layer.bias.shape[0])])
  model.save_weights(folder / "best.weights.h5")
  (folder / "settings.json").write_text(cli.dump_json(vars(settings)))
  calibrated.write(folder, {})
  return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  return [_write_run(folder / f"W{seed}", seed) for seed in (1, 4)]


def _command(kind, run, out, data_dir):
  return [
    *(sys.executable, "-m", f"export.export_{kind}", f"--workdir={run}"),
    *(f"--output_dir={out}", f"--data_dir={data_dir}", f"--config={_CONFIG}"),
  ]


def _export(kind, run, out, data_dir):
  done = faults.finish(faults.start(_command(kind, run, out, data_dir)), 500)
  assert done.returncode == 0, done.stderr[-3000:]
  return done


@pytest.fixture(scope="module")
def data_dir(tiny_data_dir):
  return tiny_data_dir


class _Judge:
  """Says of which model an artefact is, by its answers."""

  def __init__(self, runs):
    rng = np.random.default_rng(0)
    self.faces = rng.integers(0, 256, (4, _SIZE, _SIZE, 3)).astype(np.uint8)
    self.right = []
    for run in runs:
      model, _ = calibrated.load_model(run)
      said = model(tf.cast(self.faces, tf.float32), training=False)
      self.right.append({head: said[head].numpy() for head in labels.HEADS})
    self._seen = {}

  def _which(self, said, limit):
    near = [
      all(np.abs(said[h] - right[h]).max() < limit for h in labels.HEADS)
      for right in self.right
    ]
    assert sum(near) == 1, "neither the old model nor the new one"
    return near.index(True)

  def saved_model(self, path):
    manifest.check(path)  # Every file is there, as it was written.
    key = (path / manifest.NAME).read_bytes()
    if key not in self._seen:
      loaded = tf.saved_model.load(str(path))
      said = loaded.signatures["serving_default"](faces=self.faces)
      said = {head: said[head].numpy() for head in labels.HEADS}
      self._seen[key] = self._which(said, 1e-4)
    return self._seen[key]

  def tflite(self, path):
    classifier = tflite_classifier.Classifier(path)
    return self._which(classifier(self.faces), 0.06)


def _check(out, judge):
  """Checks all there is; returns artefact -> 0, old, or 1, new."""
  found = {}
  for name in ("saved_model", "serving/your_face/1"):
    if (out / name).exists():
      found[name] = judge.saved_model(out / name)
  for kind in tflite_lib.KINDS:
    if (path := out / tflite_lib.file_name(kind)).exists():
      found[path.name] = judge.tflite(path)
  if (out / "labels.json").exists():
    words = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert set(words["heads"]) == set(labels.HEADS)
  if (out / "verify.json").exists():
    told = json.loads((out / "verify.json").read_text(encoding="utf-8"))
    for name, figures in told["ways"].items():
      if name == "keras":
        continue
      path = out / figures["file"]
      path = path / manifest.NAME if path.is_dir() else path
      digest = hashlib.sha256(path.read_bytes()).hexdigest()
      assert figures["sha256"] == digest, name
    if told["passed"]:
      # Whoever trusts this file never has two models in hand.
      assert len(set(found.values())) == 1, found
      assert not told["not_compared"]
    named = {f["file"] for n, f in told["ways"].items() if n != "keras"}
    compared = {name for name in found if "/" not in name}
    assert named | set(told["not_compared"]) == compared
  return found


def _leftovers(folder):
  return [path for path in folder.rglob("*") if "incomplete" in path.name]


def _kill_at(process, out, moment, rng, seconds):
  """Kills at a moment; returns whether it still ran."""
  path = out / "saved_model" / manifest.NAME
  before = path.stat().st_mtime_ns

  def published():
    return not path.exists() or path.stat().st_mtime_ns > before

  def writing():
    return bool(list(out.glob("*.incomplete.*"))) or bool(
      list(out.glob(".incomplete.*"))
    )

  try:
    if moment == "any":
      time.sleep(rng.uniform(0, 0.8 * seconds))
    elif moment == "writing":
      faults.wait_for(writing, process, 400)
      time.sleep(rng.uniform(0, 0.4 * seconds))
    elif moment == "partial":
      faults.wait_for(
        lambda: bool(list(out.glob(".incomplete.*"))), process, 400
      )
    elif moment == "publishing":
      faults.wait_for(published, process, 400)
      time.sleep(rng.choice([0, 0.001, 0.01, 0.1, 0.3]))
  finally:  # One that goes on would fail the next test, too.
    ran = faults.kill(process)
  return ran


_MOMENTS = {
  "saved_model": (
    *("any", "writing", "publishing", "any", "writing", "publishing"),
    *("publishing", "any", "writing", "publishing", "writing", "publishing"),
  ),
  "tflite": (
    *("any", "partial", "any", "partial", "any", "partial"),
    *("any", "partial", "partial", "any", "partial", "partial"),
  ),
}
_KILLS, _MOST_RUNS = 20, 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", _MOMENTS)
def test_killed_again_and_again(runs, data_dir, tmp_path, capsys, kind):
  out, judge, rng = tmp_path / "E", _Judge(runs), random.Random(3)
  seconds = {}
  for one in _MOMENTS:
    started = time.monotonic()
    _export(one, runs[0], out, data_dir)
    seconds[one] = time.monotonic() - started
  assert set(_check(out, judge).values()) == {0}
  assert gate.read(out)["passed"] is True
  if kind == "tflite":
    _export("saved_model", runs[1], out, data_dir)
  kills, states = 0, collections.Counter()
  for moment in itertools.islice(itertools.cycle(_MOMENTS[kind]), _MOST_RUNS):
    if kind == "saved_model" and not (out / "saved_model").exists():
      # Put aside in the moment of replacing it: the next export begins with
      # putting it back.
      states["put aside"] += 1
      _export(kind, runs[1], out, data_dir)
    process = faults.start(_command(kind, runs[1], out, data_dir))
    kills += _kill_at(process, out, moment, rng, seconds[kind])
    found = _check(out, judge)
    states["".join(map(str, found.values()))] += 1
    assert "saved_model" in found or kind == "saved_model"
    if kills == _KILLS:
      break
  for one in _MOMENTS:
    _export(one, runs[1], out, data_dir)
  assert not _leftovers(out)
  assert set(_check(out, judge).values()) == {1}
  assert gate.read(out)["passed"] is True
  with capsys.disabled():
    print(f"\n{kills} exports were killed; old 0, new 1: {dict(states)}")
  assert kills == _KILLS


@pytest.mark.slow
def test_of_two_models(runs, data_dir, tmp_path):
  out, judge = tmp_path / "E", _Judge(runs)
  words = _command("tflite", runs[0], out, data_dir)
  run = faults.finish(faults.start([*words, "--kinds=float32"]), 500)
  assert run.returncode == 0, run.stderr[-2000:]
  assert "Mind: " not in run.stdout
  run = _export("saved_model", runs[1], out, data_dir)
  assert (
    f"Mind: your_face_float32.tflite in {out} may be of another model; export "
    "again what you use, or remove it"
  ) in run.stdout.splitlines()
  assert gate.read(out)["passed"] is False
  assert gate.read(out)["not_compared"] == ["your_face_float32.tflite"]
  assert _check(out, judge) == {
    "saved_model": 1,
    "serving/your_face/1": 1,
    "your_face_float32.tflite": 0,
  }
  verify = [
    *(sys.executable, "-m", "export.verify", f"--workdir={runs[1]}"),
    *(f"--export_dir={out}", f"--data_dir={data_dir}"),
    *(f"--config={_CONFIG}", "--nolatency"),
  ]
  said = faults.error_line(faults.finish(faults.start(verify), 300))
  assert said.startswith("float32: gender differs from Keras by ")


_FULL_DISK = """
import resource, runpy, sys
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
module, sys.argv = sys.argv[1], sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
  ("kind", "limits"),
  [("saved_model", (4096, 300_000)), ("tflite", (4096, 60_000))],
)
def test_a_full_disk_leaves_the_old_export(
  runs, data_dir, tmp_path, kind, limits
):
  out, judge = tmp_path / "E", _Judge(runs)
  _export(kind, runs[0], out, data_dir)
  found = _check(out, judge)
  assert set(found.values()) == {0}
  before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
  for limit in limits:
    command = _command(kind, runs[1], out, data_dir)
    words = [sys.executable, "-c", _FULL_DISK, command[2], str(limit)]
    run = faults.finish(faults.start([*words, *command[3:]]), 300)
    said = faults.error_line(run)
    assert "File too large" in said, said
    assert not _leftovers(out)
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert after == before
