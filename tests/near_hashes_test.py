"""Tests of near_hashes, against comparing all with all."""

import numpy as np
import pytest

from yourface_tfds import near_hashes

_DISTANCE = 16


class _Joined:
  """Groups that are joined as `visit` says, and how much it said."""

  def __init__(self, count):
    self.labels = np.arange(count)
    self.pairs = []
    self.refuses = False

  def groups(self, photos):
    return self.labels[photos]

  def join(self, ones, others, is_mirrored):
    for pair in zip(ones, others, is_mirrored, strict=True):
      self.pairs.append(tuple(map(int, pair)))
      if not self.refuses:
        one, other = self.labels[list(pair[:2])]
        self.labels[self.labels == other] = one

  def visit(self, hashes):
    near_hashes.visit(
      hashes, self.groups, self.join, distance=_DISTANCE, orders=(149,)
    )
    return self


def _flipped(rng, one, bits):
  """Returns a hash that differs in some bits of each of its two."""
  found = np.unpackbits(one, axis=1)
  for half in found:
    half[rng.choice(256, bits, replace=False)] ^= 1
  return np.packbits(found, axis=1)


def _hashes(seed, clusters, each, bits):
  """Returns clusters of near hashes, some mirrored, in any order."""
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(clusters):
    middle = rng.integers(0, 256, (2, 32), np.uint8)
    for number in range(each):
      one = _flipped(rng, middle, bits)
      found.append(one[::-1] if number % 3 == 2 else one)
  return np.array(found)[rng.permutation(len(found))]


def _all_near(hashes):
  """Returns all near pairs: i, j, whether j is mirrored."""
  found = set()
  for i, one in enumerate(hashes):
    for j in range(i + 1, len(hashes)):
      for is_mirrored in (0, 1):
        other = hashes[j][::-1] if is_mirrored else hashes[j]
        bits = np.bitwise_count(one ^ other).sum(1, dtype=int)
        if (bits <= _DISTANCE).all():
          found.add((i, j, is_mirrored))
  return found


def _components(count, pairs):
  labels = np.arange(count)
  for i, j, _ in pairs:
    labels[labels == labels[j]] = labels[i]
  return {tuple(np.flatnonzero(labels == label)) for label in set(labels)}


@pytest.mark.parametrize("large", [1, 4, 256])
@pytest.mark.parametrize("bits", [0, 5, 8])
def test_the_groups_are_those_of_comparing_all(monkeypatch, large, bits):
  monkeypatch.setattr(near_hashes, "_LARGE", large)
  for seed in range(3):
    hashes = _hashes(seed, clusters=12, each=8, bits=bits)
    joined = _Joined(len(hashes)).visit(hashes)
    expected = _all_near(hashes)
    assert set(joined.pairs) <= expected
    assert _components(len(hashes), joined.pairs) == (
      _components(len(hashes), expected)
    )


@pytest.mark.parametrize("large", [1, 256])
def test_pairs_that_are_not_joined_come_once(monkeypatch, large):
  monkeypatch.setattr(near_hashes, "_LARGE", large)
  monkeypatch.setattr(near_hashes, "_COMPARED", 10)
  monkeypatch.setattr(near_hashes, "_HANDED", 3)
  hashes = _hashes(1, clusters=5, each=9, bits=8)
  joined = _Joined(len(hashes))
  joined.refuses = True
  joined.visit(hashes)
  assert len(joined.pairs) == len(set(joined.pairs))
  assert set(joined.pairs) == _all_near(hashes)


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one(count):
  hashes = np.zeros((count, 2, 32), np.uint8)
  assert not _Joined(count).visit(hashes).pairs


def test_frames_of_one_film_are_not_all_compared(monkeypatch):
  compared = 0
  count = np.bitwise_count

  def counting(words):
    nonlocal compared
    compared += len(words)
    return count(words)

  monkeypatch.setattr(np, "bitwise_count", counting)
  hashes = _hashes(2, clusters=1, each=4000, bits=4)
  joined = _Joined(len(hashes)).visit(hashes)
  assert len(set(joined.labels)) == 1
  # Of 8 million pairs, each seen in many a band.
  assert compared < 400_000
