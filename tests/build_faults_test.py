"""Builds on a machine that says no: a full disk, closed folders, odd clocks.

Real processes of the stock command.
"""

import os
import shutil
import subprocess

import pytest

from tests import faults

_GOES_ON = "the same command goes on with the faces found so far"
_ROOM = f"; make room on that disk, or give another --data_dir; {_GOES_ON}"
# Root without what lets it read and write everything.
_PLAIN = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("faults")
  return faults.drawn_builds(folder, people=6, photos=6)


@pytest.fixture
def manual_dir(whole, tmp_path):
  """The same photos, to be changed."""
  shutil.copytree(whole.manual_dir, tmp_path / "m")
  return tmp_path / "m"


@pytest.fixture
def small_disk(tmp_path):
  """Returns a function that makes a folder of so many kB, or resizes it."""
  folder = tmp_path / "small disk"
  folder.mkdir()
  mounted = False

  def resize(size):
    nonlocal mounted
    options = f"{'remount,' if mounted else ''}size={size}k"
    done = subprocess.run(
      ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
      capture_output=True,
      text=True,
    )
    if done.returncode:
      pytest.skip(f"no file system of a chosen size here: {done.stderr}")
    mounted = True
    return folder

  yield resize
  if mounted:
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_each_time(whole, small_disk):
  refused = []
  for size in (4, 40, 160, 330, 560, 740, 860, 930, 1020, 1090):
    data_dir = small_disk(size)
    run = faults.build(whole.manual_dir, data_dir)
    if run.returncode == 0:
      break
    line = faults.error_line(run)
    assert line.startswith(str(data_dir)), line
    assert line.endswith(_ROOM), line
    assert not faults.version_dir(data_dir).exists()
    assert not faults.leftovers(data_dir)
    refused.append(line.removeprefix(str(data_dir)).removesuffix(_ROOM))
  print(*refused, sep="\n")
  assert len(set(refused)) >= 3, refused  # The cache, the spool, the shards.
  data_dir = small_disk(4000)
  faults.good_build(whole.manual_dir, data_dir)
  faults.assert_same_build(faults.version_dir(data_dir), whole.files["jpeg"])


def test_files_that_may_not_grow(whole, tmp_path):
  # Of a disk quota, or a file system that ends at some size.
  limited = ("prlimit", "--fsize=100000")
  cache = tmp_path / "your_face" / "detections.sqlite3"
  run = faults.build(whole.manual_dir, tmp_path, prefix=limited)
  assert faults.error_line(run) == f"{cache}: disk I/O error{_ROOM}"
  assert faults.recorded(tmp_path) == 0
  shutil.copy(whole.data_dir / "your_face" / cache.name, cache)
  run = faults.build(whole.manual_dir, tmp_path, prefix=limited)
  assert faults.error_line(run) == f"{tmp_path}: File too large{_ROOM}"
  assert not faults.version_dir(tmp_path).exists()
  assert not faults.leftovers(tmp_path)
  run = faults.good_build(whole.manual_dir, tmp_path)
  assert faults.detected(run) == 0
  faults.assert_same_build(faults.version_dir(tmp_path), whole.files["jpeg"])


@pytest.fixture
def plain():
  """Words before a command, so that permissions bind it though it is root's."""
  if os.geteuid():
    return ()
  if (
    shutil.which(_PLAIN[0]) is None
    or subprocess.run([*_PLAIN, "true"], capture_output=True).returncode
  ):
    pytest.skip("runs as root, whom no permission binds, and cannot be less")
  return _PLAIN


def _close(folder, *, folders=0o555, files=0o444):
  for path in [folder, *folder.rglob("*")]:
    path.chmod(folders if path.is_dir() else files)


def _open(folder):
  for path in [folder, *folder.rglob("*")]:
    path.chmod(0o755 if path.is_dir() else 0o644)


def test_photos_that_may_only_be_read(whole, manual_dir, tmp_path, plain):
  _close(manual_dir)
  try:
    faults.good_build(manual_dir, tmp_path / "d", prefix=plain)
  finally:
    _open(manual_dir)
  faults.assert_same_build(
    faults.version_dir(tmp_path / "d"), whole.files["jpeg"]
  )


def test_a_data_dir_that_may_only_be_read(whole, tmp_path, plain):
  data_dir = tmp_path / "d"
  data_dir.mkdir(mode=0o555)
  line = faults.error_line(
    faults.build(whole.manual_dir, data_dir, prefix=plain)
  )
  assert line.startswith(f"{data_dir}/"), line
  assert line.endswith(
    ": Permission denied; needed: a --data_dir that can be written"
  )
  assert not list(data_dir.iterdir())
  # What is built may be asked for.
  data_dir.chmod(0o755)
  shutil.copytree(whole.data_dir, data_dir, dirs_exist_ok=True)
  _close(data_dir)
  try:
    faults.good_build(whole.manual_dir, data_dir, prefix=plain)
  finally:
    _open(data_dir)


def test_detections_that_may_only_be_read(whole, tmp_path, plain):
  cache = tmp_path / "your_face" / "detections.sqlite3"
  cache.parent.mkdir()
  shutil.copy(whole.data_dir / "your_face" / cache.name, cache)
  cache.chmod(0o444)
  run = faults.good_build(whole.manual_dir, tmp_path, prefix=plain)
  assert faults.detected(run) == 0
  faults.assert_same_build(faults.version_dir(tmp_path), whole.files["jpeg"])
  # With faces to be found it cannot be used, and that is said.
  photo = faults.photos_of(whole.manual_dir)[0]
  manual_dir = tmp_path / "m"
  shutil.copytree(whole.manual_dir, manual_dir)
  (manual_dir / "photos" / photo.parent.name / "new.jpg").write_bytes(
    photo.read_bytes() + b"new"
  )
  run = faults.build(manual_dir, tmp_path, config="raw", prefix=plain)
  assert faults.error_line(run) == (
    f"{cache}: attempt to write a readonly database; needed: a --data_dir that "
    "can be written"
  )
  assert not faults.version_dir(tmp_path, "raw").exists()
  assert not faults.leftovers(tmp_path)


_JUMPS = """
import time
_time, _calls = time.time, 0
def jumping():
  global _calls
  _calls += 1
  # A day forth and back with every call, and a year back after a while.
  return _time() + 86400 * (_calls % 2) - 3.2e7 * (_calls > 100)
time.time = jumping
"""


def test_a_clock_that_jumps_and_files_of_any_day(whole, manual_dir, tmp_path):
  days = (0, -86400 * 365, 2**33, 2**31 - 1, 1)
  for number, path in enumerate(faults.photos_of(manual_dir)):
    day = days[number % 5]
    os.utime(path, (day, day))
  os.utime(manual_dir / "people.csv", (2**33, 2**33))
  faults.good_build(
    manual_dir,
    tmp_path / "d",
    environment=faults.at_start(tmp_path / "site", _JUMPS),
  )
  faults.assert_same_build(
    faults.version_dir(tmp_path / "d"), whole.files["jpeg"]
  )
