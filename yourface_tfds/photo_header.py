"""What the first bytes of a photo tell, read in the graph: size, orientation.

`tf.io.decode_image` ignores EXIF and allocates whatever a header claims; both
are answered here before anything is decoded. Offsets are those of the formats'
specifications: JPEG (ITU-T T.81 annex B), Exif 2.32 section 4.6, PNG IHDR, GIF
89a, BMP, WebP (RFC 9649).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Word = Callable[[tf.Tensor], tf.Tensor]

_MOST_STEPS = 1000
"""Of a walk through a file: one of 20 MB that is all steps would take hours."""


class Header(NamedTuple):
  """What is known before decoding.

  Attributes:
    height, width: int64[], pixels as they are stored, before any turn; 0 where
      the header does not tell.
    orientation: int64[], 1..8 as in Exif; 1 where nothing is said.
    scans: int64[], of a JPEG; 0 for everything else.
  """

  height: tf.Tensor
  width: tf.Tensor
  orientation: tf.Tensor
  scans: tf.Tensor

  @property
  def pixels(self) -> tf.Tensor:
    """Returns height times width, int64."""
    return self.height * self.width

  def upright_size(self) -> tf.Tensor:
    """Returns int32[..., 2]: height and width after the turn."""
    sides = tf.stack([self.height, self.width], -1)
    sideways = self.orientation[..., tf.newaxis] >= 5
    return tf.cast(tf.where(sideways, sides[..., ::-1], sides), tf.int32)


def starts_with(
  encoded: tf.Tensor, magic: bytes, offset: int | tf.Tensor = 0
) -> tf.Tensor:
  """Returns bool[]: whether the bytes at `offset` are `magic`."""
  size = tf.cast(tf.strings.length(encoded), tf.int64)
  # substr fails beyond the end of a string, and a hostile offset is 33 bits.
  start = tf.clip_by_value(tf.cast(offset, tf.int64), 0, size)
  return tf.equal(
    tf.strings.substr(encoded, start, tf.constant(len(magic), tf.int64)), magic
  )


def read(encoded: tf.Tensor) -> Header:
  """Reads the header of a photo file.

  Args:
    encoded: string[], the bytes of any file.

  Returns:
    The header; zeros and ones for what is no image. Never fails. Of what moves
    the size is that of the whole, see `photo_still`.
  """
  size = tf.strings.length(encoded)
  # One byte more, for what is asked beyond the end.
  data = tf.io.decode_raw(tf.strings.join([encoded, b"\0"]), tf.uint8)

  def byte(i: tf.Tensor) -> tf.Tensor:
    inside = tf.where((i >= 0) & (i < size), i, size)
    return tf.cast(tf.gather(data, inside), tf.int64)

  def big(i: tf.Tensor) -> tf.Tensor:
    return byte(i) * 256 + byte(i + 1)

  def little(i: tf.Tensor) -> tf.Tensor:
    return byte(i + 1) * 256 + byte(i)

  zero, one = tf.zeros([], tf.int64), tf.ones([], tf.int64)
  return tf.case(
    [
      (
        starts_with(encoded, b"\xff\xd8"),
        lambda: _read_jpeg(size, data, big, little),
      ),
      (
        starts_with(encoded, b"\x89PNG"),
        lambda: Header(*_png_size(big), one, zero),
      ),
      (
        starts_with(encoded, b"GIF8"),
        lambda: Header(little(8), little(6), one, zero),
      ),
      (
        starts_with(encoded, b"BM"),
        lambda: Header(*_bmp_size(little), one, zero),
      ),
      (
        starts_with(encoded, b"WEBP", 8),
        lambda: Header(*_webp_size(encoded, byte, little), one, zero),
      ),
    ],
    default=lambda: Header(zero, zero, one, zero),
  )


_Size = tuple[tf.Tensor, tf.Tensor]


def _png_size(big: Word) -> _Size:
  height, width = (big(i) * 65536 + big(i + 2) for i in (20, 16))
  # 2^31 and above are not allowed, and their product would overflow.
  return tf.minimum(height, 2**31 - 1), tf.minimum(width, 2**31 - 1)


def _bmp_size(little: Word) -> _Size:
  height, width = (little(i) + little(i + 2) * 65536 for i in (22, 18))
  # A negative height means top to bottom; it wraps to above 2^31.
  return tf.where(height >= 2**31, 2**32 - height, height), width


def _webp_size(encoded: tf.Tensor, byte: Word, little: Word) -> _Size:
  lossless = little(21) + little(23) * 65536
  return tf.case(
    [
      (
        starts_with(encoded, b"VP8X", 12),
        lambda: (
          little(27) + byte(29) * 65536 + 1,
          little(24) + byte(26) * 65536 + 1,
        ),
      ),
      (
        starts_with(encoded, b"VP8L", 12),
        lambda: (lossless // 16384 % 16384 + 1, lossless % 16384 + 1),
      ),
    ],
    default=lambda: (little(28) % 16384, little(26) % 16384),
  )


def _read_jpeg(
  size: tf.Tensor, data: tf.Tensor, big: Word, little: Word
) -> Header:
  """Walks the segments up to the frame header, which holds the size."""

  def is_frame(marker: tf.Tensor) -> tf.Tensor:
    # SOF0..SOF15 without DHT, JPG and DAC, which share the range.
    low = (marker >= 0xFFC0) & (marker <= 0xFFCF)
    others = (marker == 0xFFC4) | (marker == 0xFFC8) | (marker == 0xFFCC)
    return low & ~others

  def goes_on(i: tf.Tensor, known: Header) -> tf.Tensor:
    return (i + 4 < size) & (known.pixels == 0) & (big(i) != 0xFFDA)

  def step(i: tf.Tensor, known: Header) -> tuple[tf.Tensor, Header]:
    marker = big(i)
    height = tf.where(is_frame(marker), big(i + 5), known.height)
    width = tf.where(is_frame(marker), big(i + 7), known.width)
    # "Exif" follows the length of its APP1 segment.
    is_exif = (
      (marker == 0xFFE1) & (big(i + 4) == 0x4578) & (big(i + 6) == 0x6966)
    )
    orientation = tf.cond(
      is_exif,
      lambda: _exif_orientation(i + 10, big, little),
      lambda: known.orientation,
    )
    length = tf.cast(tf.maximum(big(i + 2), 2), tf.int32)
    # As libjpeg: what is no marker is skipped byte by byte, 0xFF before one
    # too, and some markers have no length.
    bare = (marker <= 0xFF01) | ((marker >= 0xFFD0) & (marker <= 0xFFD8))
    following = i + 2 + tf.where(bare, 0, length)
    is_marker = (marker >= 0xFF00) & (marker != 0xFFFF)
    following = tf.where(is_marker, following, i + 1)
    return following, Header(height, width, orientation, known.scans)

  zero, one = tf.zeros([], tf.int64), tf.ones([], tf.int64)
  start = (tf.constant(2), Header(zero, zero, one, zero))
  _, header = tf.while_loop(
    goes_on, step, start, maximum_iterations=_MOST_STEPS
  )
  return header._replace(scans=_count_scans(data))


def _count_scans(data: tf.Tensor) -> tf.Tensor:
  """Counts the scans of a JPEG by their headers' first bytes.

  FF DA and a length of 8 to 14 (T.81 section B.2.3). A scan's data holds no
  such bytes, a film behind the picture hardly.
  """
  return tf.math.count_nonzero(
    (data[:-3] == 0xFF)
    & (data[1:-2] == 0xDA)
    & (data[2:-1] == 0)
    & (data[3:] <= 14)
  )


def _exif_orientation(start: tf.Tensor, big: Word, little: Word) -> tf.Tensor:
  """Returns tag 0x0112 of the first directory of a TIFF header, else 1."""
  is_little = tf.equal(big(start), 0x4949)

  def short(i: tf.Tensor) -> tf.Tensor:
    return tf.where(is_little, little(i), big(i))

  high, low = short(start + 4), short(start + 6)
  # The first directory of a photo lies at byte 8; a hostile offset must not
  # overflow int32.
  offset = tf.where(is_little, low * 65536 + high, high * 65536 + low)
  directory = start + tf.cast(tf.minimum(offset, 2**16), tf.int32)
  entries = tf.cast(tf.minimum(short(directory), 512), tf.int32)
  tags = directory + 2 + 12 * tf.range(entries)
  values = tf.boolean_mask(short(tags + 8), tf.equal(short(tags), 0x0112))
  value = tf.concat([values, [1]], 0)[0]
  return tf.where((value >= 1) & (value <= 8), value, 1)


def upright(photo: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
  """Turns a decoded photo the way its orientation says.

  Args:
    photo: uint8[height, width, 3].
    orientation: int64[], 1..8, Exif 2.32 section 4.6.4.
  """
  turned = tf.cond(
    orientation >= 5, lambda: tf.transpose(photo, [1, 0, 2]), lambda: photo
  )
  # After the transposition of 5..8: which axes are still to be reversed.
  across = _is_any(orientation, 2, 3, 6, 7)
  down = _is_any(orientation, 3, 4, 7, 8)
  turned = tf.cond(across, lambda: tf.reverse(turned, [1]), lambda: turned)
  return tf.cond(down, lambda: tf.reverse(turned, [0]), lambda: turned)


def _is_any(value: tf.Tensor, *options: int) -> tf.Tensor:
  return tf.reduce_any(tf.equal(value, tf.constant(options, tf.int64)))
