"""Files that cost far more than they weigh: refused, or cheap, in the graph."""

import io
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageSequence

from tests import drawn
from yourface_tfds import photo_decode, photo_header, photo_still, photos

_decode = tf.function(
  photo_decode.decode, input_signature=[tf.TensorSpec([], tf.string)]
)
_still = tf.function(
  photo_still.still, input_signature=[tf.TensorSpec([], tf.string)]
)
_SIDE = 8000  # 64 million pixels.


def _encoded(image, kind, **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def _picture(size):
  values = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3))
  return Image.fromarray(values.astype(np.uint8))


def _jpeg(size=(60, 40)):
  return _encoded(_picture(size), "JPEG", quality=80)


def _claiming(jpeg, side):
  """A JPEG whose header claims another size; what follows is too short."""
  frame = jpeg.index(b"\xff\xc0")
  sides = struct.pack(">HH", side, side)
  return jpeg[: frame + 5] + sides + jpeg[frame + 9 :]


def _before_frame(jpeg, junk):
  frame = jpeg.index(b"\xff\xc0")
  return jpeg[:frame] + junk + jpeg[frame:]


_JUNK = {
  "a byte": b"\0",
  "a word": b"junk",
  "FF00": b"\xff\0",
  "TEM": b"\xff\x01",
  "a restart mark": b"\xff\xd0",
  "fill bytes": b"\xff" * 20,
}


@pytest.mark.parametrize("junk", _JUNK.values(), ids=_JUNK)
def test_junk_in_a_jpeg_hides_no_size(junk):
  small = _before_frame(_jpeg(), junk)
  pixels, error = _decode(small)
  assert error == b""
  np.testing.assert_array_equal(pixels, photos.decode(_jpeg()))
  _, error = _decode(_claiming(small, _SIDE))
  assert error == photo_decode.TOO_LARGE.encode()


def test_what_libjpeg_makes_of_a_header_counts(monkeypatch):
  large = _claiming(_jpeg(), _SIDE)
  monkeypatch.setattr(
    photo_header,
    "read",
    lambda _: photo_header.Header(*map(np.int64, (40, 60, 1, 1))),
  )
  pixels, error = photo_decode.decode(tf.constant(large))
  assert (pixels.shape, error) == ((1, 1, 3), photo_decode.UNREADABLE.encode())


@pytest.mark.parametrize(
  "start", [b"\xff" * 200_000, b"\xff\xe0\0\2" * 50_000, b"\0" * 200_000]
)
def test_a_header_of_many_steps_is_left_unread(start):
  jpeg = _jpeg()
  _decode(jpeg)
  begun = time.monotonic()
  _, error = _decode(jpeg[:20] + start + jpeg[20:])  # After JFIF.
  assert error == photo_decode.UNREADABLE.encode()
  # All of them took 9 to 46 s.
  assert time.monotonic() - begun < 5


def test_scans_of_a_baseline_jpeg_are_counted_too():
  jpeg = _jpeg()
  scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
  head = jpeg[: jpeg.index(b"\xff\xda")]
  _, error = _decode(head + scan * 101 + b"\xff\xd9")
  assert error == photo_decode.TOO_MANY_SCANS.encode()


def _u24(value):
  return struct.pack("<I", value)[:3]


def _chunk(name, content):
  padding = b"\0" * (len(content) % 2)
  return name + struct.pack("<I", len(content)) + content + padding


def _moving_webp(canvas, claimed, side):
  """A moving WebP of one frame that claims a size and has another."""
  image = Image.new("RGB", (side, side), "teal")
  still = _encoded(image, "WEBP", lossless=True, quality=0, method=0)
  size = _u24(canvas - 1) * 2
  place = bytes(6) + _u24(claimed - 1) * 2 + _u24(100) + b"\0"
  body = b"WEBP" + _chunk(b"VP8X", b"\2\0\0\0" + size)
  body += _chunk(b"ANIM", bytes(6)) + _chunk(b"ANMF", place + still[12:])
  return b"RIFF" + struct.pack("<I", len(body)) + body


def test_the_frame_of_a_moving_webp_is_what_counts():
  pixels, error = _decode(_moving_webp(100, 100, 100))
  assert (pixels.shape, error) == ((100, 100, 3), b"")
  _, error = _decode(_moving_webp(100, _SIDE, _SIDE))
  assert error == photo_decode.TOO_LARGE.encode()
  # One that says less than it is.
  _, error = _decode(_moving_webp(100, 100, _SIDE))
  assert error == photo_decode.UNREADABLE.encode()


def _gif(side, frames=1):
  image = Image.new("P", (side, side))
  gif = _encoded(image, "GIF")
  colors = 3 * (2 << (gif[10] & 7)) if gif[10] & 128 else 0
  start, end = 13 + colors, gif.rindex(b";")
  return gif[:start] + gif[start:end] * frames + b";"


def test_the_frame_of_a_gif_is_what_counts():
  gif = bytearray(_gif(_SIDE))
  gif[6:10] = struct.pack("<HH", 100, 100)
  _, error = _decode(bytes(gif))
  assert error == photo_decode.TOO_LARGE.encode()


def test_of_a_gif_the_first_frame_is_kept():
  frames = [_picture((90, 70)).rotate(90 * i) for i in range(3)]
  moving = _encoded(
    frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"hello"
  )
  alone = _still(moving).numpy()
  assert len(alone) < len(moving) // 2
  with Image.open(io.BytesIO(alone)) as image:
    assert len(list(ImageSequence.Iterator(image))) == 1
    assert image.size == (90, 70)
  pixels, error = _decode(moving)
  assert error == b""
  np.testing.assert_array_equal(pixels, photos.decode(moving))
  # What breaks off in it cannot be read; in a later frame it can.
  broken = len(alone) - 100
  assert _decode(moving[:broken])[1] == photo_decode.UNREADABLE.encode()
  np.testing.assert_array_equal(_decode(moving[:-100])[0], pixels)


_PROGRAM = """
import pathlib, re, sys
import tensorflow as tf
from yourface_tfds import photo_decode

def peak():
  status = pathlib.Path("/proc/self/status").read_text()
  return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024

for path in sys.argv[1:]:
  pixels, error = photo_decode.decode(
    tf.constant(pathlib.Path(path).read_bytes())
  )
  print(peak(), *pixels.shape, error.numpy().decode())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_one_picture(tmp_path):
  files = {
    "1.gif": _gif(5000),
    "60.gif": _gif(5000, frames=60),
    "alpha.png": _encoded(
      Image.new("RGBA", (5000, 5000), (1, 2, 3, 100)), "PNG", compress_level=1
    ),
  }
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
  result = subprocess.run(
    [sys.executable, "-c", _PROGRAM, *files],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": str(drawn.ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  lines = [line.split() for line in result.stdout.splitlines()]
  assert [line[1:] for line in lines] == [["5000", "5000", "3"]] * 3
  one, many, alpha = (int(line[0]) for line in lines)
  # Each further frame took 25 MB, 1,475 in all; alpha in int32 1,000.
  assert many - one < 500
  assert alpha - many < 700


def test_a_chunk_of_four_gigabytes_does_not_end_the_batch():
  moving = bytearray(_moving_webp(100, 100, 100))
  moving[34:38] = b"\xf8\xff\xff\xff"  # How long ANIM is.
  _, error = _decode(bytes(moving))
  assert error == photo_decode.UNREADABLE.encode()
