"""Copies of shards that lie elsewhere: whole, of now, and made once."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest
import tensorflow as tf

from tests import drawn, far
from yourface_tfds import cli, record_index, shard_copies, tfrecord

_FOLDER = "s3://faces/your_face/jpeg/1.0.0"
_RECORDS = 40

_FETCH = f"""
import sys, tensorflow as tf
from yourface_tfds import record_index, shard_copies
shards = [
  record_index.Shard(path=f"{_FOLDER}/{{name}}", records={_RECORDS})
  for name in ("train-0", "train-1")
]
print("ready", flush=True)
sys.stdin.readline()
for copy in shard_copies.fetch(shards, "{_FOLDER}", "train"):
  print(copy.path, flush=True)
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
  """Two shards in a store, and a cache folder of this test alone."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  store = far.Store(tmp_path)
  store.here(monkeypatch)
  _write(store, "train-0", b"a")
  _write(store, "train-1", b"b")
  yield store
  store.check_no_strays(tmp_path)


def _write(store, name, letter, size=20_000):
  path = store.root / _FOLDER.removeprefix("s3://") / name
  path.parent.mkdir(parents=True, exist_ok=True)
  with tf.io.TFRecordWriter(str(path)) as file:
    for _ in range(_RECORDS):
      file.write(letter * size)
  return path


def _shards(*names):
  return [
    record_index.Shard(path=f"{_FOLDER}/{name}", records=_RECORDS)
    for name in names or ("train-0", "train-1")
  ]


def _fetch(*names):
  return shard_copies.fetch(_shards(*names), _FOLDER, "train")


def _place(tmp_path):
  (place,) = (tmp_path / "cache" / "yourface_tfds" / "shards").iterdir()
  return place / "train"


def _contents(copies):
  return [pathlib.Path(copy.path).read_bytes() for copy in copies]


def _stored(store):
  folder = store.root / _FOLDER.removeprefix("s3://")
  return [(folder / name).read_bytes() for name in ("train-0", "train-1")]


def _names(place):
  return sorted(path.name.partition(".")[0] for path in place.iterdir())


def test_copies_are_whole_and_in_order(store, tmp_path):
  copies = _fetch()
  assert _contents(copies) == _stored(store)
  assert [copy.records for copy in copies] == [_RECORDS] * 2
  place = _place(tmp_path)
  assert {pathlib.Path(copy.path).parent for copy in copies} == {place}
  assert place.parent == shard_copies.folder(_FOLDER)
  assert _names(place) == ["train-0", "train-1"]


def test_they_are_used_again(store):
  first = _fetch()
  files = [pathlib.Path(copy.path).stat().st_ino for copy in first]
  second = _fetch()
  assert second == first
  assert [pathlib.Path(copy.path).stat().st_ino for copy in second] == files


@pytest.mark.parametrize("where", ["start", "end", "time", "size"])
def test_a_changed_shard_is_copied_again(store, tmp_path, where):
  path = store.root / _FOLDER.removeprefix("s3://") / "train-1"
  before = path.stat()
  first = _fetch()
  content = bytearray(path.read_bytes())
  if where == "size":
    content = content[:-1]
  elif where != "time":
    content[0 if where == "start" else -1] ^= 1
  path.write_bytes(content)
  # Some stores know no times, some but whole seconds.
  later = before.st_mtime_ns + (where == "time")
  os.utime(path, ns=(before.st_atime_ns, later))
  second = _fetch()
  assert _contents(second) == _stored(store)
  assert second[0] == first[0] and second[1] != first[1]
  assert _names(_place(tmp_path)) == ["train-0", "train-1"]


def test_a_copy_that_lost_its_content_is_made_again(store):
  copies = _fetch()
  pathlib.Path(copies[0].path).write_bytes(b"")  # As after a power cut.
  assert _fetch() == copies
  assert _contents(copies) == _stored(store)


def test_what_else_lies_there_is_removed(store, tmp_path):
  _fetch()
  place = _place(tmp_path)
  (place / ".incomplete.dead").write_bytes(b"x")
  (place / "train-7.0123").write_bytes(b"x")
  pathlib.Path(_fetch()[0].path).unlink()
  _fetch()
  assert _names(place) == ["train-0", "train-1"]


def test_another_split_keeps_its_copies(store):
  mine = _fetch("train-0")
  others = shard_copies.fetch(_shards("train-1"), _FOLDER, "test")
  _write(store, "train-0", b"c")
  assert _fetch("train-0") != mine
  assert pathlib.Path(others[0].path).exists()


def test_no_room(store, monkeypatch, tmp_path):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    shutil, "disk_usage", lambda _: usage._replace(free=1_600_000)
  )
  with pytest.raises(shard_copies.NoCopiesError) as caught:
    _fetch()
  place = _place(tmp_path)
  assert str(caught.value) == (
    f"the shards are not on this disk ({_FOLDER}) and 1.6 MB of copies do not "
    f"fit into the 1.6 MB left in {place}; make room, or let XDG_CACHE_HOME "
    "name another folder"
  )
  assert _names(place) == []
  monkeypatch.setattr(
    shutil, "disk_usage", lambda _: usage._replace(free=1_700_000)
  )
  assert _contents(_fetch()) == _stored(store)


@pytest.fixture
def small_files():
  """Lets this process write no file above 500 kB."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_disk_is_full_before_its_time(store, tmp_path, small_files):
  with pytest.raises(shard_copies.NoCopiesError) as caught:
    _fetch()
  place = _place(tmp_path)
  assert str(caught.value) == (
    f"the shards are not on this disk ({_FOLDER}) and copies cannot be kept in "
    f"{place}: File too large"
  )
  assert _names(place) == []


def test_nothing_can_be_written(store, monkeypatch, tmp_path):
  (tmp_path / "file").write_text("")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
  with pytest.raises(shard_copies.NoCopiesError, match="Not a directory"):
    _fetch()


def test_no_home(store, monkeypatch):
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setattr(
    pathlib.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError)
  )
  with pytest.raises(shard_copies.NoCopiesError) as caught:
    _fetch()
  assert str(caught.value) == (
    f"the shards are not on this disk ({_FOLDER}) and you have no home folder "
    "for copies; set XDG_CACHE_HOME"
  )


def test_a_missing_shard(store):
  with pytest.raises(cli.UserError) as caught:
    _fetch("train-0", "train-9")
  assert str(caught.value) == (
    f"{_FOLDER}/train-9: is missing; build the dataset again or copy it again"
  )


def test_a_store_that_does_not_answer(store, monkeypatch, tmp_path):
  store.here(monkeypatch, "read train-1 14 2")  # Unavailable, while copying.
  with pytest.raises(tf.errors.UnavailableError):
    _fetch()
  assert _names(_place(tmp_path)) == ["train-0"]
  store.here(monkeypatch)
  assert _contents(_fetch()) == _stored(store)


def test_changed_while_it_was_copied(store, monkeypatch, tmp_path):
  copy_of, calls = shard_copies._copy_of, []

  def changing(shard, place):
    calls.append(shard)
    if len(calls) == 3:  # After the first of two was copied.
      _write(store, "train-0", b"c", size=19_000)
    return copy_of(shard, place)

  monkeypatch.setattr(shard_copies, "_copy_of", changing)
  with pytest.raises(cli.UserError) as caught:
    _fetch()
  assert str(caught.value) == (
    f"{_FOLDER}/train-0: changed while it was copied (800640 bytes came of "
    "800640); wait for who writes it, then give the same command again"
  )
  assert _names(_place(tmp_path)) == []


def test_damaged_copies_are_removed(store):
  shards, copies = _shards(), _fetch()
  with (
    pytest.raises(tfrecord.CorruptError) as caught,
    shard_copies.blamed(shards, copies),
  ):
    raise tfrecord.CorruptError(f"{copies[1].path}: record 3: torn")
  assert str(caught.value) == (
    f"{_FOLDER}/train-1: record 3: torn (so says a copy of it, which was "
    "removed: the next start copies it again)"
  )
  assert pathlib.Path(copies[0].path).exists()
  assert not pathlib.Path(copies[1].path).exists()


def test_shards_of_this_disk_are_let_be(tmp_path):
  (tmp_path / "shard").write_bytes(b"x")
  shards = [record_index.Shard(path=str(tmp_path / "shard"), records=1)]
  with (
    pytest.raises(tfrecord.CorruptError, match=r"shard: torn$"),
    shard_copies.blamed(shards, shards),
  ):
    raise tfrecord.CorruptError(f"{tmp_path / 'shard'}: torn")
  assert (tmp_path / "shard").exists()


def _environment(store, tmp_path, fault=""):
  cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
  return {**store.environment(fault), **cache}


def _other(store, tmp_path, fault="") -> Any:
  return subprocess.Popen(
    [sys.executable, "-c", _FETCH],
    cwd=drawn.ROOT,
    env=_environment(store, tmp_path, fault),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    encoding="utf-8",
  )


@pytest.mark.slow
def test_processes_at_once_wait_for_each_other(store, tmp_path):
  place = shard_copies.folder(_FOLDER) / "train"
  place.mkdir(parents=True)
  waiting = f"{place}: another process copies shards; waiting for its copies\n"
  with shard_copies._alone(place):
    others = [_other(store, tmp_path) for _ in range(2)]
    for other in others:
      assert other.stdout.readline() == "ready\n"
      other.stdin.write("\n")
      other.stdin.flush()
    for other in others:
      assert any(line.endswith(waiting) for line in other.stderr)
    assert _names(place) == []
  answers = {other.communicate(timeout=300)[0] for other in others}
  assert [other.returncode for other in others] == [0, 0]
  assert len(answers) == 1
  copies = answers.pop().splitlines()
  assert [pathlib.Path(copy).read_bytes() for copy in copies] == _stored(store)
  assert _names(place) == ["train-0", "train-1"]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "first"), [("train-0", 2), ("train-1", 2)])
def test_a_killed_one_leaves_no_half_copy(store, tmp_path, part, first):
  # Calls: both ends, which make the name, then the copying itself.
  other = _other(store, tmp_path, f"read {part} 0 {first}")
  other.communicate("\n", timeout=300)
  assert other.returncode == -signal.SIGKILL
  left = _names(_place(tmp_path))
  assert left == ["", "train-0"][: 1 + (part == "train-1")]
  assert _contents(_fetch()) == _stored(store)
  assert _names(_place(tmp_path)) == ["train-0", "train-1"]
