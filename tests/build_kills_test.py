"""Builds that are killed at any moment: nothing half, nothing lost.

`kill -9` of the whole process group, drawn over what a build does after its
imports, and again and again in one folder.
"""

import collections
import dataclasses
import random
import shutil
import signal
import time

import pytest

from tests import drawn, faults

_PHOTOS = 6 * 24
_KILLS = 4  # In a row, in each folder.
_SEEDS = range(6)
_STEPS = ("recorded", "shards", "reports", "info", "published")


@dataclasses.dataclass
class _Whole:
  """The uninterrupted builds that others are compared with."""

  manual_dir: object
  files: dict
  seconds: float  # From the claim of the folder to the end.


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("kills")
  drawn.write(folder / "m", people=6, photos=24)
  found, seconds = {}, 0.0
  for config in ("raw", "jpeg"):  # The faces of each are found anew.
    data_dir = folder / config
    process = faults.start(
      faults.command(folder / "m", data_dir, config=config)
    )
    assert faults.wait_for(
      lambda at=data_dir, name=config: faults.unpublished(at, name), process
    )
    begun = time.monotonic()
    run = faults.finish(process)
    assert run.returncode == 0, run.stderr[-3000:]
    seconds = time.monotonic() - begun
    assert faults.detected(run) == faults.recorded(data_dir) == _PHOTOS
    found[config] = faults.files(faults.version_dir(data_dir, config))
  return _Whole(folder / "m", found, seconds)


def _has_come_to(data_dir, step, seen):
  """Returns whether a build has; `seen` is the cache's size at its start."""
  if step == "claimed":
    return bool(faults.unpublished(data_dir))
  if step == "recorded":
    path = data_dir / "your_face" / "detections.sqlite3"
    return path.exists() and path.stat().st_size > seen
  if step == "published":
    return faults.version_dir(data_dir).exists()
  pattern = {
    "shards": "*.tfrecord-*",
    "reports": "photos.csv",
    "info": "features.json",
  }[step]
  return any(
    any(folder.glob(pattern)) for folder in faults.unpublished(data_dir)
  )


def _phase(data_dir):
  """Returns what a killed build was at, from what it left."""
  if faults.version_dir(data_dir).exists():
    return "published"
  folders = faults.unpublished(data_dir)
  assert len(folders) <= 1
  names = [path.name for folder in folders for path in folder.iterdir()]
  for step, name in (("info", "features.json"), ("reports", "photos.csv")):
    if name in names:
      return step
  if names:
    return "shards"
  return "detecting" if faults.recorded(data_dir) < _PHOTOS else "dealing"


def _check_complete(version, whole):
  faults.assert_same_build(version, whole.files["jpeg"])


def _check_configs(data_dir, whole):
  """Checks that what is published is complete, and the other config is."""
  if faults.version_dir(data_dir).exists():
    _check_complete(faults.version_dir(data_dir), whole)
  faults.assert_same_build(
    faults.version_dir(data_dir, "raw"), whole.files["raw"]
  )


_hits = collections.Counter()


@pytest.mark.slow
@pytest.mark.parametrize("seed", _SEEDS)
def test_killed_again_and_again(whole, tmp_path, seed):
  draw = random.Random(seed)
  raw = faults.version_dir(tmp_path, "raw")
  raw.mkdir(parents=True)
  for name, content in whole.files["raw"].items():
    (raw / name).write_bytes(content)
  kept = 0
  for number in range(_KILLS):
    # Two at any moment, two close to a step: most take milliseconds.
    step = _STEPS[(2 * seed + number) % 5] if number > 1 else "claimed"
    cache = tmp_path / "your_face" / "detections.sqlite3"
    seen = cache.stat().st_size if cache.exists() else 0
    process = faults.start(faults.command(whole.manual_dir, tmp_path))
    try:
      if faults.wait_for(
        lambda at=step, size=seen: _has_come_to(tmp_path, at, size), process
      ):
        longest = whole.seconds if step == "claimed" else 0.005
        time.sleep(draw.uniform(0, longest))
    finally:
      faults.kill(process)
    _hits[_phase(tmp_path)] += 1
    _check_configs(tmp_path, whole)
    assert faults.recorded(tmp_path) >= kept  # Nothing found was lost.
    kept = faults.recorded(tmp_path)
    if faults.version_dir(tmp_path).exists():
      shutil.rmtree(faults.version_dir(tmp_path))
    elif number == 1:  # So that the next one has faces to find.
      cache.unlink(missing_ok=True)
      cache.with_name(f"{cache.name}-journal").unlink(missing_ok=True)
      kept = 0
  run = faults.good_build(whole.manual_dir, tmp_path)
  assert faults.detected(run) == _PHOTOS - kept
  _check_complete(faults.version_dir(tmp_path), whole)
  assert not faults.leftovers(tmp_path)


@pytest.mark.slow
def test_a_deletion_that_is_killed(whole, tmp_path):
  version = faults.version_dir(tmp_path / "d")
  version.mkdir(parents=True)
  for name, content in whole.files["jpeg"].items():
    (version / name).write_bytes(content)
  # With --overwrite TFDS deletes before all else, file by file.
  run = faults.build(
    whole.manual_dir,
    tmp_path / "d",
    "--overwrite",
    environment=faults.sabotage(
      tmp_path / "site",
      "os.killpg(0, 9)",
      event="os.remove",
      place="tfrecord",
      times=2,
    ),
  )
  assert run.returncode == -signal.SIGKILL
  left = {path.name for path in version.iterdir()}
  assert left < set(whole.files["jpeg"])
  line = faults.error_line(faults.build(whole.manual_dir, tmp_path / "d"))
  assert line.startswith(f"{version}: ")
  assert line.endswith(
    " is missing, this is no whole version; build it anew with --overwrite"
  )
  assert line.split()[1] not in left
  faults.good_build(whole.manual_dir, tmp_path / "d", "--overwrite")
  _check_complete(version, whole)
  assert not faults.leftovers(tmp_path / "d")


@pytest.mark.slow
def test_a_build_on_beam_that_is_killed(whole, tmp_path):
  process = faults.start(
    faults.command(
      whole.manual_dir, tmp_path, "--beam_pipeline_options=runner=DirectRunner"
    )
  )
  try:
    assert faults.wait_for(lambda: any(tmp_path.rglob("beam.*")), process)
  finally:
    assert faults.kill(process)
  faults.good_build(whole.manual_dir, tmp_path)
  _check_complete(faults.version_dir(tmp_path), whole)
  assert not faults.leftovers(tmp_path)


@pytest.mark.slow
def test_the_kills_hit_everything():
  if _hits.total() < _KILLS * len(_SEEDS):
    pytest.skip("counts the kills of all seeds above")
  print(dict(_hits))
  assert _hits.total() >= 20
  assert _hits["detecting"] >= 4
  assert _hits["shards"] + _hits["reports"] + _hits["info"] >= 4
  assert sum(count > 0 for count in _hits.values()) >= 4
