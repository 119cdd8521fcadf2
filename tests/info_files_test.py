"""Damage to the files that describe a dataset: a line that names the file."""

import random
import shutil
import sys

import hypothesis
import pytest
from hypothesis import strategies as st

from tests import faults, json_files_test
from yourface_tfds import built_dataset, cli

_CONFIG = "raw-image_size_32"
_NAMES = ("dataset_info.json", "features.json", "metadata.json")
_MEND = "build it again or copy it again"


@pytest.fixture(scope="module")
def data_dir(tiny_data_dir, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  place = folder / "your_face" / _CONFIG
  shutil.copytree(tiny_data_dir / "your_face" / _CONFIG, place)
  return folder


def _path(data_dir, name):
  return data_dir / "your_face" / _CONFIG / "1.0.0" / name


@pytest.fixture(params=_NAMES)
def path(request, data_dir):
  """One of the files, which is mended afterwards."""
  path = _path(data_dir, request.param)
  content = path.read_bytes()
  yield path
  path.write_bytes(content)


def _refusal(data_dir):
  with pytest.raises(cli.UserError) as error:
    built_dataset.open_dataset(data_dir, _CONFIG)
  return str(error.value)


@pytest.mark.parametrize("content", json_files_test.BAD, ids=lambda c: c[:9])
def test_no_json(data_dir, path, content):
  path.write_bytes(content)
  said = _refusal(data_dir)
  assert said.startswith(f"{path}: is damaged ("), said
  assert said.endswith(f"); {_MEND}")


def test_cut_short(data_dir, path):
  content = path.read_bytes()
  for size in (1, len(content) // 3, len(content) // 2, len(content) - 2):
    path.write_bytes(content[:size])
    assert _refusal(data_dir).startswith(f"{path}: is damaged (")


@pytest.mark.parametrize("content", ["{}", '{"name": 3}', '{"splits": 5}'])
@pytest.mark.parametrize("name", _NAMES[:2])
def test_json_of_something_else(data_dir, name, content):
  path = _path(data_dir, name)
  kept = path.read_bytes()
  path.write_text(content)
  try:
    assert _refusal(data_dir).startswith(f"{path}: is damaged (")
  finally:
    path.write_bytes(kept)


def test_metadata_of_another_kind(data_dir):
  path = _path(data_dir, "metadata.json")
  kept = path.read_bytes()
  path.write_text('{"margin": "wide", "min_score": 0.9}')
  try:
    assert _refusal(data_dir) == (
      f"{path}: is damaged (margin is no number); {_MEND}"
    )
  finally:
    path.write_bytes(kept)


@pytest.mark.parametrize("name", _NAMES[:2])
def test_missing(data_dir, name):
  path = _path(data_dir, name)
  kept = path.read_bytes()
  path.unlink()
  try:
    assert _refusal(data_dir) == f"{path}: is damaged (it is missing); {_MEND}"
  finally:
    path.write_bytes(kept)


def test_no_dataset_at_all_is_another_matter(data_dir, tmp_path):
  for folder, config in ((tmp_path, _CONFIG), (data_dir, "jpeg")):
    with pytest.raises(
      cli.UserError, match=r"^--data_dir: no dataset your_face"
    ):
      built_dataset.open_dataset(folder, config)
  # A build that was cut off before it wrote anything that tells.
  (tmp_path / "your_face" / _CONFIG / "1.0.0").mkdir(parents=True)
  with pytest.raises(cli.UserError, match=r"^--data_dir: no dataset your_face"):
    built_dataset.open_dataset(tmp_path, _CONFIG)


def _mutated(content, seed):
  rng, content = random.Random(seed), bytearray(content)
  for _ in range(rng.choice((1, 1, 2, 5))):
    at = rng.randrange(len(content))
    change = rng.randrange(4)
    if change == 0:
      content[at] ^= 1 << rng.randrange(8)
    elif change == 1:
      del content[at : at + rng.choice((1, 2, 20))]
    elif change == 2:
      content[at:at] = rng.choice((b"0", b"[", b'"', b"-", b"null", b"{}"))
    else:
      content[at : at + 1] = bytes([rng.randrange(256)])
  return bytes(content)


@hypothesis.settings(
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
  max_examples=60,
  deadline=None,
)
@hypothesis.given(st.integers(0, 1 << 32))
def test_mutations_are_opened_or_named(data_dir, path, seed):
  kept = path.read_bytes()
  path.write_bytes(_mutated(kept, seed))
  try:
    dataset = built_dataset.open_dataset(data_dir, _CONFIG)
    for split in dataset.info.splits:
      if dataset.has_split(split):
        assert dataset.num_examples(split) >= 0
        dataset.shards(split)
    assert dataset.layout.size >= 0
  except cli.UserError as error:
    assert str(path.parent) in str(error) or "--data_dir" in str(error)
  finally:
    path.write_bytes(kept)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "content"), list(zip(_NAMES, ("", "{", "5"), strict=True))
)
def test_training_says_one_line(data_dir, tmp_path, name, content):
  path = _path(data_dir, name)
  kept = path.read_bytes()
  path.write_text(content)
  try:
    words = [
      *(sys.executable, "-m", "training.train", f"--data_dir={data_dir}"),
      *(f"--workdir={tmp_path / 'W'}", f"--config={_CONFIG}"),
    ]
    said = faults.error_line(faults.finish(faults.start(words)))
  finally:
    path.write_bytes(kept)
  assert said.startswith(f"{path}: is damaged (")
  assert not (tmp_path / "W").exists()
