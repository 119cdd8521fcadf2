"""Near-duplicates: one picture, resized, recompressed, mirrored or cropped.

A picture is known by two prints, and one is enough:
  * the whole of it, for what was resized or recompressed: a difference hash
    (dHash, hackerfactor.com/blog, entry 529) that says where grey rises along
    the rows, and its mirror image's, which says where it falls.
  * what stands around the face, for what was cropped: the same hash of a patch
    aligned by the landmarks, which a crop does not move, confirmed by the
    correlation of a wider patch wherever both photos have pixels.

  prints = [duplicates.prints(photo, landmarks) for ...]
  groups = duplicates.find_groups(prints, digests)
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

_HASH_SIDE = 16
_FLAT = 2.0  # Grey levels; JPEG noise on a plain background stays below.

_PICTURE_DISTANCE = 16
"""Bits of 256 in which two hashes of one picture may differ.

Of the pairs of 581 real photos, 14 lie within 9, all of one picture, the next
beyond 49; of 1,000 drawn photos, all of different pictures, none within 20.
"""

_FACE_DISTANCE = 60
_CORRELATION = 0.95
"""Of the wide patches of one picture, at least.

Together they find 85 % of random crops by up to 8 % a side, 78 % by up to 15 %,
resized and half of them mirrored; of 161,000 pairs of real photos 18, all one
picture by eye, and no pair of drawn people (0.948 at most).
"""

_FACE_SPAN, _FACE_SIDE = 5.0, 64  # The patch, in spreads of the landmarks.
_WIDE_SPAN, _WIDE_SIDE = 12.0, 24
_MIN_SHARED = 80  # Cells of the wide patch that both photos must have.
_ABOVE_OUTSIDE = [max(level, 1) for level in range(256)]
_BANDS, _BAND_BITS = 21, 12


def prints(photo: np.ndarray, landmarks: np.ndarray | None) -> dict[str, bytes]:
  """Returns what a picture is known by.

  Args:
    photo: uint8[height, width, 3], 0..255.
    landmarks: float[5, 2] of its main face, y x in its pixels; None: no face.

  Returns:
    `picture`, and with a face `face`: 2 hashes of 256 bits each; `wide`:
    uint8[24, 24], 0 outside of the photo.
  """
  grey = Image.fromarray(photo).convert("L")
  found = {"picture": _hash(grey).tobytes()}
  if landmarks is not None:
    face = _patch(grey, landmarks, _FACE_SPAN, _FACE_SIDE, outside=128)
    found["face"] = _hash(face).tobytes()
    wide = _patch(
      grey.point(_ABOVE_OUTSIDE),
      landmarks,
      _WIDE_SPAN,
      _WIDE_SIDE,
      outside=0,
    )
    found["wide"] = wide.tobytes()
  return found


def _hash(grey: Image.Image) -> np.ndarray:
  size = (_HASH_SIDE + 1, _HASH_SIDE)
  cells = np.asarray(grey.resize(size, Image.Resampling.BOX), np.float32)
  both = np.stack([cells, cells[:, ::-1]])
  bits = np.diff(both, axis=2) > _FLAT
  return np.packbits(bits.reshape(2, -1), axis=1)


def _patch(
  grey: Image.Image,
  landmarks: np.ndarray,
  span: float,
  side: int,
  *,
  outside: int,
) -> Image.Image:
  """Cuts a square out around the landmarks, turned until the eyes are level."""
  centre = landmarks.mean(0)
  spread = float(np.sqrt(((landmarks - centre) ** 2).sum(1).mean()))
  step = max(span * spread / side, 1e-3)
  shrink = max(int(step), 1)
  if shrink > 1:  # Averaged, or single pixels would stand for many.
    grey = grey.reduce(shrink)
  dy, dx = landmarks[1] - landmarks[0]
  length = max(float(np.hypot(dy, dx)), 1e-6)
  cosine, sine = dx / length * step, dy / length * step
  half = side / 2
  matrix = (
    cosine,
    -sine,
    centre[1] - (cosine - sine) * half,
    sine,
    cosine,
    centre[0] - (sine + cosine) * half,
  )
  return grey.transform(
    (side, side),
    Image.Transform.AFFINE,
    [float(value) / shrink for value in matrix],
    Image.Resampling.BILINEAR,
    fillcolor=outside,
  )


def find_groups(
  prints: Sequence[Mapping[str, bytes]], digests: Sequence[str]
) -> list[str]:
  """Puts photos of one picture into one group.

  Two hashes that are near agree in one of their bands at least, within 16 bits
  surely, within 36 in 97 % of cases; only photos that meet in a band are
  compared.

  Args:
    prints: of each photo.
    digests: content digest of each file, which names its group.

  Returns:
    The group of each photo: the smallest digest among its members.
  """
  parent = list(range(len(prints)))

  def find(i: int) -> int:
    while parent[i] != i:
      parent[i] = parent[parent[i]]
      i = parent[i]
    return i

  first: dict[str, int] = {}
  for i, digest in enumerate(digests):  # The same file, maybe many times.
    parent[i] = first.setdefault(digest, i)
  different = sorted(first.values())
  for pairs in (_same_pictures(prints, different), _crops(prints, different)):
    for i, j in pairs:
      parent[find(i)] = find(j)

  smallest: dict[int, str] = {}
  for i, digest in enumerate(digests):
    root = find(i)
    smallest[root] = min(digest, smallest.get(root, digest))
  return [smallest[find(i)] for i in range(len(prints))]


def _same_pictures(
  prints: Sequence[Mapping[str, bytes]], rows: Sequence[int]
) -> Iterator[tuple[int, int]]:
  hashes = _unpacked(prints, rows, "picture")
  for i, j, _ in _near(hashes, _PICTURE_DISTANCE):
    yield rows[i], rows[j]


def _crops(
  prints: Sequence[Mapping[str, bytes]], rows: Sequence[int]
) -> Iterator[tuple[int, int]]:
  rows = [row for row in rows if "face" in prints[row]]
  hashes = _unpacked(prints, rows, "face")
  for i, j, is_mirrored in _near(hashes, _FACE_DISTANCE):
    wide = [
      np.frombuffer(prints[rows[k]]["wide"], np.uint8).reshape(
        _WIDE_SIDE, _WIDE_SIDE
      )
      for k in (i, j)
    ]
    if is_mirrored:
      wide[1] = wide[1][:, ::-1]
    if _correlation(*wide) >= _CORRELATION:
      yield rows[i], rows[j]


def _unpacked(
  prints: Sequence[Mapping[str, bytes]], rows: Sequence[int], name: str
) -> np.ndarray:
  """Returns the hashes, uint8[photos, 2, 32]."""
  joined = b"".join(prints[row][name] for row in rows)
  return np.frombuffer(joined, np.uint8).reshape(-1, 2, 32)


def _near(hashes: np.ndarray, distance: int) -> Iterator[tuple[int, int, bool]]:
  """Yields pairs of near hashes, and whether one of the two is mirrored."""
  count = len(hashes)
  bits = np.unpackbits(hashes, axis=2)
  # Row i is photo i as it is, row count + i its mirror image.
  bits = np.concatenate([bits[:, 0], bits[:, 1]])
  sides = np.concatenate([hashes, hashes[:, ::-1]])
  seen: set[int] = set()
  for band in range(_BANDS):
    part = bits[:, band * _BAND_BITS : (band + 1) * _BAND_BITS]
    keys = part.astype(np.int32) @ (1 << np.arange(_BAND_BITS))
    order = np.argsort(keys, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
      straight = bucket[bucket < count]
      for position, i in enumerate(straight):
        # Straight with straight, and straight with mirrored; the rest is the
        # same seen in a mirror.
        others = np.concatenate(
          [straight[position + 1 :], bucket[bucket >= count + i + 1]]
        )
        for j in others[_are_near(sides[i], sides[others], distance)]:
          pair = int(i) * 2 * count + int(j)
          if pair not in seen:
            seen.add(pair)
            yield int(i), int(j) % count, bool(j >= count)


def _are_near(one: np.ndarray, others: np.ndarray, distance: int) -> np.ndarray:
  # The one hash holds where grey rises, the other where it falls: both must
  # agree, or plain pictures with one edge in common would be the same.
  bits = np.bitwise_count(others ^ one).sum(axis=2, dtype=np.int32)
  return (bits <= distance).all(axis=1)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
  """Returns that of the best of nine shifts by a cell: landmarks jitter."""
  best = -1.0
  side = _WIDE_SIDE
  for dy, dx in itertools.product((0, 1, 2), repeat=2):
    a = one[1:-1, 1:-1]
    b = other[dy : side - 2 + dy, dx : side - 2 + dx]
    shared = (a > 0) & (b > 0)
    if shared.sum() < _MIN_SHARED:
      continue
    a, b = a[shared].astype(np.float64), b[shared].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    best = max(best, float((a * b).sum() / norm) if norm else -1.0)
  return best
