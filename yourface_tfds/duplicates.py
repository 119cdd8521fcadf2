"""Near-duplicates: one picture, resized, recompressed or mirrored.

hashes = [duplicates.picture_hash(photo) for photo in photos]
groups = duplicates.find_groups(np.array(hashes), digests)
"""

import collections
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

_HASH_SIDE = 16
_FLAT = 2.0  # Grey levels; JPEG noise on a plain background stays below.
_MAX_DISTANCE = 16
"""Bits of 256 in which two hashes of one picture may differ.

Of the pairs of 581 real photos, 14 lie within 9, all of one picture, the next
beyond 49; of 1,000 drawn photos, all of different pictures, none within 20.
"""
_BAND_BITS = 256 // (_MAX_DISTANCE + 1)


def picture_hash(photo: np.ndarray) -> np.ndarray:
  """Returns the difference hash of a photo and of its mirror image.

  Each bit says whether the grey value rises by more than `_FLAT` from one cell
  of a 17x16 grid to the next (dHash, hackerfactor.com/blog, entry 529).

  Args:
    photo: uint8[height, width, 3], 0..255.

  Returns:
    uint8[2, 32], 256 bits each.
  """
  image = Image.fromarray(photo).convert("L")
  size = (_HASH_SIDE + 1, _HASH_SIDE)
  grey = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)
  both = np.stack([grey, grey[:, ::-1]])
  bits = np.diff(both, axis=2) > _FLAT
  return np.packbits(bits.reshape(2, -1), axis=1)


def find_groups(hashes: np.ndarray, digests: Sequence[str]) -> list[str]:
  """Puts photos whose hashes are near, mirrored or not, into one group.

  Two hashes within `_MAX_DISTANCE` bits share at least one of
  `_MAX_DISTANCE + 1` bands unchanged (pigeonhole), so that only photos that
  meet in a band are compared.

  Args:
    hashes: uint8[photos, 2, 32] from `picture_hash`.
    digests: content digest of each file, which names its group.

  Returns:
    The group of each photo: the smallest digest among its members.
  """
  count = len(hashes)
  parent = list(range(count))

  def find(i: int) -> int:
    while parent[i] != i:
      parent[i] = parent[parent[i]]
      i = parent[i]
    return i

  bits = np.unpackbits(hashes.reshape(-1, 2, 32), axis=2)
  for band in range(_MAX_DISTANCE + 1):
    keys = np.packbits(
      bits[:, :, band * _BAND_BITS : (band + 1) * _BAND_BITS], axis=2
    )
    buckets = collections.defaultdict(list)
    for i, (straight, mirrored) in enumerate(keys):
      buckets[straight.tobytes()].append((i, 0))
      if (hashes[i, 0] != hashes[i, 1]).any():
        buckets[mirrored.tobytes()].append((i, 1))
    for members in buckets.values():
      for i, j in _near_pairs(hashes, members):
        parent[find(i)] = find(j)

  smallest: dict[int, str] = {}
  for i, digest in enumerate(digests):
    root = find(i)
    smallest[root] = min(digest, smallest.get(root, digest))
  return [smallest[find(i)] for i in range(count)]


def _near_pairs(
  hashes: np.ndarray, members: Sequence[tuple[int, int]]
) -> Iterable[tuple[int, int]]:
  indices = np.array(members).T
  for position, (i, side) in enumerate(members[:-1]):
    others = indices[:, position + 1 :]
    near = np.ones(others.shape[1], bool)
    # The one hash holds where grey rises, the other where it falls: both must
    # agree, or plain pictures with one edge in common would be the same.
    for flip in (0, 1):
      difference = hashes[others[0], others[1] ^ flip] ^ hashes[i, side ^ flip]
      distances = np.bitwise_count(difference).sum(axis=1, dtype=np.int32)
      near &= distances <= _MAX_DISTANCE
    for j in others[0][near]:
      yield i, int(j)
