"""Tests of photo_header and photo_decode.decode: photos read in the graph."""

import io
import os
import pathlib
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from yourface_tfds import photo_decode, photo_header, photos

_STRING = tf.TensorSpec([], tf.string)


def _eagerly(function, data):
  return function(tf.constant(data))


def _in_a_function(function, data):
  return _COMPILED[function](tf.constant(data))


def _in_a_map(function, data):
  return next(iter(tf.data.Dataset.from_tensors(data).map(function)))


_COMPILED = {
  function: tf.function(function, input_signature=[_STRING])
  for function in (photo_header.read, photo_decode.decode)
}
_in_every_way = pytest.mark.parametrize(
  "way",
  [_eagerly, _in_a_function, _in_a_map],
  ids=["eager", "function", "map"],
)


def _header(data, way=_in_a_function):
  header = way(photo_header.read, data)
  assert {value.dtype for value in header} == {tf.int64}
  assert [value.shape for value in header] == [[]] * 4
  return int(header.pixels), int(header.orientation)


def _decode(data, way=_in_a_function):
  photo, error = way(photo_decode.decode, data)
  assert photo.dtype == tf.uint8
  return photo.numpy(), error.numpy().decode()


def _picture(mode="RGB", height=40, width=52):
  rng = np.random.default_rng(0)
  small = Image.fromarray(rng.integers(0, 256, (5, 6, 4), np.uint8))
  image = small.resize((width, height), Image.Resampling.BICUBIC)
  if mode in ("1", "P"):
    return image.convert("RGB").convert(mode)
  return image.convert(mode)


def _encode(image, kind, **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def _exif(orientation, order="<", kind=3, offset=8):
  """An Exif block by hand: one other tag, then the orientation."""
  mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
  short = struct.pack(order + "HH", orientation, 0)
  if kind == 4:
    short = struct.pack(order + "I", orientation)
  return (
    b"Exif\0\0"
    + mark
    + struct.pack(order + "I", offset)
    + bytes(offset - 8)
    + struct.pack(order + "H", 2)
    + struct.pack(order + "HHII", 0x0100, 4, 1, 99)
    + struct.pack(order + "HHI", 0x0112, kind, 1)
    + short
    + bytes(4)
  )


def _chunk(kind, data):
  crc = zlib.crc32(kind + data)
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def _png_of_size(width, height):
  header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", header)
    + _chunk(b"IDAT", zlib.compress(bytes(1000)))
    + _chunk(b"IEND", b"")
  )


def _top_down(bmp):
  height = struct.unpack_from("<i", bmp, 22)[0]
  return bmp[:22] + struct.pack("<i", -height) + bmp[26:]


_FILES = {
  "jpeg": _encode(_picture(), "JPEG"),
  "progressive jpeg": _encode(_picture(), "JPEG", progressive=True),
  "grey jpeg": _encode(_picture("L"), "JPEG"),
  "cmyk jpeg": _encode(_picture("CMYK"), "JPEG"),
  "jpeg with a comment": _encode(_picture(), "JPEG", comment="x" * 60_000),
  "png": _encode(_picture(), "PNG"),
  "png of 16 colours": _encode(_picture().quantize(16), "PNG"),
  "png of 4 colours": _encode(_picture().quantize(4), "PNG"),
  "png of 2 colours": _encode(_picture().quantize(2), "PNG"),
  "black and white png": _encode(_picture("1"), "PNG"),
  "grey png": _encode(_picture("L"), "PNG"),
  "grey png with alpha": _encode(_picture("LA"), "PNG"),
  "rgba png": _encode(_picture("RGBA"), "PNG"),
  "palette png with alpha": _encode(
    _picture().quantize(16), "PNG", transparency=3
  ),
  "gif": _encode(_picture("P"), "GIF"),
  "moving gif": _encode(
    _picture("P"), "GIF", save_all=True, append_images=[_picture("L")]
  ),
  "bmp": _encode(_picture(), "BMP"),
  "grey bmp": _encode(_picture("L"), "BMP"),
  "top-down bmp": _top_down(_encode(_picture(), "BMP")),
  "lossy webp": _encode(_picture(), "WEBP"),
  "lossless webp": _encode(_picture(), "WEBP", lossless=True),
  "lossy webp with alpha": _encode(_picture("RGBA"), "WEBP"),
  "lossless webp with alpha": _encode(_picture("RGBA"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("data", _FILES.values(), ids=_FILES)
def test_pixels_in_the_header(data):
  assert _header(data) == (40 * 52, 1)


def _scans(data):
  return int(_in_a_function(photo_header.read, data).scans)


def test_scans_of_a_progressive_jpeg():
  data = _FILES["progressive jpeg"]
  # libjpeg's default script for colour: ten.
  assert _scans(data) == data.count(b"\xff\xda") == 10
  assert _scans(_FILES["jpeg"]) == 1
  for name in ("png", "lossy webp", "moving gif"):
    assert _scans(_FILES[name]) == 0


def test_too_many_scans_are_refused_before_decoding():
  data = _FILES["progressive jpeg"]
  last = data.rindex(b"\xff\xda")
  scan = data[last:-2]
  fine = data[:last] + scan * (photos.MAX_SCANS - 9) + data[-2:]
  assert _scans(fine) == photos.MAX_SCANS
  assert _decode(fine)[1] == ""
  film = random.Random(0).randbytes(10_000_000)
  assert film.count(b"\xff\xda") > photos.MAX_SCANS
  assert _scans(data + film) == 10
  more = data[:last] + scan * (photos.MAX_SCANS - 8) + data[-2:]
  assert _decode(more)[1] == "too_large: more than 100 scans"


@_in_every_way
@pytest.mark.parametrize(
  "name", ["jpeg", "rgba png", "gif", "top-down bmp", "lossy webp"]
)
def test_header_in_every_way(name, way):
  assert _header(_FILES[name], way) == (40 * 52, 1)


@pytest.mark.parametrize(
  ("size", "kind", "options"),
  [
    ((300, 70_000 // 300), "JPEG", {}),
    ((257, 3), "WEBP", {"lossless": True}),
    ((3, 1025), "WEBP", {"lossless": True}),
    ((1, 1), "WEBP", {"lossless": True}),
    ((1, 1), "WEBP", {}),
    ((513, 1000), "GIF", {}),
    ((70_000, 2), "PNG", {}),
    ((70_000, 2), "BMP", {}),
  ],
)
def test_pixels_beyond_one_byte(size, kind, options):
  data = _encode(Image.new("RGB", size, "red"), kind, **options)
  assert _header(data) == (size[0] * size[1], 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_the_header(orientation, order):
  data = _encode(_picture(), "JPEG", exif=_exif(orientation, order))
  assert _header(data) == (40 * 52, orientation)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_out_of_range(orientation):
  data = _encode(_picture(), "JPEG", exif=_exif(orientation))
  assert _header(data) == (40 * 52, 1)


def test_orientation_behind_a_longer_way():
  data = _encode(
    _picture(), "JPEG", exif=_exif(6, ">", offset=300), comment="x" * 9000
  )
  assert _header(data) == (40 * 52, 6)
  # Fill bytes before a marker, T.81 section B.1.1.2.
  filled = data[:2] + b"\xff\xff\xff" + data[2:]
  assert _header(filled) == (40 * 52, 6)


@pytest.mark.parametrize(
  "data",
  [b"", b"\xff", b"\xff\xd8", b"<!DOCTYPE html>", b"RIFF", b"\0" * 100, b"II*"],
)
def test_no_header(data):
  assert _header(data) == (0, 1)


def test_hostile_exif():
  block = _exif(6)
  for place in range(6, len(block)):
    for value in (0, 128, 255):
      hostile = block[:place] + bytes([value]) + block[place + 1 :]
      pixels, orientation = _header(_encode(_picture(), "JPEG", exif=hostile))
      assert pixels == 40 * 52
      assert 1 <= orientation <= 8


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "gif", "lossy webp"])
def test_header_of_every_prefix(name):
  data = _FILES[name]
  for size in (*range(40), *range(40, min(len(data), 700), 9)):
    pixels, orientation = _header(data[:size])
    assert pixels >= 0
    assert orientation == 1
  # The end of a file says nothing of its size.
  assert _header(data[:-1]) == (40 * 52, 1)


@pytest.mark.parametrize(
  "name", ["jpeg", "png", "bmp", "gif", "lossy webp", "lossless webp"]
)
def test_header_of_mutations(name):
  rng = random.Random(0)
  data = _FILES[name]
  if name == "jpeg":
    data = _encode(_picture(), "JPEG", exif=_exif(6))
  for _ in range(60):
    mutated = bytearray(data[: rng.randrange(30, len(data))])
    for _ in range(rng.choice((1, 4, 20))):
      place = rng.randrange(min(len(mutated), 100))
      mutated[place] = rng.choice((0, 255, rng.randrange(256)))
    pixels, orientation = _header(bytes(mutated))
    assert pixels >= 0
    assert 1 <= orientation <= 8


def test_largest_size_of_a_png_is_large():
  assert _header(_png_of_size(2**32 - 1, 2**32 - 1))[0] > photos.MAX_PIXELS


@pytest.mark.parametrize("name", _FILES)
def test_decode_gives_the_pixels_of_the_build(name):
  photo, error = _decode(_FILES[name])
  assert error == ""
  # Blending with white rounds; everything else is the same to the bit.
  atol = 1 if "alpha" in name or "rgba" in name else 0
  expected = photos.decode(_FILES[name]).astype(int)
  np.testing.assert_allclose(photo, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_upright(orientation, order):
  data = _encode(_picture(), "JPEG", exif=_exif(orientation, order))
  photo, error = _decode(data)
  assert error == ""
  assert photo.shape[:2] == ((52, 40) if orientation >= 5 else (40, 52))
  np.testing.assert_array_equal(photo, photos.decode(data))


def test_decode_16_bit_png():
  ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
  data = _encode(Image.fromarray(np.tile(ramp, (4, 1))), "PNG")
  photo, error = _decode(data)
  assert error == ""
  np.testing.assert_allclose(
    photo.astype(int), photos.decode(data), rtol=0, atol=1
  )


@_in_every_way
@pytest.mark.parametrize("name", ["jpeg", "rgba png", "lossless webp"])
def test_decode_in_every_way(name, way):
  photo, error = _decode(_FILES[name], way)
  assert error == ""
  assert photo.shape == (40, 52, 3)
  np.testing.assert_allclose(
    photo.astype(int), photos.decode(_FILES[name]), rtol=0, atol=1
  )


_NOT_AN_IMAGE = "not_an_image: not a JPEG, PNG, GIF, BMP or WebP file"
_UNREADABLE = "unreadable: the file is truncated or corrupt"
_TOO_LARGE = "too_large: more than 50,000,000 pixels"


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"", "unreadable: the file is empty"),
    (b"<!DOCTYPE html><html>404</html>", _NOT_AN_IMAGE),
    (_encode(_picture(), "TIFF"), _NOT_AN_IMAGE),
    (_FILES["jpeg"][:-50], _UNREADABLE),
    (_FILES["png"][:-50], _UNREADABLE),
    (_FILES["gif"][:300], _UNREADABLE),
    (_FILES["bmp"][:-50], _UNREADABLE),
    (_FILES["lossy webp"][:-50], _UNREADABLE),
    (b"\xff\xd8\xff" + bytes(100), _UNREADABLE),
    (_png_of_size(20_000, 20_000), _TOO_LARGE),
    (_png_of_size(10_000, 5_001), _TOO_LARGE),
    (_png_of_size(2**31 - 1, 2**31 - 1), _TOO_LARGE),
  ],
  ids=[
    "empty",
    "html",
    "tiff",
    "truncated jpeg",
    "truncated png",
    "truncated gif",
    "truncated bmp",
    "truncated webp",
    "jpeg magic",
    "bomb",
    "above the limit",
    "largest",
  ],
)
def test_decode_says_what_is_wrong(data, message):
  photo, error = _decode(data)
  assert error == message
  assert photo.tolist() == [[[0, 0, 0]]]


@_in_every_way
@pytest.mark.parametrize(
  ("data", "message"),
  [(b"", "unreadable: the file is empty"), (_FILES["jpeg"][:-50], _UNREADABLE)],
  ids=["empty", "truncated jpeg"],
)
def test_decode_says_it_in_every_way(data, message, way):
  photo, error = _decode(data, way)
  assert error == message
  assert photo.tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp"])
def test_decode_of_mutations(name):
  rng = random.Random(1)
  decoded = 0
  for _ in range(10):
    mutated = bytearray(_FILES[name])
    mutated[rng.randrange(min(len(mutated), 700))] = rng.randrange(256)
    photo, error = _decode(bytes(mutated))
    assert photo.ndim == 3
    assert photo.shape[2] == 3
    assert error in ("", _NOT_AN_IMAGE, _UNREADABLE, _TOO_LARGE)
    decoded += not error
  # Of a PNG every byte counts.
  assert (decoded > 0) == (name != "png")


_MOVING_WEBP = """
import pathlib, sys
import tensorflow as tf
from yourface_tfds import photo_decode
decode = tf.function(photo_decode.decode)
for path in sys.argv[1:]:
  data = tf.constant(pathlib.Path(path).read_bytes())
  for _ in range(5):
    photo, error = decode(data)
  print(photo.shape, error.numpy().decode())
"""


def test_moving_webp_does_not_end_the_process(tmp_path):
  # TensorFlow 2.21 writes beyond its memory when it decodes one, hence the
  # process.
  paths = []
  for mode in ("RGB", "RGBA"):
    other = _picture(mode).transpose(Image.Transpose.ROTATE_180)
    data = _encode(_picture(mode), "WEBP", save_all=True, append_images=[other])
    assert _header(data) == (40 * 52, 1)
    paths.append(tmp_path / f"{mode}.webp")
    paths[-1].write_bytes(data)
  root = pathlib.Path(photos.__file__).parents[1]
  done = subprocess.run(
    [sys.executable, "-c", _MOVING_WEBP, *map(str, paths)],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
    env=os.environ | {"PYTHONPATH": str(root)},
  )
  assert done.returncode == 0
  # Either its first frame or an error of its own.
  for line in done.stdout.splitlines():
    assert line in ("(40, 52, 3) ", f"(1, 1, 3) {_UNREADABLE}")
  assert done.stdout.count("\n") == 2
