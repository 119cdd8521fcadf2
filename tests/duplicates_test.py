"""Tests of duplicates: what is one picture, and what is not."""

import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image

from yourface_tfds import (
  build_settings,
  duplicates,
  photo_worker,
  photos,
  sample_drawing,
)

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


def _hash_of(photo):
  """Returns uint8[2, 32]: where grey rises and where it falls."""
  found = duplicates.prints(photo, None)
  assert set(found) == {"picture"}
  return np.frombuffer(found["picture"], np.uint8).reshape(2, -1)


def _hash(image):
  return _hash_of(np.asarray(image.convert("RGB")))


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
  straight, mirrored = _hash_of(image)
  again = _hash_of(image[:, ::-1])
  assert np.bitwise_count(again[0] ^ mirrored).sum() <= 2
  assert np.bitwise_count(again[1] ^ straight).sum() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_hash_of_tiny_pictures(size):
  photo = np.full((*size, 3), 99, np.uint8)
  assert not _hash_of(photo).any()


def _groups(hashes, digests):
  prints = [{"picture": pair.tobytes()} for pair in hashes]
  return duplicates.find_groups(prints, digests)


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


@pytest.mark.parametrize("count", [0, 1, 20])
def test_progress_is_told_of_each_step(count):
  prints = [
    {"picture": _hash(_picture(seed)).tobytes()} for seed in range(count)
  ]
  for one in prints[1:]:
    one["face"] = one["picture"]
    one["wide"] = bytes(576)
  calls = []
  digests = [str(number) for number in range(count)]
  duplicates.find_groups(prints, digests, lambda: calls.append(None))
  assert len(calls) == duplicates.STEPS


def test_groups_of_nothing_and_of_one():
  assert duplicates.find_groups([], []) == []
  assert _groups([_hash(_picture(0))], ["only"]) == ["only"]


def test_one_file_many_times_is_one_group_whatever_its_prints():
  hashes = [_hash(_picture(seed)) for seed in range(4)]
  assert _groups(hashes, ["b", "a", "b", "c"]) == ["b", "a", "b", "c"]
  assert _groups(hashes[:1] * 3, ["c", "c", "b"]) == ["b"] * 3


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


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("mirrored", [False, True])
def test_no_place_of_sixteen_bits_hides_a_pair(seed, mirrored):
  # All places are equally likely, but those that spoil one band each.
  rng = random.Random(seed)
  sides = [set(rng.sample(range(_HASH_BITS), 128)) for _ in range(2)]
  places = range(_HASH_BITS)
  if seed % 2:
    places = [start + rng.randrange(12) for start in range(0, 252, 12)]
  flips = [set(rng.sample(places, 16)) for _ in range(2)]
  other = [side ^ flip for side, flip in zip(sides, flips, strict=True)]
  if mirrored:
    other.reverse()
  hashes = [
    np.stack([_bits(*side) for side in pair]) for pair in (sides, other)
  ]
  assert _groups(hashes, ["b", "a"]) == ["a", "a"]
  # One bit more in one of the two hashes, and they are two pictures.
  spare = min(set(range(_HASH_BITS)) - flips[0])
  hashes[1][int(mirrored), spare // 8] ^= 128 >> spare % 8
  assert _groups(hashes, ["b", "a"]) == ["b", "a"]


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

  hashes = [_hash_of(stripe(start, 120)) for start in (30, 70)]
  # Seen mirrored, where one rises the other does too.
  assert not (hashes[0][1] ^ hashes[1][1]).any()
  assert _groups(hashes, ["a", "b"]) == ["a", "b"]


# y x in a picture of 600x800: eyes, nose, corners of the mouth.
_LANDMARKS = np.array(
  [[270, 350], [280, 450], [320, 405], [365, 355], [370, 440]], float
)
# So small that nothing around it lies outside of the picture.
_SMALL = (_LANDMARKS + _LANDMARKS.mean(0)) / 2


def _face(seed):
  return np.asarray(_picture(seed, 600, 800))


def _mirror(photo, landmarks):
  """Also swaps what is on the left of the image and on the right."""
  landmarks = landmarks[[1, 0, 2, 4, 3]]
  return photo[:, ::-1], landmarks * (1, -1) + (0, photo.shape[1])


def test_sizes_of_the_prints():
  found = duplicates.prints(_face(0), _LANDMARKS)
  assert {name: len(value) for name, value in found.items()} == {
    "picture": 64,
    "face": 64,
    "wide": 576,
  }
  alone = duplicates.prints(_face(0), None)
  assert alone == {"picture": found["picture"]}


def test_wide_patch_is_zero_where_the_photo_ends():
  photo = np.zeros((600, 800, 3), np.uint8)  # Black, but inside.
  assert set(duplicates.prints(photo, _SMALL)["wide"]) == {1}
  wide = duplicates.prints(photo[:, 390:], _SMALL - (0, 390))["wide"]
  assert set(wide) == {0, 1}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.25, 0.8, 1.5])
def test_a_crop_is_known_by_what_is_around_the_face(scale, mirrored):
  for seed in range(5):
    photo = _face(seed)
    cut, points = photo[40:560, 60:720], _LANDMARKS - (40, 60)
    size = round(cut.shape[1] * scale), round(cut.shape[0] * scale)
    cut, points = np.asarray(Image.fromarray(cut).resize(size)), points * scale
    if mirrored:
      cut, points = _mirror(cut, points)
    # The detector does not see it at the same place twice.
    points = points + np.random.default_rng(seed).normal(0, scale, (5, 2))
    one = duplicates.prints(photo, _LANDMARKS)
    other = duplicates.prints(cut, points)
    assert duplicates.find_groups([one, other], ["a", "b"]) == ["a", "a"]
    # Neither the whole of it nor the face of only one would do.
    whole = {"picture": other["picture"]}
    assert duplicates.find_groups([one, whole], ["a", "b"]) == ["a", "b"]


def test_faces_alike_in_other_surroundings_are_two():
  one = duplicates.prints(_face(0), _LANDMARKS)
  other = duplicates.prints(_face(1), _LANDMARKS)
  assert duplicates.find_groups([one, other], ["a", "b"]) == ["a", "b"]
  same_face = {**other, "face": one["face"]}
  assert duplicates.find_groups([one, same_face], ["a", "b"]) == ["a", "b"]
  same = {**same_face, "wide": one["wide"]}
  assert duplicates.find_groups([one, same], ["a", "b"]) == ["a", "a"]


@pytest.mark.parametrize(("rows", "groups"), [(3, "ab"), (5, "aa")])
def test_too_little_in_common_proves_nothing(rows, groups):
  # Of 22 cells each, the first row for shifting only: 80 cells are enough.
  one = duplicates.prints(_face(0), _SMALL)
  wide = np.frombuffer(one["wide"], np.uint8).reshape(24, 24).copy()
  wide[rows:] = 0
  other = duplicates.prints(_face(1), _SMALL)
  other = {**other, "face": one["face"], "wide": wide.tobytes()}
  assert duplicates.find_groups([one, other], ["a", "b"]) == list(groups)


@pytest.mark.parametrize(
  "landmarks",
  [
    np.full((5, 2), 3.0),
    np.zeros((5, 2)),
    _LANDMARKS + 10_000,
    _LANDMARKS - 10_000,
    _LANDMARKS * 1000,
  ],
  ids=["one point", "zeros", "below", "above", "far apart"],
)
@pytest.mark.parametrize("size", [(1, 1), (600, 800)])
def test_prints_of_odd_landmarks(landmarks, size):
  photo = np.full((*size, 3), 200, np.uint8)
  found = duplicates.prints(photo, landmarks)
  assert {name: len(value) for name, value in found.items()} == {
    "picture": 64,
    "face": 64,
    "wide": 576,
  }
  other = duplicates.prints(_face(0), landmarks)
  assert duplicates.find_groups([found, other], ["a", "b"]) == ["a", "b"]


@pytest.fixture(scope="module")
def look(tmp_path_factory):
  """Returns a function: images -> prints and digests, as in the build."""
  worker = photo_worker.PhotoWorker(build_settings.BuildSettings())

  def work(images):
    root = tmp_path_factory.mktemp("photos")
    files = []
    for number, image in enumerate(images):
      path = f"{number}.jpg"
      image.save(root / path, quality=90)
      files.append(photos.PhotoFile(path=path, person="", root=root))
    outcomes = worker.work(files)
    prints = [outcome.found.prints for outcome in outcomes if outcome.found]
    assert len(prints) == len(files)
    return prints, [outcome.digest for outcome in outcomes]

  return work


def _draw(seed, person, index):
  someone = sample_drawing.make_person(seed, person)
  return sample_drawing.draw_photo(someone, seed, index)


def test_most_crops_of_drawn_people_are_found(look):
  rng = np.random.default_rng(1)
  images = []
  for person in range(30):
    image = _draw(1, person, 0)
    left, top, right, bottom = rng.uniform(0, 0.08, 4)
    width, height = image.size
    cut = image.crop(
      (
        round(left * width),
        round(top * height),
        round(width - right * width),
        round(height - bottom * height),
      )
    )
    size = round(cut.width * 0.8), round(cut.height * 0.8)
    cut = cut.resize(size, Image.Resampling.LANCZOS)
    if person % 2:
      cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    images += [image, cut]
  prints, digests = look(images)
  groups = duplicates.find_groups(prints, digests)
  pairs = list(zip(groups[::2], groups[1::2], strict=True))
  # 26 here, 23 to 26 for other seeds: 82 %; by the whole picture 0 or 1.
  assert sum(one == other for one, other in pairs) >= 20
  # And nobody is taken for somebody else.
  for one, other in itertools.combinations(pairs, 2):
    assert not set(one) & set(other)


@pytest.mark.parametrize("seed", [1, 2])
def test_photos_of_one_drawn_person_are_different_pictures(look, seed):
  images = [
    _draw(seed, person, index) for person in range(3) for index in range(20)
  ]
  prints, digests = look(images)
  assert sum("face" in found for found in prints) >= 58
  # Of seed 2 photos 2 and 12 of person 1 correlate by 0.963: drawings repeat
  # themselves more than photos do.
  groups = duplicates.find_groups(prints, digests)
  assert len(set(groups)) >= len(digests) - (seed == 2)
