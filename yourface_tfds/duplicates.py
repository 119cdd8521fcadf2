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
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from yourface_tfds import near_hashes

_HASH_SIDE = 16
_FLAT = 2.0  # Grey levels; JPEG noise on a plain background stays below.

_PICTURE_DISTANCE = 16
"""Bits of 256 in which two hashes of one picture may differ.

Of the pairs of 581 real photos, 14 lie within 9, all of one picture, the next
beyond 49; of 1,000 drawn photos, all of different pictures, none within 20.
"""

_FACE_DISTANCE = 40
_CORRELATION = 0.96
"""Of the wide patches of one picture, at least.

With the hash of the whole they find 82 % of random crops of real photos by up
to 8 % a side, resized, half of them mirrored, and 75 % by up to 15 %. Of the
168,000 pairs of 581 real photos both together join 22, one picture each by eye;
of 50 million pairs of drawn photos, all of different pictures, 15.
"""

_FACE_SPAN, _FACE_SIDE = 5.0, 64  # The patch, in spreads of the landmarks.
_WIDE_SPAN, _WIDE_SIDE = 12.0, 24
_MIN_SHARED = 80  # Cells of the wide patch that both photos must have.
_ABOVE_OUTSIDE = [max(level, 1) for level in range(256)]
_PICTURE_ORDERS, _FACE_ORDERS = (149,), (149, 91, 53)
"""Odd multipliers, each an order of the 256 bits that puts those of a band far
apart: else all would lie in one plain wall, and most photos in one bucket."""

STEPS = near_hashes.BANDS * (len(_PICTURE_ORDERS) + len(_FACE_ORDERS))
"""Of `find_groups`, each about as long as the others."""


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
  prints: Sequence[Mapping[str, bytes]],
  digests: Sequence[str],
  progress: Callable[[], object] = lambda: None,
) -> list[str]:
  """Puts photos of one picture into one group.

  Two hashes that are near agree in one of their bands at least: within 16 bits
  surely, of faces within 40 in 98 % of cases. Only photos that meet in a band
  and are not known to be of one group are compared, so that thousands of frames
  of one film cost little more than as many photos.

  Args:
    prints: of each photo.
    digests: content digest of each file, which names its group.
    progress: called after each of `STEPS`.

  Returns:
    The group of each photo: the smallest digest among its members.
  """
  # The same file, or one whose whole has the same print: maybe many times.
  groups = _Groups(len(prints))
  names = np.array(digests, "S")
  _, firsts, of_file = np.unique(names, return_index=True, return_inverse=True)
  groups.join(np.arange(len(prints)), firsts[of_file])
  different = np.sort(firsts)
  hashes = _hashes(prints, different, "picture")
  whole = hashes.reshape(-1, 64).view("S64")[:, 0]
  _, firsts, of_print = np.unique(whole, return_index=True, return_inverse=True)
  groups.join(different, different[firsts[of_print]])
  plain = np.sort(firsts)
  _join_pictures(groups, hashes[plain], different[plain], progress)
  del hashes, whole
  _join_crops(groups, prints, different, progress)
  smallest: dict[int, str] = {}
  for label, digest in zip(groups.labels.tolist(), digests, strict=True):
    smallest[label] = min(digest, smallest.get(label, digest))
  return [smallest[label] for label in groups.labels.tolist()]


class _Groups:
  """Which photos are known to be of one group.

  Attributes:
    labels: int[photos], equal within a group.
  """

  def __init__(self, count: int) -> None:
    self.labels = np.arange(count)
    # A ring of each group's members, and the size of each label's group: lists
    # took 250 bytes a photo.
    self._next = np.arange(count)
    self._sizes = np.ones(count, int)

  def join(self, ones: np.ndarray, others: np.ndarray) -> None:
    """Makes one group of the groups of each pair of photos."""
    for one, other in zip(ones.tolist(), others.tolist(), strict=True):
      kept, gone = int(self.labels[one]), int(self.labels[other])
      if kept == gone:
        continue
      if self._sizes[kept] < self._sizes[gone]:
        kept, gone, one, other = gone, kept, other, one
      self._sizes[kept] += self._sizes[gone]
      member = other
      while self.labels[member] == gone:
        self.labels[member] = kept
        member = self._next[member]
      # Two rings that swap where they go on are one.
      self._next[one], self._next[other] = self._next[other], self._next[one]


def _join_pictures(
  groups: _Groups,
  hashes: np.ndarray,
  rows: np.ndarray,
  progress: Callable[[], object],
) -> None:
  """Joins photos whose hashes say that they are one picture."""

  def join(i: np.ndarray, j: np.ndarray, is_mirrored: np.ndarray) -> None:
    del is_mirrored
    groups.join(rows[i], rows[j])

  near_hashes.visit(
    hashes,
    lambda photos: groups.labels[rows[photos]],
    join,
    distance=_PICTURE_DISTANCE,
    orders=_PICTURE_ORDERS,
    progress=progress,
  )


def _join_crops(
  groups: _Groups,
  prints: Sequence[Mapping[str, bytes]],
  rows: np.ndarray,
  progress: Callable[[], object],
) -> None:
  """Joins photos whose surroundings of the face say so."""
  rows = rows[[("face" in prints[row]) for row in rows.tolist()]]
  hashes = _hashes(prints, rows, "face")

  def join(i: np.ndarray, j: np.ndarray, is_mirrored: np.ndarray) -> None:
    wide = _wide(prints, rows[j])
    others = np.where(is_mirrored[:, None, None], wide[:, :, ::-1], wide)
    same = _correlation(_wide(prints, rows[i]), others) >= _CORRELATION
    groups.join(rows[i[same]], rows[j[same]])

  near_hashes.visit(
    hashes,
    lambda photos: groups.labels[rows[photos]],
    join,
    distance=_FACE_DISTANCE,
    orders=_FACE_ORDERS,
    progress=progress,
  )


def _hashes(
  prints: Sequence[Mapping[str, bytes]], rows: np.ndarray, name: str
) -> np.ndarray:
  """Returns the hashes of one kind, uint8[photos, 2, 32]."""
  found = np.empty((len(rows), 2, 32), np.uint8)
  for i, row in enumerate(rows.tolist()):
    found[i] = np.frombuffer(prints[row][name], np.uint8).reshape(2, 32)
  return found


def _wide(
  prints: Sequence[Mapping[str, bytes]], rows: np.ndarray
) -> np.ndarray:
  """Returns the wide patches of photos, uint8[photos, 24, 24].

  They are read when a pair asks for them: 576 bytes a photo.
  """
  joined = b"".join(prints[row]["wide"] for row in rows.tolist())
  return np.frombuffer(joined, np.uint8).reshape(-1, _WIDE_SIDE, _WIDE_SIDE)


def _correlation(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Returns that of the best of nine shifts by a cell: landmarks jitter.

  Args:
    ones: uint8[pairs, side, side], 0 outside of the photo.
    others: the same, of the photo to compare with.

  Returns:
    float32[pairs], -1 to 1; -1 where too few cells are shared.
  """
  best = np.full(len(ones), -1, np.float32)
  a = ones[:, 1:-1, 1:-1].astype(np.float32)
  for dy, dx in itertools.product((0, 1, 2), repeat=2):
    end = _WIDE_SIDE - 2
    b = others[:, dy : end + dy, dx : end + dx].astype(np.float32)
    shared = ((a > 0) & (b > 0)).astype(np.float32)
    count = shared.sum((1, 2))

    def mean(
      values: np.ndarray,
      shared: np.ndarray = shared,
      count: np.ndarray = count,
    ) -> np.ndarray:
      return np.einsum("nyx,nyx->n", values, shared) / np.maximum(count, 1)

    mean_a, mean_b = mean(a), mean(b)
    covariance = mean(a * b) - mean_a * mean_b
    variances = (mean(a * a) - mean_a**2) * (mean(b * b) - mean_b**2)
    ok = (count >= _MIN_SHARED) & (variances > 1)
    value = covariance / np.sqrt(np.where(ok, variances, 1))
    best = np.maximum(best, np.where(ok, value, -1))
  return best
