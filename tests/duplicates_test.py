"""Tests of duplicates: what is one picture, and what is not."""

import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image

from yourface_tfds import duplicates

_HASH_BITS = 256
_NEAR = 16


def _picture(seed, height=300, width=400):
  """Smooth noise: large shapes, as in a photo, and no two alike."""
  rng = np.random.default_rng(seed)
  small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
  return small.resize((width, height), Image.Resampling.BICUBIC)


def _jpeg(image, quality):
  out = io.BytesIO()
  image.save(out, "JPEG", quality=quality)
  return Image.open(out)


_CHANGES = {
  "smaller": lambda image: image.resize((131, 98)),
  "larger": lambda image: image.resize((1000, 750)),
  "squeezed": lambda image: image.resize((300, 300)),
  "recompressed": lambda image: _jpeg(image, 30),
  "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
  "mirrored, smaller, recompressed": lambda image: _jpeg(
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((160, 120)), 40
  ),
  "brighter": lambda image: image.point(lambda value: value * 0.9 + 20),
}


def _hash(image):
  return duplicates.picture_hash(np.asarray(image.convert("RGB")))


def _distance(one, other):
  """Bits in which both hashes differ at the most, mirrored or not."""

  def farther(flip):
    return max(
      int(np.unpackbits(one[side] ^ other[side ^ flip]).sum())
      for side in (0, 1)
    )

  return min(farther(0), farther(1))


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_hash_is_stable(change):
  for seed in range(5):
    image = _picture(seed)
    assert _distance(_hash(image), _hash(change(image))) <= _NEAR


def test_hashes_of_other_pictures_are_far():
  hashes = [_hash(_picture(seed)) for seed in range(30)]
  assert hashes[0].shape == (2, _HASH_BITS // 8)
  assert hashes[0].dtype == np.uint8
  for one, other in itertools.combinations(hashes, 2):
    assert _distance(one, other) > 2 * _NEAR


def test_hash_of_the_mirror_image_is_the_second_of_the_two():
  image = np.asarray(_picture(3))
  straight, mirrored = duplicates.picture_hash(image)
  again = duplicates.picture_hash(image[:, ::-1])
  assert np.bitwise_count(again[0] ^ mirrored).sum() <= 2
  assert np.bitwise_count(again[1] ^ straight).sum() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_hash_of_tiny_pictures(size):
  photo = np.full((*size, 3), 99, np.uint8)
  assert not duplicates.picture_hash(photo).any()


def _groups(hashes, digests):
  return duplicates.find_groups(np.stack(hashes), digests)


def test_groups_hold_the_copies_of_one_picture():
  hashes, digests, wanted = [], [], []
  for seed in range(12):
    image = _picture(seed)
    copies = [image, *(change(image) for change in _CHANGES.values())]
    names = [f"{100 - seed}{place}" for place in range(len(copies))]
    hashes += map(_hash, copies)
    digests += names
    wanted += [min(names)] * len(names)
  assert _groups(hashes, digests) == wanted

  order = list(range(len(hashes)))
  random.Random(0).shuffle(order)
  shuffled = _groups([hashes[i] for i in order], [digests[i] for i in order])
  assert shuffled == [wanted[i] for i in order]


def test_groups_of_nothing_and_of_one():
  assert duplicates.find_groups(np.zeros((0, 2, 32), np.uint8), []) == []
  assert _groups([_hash(_picture(0))], ["only"]) == ["only"]


def _bits(*places):
  bits = np.zeros(_HASH_BITS, np.uint8)
  bits[list(places)] = 1
  return np.packbits(bits)


def _naive_groups(hashes, digests):
  group = list(digests)
  for _ in digests:
    for i, j in itertools.product(range(len(group)), repeat=2):
      if _distance(hashes[i], hashes[j]) <= _NEAR:
        group[i] = group[j] = min(group[i], group[j])
  return group


def test_a_chain_is_one_group():
  ends = [0, 16, 32, 48]
  hashes = [np.stack([_bits(*range(end))] * 2) for end in ends]
  assert _groups(hashes, ["d", "b", "c", "a"]) == ["a"] * 4


def test_one_bit_more_is_another_picture():
  hashes = [np.stack([_bits(*range(end))] * 2) for end in (0, 16, 33)]
  assert _groups(hashes, ["a", "b", "c"]) == ["a", "a", "c"]


def test_mirrored_drawing_on_a_plain_background():
  # Most of the hash is plain, the same in both directions; the few bands that
  # are not differ in one bit each.
  band = _HASH_BITS // (_NEAR + 1)
  left = set(range(3 * band))
  for start in range(0, 3 * band, 2):
    left.discard(start)
  right = set(range(3 * band)) - left
  noisy = right ^ {0, band, 2 * band}
  noisy_left = left ^ {1, band + 1, 2 * band + 1}
  one = np.stack([_bits(*left), _bits(*right)])
  other = np.stack([_bits(*noisy), _bits(*noisy_left)])
  assert _distance(one, other) == 3
  assert _groups([one, other], ["a", "b"]) == ["a", "a"]


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_those_of_comparing_all(seed):
  rng = random.Random(seed)
  hashes = []
  for _ in range(6):
    # A hash with plain stretches, and some near it in either direction.
    stretch = range(rng.randrange(200), _HASH_BITS)
    sides = [
      set(rng.sample(stretch, rng.randrange(len(stretch)))) for _ in range(2)
    ]
    for _ in range(3):
      noise = [set(rng.sample(range(_HASH_BITS), 8)) for _ in range(2)]
      pair = [side ^ flips for side, flips in zip(sides, noise, strict=True)]
      rng.shuffle(pair)
      hashes.append(np.stack([_bits(*side) for side in pair]))
  digests = [f"{number:02}" for number in range(len(hashes))]
  rng.shuffle(digests)
  assert _groups(hashes, digests) == _naive_groups(hashes, digests)


def test_pictures_that_share_only_falling_edges_are_two():
  def stripe(start, end):
    photo = np.full((160, 170, 3), 60, np.uint8)
    photo[:, start:end] = 200
    return photo

  hashes = [duplicates.picture_hash(stripe(start, 120)) for start in (30, 70)]
  # Seen mirrored, where one rises the other does too.
  assert not (hashes[0][1] ^ hashes[1][1]).any()
  groups = duplicates.find_groups(np.array(hashes), ["a", "b"])
  assert groups == ["a", "b"]
