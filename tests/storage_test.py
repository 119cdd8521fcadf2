"""Files wherever they lie: the same answers here and on a store."""

import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from tests import drawn, far
from yourface_tfds import cli, storage


@pytest.fixture
def store(tmp_path, monkeypatch):
  found = far.Store(tmp_path)
  found.here(monkeypatch)
  yield found
  found.check_no_strays(tmp_path)


@pytest.fixture(params=["disk", "store"])
def place(request, tmp_path, monkeypatch):
  """Yields a folder that is not there yet, here or elsewhere."""
  if request.param == "disk":
    yield str(tmp_path / "한글 run")
    return
  found = far.Store(tmp_path)
  found.here(monkeypatch)
  yield "s3://bucket/한글 run"
  found.check_no_strays(tmp_path)


def _names(place):
  folder = storage.path(place)
  return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def _fail(monkeypatch, fault):
  monkeypatch.setenv("FAR_FAULT", fault)


@pytest.mark.parametrize("name", ["a", "./a/b", "/a", "a:b", "s3:/a", ""])
def test_paths_of_this_disk_are_pathlibs(name):
  assert storage.is_local(name)
  assert storage.path(name) == pathlib.Path(name)
  assert type(storage.path(name)) is type(pathlib.Path())
  assert storage.only_local(name, "--output") == pathlib.Path(name)


@pytest.mark.parametrize("scheme", ["gs", "s3", "az"])
def test_a_scheme_stays(scheme):
  name = f"{scheme}://bucket/run"
  path = storage.path(name) / "best.weights.h5"
  assert not storage.is_local(path)
  assert str(path) == f"{name}/best.weights.h5"
  assert str(storage.path(path).parent) == name
  assert storage.absolute(path) == str(path)


def test_absolute(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "there").mkdir()
  (tmp_path / "link").symlink_to("there")
  assert storage.absolute("link/run") == str(tmp_path.resolve() / "there/run")


def test_schemes_that_nobody_knows():
  with pytest.raises(cli.UserError) as caught:
    storage.path("ftp://host/run")
  assert str(caught.value) == (
    "got 'ftp://host/run', allowed: a path of this disk, or one of gs://, "
    "s3://, az:// and hf://; nobody knows ftp://"
  )


def test_only_local():
  with pytest.raises(cli.UserError) as caught:
    storage.only_local("s3://b/card.png", "--output")
  assert str(caught.value) == (
    "--output: got 's3://b/card.png', allowed: a path of this disk; give one, "
    "and copy it yourself"
  )


def test_write_text(place):
  path = storage.path(place) / "deep" / "figures.json"
  for text in ("강아지\r\n", "", "2\n"):
    storage.write_text(path, text)
    assert path.read_bytes() == text.encode()
    assert storage.size(path) == len(text.encode())
  assert _names(path.parent) == ["figures.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_on_any_error(place, error):
  path = storage.path(place) / "a.weights.h5"
  storage.write_text(path, "old")
  with pytest.raises(error), storage.replaced_file(path) as temporary:
    assert temporary.name.endswith(".weights.h5")
    temporary.write_text("new")
    raise error
  assert path.read_text() == "old"
  assert _names(place) == ["a.weights.h5"]


def _fill(folder, names, text):
  for name in names:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + name)


def _read(place):
  root = storage.path(place)
  return {name: (root / name).read_text() for name in storage.files(root)}


def test_a_folder_takes_its_place(place):
  export = f"{place}/saved_model"
  for text, names in (("old", ["a", "b/c"]), ("new", ["b/d", "e/f/g"])):
    with storage.replaced_dir(export) as folder:
      _fill(folder, names, text)
    assert _read(export) == {name: text + name for name in names}
  assert _names(place) == ["saved_model"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_stays_as_it_was_on_any_error(place, error):
  export = f"{place}/saved_model"
  with storage.replaced_dir(export) as folder:
    _fill(folder, ["a", "b/c"], "old")
  with pytest.raises(error), storage.replaced_dir(export) as folder:
    _fill(folder, ["a"], "new")
    raise error
  assert _read(export) == {"a": "olda", "b/c": "oldb/c"}
  assert _names(place) == ["saved_model"]


def test_files(place):
  assert storage.files(place) == []
  for name in ("b/2", "a", "b/1", "b/c/.hidden"):
    storage.write_text(storage.path(place) / name, name)
  assert storage.files(place) == ["a", "b/1", "b/2", "b/c/.hidden"]


def test_copies_are_equal_whatever_their_size(place, tmp_path, monkeypatch):
  monkeypatch.setattr(storage, "_PIECE", 1000)
  source = tmp_path / "source"
  source.mkdir()
  for size in (0, 1, 999, 1000, 1001, 2500):
    (source / str(size)).write_bytes(bytes(i % 251 for i in range(size)))
  storage.copy_tree(source, place)
  storage.copy_tree(place, tmp_path / "back")
  assert storage.files(place) == storage.files(source)
  for path in source.iterdir():
    assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_local_file(place):
  path = storage.path(place) / "best.weights.h5"
  storage.write_text(path, "weights")
  with storage.local_file(path) as here:
    assert here.read_text() == "weights"
    assert here.name == "best.weights.h5"
    assert (str(here) == str(path)) == storage.is_local(path)
  # A copy is gone afterwards, the file itself is not.
  assert here.exists() == storage.is_local(path)
  assert path.read_text() == "weights"


def test_local_file_of_none(store):
  with (
    pytest.raises(FileNotFoundError, match="s3://b/none"),
    storage.local_file("s3://b/none"),
  ):
    pass


_REFUSED = [
  ("write", "incomplete", tf.errors.UnavailableError, 14),
  ("rename", "incomplete", tf.errors.PermissionDeniedError, 7),
]


@pytest.mark.parametrize(("what", "part", "error", "code"), _REFUSED)
def test_a_store_that_refuses_a_file(
  store, monkeypatch, what, part, error, code
):
  storage.write_text("s3://b/state.npz", "old")
  _fail(monkeypatch, f"{what} {part} {code} 1")
  with pytest.raises(error, match=f"the store refused to {what}"):
    storage.write_text("s3://b/state.npz", "new")
  assert store.files("b") == ["state.npz"]
  assert (store.root / "b/state.npz").read_text() == "old"
  _fail(monkeypatch, "")
  storage.write_text("s3://b/state.npz", "new")
  assert (store.root / "b/state.npz").read_text() == "new"


def test_a_store_that_refuses_everything_says_the_first_thing(
  store, monkeypatch
):
  _fail(monkeypatch, "write incomplete 14 1")
  with monkeypatch.context() as also:
    also.setattr(
      storage.epath.Path, "unlink", lambda *_, **__: 1 / 0, raising=True
    )
    with pytest.raises(tf.errors.UnavailableError, match="refused to write"):
      storage.write_text("s3://b/state.npz", "new")


def test_a_store_that_refuses_part_of_a_folder(store, monkeypatch):
  with storage.replaced_dir("s3://b/e") as folder:
    _fill(folder, ["a", "b", "c/d"], "old")
  # While it is sent: what was there stays, whole.
  _fail(monkeypatch, "write incomplete.e/c 14 1")
  with (
    pytest.raises(tf.errors.UnavailableError),
    storage.replaced_dir("s3://b/e") as folder,
  ):
    _fill(folder, ["a", "c/d"], "new")
  assert _read("s3://b/e") == {"a": "olda", "b": "oldb", "c/d": "oldc/d"}
  # While it takes its place: a part, and nothing of the old one among it.
  _fail(monkeypatch, "rename incomplete.e/c 14 1")
  with (
    pytest.raises(tf.errors.UnavailableError),
    storage.replaced_dir("s3://b/e") as folder,
  ):
    _fill(folder, ["a", "c/d"], "new")
  assert _read("s3://b/e") == {"a": "newa"}
  assert store.files("b") == ["e/a"]
  _fail(monkeypatch, "")
  with storage.replaced_dir("s3://b/e") as folder:
    _fill(folder, ["c/d"], "third")
  assert _read("s3://b/e") == {"c/d": "thirdc/d"}


_KILLED = """
from yourface_tfds import storage
storage.write_text("s3://b/state.npz", "new")
with storage.replaced_dir("s3://b/e") as folder:
  for name in ("a", "b"):
    (folder / name).write_text("new")
"""


@pytest.mark.parametrize(
  ("fault", "state", "left"),
  [
    ("write incomplete.state 0 1", "old", []),
    pytest.param(
      "rename incomplete.state 0 1",
      "old",
      [".incomplete.state.npz"],
      marks=pytest.mark.slow,
    ),
    pytest.param(
      "write incomplete.e/b 0 1",
      "new",
      [".incomplete.e/a"],
      marks=pytest.mark.slow,
    ),
    pytest.param(
      "rename incomplete.e/b 0 1",
      "new",
      [".incomplete.e/b"],
      marks=pytest.mark.slow,
    ),
  ],
)
def test_killed_processes(store, fault, state, left):
  storage.write_text("s3://b/state.npz", "old")
  done = subprocess.run(
    [sys.executable, "-c", _KILLED],
    cwd=drawn.ROOT,
    env=store.environment(fault),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == -9, done.stderr
  assert (store.root / "b/state.npz").read_text() == state
  names = store.files("b")
  assert [name for name in names if "incomplete" in name] == left
  # The next one ends well, and removes what was left.
  storage.write_text("s3://b/state.npz", "newer")
  with storage.replaced_dir("s3://b/e") as folder:
    (folder / "b").write_text("newer")
  assert store.files("b") == ["e/b", "state.npz"]
