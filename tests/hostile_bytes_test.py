"""Bytes of images, mutated and crafted: nothing crashes or grows."""

import os
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from tests import drawn, hostile, small_export
from yourface_tfds import jpeg_scans as scans
from yourface_tfds import (
  photos,
)

MUTATE = """
import collections, pathlib, random, resource, sys
import numpy as np
from tests import mutated
from yourface_tfds import photos
folder, count, seed = sys.argv[1:]
good = [p.read_bytes() for p in sorted(pathlib.Path(folder).iterdir())]
rng = random.Random(int(seed))
said = collections.Counter()
for data in good:
  photos.decode_scaled(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(int(count)):
  data = mutated.choose(rng, good)
  try:
    photo = photos.decode_scaled(data, rng.choice((None, 40, 640)))
  except photos.RejectedError as error:
    said[error.status] += 1
    continue
  said["fine"] += 1
  assert photo.pixels.dtype == np.uint8
  assert photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3
  assert photo.size[0] * photo.size[1] <= photos.MAX_PIXELS
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(said.values()), (after - before) // 1024, dict(said))
"""


def _run(code, *arguments):
  return subprocess.run(
    [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
    capture_output=True,
    encoding="utf-8",
    env=drawn.environment(),
    cwd=hostile.ROOT,
  )


@pytest.mark.parametrize(
  "count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)]
)
def test_no_mutation_of_a_photo_crashes_the_decoder(tmp_path, count):
  image = small_export.drawing(0)
  image.thumbnail((120, 120))
  deep = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
  moving = Image.new("RGB", image.size, "red")
  for number, (what, kind, options) in enumerate(
    [
      (image, "JPEG", {}),
      (image, "JPEG", {"progressive": True}),
      (image.convert("CMYK"), "JPEG", {}),
      (image, "PNG", {}),
      (deep, "PNG", {}),
      (image, "WEBP", {}),
      (image, "WEBP", {"save_all": True, "append_images": [moving]}),
      (image, "GIF", {"save_all": True, "append_images": [moving]}),
      (image, "BMP", {}),
      (image, "TIFF", {}),
      (image, "TIFF", {"compression": "tiff_lzw"}),
      (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
      (image, "MPO", {"save_all": True, "append_images": [moving]}),
    ]
  ):
    with (tmp_path / f"{number:02}").open("wb") as out:
      what.save(out, kind, **options)
  seed = os.environ.get("YOURFACE_FUZZ_SEED", "0")
  done = _run(MUTATE, tmp_path, count, seed)
  assert done.returncode == 0, done.stderr[-2000:]
  total, megabytes, said = done.stdout.split(" ", 2)
  assert int(total) == count
  # What one photo of MAX_PIXELS takes; only a header that lies below it can.
  assert int(megabytes) < 1_500
  for status in ("'fine'", "'unreadable'", "'not_an_image'"):
    assert status in said


PEAK = """
import pathlib, resource, sys
from yourface_tfds import photos
data = [pathlib.Path(path).read_bytes() for path in sys.argv[1:]]
photos.decode(data[0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in data[1:]:
  try:
    photos.decode(bomb)
  except photos.RejectedError as error:
    print(error.status)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024)
"""


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
  contents = [small_export.jpeg(small_export.drawing(0))]
  # Pillow refuses 179 million pixels by itself, and 81 million never.
  contents += [
    hostile.bomb(kind, side)
    for kind in hostile.BOMBS
    for side in (20_000, 9_000)
  ]
  contents.append(hostile.many_scans(10_000, 7_000))
  paths = []
  for number, content in enumerate(contents):
    paths.append(tmp_path / f"{number:02}")
    paths[-1].write_bytes(content)
    assert len(content) < 2_000_000
  done = _run(PEAK, *paths)
  assert done.returncode == 0, done.stderr[-2000:]
  *said, megabytes = done.stdout.split()
  assert said == ["too_large"] * (len(contents) - 1)
  assert int(megabytes) < 60  # One channel of the smallest takes 81.


def test_scans_are_counted_of_the_picture_alone():
  plain = hostile.many_scans(0)
  at_once = plain.count(b"\xff\xda")
  for more in (0, 1, 50):
    data = hostile.many_scans(more)
    assert scans.are_more_than(at_once + more - 1, data)
    assert not scans.are_more_than(at_once + more, data)
  assert photos.decode(hostile.many_scans(90)).shape == (64, 64, 3)
  with pytest.raises(photos.RejectedError, match="more than 100 scans"):
    photos.decode(hostile.many_scans(101))
  # The film after a phone's photo, and a comment.
  film = b"\xff\xda\0\x02" * 500
  comment = b"\xff\xfe" + (len(film) + 2).to_bytes(2, "big") + film
  for data in (plain + film, plain[:2] + comment + plain[2:]):
    assert photos.decode(data).shape == (64, 64, 3)


@hostile.fuzz(300)
@hypothesis.given(
  data=st.lists(
    st.sampled_from([b"\xff\xda", b"\xff", b"\0\x02", b"\xff\xd8", b"\xff\xd0"])
  ).map(b"".join)
)
def test_counting_scans_ends(data):
  assert scans.are_more_than(0, data) <= (b"\xff\xda" in data)
