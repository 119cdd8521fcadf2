"""Tests of mtcnn_weights: only the files of mtcnn 1.0.0 are unpickled."""

import pathlib
import shutil

import pytest

from yourface_tfds import mtcnn_weights


@pytest.fixture
def folder(tmp_path):
  """A copy of the weights that a test may break."""
  return pathlib.Path(
    shutil.copytree(mtcnn_weights.weights_folder(), tmp_path / "w")
  )


def test_weights_are_those_of_the_package(folder):
  nets = mtcnn_weights.load_weights(folder)
  assert [len(net) for net in nets] == [13, 16, 21]


def test_tampered_weights_are_refused(folder):
  path = folder / "rnet.lz4"
  path.write_bytes(path.read_bytes() + b"\0")
  with pytest.raises(ValueError, match="Got sha256") as error:
    mtcnn_weights.load_weights(folder)
  message = str(error.value)
  assert str(path) in message
  assert f"expected {mtcnn_weights.WEIGHTS_SHA256['rnet']}" in message
  assert message.endswith(": pip install --force-reinstall mtcnn==1.0.0")


def test_missing_weights(folder, monkeypatch):
  (folder / "onet.lz4").unlink()
  with pytest.raises(FileNotFoundError, match=r"Got no file .*onet\.lz4"):
    mtcnn_weights.load_weights(folder)

  def missing(name):
    raise mtcnn_weights.importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(mtcnn_weights.importlib.metadata, "distribution", missing)
  with pytest.raises(FileNotFoundError, match=r"pip install mtcnn==1\.0\.0"):
    mtcnn_weights.load_weights()


def test_files_in_the_working_directory_are_not_touched(tmp_path, monkeypatch):
  # The package itself would unpickle ./pnet.lz4, and a module search would
  # take ./mtcnn.py.
  for net in mtcnn_weights.WEIGHTS_SHA256:
    (tmp_path / f"{net}.lz4").write_bytes(b"not weights")
  (tmp_path / "mtcnn.py").write_text("raise SystemExit('executed')\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  assert len(mtcnn_weights.load_weights()) == 3
