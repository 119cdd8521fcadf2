"""Photos on disk: which files there are, and their upright RGB pixels.

Input is what people save from the web, so nothing is believed: a file is judged
by its content, its size is checked before it is decoded, and whatever cannot be
used is a `RejectedError` with a reason, never a crash.

  for file in photos.scan("M/photos"):
    try:
      photo = photos.decode(file.read())  # uint8[height, width, 3], upright
    except photos.RejectedError as rejected:
      print(file.path, rejected.status)
"""

import dataclasses
import functools
import io
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from yourface_tfds import cli, jpeg_scans, labels

MAX_PIXELS = 50_000_000
"""Photos above this are refused before decoding: 150 MB as RGB."""

MAX_BYTES = 8 * MAX_PIXELS
"""Files above this are refused unread: what plain 16-bit RGBA takes. A sparse
file claims terabytes and costs its maker nothing."""

MAX_SCANS = 100
"""JPEGs of more passes over the picture are refused before decoding. Encoders
write about 10; one of 75 bytes costs 40 ms at 49 million pixels, so that a file
of 1 MB could take 9 minutes."""

JPEG_QUALITY = 95
"""About 11 kB a face of 150x150, a sixth of raw."""

THUMBNAIL_SIDE = 75
"""Of rejected photos, for the contact sheet, pixels."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO")
"""Pillow decoders that may see a file. MPO is the JPEG of stereo cameras."""


_ORIENTATION = 0x0112
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored photo upright."""

_SIDEWAYS = (5, 6, 7, 8)


class RejectedError(ValueError):
  """A file that gives no example.

  Attributes:
    status: the reason as in photos.csv, for example `unreadable`.
  """

  def __init__(self, status: str, detail: str) -> None:
    super().__init__(detail)
    self.status = status


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PhotoFile:
  """One file under photos/.

  Attributes:
    path: relative to photos/, with forward slashes, as it is on disk.
    person: its first folder after NFC normalisation; "" for a file in none.
    root: the photos/ folder.
  """

  path: str
  person: str
  root: pathlib.Path

  def read(self) -> bytes:
    """Returns the file's bytes.

    Raises:
      RejectedError: `outside` for a link out of photos/, `too_large` above
        `MAX_BYTES`, `unreadable` where the system refuses.
    """
    path = self.root / self.path
    try:
      if not path.resolve().is_relative_to(self.root.resolve()):
        raise RejectedError("outside", "a link that leaves photos/")
      if not path.is_file():
        raise RejectedError("unreadable", "neither a file nor a link to one")
      if (size := path.stat().st_size) > MAX_BYTES:
        raise RejectedError(
          "too_large", f"{size:,} bytes, allowed: {MAX_BYTES:,}"
        )
      return path.read_bytes()
    except OSError as error:
      # Without the path, which holds names: it may be meant to be hidden.
      detail = error.strerror or type(error).__name__
      raise RejectedError("unreadable", detail) from error
    except RuntimeError as error:
      raise RejectedError("unreadable", "a link to itself") from error


def scan(root: str | os.PathLike[str]) -> list[PhotoFile]:
  """Lists every file under photos/, nested folders included, sorted by path.

  Links to folders are not followed; each counts as one file.

  Raises:
    UserError: the folder is missing or holds no file.
  """
  root = pathlib.Path(root)
  if not root.is_dir():
    raise cli.UserError(
      f"{root}: no such folder; photos belong in <manual_dir>/photos/<person>/"
    )
  # One string a person, not one a file: 60 bytes each.
  person = functools.cache(labels.normalize)
  files = [
    PhotoFile(
      path=path,
      person=person(path.split("/")[0]) if "/" in path else "",
      root=root,
    )
    for path in sorted(_walk(root))
  ]
  if not files:
    raise cli.UserError(
      f"{root}: no file in it; put photos in <manual_dir>/photos/<person>/"
    )
  return files


def _walk(root: pathlib.Path) -> Iterator[str]:
  # Not os.walk: before Python 3.12 it calls itself, 1,000 folders deep at most.
  folders = [""]
  while folders:
    folder = folders.pop()
    try:
      with os.scandir(root / folder) as entries:
        for entry in entries:
          path = f"{folder}{entry.name}"
          if entry.is_dir(follow_symlinks=False):
            folders.append(f"{path}/")
          else:
            yield path
    except OSError as error:
      raise cli.UserError(
        f"{error.filename}: cannot be read ({error.strerror}); its photos "
        "would be missing without a word"
      ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
  """A decoded photo.

  Attributes:
    pixels: uint8[height, width, 3], 0..255, upright RGB.
    size: height and width of the photo at full resolution; `pixels` has a half,
      a quarter or an eighth of that where fewer pixels were asked for.
  """

  pixels: np.ndarray
  size: tuple[int, int]


def decode(data: bytes) -> np.ndarray:
  """Returns uint8[height, width, 3] at full resolution, as `decode_scaled`."""
  return decode_scaled(data).pixels


def decode_scaled(data: bytes, long_side: int | None = None) -> Photo:
  """Decodes a photo's bytes into upright RGB.

  The first frame of an animation, the EXIF orientation applied, transparency
  laid on white, any bit depth brought to 8.

  Args:
    data: the bytes of a file in one of `FORMATS`, whatever its name says.
    long_side: how many pixels are enough for the longer side. A JPEG that has
      at least twice as many is decoded at 1/2, 1/4 or 1/8, by leaving out
      the fine frequencies of its cosine transform.

  Raises:
    RejectedError: `not_an_image` where no decoder knows it, `too_large` above
      `MAX_PIXELS` or `MAX_SCANS`, `unreadable` where decoding fails (truncated,
      corrupt).
  """
  if not data:
    raise RejectedError("unreadable", "the file is empty")
  with warnings.catch_warnings():
    # Pillow warns of odd metadata; what counts here is whether it decodes.
    warnings.simplefilter("ignore")
    try:
      image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
      raise RejectedError("too_large", cli.one_line(error)) from error
    except Exception as error:  # Decoders raise anything on hostile bytes.
      detail = f"none of {', '.join(FORMATS)}"
      raise RejectedError("not_an_image", detail) from error
    with image:
      width, height = image.size
      if width * height > MAX_PIXELS:
        raise RejectedError(
          "too_large",
          f"{width}x{height} pixels, allowed: {MAX_PIXELS:,} in all",
        )
      if image.format in ("JPEG", "MPO") and jpeg_scans.are_more_than(
        MAX_SCANS, data
      ):
        raise RejectedError(
          "too_large", f"more than {MAX_SCANS} scans of one picture"
        )
      try:
        shrink = shrinking((height, width), long_side)
        if shrink > 1 and image.format in ("JPEG", "MPO"):
          image.draft(image.mode, (width // shrink, height // shrink))
        turns = _orientation(image) in _SIDEWAYS
        pixels = np.asarray(_upright_rgb(image))
      except Exception as error:  # As above: anything, on hostile bytes.
        raise RejectedError("unreadable", cli.one_line(error)) from error
  return Photo(
    pixels=pixels, size=(width, height) if turns else (height, width)
  )


def shrinking(size: tuple[int, int], long_side: int | None) -> int:
  """Returns by how much a JPEG may be shrunk: 1, 2, 4 or 8.

  Args:
    size: height and width of the photo.
    long_side: pixels that the longer side must keep; None: all.
  """
  if not long_side:
    return 1
  return max(s for s in (1, 2, 4, 8) if s == 1 or max(size) >= s * long_side)


def _upright_rgb(image: Image.Image) -> Image.Image:
  image.load()
  image = _turned(image)
  if image.mode.startswith("I") or image.mode == "F":
    # 16-bit grey: convert("RGB") would clip at 255 instead of scaling.
    values = np.asarray(image, np.float32)
    is_16_bit = image.mode.startswith("I;16") or values.max(initial=0) > 255
    scale = 255 / 65535 if is_16_bit else 1
    image = Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))
  if image.mode == "P" or "A" in image.mode or "a" in image.mode:
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(canvas, image)
  return image.convert("RGB")


def _turned(image: Image.Image) -> Image.Image:
  """Applies the EXIF orientation, as ImageOps.exif_transpose.

  That also writes the other tags anew, and fails on those of an odd type.
  """
  orientation = _orientation(image)
  if orientation not in _TURNS:
    return image
  return image.transpose(_TURNS[orientation])


def _orientation(image: Image.Image) -> int | None:
  if image.format == "JPEG" and not {"exif", "xmp"} & set(image.info):
    return None  # Looking anyway costs time.
  try:
    return image.getexif().get(_ORIENTATION)
  except Exception:  # Decoders raise anything on hostile bytes.
    return None


def encode_jpeg(image: np.ndarray) -> bytes:
  """Returns uint8[height, width, 3] as JPEG bytes, quality `JPEG_QUALITY`."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, "JPEG", quality=JPEG_QUALITY)
  return out.getvalue()


def thumbnail(photo: np.ndarray) -> bytes:
  """Returns uint8[height, width, 3] as a small JPEG for people to see."""
  image = Image.fromarray(photo)
  image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
  return encode_jpeg(np.asarray(image))
