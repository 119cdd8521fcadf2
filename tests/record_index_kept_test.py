"""Tests of record_index: made once, kept where it can be, used again."""

import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import threading

import pytest

from tests import small_records
from yourface_tfds import record_index, tfrecord

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """The user's cache folder, empty."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def no_building(monkeypatch):
  """Returns a function after which no shard may be read through."""

  def forbid():
    def records(name, data):
      raise AssertionError(f"{name} was read again")

    monkeypatch.setattr(tfrecord, "records", records)

  return forbid


def test_an_index_is_made_once_and_used_again(tmp_path, no_building):
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  folder = tmp_path / ".index"
  record_index.open_index(written, small_records.layout_of(), folder, "train")
  names = small_records.indexes(folder)
  assert len(names) == 1
  path = folder / names[0]
  assert path.stat().st_mode & 0o777 == 0o644
  before = path.stat()
  no_building()
  small_records.open_and_check(written, made, folder)
  assert small_records.indexes(folder) == names
  assert path.stat().st_mtime_ns == before.st_mtime_ns
  assert path.stat().st_ino == before.st_ino


def test_a_dataset_that_was_moved_keeps_its_index(tmp_path, no_building):
  made = small_records.examples(7)
  written = small_records.write(tmp_path / "one", made, [4, 3])
  record_index.open_index(
    written, small_records.layout_of(), tmp_path / "one" / ".index", "train"
  )
  (tmp_path / "one").rename(tmp_path / "two")
  moved = [
    record_index.Shard(
      path=shard.path.replace("/one/", "/two/"), records=shard.records
    )
    for shard in written
  ]
  no_building()
  rows = record_index.open_index(
    moved, small_records.layout_of(), tmp_path / "two" / ".index", "train"
  )
  small_records.check(rows, moved, made, small_records.layout_of())


def test_the_forbidden_building_is_noticed(tmp_path, no_building):
  written = small_records.write(tmp_path, small_records.examples(2), [2])
  no_building()
  with pytest.raises(AssertionError):
    record_index.open_index(
      written, small_records.layout_of(), tmp_path / "a", "train"
    )


def _old_and_new(tmp_path):
  """An index of a dataset, and the names in its folder."""
  folder = tmp_path / ".index"
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  record_index.open_index(written, small_records.layout_of(), folder, "train")
  return folder, made, written, small_records.indexes(folder)


def test_another_content_is_indexed_anew_and_the_old_index_goes(tmp_path):
  folder, _, written, names = _old_and_new(tmp_path)
  times = [pathlib.Path(shard.path).stat().st_mtime_ns for shard in written]
  made = small_records.examples(7, seed=1)
  for index, text in enumerate("abcdefg"):
    # As long as before: nothing but the content tells.
    made[index]["photo"] = small_records.examples(7)[index]["photo"][:-1] + text
  assert written == small_records.write(tmp_path, made, [4, 3])
  for shard, time in zip(written, times, strict=True):
    os.utime(shard.path, ns=(time, time))
  small_records.open_and_check(written, made, folder)
  assert len(small_records.indexes(folder)) == 1
  assert small_records.indexes(folder) != names


@pytest.mark.parametrize("changed", [0, 29])
def test_both_ends_of_a_shard_tell_it_from_another(tmp_path, changed):
  made = small_records.examples(30)
  written = small_records.write(tmp_path, made, [30])
  path = pathlib.Path(written[0].path)
  before = path.stat()
  assert before.st_size > 20_000
  record_index.open_index(
    written, small_records.layout_of(), tmp_path / ".index", "train"
  )
  made[changed]["job"] = 7
  small_records.write(tmp_path, made, [30])
  os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
  assert path.stat().st_size == before.st_size
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / ".index", "train"
  )
  small_records.check(rows, written, made, small_records.layout_of())


def test_another_time_is_indexed_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  path = written[1].path
  os.utime(path, ns=(0, pathlib.Path(path).stat().st_mtime_ns + 1))
  small_records.open_and_check(written, made, folder)
  assert len(small_records.indexes(folder)) == 1
  assert small_records.indexes(folder) != names


def test_another_layout_is_indexed_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  layout = small_records.layout_of(integers=("gender", "face_type", "job"))
  rows = record_index.open_index(written, layout, folder, "train")
  small_records.check(rows, written, made, layout)
  assert len(small_records.indexes(folder)) == 1
  assert small_records.indexes(folder) != names


def test_shards_in_another_order_are_indexed_anew(tmp_path):
  folder, made, written, _ = _old_and_new(tmp_path)
  turned = written[::-1]
  rows = record_index.open_index(
    turned, small_records.layout_of(), folder, "train"
  )
  small_records.check(
    rows, turned, made[4:] + made[:4], small_records.layout_of()
  )


def test_each_split_has_its_index(tmp_path, no_building):
  folder, made, written, _ = _old_and_new(tmp_path)
  other = small_records.examples(3, seed=2)
  second = small_records.write(tmp_path / "second", other, [3])
  for name in ("validation", "test", "train2"):
    record_index.open_index(second, small_records.layout_of(), folder, name)
  assert [name.split(".")[0] for name in small_records.indexes(folder)] == [
    "test",
    "train",
    "train2",
    "validation",
  ]
  no_building()
  small_records.open_and_check(written, made, folder)
  rows = record_index.open_index(
    second, small_records.layout_of(), folder, "test"
  )
  small_records.check(rows, second, other, small_records.layout_of())


def _damages(content):
  for place in (0, 1, len(content) // 2, len(content) - 1):
    damaged = bytearray(content)
    damaged[place] ^= 1
    yield bytes(damaged)
  yield b""
  yield content[:-1]
  yield content[: len(content) // 7]  # A row less an index may well have.
  yield content + b"\0"
  yield content + content
  yield bytes(len(content))


def test_a_damaged_index_is_made_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  path = folder / names[0]
  content = path.read_bytes()
  for damaged in _damages(content):
    path.write_bytes(damaged)
    rows = record_index.open_index(
      written, small_records.layout_of(), folder, "train"
    )
    small_records.check(rows, written, made, small_records.layout_of())
    assert small_records.indexes(folder) == names
    assert path.read_bytes() == content


def test_a_lost_index_is_made_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  (folder / names[0]).unlink()
  small_records.open_and_check(written, made, folder)
  assert small_records.indexes(folder) == names


def _foreign(tmp_path):
  """Returns the index file of other shards with as many records."""
  made = small_records.examples(7, seed=9)
  written = small_records.write(tmp_path / "foreign", made, [4, 3])
  folder = tmp_path / "foreign" / ".index"
  record_index.open_index(written, small_records.layout_of(), folder, "train")
  return folder / small_records.indexes(folder)[0]


def test_an_index_of_other_shards_under_its_own_name_is_not_used(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  foreign = _foreign(tmp_path)
  (folder / names[0]).unlink()
  (folder / foreign.name).write_bytes(foreign.read_bytes())
  small_records.open_and_check(written, made, folder)
  assert small_records.indexes(folder) == names


def test_an_index_of_other_shards_under_our_name_is_not_used(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  (folder / names[0]).write_bytes(_foreign(tmp_path).read_bytes())
  small_records.open_and_check(written, made, folder)
  assert small_records.indexes(folder) == names


def test_an_index_of_other_shards_under_a_mixed_name_is_not_used(tmp_path):
  # Our fingerprint, its checksum: renamed by somebody.
  folder, made, written, names = _old_and_new(tmp_path)
  foreign = _foreign(tmp_path)
  split, fingerprint, *_ = names[0].split(".")
  checksum = foreign.name.split(".")[2]
  (folder / names[0]).unlink()
  mixed = folder / f"{split}.{fingerprint}.{checksum}.index"
  mixed.write_bytes(foreign.read_bytes())
  small_records.open_and_check(written, made, folder)


def test_without_a_writable_folder_the_cache_is_used(
  tmp_path, cache, no_building
):
  folder = tmp_path / ".index"
  folder.write_text("a file: not even root can write into it")
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  small_records.open_and_check(written, made, folder)
  found = list((cache / "yourface_tfds" / "index").glob("*/*"))
  assert [path.name.split(".")[0] for path in found] == ["train"]
  assert folder.is_file()
  # Two datasets do not get in each other's way.
  other = small_records.examples(3, seed=1)
  second = small_records.write(tmp_path / "second", other, [3])
  (tmp_path / "second" / ".index").write_text("")
  record_index.open_index(
    second, small_records.layout_of(), tmp_path / "second" / ".index", "train"
  )
  assert len(list((cache / "yourface_tfds" / "index").glob("*/*"))) == 2
  no_building()
  small_records.open_and_check(written, made, folder)


def test_the_cache_is_in_the_home_folder_unless_told(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  written = small_records.write(tmp_path, small_records.examples(2), [2])
  (tmp_path / ".index").write_text("")
  for value in (None, ""):
    if value is None:
      monkeypatch.delenv("XDG_CACHE_HOME")
    else:
      monkeypatch.setenv("XDG_CACHE_HOME", value)
    record_index.open_index(
      written, small_records.layout_of(), tmp_path / ".index", "train"
    )
    place = tmp_path / "home" / ".cache" / "yourface_tfds" / "index"
    assert len(list(place.glob("*/train.*.index"))) == 1


def test_a_user_without_a_home_can_open(tmp_path, monkeypatch):
  # As in a container that runs under some number: no HOME, no name.
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.delenv("HOME")

  def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

  monkeypatch.setattr(pwd, "getpwuid", nobody)
  made = small_records.examples(2)
  written = small_records.write(tmp_path, made, [2])
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / "a", "train"
  )
  small_records.check(rows, written, made, small_records.layout_of())
  assert len(small_records.indexes(tmp_path / "a")) == 1


def test_without_any_writable_folder_it_still_works(
  tmp_path, cache, monkeypatch
):
  scratch = tmp_path / "scratch"
  scratch.mkdir()
  monkeypatch.setattr(tempfile, "tempdir", str(scratch))
  (tmp_path / ".index").write_text("")
  cache.write_text("")
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  for _ in range(2):
    rows = record_index.open_index(
      written, small_records.layout_of(), tmp_path / ".index", "train"
    )
    assert list(scratch.iterdir()) == []
    small_records.check(rows, written, made, small_records.layout_of())
  assert (tmp_path / ".index").read_text() == cache.read_text() == ""


_PROCESS = """
import pathlib, sys
from yourface_tfds import record_index
layout = record_index.Layout(
  size=12, is_raw=True, integers=("gender", "job", "face_type"),
  strings=("person", "photo"),
)
folder, *paths = sys.argv[1:]
shards = [record_index.Shard(path=path, records=150) for path in paths]
print("ready", flush=True)
for line in sys.stdin:
  place = pathlib.Path(folder) / line.strip()
  rows = record_index.open_index(shards, layout, place, "train")
  print(len(rows), int(rows["labels"].sum()), flush=True)
"""


def test_two_processes_may_make_it_at_once(tmp_path):
  made = small_records.examples(300)
  written = small_records.write(tmp_path, made, [150, 150])
  paths = [shard.path for shard in written]
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", _PROCESS, str(tmp_path), *paths],
      cwd=_ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for _ in range(2)
  ]
  integers = small_records.layout_of().integers
  total = sum(example[name] for example in made for name in integers)
  try:
    for process in processes:
      assert process.stdout and process.stdout.readline() == "ready\n"
    for step in range(20):
      for process in processes:
        assert process.stdin
        process.stdin.write(f"{step}\n")
        process.stdin.flush()
      for process in processes:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line == f"300 {total}\n", line or process.stderr.read()
      assert len(small_records.indexes(tmp_path / str(step))) == 1
    for process in processes:
      _, errors = process.communicate(timeout=30)
      assert errors == ""
      assert process.returncode == 0
  finally:
    for process in processes:
      process.kill()
      process.communicate()
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / "0", "train"
  )
  small_records.check(rows, written, made, small_records.layout_of())


def test_what_another_builder_removes_is_opened_nevertheless(
  tmp_path, monkeypatch
):
  # The other one found no index either. It removes old ones just when ours has
  # been put there and is about to be opened.
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  folder = tmp_path / ".index"
  mine = threading.current_thread()
  other_builds, mine_is_there = threading.Event(), threading.Event()
  old_are_removed, mine_is_open = threading.Event(), threading.Event()
  found = []

  def build():
    found.append(
      record_index.open_index(
        written, small_records.layout_of(), folder, "train"
      )
    )

  other = threading.Thread(target=build)
  records, map_file = tfrecord.records, record_index.map_file
  replace = pathlib.Path.replace

  def slow_records(name, data):
    if threading.current_thread() is other:
      other_builds.set()
      mine_is_there.wait(10)
    return records(name, data)

  def slow_replace(path, target):
    if threading.current_thread() is other:
      old_are_removed.set()
      mine_is_open.wait(10)
    return replace(path, target)

  def slow_map_file(path):
    if threading.current_thread() is mine and path.endswith(".index"):
      mine_is_there.set()
      old_are_removed.wait(10)
    return map_file(path)

  monkeypatch.setattr(tfrecord, "records", slow_records)
  monkeypatch.setattr(record_index, "map_file", slow_map_file)
  monkeypatch.setattr(pathlib.Path, "replace", slow_replace)
  other.start()
  try:
    assert other_builds.wait(10)
    rows = record_index.open_index(
      written, small_records.layout_of(), folder, "train"
    )
  finally:
    mine_is_there.set()
    mine_is_open.set()
    other.join(10)
  small_records.check(rows, written, made, small_records.layout_of())
  small_records.check(found[0], written, made, small_records.layout_of())


_NO_ROOM = """
import pathlib, resource, sys
from yourface_tfds import record_index
layout = record_index.Layout(
  size={size}, is_raw={is_raw}, integers={integers}, strings={strings}
)
folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
  record_index.open_index(
    [record_index.Shard(path=sys.argv[2], records=9)], layout, folder, "train"
  )
except OSError as error:
  print(error)
"""


def test_no_room_for_the_index_anywhere(tmp_path, cache):
  (written,) = small_records.write(tmp_path, small_records.examples(9), [9])
  layout = small_records.layout_of()
  code = _NO_ROOM.format(
    size=layout.size,
    is_raw=layout.is_raw,
    integers=layout.integers,
    strings=layout.strings,
  )
  folder = tmp_path / ".index"
  done = subprocess.run(
    [sys.executable, "-c", code, str(folder), written.path],
    cwd=pathlib.Path(__file__).parents[1],
    env={**os.environ, "TMPDIR": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.stderr == ""
  assert done.stdout.startswith(
    f"{folder}: the index of train cannot be written, there or in the cache "
    f"folder or {tmp_path}: "
  )
  assert done.stdout.endswith("; make room\n")
  assert list(folder.iterdir()) == []
  assert not [path for path in cache.rglob("*") if path.is_file()]
