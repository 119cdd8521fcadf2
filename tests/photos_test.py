"""Tests of photos: which files are found, and what hostile bytes give."""

import io
import os
import pathlib
import random
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from yourface_tfds import cli, photos

_ORIENTATION = 0x0112


def _picture(mode="RGB", height=40, width=52, seed=0):
  """Smooth and lopsided, so that every turn and channel shows."""
  rng = np.random.default_rng(seed)
  small = Image.fromarray(rng.integers(0, 256, (5, 6, 4), np.uint8))
  image = small.resize((width, height), Image.Resampling.BICUBIC)
  if mode in ("1", "P"):
    return image.convert("RGB").convert(mode)
  return image.convert(mode)


def _encode(image, kind, **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def _rejected(data):
  with pytest.raises(photos.RejectedError) as caught:
    photos.decode(data)
  return caught.value.status, str(caught.value)


def _assert_near(photo, expected, tolerance):
  expected = np.asarray(expected)
  assert photo.dtype == np.uint8
  assert photo.shape == expected.shape
  assert np.abs(photo.astype(int) - expected).max() <= tolerance


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


@pytest.mark.parametrize(
  ("kind", "options"),
  [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
  ],
)
def test_lossless_formats_under_any_name(tmp_path, kind, options):
  folder = tmp_path / "photos" / "IU"
  folder.mkdir(parents=True)
  (folder / "a.jpg").write_bytes(_encode(_picture(), kind, **options))
  (file,) = photos.scan(tmp_path / "photos")
  _assert_near(photos.decode(file.read()), _picture(), 0)


@pytest.mark.parametrize(
  ("kind", "options"),
  [
    ("JPEG", {"quality": 95, "subsampling": 0}),
    ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
    ("MPO", {"quality": 95, "subsampling": 0}),
    ("WEBP", {"quality": 95}),
  ],
)
def test_lossy_formats(kind, options):
  photo = photos.decode(_encode(_picture(), kind, **options))
  difference = np.abs(photo.astype(int) - np.asarray(_picture()))
  assert photo.shape == (40, 52, 3)
  assert difference.mean() < 4


def test_gif():
  image = _picture("P")
  _assert_near(photos.decode(_encode(image, "GIF")), image.convert("RGB"), 0)


def test_cmyk_jpeg():
  data = _encode(_picture("CMYK"), "JPEG", quality=95, subsampling=0)
  _assert_near(photos.decode(data), _picture(), 16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(kind):
  ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
  photo = photos.decode(_encode(Image.fromarray(np.tile(ramp, (4, 1))), kind))
  expected = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
  _assert_near(photo, np.stack([expected] * 3, 2), 1)


def test_16_bit_grey_of_a_dark_photo_stays_dark():
  data = _encode(Image.fromarray(np.full((4, 4), 200, np.uint16)), "PNG")
  assert photos.decode(data).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_other_modes_without_transparency(mode):
  data = _encode(_picture(mode), "PNG")
  _assert_near(photos.decode(data), _picture(mode).convert("RGB"), 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(mode, kind):
  if kind == "WEBP":
    data = _encode(_picture(mode), kind, lossless=True, exact=True)
  else:
    data = _encode(_picture(mode), kind)
  values = np.asarray(_picture(mode).convert("RGBA"), float)
  alpha = values[..., 3:] / 255
  _assert_near(
    photos.decode(data), values[..., :3] * alpha + 255 - 255 * alpha, 1
  )


def test_transparent_colour_of_a_palette_is_white():
  image = Image.new("P", (4, 4), 1)
  image.putpalette([255, 0, 0, 0, 0, 255])
  image.putpixel((2, 0), 0)
  photo = photos.decode(_encode(image, "PNG", transparency=0))
  assert photo[0, 2].tolist() == [255, 255, 255]
  assert photo[0, 1].tolist() == [0, 0, 255]


def _expected_upright(orientation):
  """Exif 2.32, 4.6.4: where row 0 and column 0 of the stored photo are."""
  turns = [
    lambda x: x,
    lambda x: x[:, ::-1],
    lambda x: x[::-1, ::-1],
    lambda x: x[::-1],
    lambda x: x.transpose(1, 0, 2),
    lambda x: x.transpose(1, 0, 2)[:, ::-1],
    lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    lambda x: x.transpose(1, 0, 2)[::-1],
  ]
  return turns[orientation - 1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation, kind):
  exif = Image.Exif()
  exif[_ORIENTATION] = orientation
  stored = photos.decode(_encode(_picture(), kind, quality=95))
  photo = photos.decode(_encode(_picture(), kind, quality=95, exif=exif))
  _assert_near(photo, _expected_upright(orientation)(stored), 0)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_orientation_out_of_range_is_upright(orientation):
  exif = Image.Exif()
  exif[_ORIENTATION] = orientation
  stored = photos.decode(_encode(_picture(), "JPEG"))
  photo = photos.decode(_encode(_picture(), "JPEG", exif=exif))
  _assert_near(photo, stored, 0)


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 7, 10, 11, 12])
def test_odd_types_in_exif_do_not_reject_a_photo(kind):
  # Tag 0x0131, Software, is text; cameras and editors write other types too.
  tags = struct.pack("<HHHII", 2, _ORIENTATION, 3, 1, 6)
  tags += struct.pack("<HHII", 0x0131, kind, 1, 7) + bytes(20)
  exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags
  stored = photos.decode(_encode(_picture(), "JPEG"))
  photo = photos.decode(_encode(_picture(), "JPEG", exif=exif))
  _assert_near(photo, _expected_upright(6)(stored), 0)


def test_broken_exif_does_not_reject_a_photo():
  data = _encode(_picture(), "JPEG", exif=b"Exif\0\0no TIFF header at all")
  assert photos.decode(data).shape == (40, 52, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind):
  frames = [Image.new("RGB", (30, 20), color) for color in ("red", "blue")]
  data = _encode(frames[0], kind, save_all=True, append_images=frames[1:])
  _assert_near(photos.decode(data), frames[0], 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_truncated(kind):
  data = _encode(_picture(height=200, width=300), kind)
  status, detail = _rejected(data[: len(data) // 2])
  assert status == "unreadable"
  assert detail
  assert "\n" not in detail


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_truncated_before_a_decoder_knows_it(kind):
  data = _encode(_picture(), kind)
  status, _ = _rejected(data[: len(data) // 2])
  assert status in ("unreadable", "not_an_image")


def test_zero_bytes():
  assert _rejected(b"") == ("unreadable", "the file is empty")


@pytest.mark.parametrize(
  "data",
  [
    b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    b"\0" * 1000,
    b"\xff\xd8",
    b"GIF89a",
    b"%PDF-1.7\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    random.Random(0).randbytes(5000),
  ],
  ids=["html", "zeros", "jpeg magic", "gif magic", "pdf", "svg", "random"],
)
def test_not_an_image(data):
  assert _rejected(data) == (
    "not_an_image",
    "none of JPEG, PNG, WEBP, GIF, BMP, TIFF, MPO",
  )


def test_formats_that_start_programs_are_not_tried():
  data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
  assert _rejected(data)[0] == "not_an_image"


@pytest.fixture(name="no_decoding")
def _no_decoding(monkeypatch):
  def load(_):
    raise AssertionError("decoded")

  monkeypatch.setattr(photos, "_upright_rgb", load)


@pytest.mark.usefixtures("no_decoding")
def test_pixel_bomb_is_refused_by_its_header():
  assert _rejected(_png_of_size(20_000, 20_000))[0] == "too_large"


@pytest.mark.usefixtures("no_decoding")
def test_photo_above_the_limit_is_refused_by_its_header():
  assert _rejected(_png_of_size(10_000, 5_001)) == (
    "too_large",
    "10000x5001 pixels, allowed: 50,000,000 in all",
  )


def test_photo_at_the_limit_is_not_too_large():
  assert _rejected(_png_of_size(10_000, 5_000))[0] == "unreadable"


def _mutations(data, count):
  rng = random.Random(0)
  for _ in range(count):
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
      # The header is where it matters; half of the changes go there.
      end = min(len(data), 40) if rng.random() < 0.5 else len(data)
      mutated[rng.randrange(end)] = rng.choice((0, 255, rng.randrange(256)))
    yield bytes(mutated[: rng.randrange(len(data)) or None])
    yield bytes(mutated)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_mutations_are_decoded_or_rejected(kind):
  exif = Image.Exif()
  exif[_ORIENTATION] = 6
  options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
  data = _encode(_picture(height=10, width=12), kind, **options)
  decoded = 0
  for mutated in _mutations(data, 150):
    try:
      photo = photos.decode(mutated)
    except photos.RejectedError as error:
      assert error.status in ("unreadable", "not_an_image", "too_large")
    else:
      decoded += 1
      assert photo.dtype == np.uint8
      assert photo.ndim == 3
      assert photo.shape[2] == 3
      assert photo.size
  assert decoded > 5


@pytest.mark.parametrize(
  ("size", "long_side", "shrink"),
  [
    ((1000, 2000), None, 1),
    ((1000, 2000), 2001, 1),
    ((1000, 2000), 1001, 1),
    ((1000, 2000), 1000, 2),
    ((2000, 1000), 1000, 2),
    ((1000, 2000), 501, 2),
    ((1000, 2000), 480, 4),
    ((1000, 2000), 250, 8),
    ((1000, 2000), 1, 8),
    ((1, 1), 480, 1),
  ],
)
def test_shrinking(size, long_side, shrink):
  assert photos.shrinking(size, long_side) == shrink


def _smooth(mode="RGB", height=1000, width=2000):
  return _picture(mode, height=height, width=width)


@pytest.mark.parametrize(
  ("long_side", "shape"),
  [
    (None, (1000, 2000, 3)),
    (1001, (1000, 2000, 3)),
    (1000, (500, 1000, 3)),
    (480, (250, 500, 3)),
    (200, (125, 250, 3)),
    (10, (125, 250, 3)),
  ],
)
def test_jpeg_is_decoded_as_small_as_is_enough(long_side, shape):
  data = _encode(_smooth(), "JPEG", quality=95)
  photo = photos.decode_scaled(data, long_side)
  assert photo.pixels.shape == shape
  assert photo.pixels.dtype == np.uint8
  assert photo.size == (1000, 2000)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
@pytest.mark.parametrize(("long_side", "shrink"), [(960, 2), (480, 4)])
def test_shrunk_jpeg_is_near_the_average_of_areas(
  mode, options, long_side, shrink
):
  data = _encode(_smooth(mode), "JPEG", quality=95, **options)
  full = photos.decode(data)
  assert full.shape == (1000, 2000, 3)
  photo = photos.decode_scaled(data, long_side)
  assert photo.size == (1000, 2000)
  height, width = 1000 // shrink, 2000 // shrink
  means = full.reshape(height, shrink, width, shrink, 3).mean((1, 3))
  assert photo.pixels.shape == means.shape
  assert np.abs(photo.pixels - means).mean() < 2


def test_shrunk_jpeg_of_odd_sides():
  data = _encode(_smooth(height=1003, width=1999), "JPEG")
  photo = photos.decode_scaled(data, 480)
  assert photo.pixels.shape == (251, 500, 3)  # Rounded up.
  assert photo.size == (1003, 1999)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_shrunk_jpeg_is_turned_upright(orientation):
  exif = Image.Exif()
  exif[_ORIENTATION] = orientation
  stored = photos.decode_scaled(_encode(_smooth(), "JPEG"), 480)
  photo = photos.decode_scaled(_encode(_smooth(), "JPEG", exif=exif), 480)
  turned = _expected_upright(orientation)(stored.pixels)
  np.testing.assert_array_equal(photo.pixels, turned)
  assert photo.size == ((2000, 1000) if orientation >= 5 else (1000, 2000))


def test_first_picture_of_a_stereo_camera_is_shrunk():
  data = _encode(
    _smooth(), "MPO", save_all=True, append_images=[_smooth(height=500)]
  )
  photo = photos.decode_scaled(data, 480)
  assert photo.pixels.shape == (250, 500, 3)
  assert photo.size == (1000, 2000)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "TIFF"])
def test_other_formats_are_not_shrunk(kind):
  data = _encode(_smooth(height=600, width=1200), kind)
  photo = photos.decode_scaled(data, 300)
  assert photo.size == (600, 1200)
  np.testing.assert_array_equal(photo.pixels, photos.decode(data))
  assert photo.pixels.shape == (600, 1200, 3)


def test_orientation_of_a_png_swaps_its_size():
  exif = Image.Exif()
  exif[_ORIENTATION] = 6
  photo = photos.decode_scaled(_encode(_picture(), "PNG", exif=exif), 480)
  assert photo.pixels.shape == (52, 40, 3)
  assert photo.size == (52, 40)


def test_truncated_jpeg_is_rejected_when_shrunk_too():
  data = _encode(_smooth(), "JPEG")
  with pytest.raises(photos.RejectedError) as caught:
    photos.decode_scaled(data[: len(data) // 2], 480)
  assert caught.value.status == "unreadable"


def test_encode_jpeg():
  image = np.asarray(_picture())
  data = photos.encode_jpeg(image)
  assert data == _encode(_picture(), "JPEG", quality=95)
  difference = np.abs(photos.decode(data).astype(int) - image)
  assert difference.mean() < 4


@pytest.mark.parametrize(
  ("size", "small"),
  [((300, 200), (75, 50)), ((200, 300), (50, 75)), ((40, 30), (40, 30))],
)
def test_thumbnail(size, small):
  image = np.asarray(_picture(height=size[0], width=size[1]))
  data = photos.thumbnail(image)
  assert data.startswith(b"\xff\xd8")
  photo = photos.decode(data)
  assert photo.shape == (*small, 3)
  factor = size[0] // small[0]
  means = image.reshape(*(small[0], factor, small[1], factor), 3).mean((1, 3))
  assert np.abs(photo - means).mean() < 8


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 3)])
def test_thumbnail_of_thin_photos(shape):
  photo = photos.decode(photos.thumbnail(np.full(shape, 90, np.uint8)))
  assert max(photo.shape[:2]) <= photos.THUMBNAIL_SIDE
  assert abs(int(photo.max()) - 90) <= 2


def _write(root, *paths):
  for path in paths:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(path.encode())


def test_scan_lists_every_file_sorted(tmp_path):
  _write(
    tmp_path,
    "IU/b.jpg",
    "IU/a.jpg",
    "IU/2019/deep/c.jpg",
    "IU/.DS_Store",
    "IU/notes.txt",
    "IU/Icon\r",
    "loose.jpg",
    " 김 유정 /사진 1.jpg",
    "🎤 singer/😀.jpg",
  )
  (tmp_path / "nobody").mkdir()
  assert [(file.path, file.person) for file in photos.scan(tmp_path)] == [
    (" 김 유정 /사진 1.jpg", "김 유정"),
    ("IU/.DS_Store", "IU"),
    ("IU/2019/deep/c.jpg", "IU"),
    ("IU/Icon\r", "IU"),
    ("IU/a.jpg", "IU"),
    ("IU/b.jpg", "IU"),
    ("IU/notes.txt", "IU"),
    ("loose.jpg", ""),
    ("🎤 singer/😀.jpg", "🎤 singer"),
  ]
  assert all(
    file.read() == file.path.encode() for file in photos.scan(str(tmp_path))
  )


def test_scan_normalizes_the_person_and_keeps_the_path(tmp_path):
  decomposed = unicodedata.normalize("NFD", "김유정")
  _write(tmp_path, f"{decomposed}/1.jpg")
  (file,) = photos.scan(tmp_path)
  assert file.person == "김유정"
  assert file.read() == f"{decomposed}/1.jpg".encode()
  if (tmp_path / decomposed) in tmp_path.iterdir():
    assert file.path == f"{decomposed}/1.jpg"


def test_scan_of_a_name_that_is_not_utf_8(tmp_path):
  folder = tmp_path / "IU"
  folder.mkdir()
  try:
    with open(os.fsencode(folder) + b"/\xb1\xe8.jpg", "wb") as out:  # noqa: PTH123
      out.write(b"bytes")
  except OSError:
    pytest.skip("this file system takes UTF-8 names only")
  (file,) = photos.scan(tmp_path)
  assert os.fsencode(file.path) == b"IU/\xb1\xe8.jpg"
  assert file.person == "IU"
  assert file.read() == b"bytes"


def _statuses(root):
  result = {}
  for file in photos.scan(root):
    try:
      result[file.path] = file.read()
    except photos.RejectedError as error:
      result[file.path] = error.status
  return result


def test_links(tmp_path):
  root = tmp_path / "photos"
  _write(root, "IU/a.jpg")
  _write(tmp_path, "secret.jpg", "elsewhere/b.jpg")
  (root / "IU" / "b.jpg").symlink_to("a.jpg")
  (root / "IU" / "c.jpg").symlink_to(tmp_path / "secret.jpg")
  (root / "IU" / "d.jpg").symlink_to("gone.jpg")
  (root / "IU" / "e").symlink_to(tmp_path / "elsewhere")
  (root / "IU" / "f").symlink_to("..", target_is_directory=True)
  assert _statuses(root) == {
    "IU/a.jpg": b"IU/a.jpg",
    "IU/b.jpg": b"IU/a.jpg",
    "IU/c.jpg": "outside",
    "IU/d.jpg": "unreadable",
    "IU/e": "outside",
    "IU/f": "unreadable",
  }


def test_link_to_itself(tmp_path):
  _write(tmp_path, "IU/a.jpg")
  (tmp_path / "IU" / "loop.jpg").symlink_to("loop.jpg")
  assert _statuses(tmp_path)["IU/loop.jpg"] == "unreadable"


def test_root_may_be_a_link(tmp_path):
  _write(tmp_path, "real/IU/a.jpg")
  (tmp_path / "photos").symlink_to("real")
  assert _statuses(tmp_path / "photos") == {"IU/a.jpg": b"real/IU/a.jpg"}


def test_file_that_went_away_or_is_none(tmp_path):
  _write(tmp_path, "IU/a.jpg", "IU/b.jpg")
  files = photos.scan(tmp_path)
  for file in files:
    (tmp_path / file.path).unlink()
  (tmp_path / "IU" / "b.jpg").mkdir()
  for file in files:
    with pytest.raises(photos.RejectedError) as caught:
      file.read()
    assert caught.value.status == "unreadable"
    assert str(caught.value) == "neither a file nor a link to one"


@pytest.mark.parametrize(
  ("error", "detail"),
  [
    (PermissionError(13, "Permission denied", "/home/kim/a.jpg"), None),
    (OSError(5, "Input/output error", "/home/kim/a.jpg"), None),
    (OSError("no number, but /home/kim/a.jpg"), "OSError"),
  ],
  ids=["permission", "disk", "no number"],
)
def test_detail_of_an_unreadable_file_does_not_hold_its_path(
  tmp_path, monkeypatch, error, detail
):
  _write(tmp_path, "IU/a.jpg")
  (file,) = photos.scan(tmp_path)

  def fail(_):
    raise error

  monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
  with pytest.raises(photos.RejectedError) as caught:
    file.read()
  assert caught.value.status == "unreadable"
  assert str(caught.value) == (detail or error.strerror)


def test_missing_folder(tmp_path):
  with pytest.raises(cli.UserError) as caught:
    photos.scan(tmp_path / "photos")
  assert str(caught.value) == (
    f"{tmp_path}/photos: no such folder; photos belong in "
    "<manual_dir>/photos/<person>/"
  )


@pytest.mark.parametrize("folders", [[], ["IU", "Rain/2019"]])
def test_empty_folder(tmp_path, folders):
  for folder in folders:
    (tmp_path / folder).mkdir(parents=True)
  with pytest.raises(cli.UserError) as caught:
    photos.scan(pathlib.Path(tmp_path))
  assert str(caught.value) == (
    f"{tmp_path}: no file in it; put photos in <manual_dir>/photos/<person>/"
  )
