"""Tests of detections: the record of a photo, and the cache on disk."""

import concurrent.futures
import json
import os
import sqlite3
import subprocess
import sys

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from tests import drawn
from yourface_tfds import detections, mtcnn

SETTINGS = mtcnn.DetectorSettings()
SEEDS = range(5)
BATCH = 7  # Records in each put of the processes below.

_floats = st.floats(width=32, allow_nan=False)


@st.composite
def _detections(draw):
  count = draw(st.integers(0, 4))

  def array(*shape):
    return draw(hnp.arrays(np.float32, (count, *shape), elements=_floats))

  side = st.integers(1, 100_000)
  return detections.Detections(
    size=(draw(side), draw(side)),
    fitted=(draw(side), draw(side)),
    boxes=array(4),
    landmarks=array(5, 2),
    scores=array(),
    prints=draw(st.dictionaries(st.text(), st.binary())),
  )


def _found(boxes=((0, 0, 10, 10),), scores=None, prints=None):
  count = len(boxes)
  return detections.Detections(
    size=(40, 30),
    fitted=(40, 30),
    boxes=np.array(boxes, np.float32).reshape(count, 4),
    landmarks=np.arange(count * 10, dtype=np.float32).reshape(count, 5, 2),
    scores=np.array([1] * count if scores is None else scores, np.float32),
    prints={"picture": b"\0\xff"} if prints is None else prints,
  )


def _assert_same(one, other):
  assert one.size == other.size
  assert one.fitted == other.fitted
  assert one.prints == other.prints
  for name in ("boxes", "landmarks", "scores"):
    a, b = getattr(one, name), getattr(other, name)
    assert (a.dtype, a.shape) == (b.dtype, b.shape) == (np.float32, a.shape)
    assert a.tobytes() == b.tobytes(), name


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
@hypothesis.given(found=_detections())
def test_json_comes_back_bit_by_bit(found):
  text = found.to_json()
  assert "\n" not in text
  _assert_same(detections.Detections.from_json(text), found)
  assert detections.Detections.from_json(text).to_json() == text


def test_json_of_floats_that_decimals_miss():
  odd = np.array([0.1, 1 / 3, -0.0, 1e-45, 3.4028235e38, 2**24 + 2], np.float32)
  scores = [*odd, np.nextafter(np.float32(0.9), np.float32(0))]
  found = _found([(0, 0, 1, 1)] * len(scores), scores)
  again = detections.Detections.from_json(found.to_json())
  assert again.scores.view(np.uint32).tolist() == (
    np.array(scores, np.float32).view(np.uint32).tolist()
  )


def test_json_of_a_photo_without_faces():
  found = _found(())
  again = detections.Detections.from_json(found.to_json())
  _assert_same(again, found)
  assert again.boxes.shape == (0, 4)
  assert again.landmarks.shape == (0, 5, 2)
  assert again.main(0) is None
  assert json.loads(found.to_json())["prints"] == {"picture": "00ff"}


def test_main_is_the_largest_that_scored_enough():
  found = _found(
    [(0, 0, 20, 20), (0, 0, 10, 12), (1, 1, 11, 7)], [0.85, 0.95, 0.99]
  )
  face = found.main(0.9)
  assert face is not None
  np.testing.assert_array_equal(face.box, found.boxes[1])
  np.testing.assert_array_equal(face.landmarks, found.landmarks[1])
  assert face.score == np.float32(0.95)
  assert face.count == 2
  assert face.area_ratio == 0.5
  face = found.main(0.8)
  assert face is not None
  np.testing.assert_array_equal(face.box, found.boxes[0])
  assert (face.count, face.area_ratio) == (3, pytest.approx(120 / 400))


def test_main_of_two_equal_faces_is_the_first():
  boxes = [(5, 5, 15, 15), (20, 0, 30, 10), (0, 20, 5, 40)]
  face = _found(boxes, [0.9, 1, 1]).main(0.9)
  assert face is not None
  assert face.box.tolist() == [5, 5, 15, 15]
  assert (face.count, face.area_ratio) == (3, 1.0)


def test_main_alone_has_no_second():
  face = _found().main(0.9)
  assert face is not None
  assert (face.count, face.area_ratio) == (1, 0.0)


@pytest.mark.parametrize("limit", [0.0, 0.7, 0.9, 0.95, 0.9999, 1.0])
def test_main_counts_a_score_at_the_limit(limit):
  at = np.float32(limit)
  below = np.nextafter(at, np.float32(-1))
  face = _found([(0, 0, 9, 9), (0, 0, 5, 5)], [below, at]).main(limit)
  assert face is not None
  assert face.count == 1
  assert face.box[2] == 5
  assert _found(scores=[below]).main(limit) is None


def test_what_was_put_is_got_and_survives(tmp_path):
  path = tmp_path / "new" / "cache.sqlite3"
  one, two = _found(), _found((), prints={})
  with detections.DetectionCache(path, SETTINGS) as cache:
    assert cache.get("a") is None
    cache.put({"a": one, "b": two})
    cache.put({})
    got = cache.get("a")
    assert got is not None
    _assert_same(got, one)
  with detections.DetectionCache(path, SETTINGS) as cache:
    for digest, found in (("a", one), ("b", two)):
      got = cache.get(digest)
      assert got is not None
      _assert_same(got, found)
    assert cache.get("c") is None
    cache.put({"a": two})  # The last word counts.
    got = cache.get("a")
    assert got is not None
    _assert_same(got, two)


@pytest.mark.parametrize(
  "other",
  [
    {"min_face": 31},
    {"input_size": 512},
    {"thresholds": (0.6, 0.7, 0.81)},
    {"factor": 0.7},
  ],
)
def test_another_detector_sees_nothing(tmp_path, other):
  path = tmp_path / "cache.sqlite3"
  with detections.DetectionCache(path, SETTINGS) as cache:
    cache.put({"a": _found()})
  changed = mtcnn.DetectorSettings(**other)
  with detections.DetectionCache(path, changed) as cache:
    assert cache.get("a") is None
    cache.put({"a": _found(())})
  with detections.DetectionCache(path, SETTINGS) as cache:
    got = cache.get("a")
    assert got is not None
    _assert_same(got, _found())


def test_a_put_is_whole_or_absent(tmp_path):
  path = tmp_path / "cache.sqlite3"
  with detections.DetectionCache(path, SETTINGS) as cache:
    broken = _found()
    object.__setattr__(broken, "scores", None)
    with pytest.raises(AttributeError):
      cache.put({"a": _found(), "b": broken})
    assert cache.get("a") is None
    cache.put({"a": _found()})  # No transaction was left open.
    assert cache.get("a") is not None


def test_threads_share_one_cache_and_two_share_a_file(tmp_path):
  path = tmp_path / "cache.sqlite3"
  with (
    detections.DetectionCache(path, SETTINGS) as one,
    detections.DetectionCache(path, SETTINGS) as other,
    concurrent.futures.ThreadPoolExecutor(8) as pool,
  ):

    def work(number):
      mine, theirs = (one, other) if number % 2 else (other, one)
      found = _found([(0, 0, number, 1)] * (number % 3))
      mine.put({f"{number}": found, f"{number} again": found})
      for cache in (mine, theirs):
        got = cache.get(f"{number} again")
        assert got is not None
        _assert_same(got, found)

    assert len(list(pool.map(work, range(48)))) == 48
  assert _count(path) == 96


def test_many_open_a_new_file_at_once(tmp_path):
  path = tmp_path / "cache.sqlite3"

  def open_and_put(number):
    with detections.DetectionCache(path, SETTINGS) as cache:
      cache.put({f"{number}": _found()})

  with concurrent.futures.ThreadPoolExecutor(12) as pool:
    list(pool.map(open_and_put, range(24)))
  assert _count(path) == 24
  assert not list(tmp_path.glob("*.broken"))


def _count(path):
  database = sqlite3.connect(path)
  try:
    return database.execute("SELECT COUNT(*) FROM detections").fetchone()[0]
  finally:
    database.close()


_PROCESSES = """
import os, pathlib, random, signal, sys, time
import numpy as np
from yourface_tfds import detections, mtcnn

folder, batch, seeds = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
settings = mtcnn.DetectorSettings()
found = detections.Detections(
  size=(4, 3), fitted=(4, 3), boxes=np.full([9, 4], 1 / 3, np.float32),
  landmarks=np.full([9, 5, 2], 1 / 3, np.float32),
  scores=np.full([9], 1 / 3, np.float32), prints={"wide": bytes(576)})

def puts(path, prefix, numbers, done=None):
  with detections.DetectionCache(path, settings) as cache:
    for number in numbers:
      cache.put({f"{prefix}{number}-{i}": found for i in range(batch)})
      if done is not None:
        os.write(done, b"%d\\n" % number)

def child(*arguments):
  pid = os.fork()
  if not pid:
    try:
      puts(*arguments)
    except BaseException as error:
      print(error, file=sys.stderr)
      os._exit(1)
    os._exit(0)
  return pid

for seed in range(seeds):
  done = os.open(folder / f"{seed}.done", os.O_CREAT | os.O_WRONLY)
  pid = child(folder / f"{seed}.sqlite3", "", range(10**6), done)
  while os.fstat(done).st_size < 10:
    time.sleep(0.001)
  time.sleep(random.Random(seed).uniform(0.02, 0.3))
  os.kill(pid, signal.SIGKILL)
  assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])

pids = [child(folder / "both.sqlite3", f"p{k} ", range(25)) for k in range(3)]
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
  """Caches that processes wrote to, five of them until they were killed."""
  folder = tmp_path_factory.mktemp("processes")
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      _PROCESSES,
      str(folder),
      str(BATCH),
      f"{len(SEEDS)}",
    ],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
    timeout=120,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return folder


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_process_leaves_whole_puts(processes, seed, capsys):
  words = (processes / f"{seed}.done").read_text()
  finished = [int(line) for line in words.splitlines()]
  assert len(finished) >= 5
  path = processes / f"{seed}.sqlite3"
  with detections.DetectionCache(path, SETTINGS) as cache:
    assert capsys.readouterr().err == ""
    for number in (*finished, finished[-1] + 1):
      got = [cache.get(f"{number}-{i}") for i in range(BATCH)]
      # The last put may have been done but not yet reported.
      assert all(got) or (number > finished[-1] and not any(got))
      assert not any(got) or all(one and len(one.boxes) == 9 for one in got)
    assert _count(path) % BATCH == 0
    assert 0 <= _count(path) - BATCH * len(finished) <= BATCH
    cache.put({"after": _found()})
    assert cache.get("after") is not None
  assert not path.with_name(f"{path.name}.broken").exists()


def test_processes_share_a_file(processes):
  assert _count(processes / "both.sqlite3") == 3 * 25 * BATCH


def _write_cache(path, count=200):
  with detections.DetectionCache(path, SETTINGS) as cache:
    cache.put({f"{i}": _found([(0, 0, i, i)] * 3) for i in range(count)})


def _noise(path):
  path.write_bytes(np.random.default_rng(0).bytes(5000))


def _cut_in_half(path):
  _write_cache(path)
  os.truncate(path, path.stat().st_size // 2)


def _cut_in_the_header(path):
  _write_cache(path)
  os.truncate(path, 60)


def _a_page_of_noise(path):
  _write_cache(path)
  with path.open("r+b") as file:
    file.seek(4096)
    file.write(np.random.default_rng(0).bytes(4096))


@pytest.mark.parametrize(
  "breaking", [_noise, _cut_in_half, _cut_in_the_header, _a_page_of_noise]
)
def test_a_broken_file_is_put_aside(tmp_path, capsys, breaking):
  path = tmp_path / "cache.sqlite3"
  breaking(path)
  content = path.read_bytes()
  with detections.DetectionCache(path, SETTINGS) as cache:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: {path}: ")
    assert lines[0].endswith(
      "; moved to cache.sqlite3.broken, faces are detected again"
    )
    assert cache.get("1") is None
    cache.put({"1": _found()})
  assert (tmp_path / "cache.sqlite3.broken").read_bytes() == content
  with detections.DetectionCache(path, SETTINGS) as cache:
    assert cache.get("1") is not None
  assert capsys.readouterr().err == ""


def test_wherever_it_was_cut_the_cache_goes_on(tmp_path, capsys):
  whole = tmp_path / "whole.sqlite3"
  _write_cache(whole, count=40)
  content = whole.read_bytes()
  generator = np.random.default_rng(1)
  lengths = [0, 1, 2, 99, 100, 511, 512, 4096]
  lengths += generator.integers(2, len(content) - 4096, 20).tolist()
  for number, length in enumerate(lengths):
    path = tmp_path / f"{number}.sqlite3"
    path.write_bytes(content[:length])
    with detections.DetectionCache(path, SETTINGS) as cache:
      assert cache.get("1") is None, length
      cache.put({"1": _found()})
      assert cache.get("1") is not None, length
    # SQLite takes less than two bytes for an empty database.
    assert len(capsys.readouterr().err.splitlines()) == (length > 1), length


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  taken = tmp_path / "file"
  taken.write_text("in the way")
  with pytest.raises(OSError, match="file"):
    detections.DetectionCache(taken / "cache.sqlite3", SETTINGS)
  folder = tmp_path / "folder.sqlite3"
  folder.mkdir()
  with pytest.raises(OSError) as caught:
    detections.DetectionCache(folder, SETTINGS)
  assert str(caught.value).startswith(f"{folder}: ")
  assert folder.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
  tmp_path.chmod(0o500)
  try:
    with pytest.raises(OSError) as caught:
      detections.DetectionCache(tmp_path / "cache.sqlite3", SETTINGS)
    assert str(tmp_path) in str(caught.value)
  finally:
    tmp_path.chmod(0o700)
