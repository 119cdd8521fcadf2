"""Prints on disk: what was written comes back, and groups are the same."""

import contextlib
import errno
import os
import random

import pytest

from yourface_tfds import duplicates, spooled_prints


@pytest.fixture
def spools():
  with contextlib.ExitStack() as stack:
    yield lambda folder: stack.enter_context(
      spooled_prints.SpooledPrints(folder)
    )


def _prints(rng, *, has_face):
  sizes = {"picture": 64, "face": 64, "wide": 576}
  return {
    name: rng.randbytes(size)
    for name, size in sizes.items()
    if has_face or name == "picture"
  }


def test_what_was_written_comes_back(spools, tmp_path):
  rng = random.Random(0)
  expected = [_prints(rng, has_face=i % 3 > 0) for i in range(40)]
  found = spools(tmp_path)
  assert not found
  for prints in expected:
    found.add(prints)
  assert list(found) == expected
  assert found[3] == expected[3]
  assert found[-1] == expected[-1]
  assert list(found[3:7]) == expected[3:7]
  with pytest.raises(IndexError):
    found[40]
  # Nothing has a name on the disk.
  assert not list(tmp_path.iterdir())


def test_groups_are_the_same(spools, tmp_path):
  rng = random.Random(1)
  found = spools(tmp_path)
  kept = []
  for i in range(30):
    prints = kept[i - 1] if i % 5 == 4 else _prints(rng, has_face=i % 2 > 0)
    kept.append(prints)
    found.add(prints)
  digests = [f"{rng.getrandbits(64):016x}" for _ in kept]
  groups = duplicates.find_groups(kept, digests)
  assert duplicates.find_groups(found, digests) == groups
  assert len(set(groups)) == 24
  backwards = spooled_prints.Picked(found, range(29, -1, -1))
  assert list(backwards) == kept[::-1]
  assert list(backwards[3:7]) == kept[26:22:-1]


def test_the_disk_is_full(spools, tmp_path, monkeypatch):
  found = spools(tmp_path)

  def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(os, "pwrite", refuse)
  with pytest.raises(OSError, match="No space left"):
    found.add(_prints(random.Random(2), has_face=True))
