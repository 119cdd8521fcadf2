"""Storage that is not this disk: s3:// kept in a folder, for the tests.

  store = far.Store(tmp_path)
  subprocess.run([..., "--workdir=s3://runs/1"], env=store.environment())
  assert (store.root / "runs/1/train.json").is_file()
  store.check_no_strays(tmp_path)

`far_storage.c` says how it behaves. A process of `environment()` knows s3://
as soon as it imports TensorFlow; `here(monkeypatch)` is for this process.
"""

import functools
import hashlib
import importlib.util
import pathlib
import shutil

import pytest
import tensorflow as tf

from tests import drawn, native

# Python imports it first. Registered when TensorFlow is imported, not before:
# programs that never import it must not learn to by being tested.
_SITECUSTOMIZE = """
import importlib.abc, importlib.machinery, os, sys

class _Finder(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    # What `tf.experimental` takes it from; quiet.py has "tensorflow" itself.
    if name != "tensorflow.python.framework.load_library":
      return None
    spec = importlib.machinery.PathFinder.find_spec(name, path, target)
    execute = spec.loader.exec_module
    def then_register(module):
      execute(module)
      module.register_filesystem_plugin(os.environ["FAR_LIBRARY"])
    spec.loader.exec_module = then_register
    return spec

sys.meta_path.insert(0, _Finder())
"""


@functools.cache
def _built() -> pathlib.Path:
  """Returns the folder of the plugin and sitecustomize.py, or skips."""
  flags = [
    f"-I{tf.sysconfig.get_include()}",
    f"-L{tf.sysconfig.get_lib()}",
    "-l:libtensorflow_framework.so.2",
  ]
  folder = native.built("far_storage", flags).parent
  (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
  return folder


@functools.cache
def _register() -> None:
  library = str(_built() / "far_storage.so")
  tf.experimental.register_filesystem_plugin(library)


def digests(folder: pathlib.Path) -> dict[str, str]:
  """Returns the SHA-256 of each file below a folder, by its path in it."""
  return {
    path.relative_to(folder).as_posix(): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in folder.rglob("*")
    if path.is_file() and path.name != ".made"
  }


class Store:
  """What lies behind s3://: `root/X` is s3://X."""

  def __init__(self, folder: pathlib.Path):
    # `importlib.util`: a sitecustomize.py of the machine would be hidden.
    if importlib.util.find_spec("sitecustomize") is not None:
      pytest.skip("this Python has a sitecustomize.py of its own")
    self._built = _built()
    self.root = folder / "far_root"
    self.root.mkdir()

  def environment(self, fault: str = "") -> dict[str, str]:
    """Returns a process's environment; far_storage.c says what `fault` is."""
    return {
      # Copies of shards; a test that looks at them sets its own.
      "XDG_CACHE_HOME": str(self.root.with_name("far_cache")),
      **drawn.environment(),
      "PYTHONPATH": str(self._built),
      "FAR_LIBRARY": str(self._built / "far_storage.so"),
      "FAR_ROOT": str(self.root),
      "FAR_FAULT": fault,
    }

  def here(self, monkeypatch, fault: str = "") -> None:
    """Lets this process know s3:// until the test ends."""
    _register()
    monkeypatch.setenv("FAR_ROOT", str(self.root))
    monkeypatch.setenv("FAR_FAULT", fault)

  def put(self, source: pathlib.Path, bucket: str) -> str:
    """Copies a folder into the store; returns its s3:// path."""
    shutil.copytree(source, self.root / bucket)
    return f"s3://{bucket}"

  def get(self, bucket: str, target: pathlib.Path) -> None:
    """Copies a part of the store to a folder that is not there yet."""
    made = shutil.ignore_patterns(".made")
    shutil.copytree(self.root / bucket, target, ignore=made)

  def files(self, bucket: str) -> list[str]:
    """Returns the files of a part of the store, relative to it, in order."""
    folder = self.root / bucket
    return sorted(
      path.relative_to(folder).as_posix()
      for path in folder.rglob("*")
      if path.is_file() and path.name != ".made"
    )

  def check_no_strays(self, *folders: pathlib.Path) -> None:
    """Checks that nobody took s3:// for a folder, nor left half a file."""
    for folder in (drawn.ROOT, pathlib.Path.cwd()):
      assert not list(folder.glob("s3:*"))
    for folder in (*folders, self.root):
      assert not list(folder.rglob("s3:*"))
    for path in self.root.rglob("*"):
      assert "incomplete" not in path.name
      assert not path.name.startswith(".sending.")
