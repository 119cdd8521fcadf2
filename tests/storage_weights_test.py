"""Weights that lie elsewhere: `--weights=s3://...`."""

import keras
import numpy as np
import pytest

from tests import far
from yourface_tfds import backbones, cli

_SIDE = 32


@pytest.fixture
def store(tmp_path, monkeypatch):
  found = far.Store(tmp_path)
  found.here(monkeypatch)
  yield found
  found.check_no_strays(tmp_path)


def _features(weights):
  images = keras.Input([_SIDE, _SIDE, 3])
  out = backbones.backbone("MobileNetV2", images, weights)
  return keras.Model(images, out)


@pytest.mark.slow
def test_a_file(store, tmp_path):
  keras.utils.set_random_seed(1)
  made = keras.applications.MobileNetV2(
    input_shape=(_SIDE, _SIDE, 3),
    include_top=False,
    weights=None,
    pooling="avg",
  )
  local = tmp_path / "w" / "net.weights.h5"
  local.parent.mkdir()
  made.save_weights(local)
  store.put(local.parent, "weights")
  found = _features("s3://weights/net.weights.h5").get_weights()
  for mine, theirs in zip(found, made.get_weights(), strict=True):
    np.testing.assert_array_equal(mine, theirs)


def test_files_that_are_not_there_or_no_weights(store, tmp_path):
  with pytest.raises(cli.UserError) as caught:
    _features("s3://weights/none.h5")
  assert str(caught.value) == (
    "--weights: no .h5 file 's3://weights/none.h5'; allowed: none, imagenet or "
    "the path of a .weights.h5 or .h5 file"
  )
  (tmp_path / "w").mkdir()
  (tmp_path / "w/net.h5").write_bytes(b"no HDF5")
  store.put(tmp_path / "w", "weights")
  with pytest.raises(cli.UserError) as caught:
    _features("s3://weights/net.h5")
  # The name that was given, not that of the copy.
  assert str(caught.value).startswith(
    "--weights: s3://weights/net.h5 cannot be read as HDF5 ("
  )


def test_folders_of_several(store, tmp_path):
  names = ("VGG19", "MobileNetV2")
  (tmp_path / "w").mkdir()
  for name in names:
    (tmp_path / "w" / backbones.NETWORKS[name].file).write_bytes(b"x")
  store.put(tmp_path / "w", "all")
  found = backbones.files_in("s3://all", names)
  assert [str(path) for path in found] == [
    f"s3://all/{backbones.NETWORKS[name].file}" for name in names
  ]
  (store.root / "empty").mkdir()
  with pytest.raises(cli.UserError) as caught:
    backbones.files_in("s3://empty", names)
  assert " in 's3://empty'; allowed: none, imagenet or a folder" in str(
    caught.value
  )
