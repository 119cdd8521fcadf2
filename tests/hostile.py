"""What wants to break a build: names, files and bytes."""

import io
import os
import pathlib
import re
import struct
import sys
import unicodedata
import zlib

import hypothesis
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
TFDS = pathlib.Path(sys.executable).with_name("tfds")
HEADER = "person,gender,job,face_type"
# What steers a terminal, but for the line ends and tabs that quotes hold.
STEERING = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e]")
FORMULA = tuple("=+-@\t\r\n＝＋－＠")

NAMES = [
  "=1+1",
  '=HYPERLINK("http:⁄⁄x","y")',
  "+cmd|' ⁄C calc'!A0",
  "-rf",
  "--help",
  "@SUM(A1)",
  "＝1+1",
  "\t=1",
  "\r=1",
  "\n=1",
  "'=1",
  "''@x",
  "a\nb",
  "a\r\nb",
  "\x1b]0;title\x07",
  "\x1b[31mred\x1b[0m",
  "\x9b31m",
  "a\u202egpj.exe",
  "a\u2028b",
  'a"b,c;d',
  "<script>alert(1)<",
  "[x](javascript:y)",
  "| a | `b` |",
  "${HOME}$(id)`id`",
  "..",
  "...",
  "trailing ",
  " leading",
  " ",
  unicodedata.normalize("NFD", "김유정"),
  "😀\u200d🎤",
  "\udcb1\udce8",
  r"\udcb1\udce8",
  r"\x1b[31m",
  r"\x5cx1b",
  "C:\\x20",
  "a" * 255,
  "%s%n{0}",
  "NUL",
  "people.csv",
  "pnet.lz4",
]
"""Names of files and folders; `..` is left out where a folder has its own."""


def fuzz(count):
  return hypothesis.settings(
    max_examples=count,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
  )


def bomb(kind, side=20_000):
  """A header that claims a square of pixels, and little behind it."""
  if kind == "TIFF":
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8}
    tags |= {277: 1, 278: side, 279: side * side}
    entries = [
      struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()
    ]
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries)
  out = io.BytesIO()
  if kind == "WEBP":
    side = min(side, 16_000)  # The format's own limit is 16,383.
    Image.new("RGB", (side, 8)).save(out, kind, lossless=True)
    data = bytearray(out.getvalue())
    place = data.index(b"VP8L") + 9  # 14 bits each of width and height less 1.
    (bits,) = struct.unpack_from("<I", data, place)
    bits = bits & ~(0x3FFF << 14) | (side - 1) << 14
    struct.pack_into("<I", data, place, bits)
    return bytes(data)
  Image.new("RGB", (side, 1), "red").save(out, kind)
  data = bytearray(out.getvalue())
  if kind == "PNG":
    struct.pack_into(">I", data, 20, side)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
  elif kind == "JPEG":
    struct.pack_into(">H", data, data.index(b"\xff\xc0") + 5, side)
  elif kind == "GIF":
    struct.pack_into("<H", data, 8, side)
  elif kind == "BMP":
    struct.pack_into("<I", data, 22, side)
  return bytes(data)


BOMBS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


def many_scans(count, side=64):
  """A progressive JPEG whose last scan is there `count` times more."""
  out = io.BytesIO()
  Image.new("L", (side, side), 128).save(out, "JPEG", progressive=True)
  data = out.getvalue()
  start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
  return data[:end] + data[start:end] * count + data[end:]


def place(root, outside, parts, kind, content):
  """Puts something into a tree; where its name cannot be, nothing."""
  path = str(root.joinpath(*(p for p in parts if p not in (".", ".."))))
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if kind == "fifo":
      os.mkfifo(path)
    elif kind in ("file", "sparse"):
      with open(path, "xb") as file:  # noqa: PTH123
        file.write(content)
        if kind == "sparse":
          file.truncate(10**12)
    else:
      target = {
        "loop": os.path.basename(path),  # noqa: PTH119
        "out": outside / "secret.jpg",
        "out folder": outside,
        "up": "..",
        "long link": "x" * 300,
      }[kind]
      pathlib.Path(path).symlink_to(target)
  except OSError:  # A name too long, a file in the place of a folder.
    pass


def files_under(root):
  """Paths of all that is no folder, told without the code under test."""
  found = []
  for folder, folders, names in os.walk(root):
    links = [n for n in folders if os.path.islink(f"{folder}/{n}")]  # noqa: PTH114
    found += [os.path.relpath(f"{folder}/{n}", root) for n in names + links]
  return sorted(found)
