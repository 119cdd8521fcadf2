"""Folders that nothing can be written to: read all the same, or told at once.

Where the tests run as root, whom no rights bind, without what makes it so.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import faults
from yourface_tfds import cli, folder_lock

_CONFIG = "raw-image_size_32"


_CAPABILITIES = "-dac_override,-dac_read_search"


@pytest.fixture(scope="module")
def bound():
  """What comes before a command, so that rights bind it, root's too."""
  if os.getuid():
    return ()
  if not shutil.which("setpriv"):
    pytest.skip("run by root, and there is no setpriv (util-linux)")
  words = (
    *("setpriv", f"--bounding-set={_CAPABILITIES}"),
    f"--inh-caps={_CAPABILITIES}",
  )
  if subprocess.run([*words, "true"], capture_output=True).returncode:
    pytest.skip("root may not give up its rights here")
  return words


@pytest.fixture
def folder(tmp_path):
  return tmp_path


def _open_to_all(path, mode=0o755):
  for one in (path, *path.rglob("*")):
    one.chmod(mode if one.is_dir() else mode & 0o666)


@pytest.fixture
def data_dir(folder, tiny_data_dir):
  """A read-only copy, without an index."""
  place = pathlib.Path("your_face") / _CONFIG
  shutil.copytree(tiny_data_dir / place, folder / "D" / place)
  shutil.rmtree(folder / "D" / place / "1.0.0" / ".index", ignore_errors=True)
  _open_to_all(folder / "D", 0o555)
  yield folder / "D"
  _open_to_all(folder / "D")


def _run(bound, folder, module, *flags):
  home = folder / "home"
  home.mkdir(exist_ok=True)
  environment = {
    **{"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
    "PYTHONDONTWRITEBYTECODE": "1",
  }
  words = [*bound, sys.executable, "-m", module, *flags]
  return faults.finish(faults.start(words, environment=environment))


def _refusal(flag, path):
  return (
    f"{flag}: got {path}, where nothing can be written, allowed: a folder that "
    "is yours; change its rights or name another"
  )


def test_written_nowhere(folder, bound):
  # Without TensorFlow's operations, in a second.
  closed = folder / "closed"
  closed.mkdir(mode=0o555)
  code = (
    "import sys\n"
    "from yourface_tfds import cli, folder_lock\n"
    "for path in sys.argv[1:]:\n"
    "  try:\n"
    "    with folder_lock.writing(path, '--workdir'):\n"
    "      print('written')\n"
    "  except cli.UserError as error:\n"
    "    print(error)\n"
  )
  paths = [closed, closed / "new", closed / "new" / "er"]
  words = [*bound, sys.executable, "-c", code, *map(str, paths)]
  run = faults.finish(faults.start(words))
  assert run.returncode == 0, run.stderr
  assert run.stdout.splitlines() == [_refusal("--workdir", p) for p in paths]


def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path):
  path = tmp_path / "a" / "b"
  with folder_lock.writing(path, "--workdir"):
    assert path.is_dir()
  assert not list(tmp_path.iterdir())
  with folder_lock.writing(path, "--workdir"):
    (path / "file").write_bytes(b"")
  with folder_lock.writing(path, "--workdir"):
    pass
  assert (path / "file").exists()
  assert not (tmp_path / "c").exists()
  with folder_lock.reading(tmp_path / "c", "--workdir"):
    pass
  assert not (tmp_path / "c").exists()


def test_one_writes_or_several_read(tmp_path):
  words = "wait for it to end, or name another folder"
  with (
    folder_lock.writing(tmp_path, "--workdir"),
    pytest.raises(cli.UserError) as caught,
    folder_lock.reading(tmp_path, "--export_dir"),
  ):
    pass
  assert str(caught.value) == (
    f"--export_dir: got {tmp_path}, but another command writes to it; {words}"
  )
  with (
    folder_lock.reading(tmp_path, "--workdir"),
    folder_lock.reading(tmp_path, "--workdir"),
    pytest.raises(cli.UserError) as caught,
    folder_lock.writing(tmp_path, "--output_dir"),
  ):
    pass
  assert str(caught.value) == (
    f"--output_dir: got {tmp_path}, but another command is at work in it; "
    f"{words}"
  )
  with folder_lock.from_to(tmp_path, tmp_path / "a" / "..", "--output_dir"):
    pass  # An export into the folder of its run.
  with folder_lock.writing("s3://bucket/run", "--workdir"):
    pass  # Elsewhere there are no locks.
  assert not pathlib.Path("s3:").exists()


@pytest.mark.slow
def test_a_read_only_dataset(folder, bound, data_dir):
  before = sorted(data_dir.rglob("*"))
  workdir = folder / "W"
  workdir.mkdir()
  flags = (f"--data_dir={data_dir}", f"--config={_CONFIG}")
  run = _run(
    *(bound, folder, "training.train", *flags, f"--workdir={workdir}"),
    *("--epochs=1", "--batch_size=30"),
  )
  assert run.returncode == 0, run.stderr[-2000:]
  assert (workdir / "temperatures.json").exists()
  # The indexes are in the user's own cache.
  found = (folder / "home" / ".cache").rglob("*.index")
  names = {path.name.split(".")[0] for path in found}
  assert names == {"train", "validation"}
  assert sorted(data_dir.rglob("*")) == before
  # The same run in a workdir that has become read-only.
  _open_to_all(workdir, 0o555)
  for module in ("training.train", "training.evaluate"):
    is_training = module == "training.train"
    more = ("--epochs=1", "--batch_size=30") if is_training else ()
    run = _run(bound, folder, module, *flags, f"--workdir={workdir}", *more)
    assert faults.error_line(run) == _refusal("--workdir", workdir)
    assert "Evaluating" not in run.stderr
  # Exports only read it.
  out = folder / "E"
  out.mkdir(mode=0o555)
  run = _run(
    *(bound, folder, "export.export_tflite", *flags, f"--workdir={workdir}"),
    *(f"--output_dir={out}", "--kinds=float32"),
  )
  assert faults.error_line(run) == _refusal("--output_dir", out)
  assert "Comparing" not in run.stderr
  out.chmod(0o755)
  run = _run(
    *(bound, folder, "export.export_tflite", *flags, f"--workdir={workdir}"),
    *(f"--output_dir={out}", "--kinds=float32"),
  )
  assert run.returncode == 0, run.stderr[-2000:]
  assert (out / "your_face_float32.tflite").exists()
  _open_to_all(out, 0o555)
  run = _run(
    *(bound, folder, "export.verify", *flags, f"--workdir={workdir}"),
    *(f"--export_dir={out}", "--nolatency"),
  )
  assert faults.error_line(run) == _refusal("--export_dir", out)
  run = _run(
    *(bound, folder, "export.export_saved_model", f"--workdir={workdir}"),
    f"--output_dir={out}",
  )
  assert faults.error_line(run) == _refusal("--output_dir", out)
