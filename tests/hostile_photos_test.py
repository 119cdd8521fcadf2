"""Hostile bytes against the exported graph: one bad row, and no crash."""

import io
import os
import pathlib
import random
import struct
import subprocess
import sys
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import drawn
from yourface_tfds import (
  export_lib,
  labels,
  models,
  sample_drawing,
  sample_people,
  train_settings,
)

SIZE = 48
ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  path = tmp_path_factory.mktemp("export") / "saved_model"
  settings = train_settings.TrainSettings(image_size=SIZE)
  export_lib.save_saved_model(model, settings, path)
  return path


@pytest.fixture(scope="module")
def answer(saved_model):
  """Returns a function: contents of photos -> outputs of `photos`."""
  loaded = tf.saved_model.load(str(saved_model))

  def call(contents):
    said = loaded.signatures["photos"](tf.constant(contents))
    return {name: value.numpy() for name, value in said.items()}

  return call


def encode(image, kind, **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def photo(number, side=320):
  person = sample_people.make_person(3, number)
  image = sample_drawing.draw_photo(person, 3, 0)
  image.thumbnail((side, side))
  return image


def chunk(kind, data):
  crc = zlib.crc32(kind + data)
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png_header(width, height, depth=8, color=2):
  header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def jpeg_of_size(width, height):
  """A JPEG whose frame header claims another size than its data has."""
  data = bytearray(encode(photo(0), "JPEG"))
  frame = data.index(b"\xff\xc0")
  data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
  return bytes(data)


def hostile():
  """Name -> bytes, and the beginning of the error that is expected."""
  face = photo(1)
  jpeg, png = encode(face, "JPEG"), encode(face, "PNG")
  wall = Image.new("RGB", (300, 200), "teal")
  rng = random.Random(0)
  return {
    "empty": (b"", "unreadable"),
    "html": (b"<!DOCTYPE html><title>404</title>", "not_an_image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    "random bytes": (rng.randbytes(5000), "not_an_image"),
    "one byte": (b"\xff", "not_an_image"),
    "pdf": (b"%PDF-1.7\n" + rng.randbytes(200), "not_an_image"),
    "truncated jpeg": (jpeg[:-2000], "unreadable"),
    "truncated png": (png[: len(png) // 2], "unreadable"),
    "jpeg without data": (b"\xff\xd8\xff\xd9", "unreadable"),
    "jpeg magic and zeros": (b"\xff\xd8\xff" + bytes(400), "unreadable"),
    "bomb png": (
      png_header(20_000, 20_000) + chunk(b"IDAT", zlib.compress(bytes(10**6))),
      "too_large",
    ),
    "bomb jpeg": (jpeg_of_size(20_000, 20_000), "too_large"),
    "bomb gif": (
      b"GIF89a" + struct.pack("<HH", 20_000, 20_000) + bytes(50),
      "too_large",
    ),
    "bomb bmp": (
      b"BM" + bytes(16) + struct.pack("<ii", 20_000, 20_000) + bytes(60),
      "too_large",
    ),
    "largest png": (png_header(2**31 - 1, 2**31 - 1), "too_large"),
    "1x1": (encode(Image.new("RGB", (1, 1)), "PNG"), "no_face"),
    "1x5000": (encode(Image.new("RGB", (1, 5000)), "JPEG"), "no_face"),
    "wall": (encode(wall, "WEBP"), "no_face"),
    "riff": (b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(40), "unreadable"),
    "zip": (b"PK\x03\x04" + bytes(30), "not_an_image"),
    "tiff": (encode(face, "TIFF"), "not_an_image"),
    "gif of no frame": (b"GIF89a\x01\0\x01\0\0\0\0;", "unreadable"),
  }


def unusual():
  """Photos that are odd, but fine."""
  face = photo(2)
  grey = face.convert("L")
  deep = np.asarray(grey, np.uint16) * 257
  return {
    "animated gif": encode(
      face.convert("P"),
      "GIF",
      save_all=True,
      append_images=[Image.new("P", face.size)],
    ),
    "animated webp": encode(
      face, "WEBP", save_all=True, append_images=[Image.new("RGB", face.size)]
    ),
    "cmyk": encode(face.convert("CMYK"), "JPEG", quality=92),
    "16-bit png": encode(Image.fromarray(deep), "PNG"),
    "grey": encode(grey, "JPEG", quality=92),
    "rgba": encode(face.convert("RGBA"), "PNG"),
    "bmp": encode(face, "BMP"),
    "progressive": encode(face, "JPEG", progressive=True, quality=92),
    "trailing bytes": encode(face, "JPEG", quality=92) + b"\0" * 3000,
  }


def test_two_good_photos_among_twenty_two_bad_ones(answer):
  bad = hostile()
  good = [encode(photo(i), "JPEG", quality=92) for i in (1, 2)]
  contents = [good[0], *(data for data, _ in bad.values()), good[1]]
  said = answer(contents)
  assert said["found"].tolist() == [True, *[False] * len(bad), True]
  assert said["error"][0] == said["error"][-1] == b""
  found = [error.decode() for error in said["error"][1:-1]]
  for name, error, (_, expected) in zip(bad, found, bad.values(), strict=True):
    assert error.startswith(f"{expected}: "), name
  # The two are answered as they are alone.
  alone = answer(good)
  for head in labels.HEADS:
    np.testing.assert_allclose(said[head][[0, -1]], alone[head], atol=1e-5)
  for name in (*labels.HEADS, "box", "score", "faces"):
    assert not np.any(said[name][1:-1]), name


def test_odd_photos_are_answered(answer):
  photos = unusual()
  said = answer(list(photos.values()))
  for name, error, words in zip(
    photos, said["error"], said["sentence_ko"], strict=True
  ):
    assert error == b"", name
    assert words.decode().startswith("당신은 "), name


MUTATE = """
import random, sys
import tensorflow as tf
from tests import mutated
path, folder, count, seed = sys.argv[1:]
import pathlib
good = [p.read_bytes() for p in sorted(pathlib.Path(folder).iterdir())]
loaded = tf.saved_model.load(path)
answer = loaded.signatures["photos"]
rng = random.Random(int(seed))
errors = {}
done = 0
while done < int(count):
  batch = [mutated.choose(rng, good) for _ in range(50)]
  said = answer(tf.constant(batch))
  for found, error, box, words in zip(
      said["found"].numpy(), said["error"].numpy(), said["box"].numpy(),
      said["sentence_ko"].numpy()):
    name = error.decode().split(":")[0]
    errors[name] = errors.get(name, 0) + 1
    assert bool(found) == (name == "") == bool(words)
    assert 0 <= box.min() <= box.max() <= 1.0001
  done += len(batch)
print(done, errors)
"""


def mutate(saved_model, folder, count, seed):
  folder.mkdir()
  for number, (kind, options) in enumerate(
    [
      ("JPEG", {}),
      ("JPEG", {"progressive": True}),
      ("PNG", {}),
      ("WEBP", {}),
      ("WEBP", {"lossless": True}),
      ("GIF", {}),
      ("BMP", {}),
    ]
  ):
    image = photo(number, 160)
    (folder / str(number)).write_bytes(encode(image, kind, **options))
  first = photo(7, 160)
  moving = [Image.new("RGB", first.size, name) for name in ("red", "blue")]
  (folder / "moving").write_bytes(
    encode(first, "WEBP", save_all=True, append_images=moving)
  )
  large = photo(8).resize((1400, 1000))
  (folder / "large").write_bytes(encode(large, "JPEG", quality=60))
  return subprocess.run(
    [
      *(sys.executable, "-c", MUTATE, str(saved_model), str(folder)),
      *(str(count), str(seed)),
    ],
    capture_output=True,
    encoding="utf-8",
    env=drawn.environment(),
    cwd=ROOT,
  )


@pytest.mark.parametrize(
  "count", [500, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_no_mutation_of_a_photo_crashes_it(saved_model, tmp_path, count):
  seed = int(os.environ.get("YOURFACE_FUZZ_SEED", "0"))
  done = mutate(saved_model, tmp_path / "photos", count, seed)
  assert done.returncode == 0, done.stderr[-2000:]
  total, _, errors = done.stdout.partition(" ")
  assert int(total) == count
  # It was neither all refused nor all let through.
  for name in ("''", "'unreadable'", "'not_an_image'"):
    assert name in errors
