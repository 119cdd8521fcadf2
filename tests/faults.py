"""Builds by the stock command, to be disturbed, and what they must leave."""

import contextlib
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence

from tests import drawn
from yourface_tfds import prepare

TFDS = pathlib.Path(sys.executable).with_name("tfds")
VERSION = "1.0.0"


def command(manual_dir, data_dir, *flags, config="jpeg"):
  """Returns the stock command that builds one config."""
  return [
    *(TFDS, "build", "builders/your_face", f"--config={config}"),
    *(f"--manual_dir={manual_dir}", f"--data_dir={data_dir}", *flags),
  ]


def start(words: Sequence, *, environment: Mapping = {}, **options):
  """Starts a program of the checkout, in a process group of its own."""
  return subprocess.Popen(
    [*map(str, words)],
    cwd=drawn.ROOT,
    env={**drawn.environment(), **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    encoding="utf-8",
    start_new_session=True,
    **options,
  )


def finish(process, timeout=300):
  """Waits for what `start` returned; kills it where that takes too long."""
  try:
    out, errors = process.communicate(timeout=timeout)
  finally:
    kill(process)
  return subprocess.CompletedProcess([], process.returncode, out, errors)


def kill(process):
  """Kills a program and all it started; returns whether it still ran."""
  ran = process.poll() is None
  if ran:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
  process.communicate()
  return ran


def build(manual_dir, data_dir, *flags, config="jpeg", prefix=(), **options):
  """Runs a build to its end."""
  words = [*prefix, *command(manual_dir, data_dir, *flags, config=config)]
  return finish(start(words, **options))


def good_build(*arguments, **options):
  """Runs a build that must succeed."""
  run = build(*arguments, **options)
  assert run.returncode == 0, run.stderr[-3000:]
  return run


def drawn_builds(folder, *, people, photos):
  """Returns undisturbed builds: where from, where, and the files of each."""
  manual_dir, data_dir = folder / "m", folder / "d"
  drawn.write(manual_dir, people=people, photos=photos)
  found = {}
  for config in ("jpeg", "raw"):
    good_build(manual_dir, data_dir, config=config)
    found[config] = files(version_dir(data_dir, config))
  return types.SimpleNamespace(
    manual_dir=manual_dir, data_dir=data_dir, files=found
  )


def photos_of(manual_dir):
  """Returns all photos, sorted."""
  return sorted((manual_dir / "photos").rglob("*.jpg"))


def version_dir(data_dir, config="jpeg"):
  return pathlib.Path(data_dir) / "your_face" / config / VERSION


def unpublished(data_dir, config="jpeg"):
  """Returns the folders of builds that have not been published."""
  return list(version_dir(data_dir, config).parent.glob("incomplete.*"))


def leftovers(data_dir):
  """Returns what a build should have removed, anywhere."""
  return [
    path
    for path in pathlib.Path(data_dir).rglob("*")
    if "incomplete" in path.name or path.name.startswith("beam.")
  ]


def files(folder):
  """Returns name -> bytes of all there is in a built version."""
  found = {}
  for path in sorted(pathlib.Path(folder).rglob("*")):
    if path.is_file():
      found[path.relative_to(folder).as_posix()] = path.read_bytes()
  return found


def assert_same_build(folder, expected):
  """Checks a built version byte by byte against `files` of another."""
  got = files(folder)
  assert list(got) == list(expected)
  for name, content in got.items():
    assert content == expected[name], name
  assert sum(".tfrecord-" in name for name in got) >= 2


def error_line(run):
  """Returns the one line that a failed program ends with."""
  assert run.returncode == 1, (run.returncode, run.stderr[-3000:])
  assert "Traceback" not in run.stderr, run.stderr[-3000:]
  line = run.stderr.strip().splitlines()[-1]
  assert line.startswith("error: "), line
  return line.removeprefix("error: ")


def detected(run):
  """Returns how many photos a build had to look at."""
  words = re.search(r"The detector looked at ([\d,]+) photos", run.stdout)
  assert words, run.stdout[-2000:]
  return int(words[1].replace(",", ""))


def recorded(data_dir):
  """Returns how many photos' faces are on disk."""
  path = pathlib.Path(data_dir) / "your_face" / prepare.CACHE_NAME
  if not path.exists() or not path.stat().st_size:
    return 0
  with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
    assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    tables = database.execute("SELECT name FROM sqlite_master").fetchall()
    if ("detections",) not in tables:  # Killed before anything else.
      return 0
    return database.execute("SELECT COUNT(*) FROM detections").fetchone()[0]


def wait_for(condition, process, seconds=120.0):
  """Waits until something is so or the process has ended; returns which."""

  def holds():
    try:
      return condition()
    except FileNotFoundError:  # Gone between two calls: look again.
      return False

  end = time.monotonic() + seconds
  while not holds():
    if process.poll() is not None:
      return holds()
    assert time.monotonic() < end, "nothing happened"
    time.sleep(0.001)
  return True


_SABOTAGE = """
import os, pathlib, shutil, sys, time
_times, _busy = 0, False
def _act():
  {action}
def _hook(event, arguments):
  global _times, _busy
  if event != {event!r} or _busy or {place!r} not in str(arguments[0]):
    return
  _times += 1
  if _times == {times}:
    _busy = True
    _act()
    _busy = False
sys.addaudithook(_hook)
"""


def sabotage(folder, action, *, event, place, times=1):
  """Returns an environment in which Python disturbs its own work.

  Args:
    folder: an empty one, for the code that Python runs at start.
    action: Python statements.
    event: of https://docs.python.org/3/library/audit_events.html, just before
      which the action is taken.
    place: what the first argument of the event holds.
    times: at which such event.
  """
  lines = action.strip().replace("\n", "\n  ")
  return at_start(
    folder,
    _SABOTAGE.format(action=lines, event=event, place=str(place), times=times),
  )


def at_start(folder, code):
  """Returns an environment in which Python runs code before all else."""
  folder.mkdir(exist_ok=True)
  (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
  return {"PYTHONPATH": str(folder)}
