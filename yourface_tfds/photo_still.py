"""The first frame of what moves, as a file of its own, in the graph.

  encoded = photo_still.still(encoded)    # then photo_header.read(encoded)

TensorFlow 2.21 writes beyond its memory when it decodes a moving WebP, and
unpacks every frame of a GIF before it takes the first: of 7000 x 7000 pixels
each was 33 MB of memory and 37 kB of file. A frame may also be larger than the
file's header says; what is returned says the larger.
"""

import tensorflow as tf

from yourface_tfds import photo_header

_MOST_CHUNKS = 1000
_MOST_BLOCKS = 50_000  # Of 255 bytes: 12 MB of one frame.
_AT_BLOCK, _IN_EXTENSION, _IN_IMAGE, _DONE, _BROKEN = range(5)


def still(encoded: tf.Tensor) -> tf.Tensor:
  """Returns a photo file with the first frame alone of what moves.

  Args:
    encoded: string[], the bytes of any file; what is no GIF and no moving WebP
      is returned as it is, and so is what breaks off before its first frame
      ends.
  """
  moving_webp = (
    photo_header.starts_with(encoded, b"WEBP", 8)
    & photo_header.starts_with(encoded, b"VP8X", 12)
    & (_little_32(encoded, 20) // 2 % 2 > 0)
  )
  return tf.case(
    [
      (moving_webp, lambda: _first_webp_frame(encoded)),
      (
        photo_header.starts_with(encoded, b"GIF8"),
        lambda: _first_gif_frame(encoded),
      ),
    ],
    default=lambda: encoded,
  )


def _first_gif_frame(encoded: tf.Tensor) -> tf.Tensor:
  """GIF 89a: a screen, extensions, and an image of blocks of 255 bytes.

  A block of 0 bytes ends each. What breaks off keeps its screen alone, which no
  decoder takes.
  """
  size = tf.strings.length(encoded)
  data = tf.io.decode_raw(tf.strings.join([encoded, b"\0"]), tf.uint8)

  def byte(i: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.gather(data, tf.minimum(i, size)), tf.int32)

  def table(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of a colour table."""
    colors = tf.bitwise.left_shift(2, flags % 8)
    return tf.where(flags >= 128, 3 * colors, 0)

  def step(
    i: tf.Tensor, state: tf.Tensor, image: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    value = byte(i)
    is_image, is_extension = value == 0x2C, value == 0x21
    # The image's place and size, flags, its colours, and a byte for LZW.
    start = i + tf.where(is_image, 11 + table(byte(i + 9)), 2)
    inside = tf.where(is_image, _IN_IMAGE, _IN_EXTENSION)
    opened = tf.where(is_image | is_extension, inside, _BROKEN)
    closed = tf.where(state == _IN_IMAGE, _DONE, _AT_BLOCK)
    at_block = state == _AT_BLOCK
    return (
      tf.where(at_block, start, i + 1 + value),
      tf.where(at_block, opened, tf.where(value == 0, closed, state)),
      tf.where(at_block & is_image, i, image),
    )

  end, state, image = tf.while_loop(
    lambda i, state, _: (i < size) & (state < _DONE),
    step,
    (13 + table(byte(tf.constant(10))), tf.constant(_AT_BLOCK), size),
    maximum_iterations=_MOST_BLOCKS,
  )
  screen = [byte(tf.constant(at)) for at in (6, 7, 8, 9)]
  frame = [byte(image + at) for at in (5, 6, 7, 8)]
  kept = tf.where(state == _DONE, end, 13)
  return tf.strings.join(
    [
      _slice(encoded, tf.constant(0), 6),
      _letters(tf.stack(_larger(screen, frame))),
      _slice(encoded, tf.constant(10), kept - 10),
      b";",
    ]
  )


def _larger(screen: list[tf.Tensor], frame: list[tf.Tensor]) -> list[tf.Tensor]:
  """Two sizes of two bytes a side, the lower one first -> the larger sides."""
  larger = []
  for low in (0, 2):
    side = tf.maximum(
      *(one[low] + 256 * one[low + 1] for one in (screen, frame))
    )
    larger += [side % 256, side // 256]
  return larger


def _letters(values: tf.Tensor) -> tf.Tensor:
  """int[n], 0..255 -> string[], the bytes."""
  letters = tf.constant([bytes([i]) for i in range(256)])
  return tf.strings.reduce_join(tf.gather(letters, values))


def _first_webp_frame(encoded: tf.Tensor) -> tf.Tensor:
  """RFC 9649: an ANMF chunk holds 16 bytes, then the chunks of a still image.

  Bytes 6 to 11 are the size of the frame, as VP8X spells it.
  """
  size = tf.cast(tf.strings.length(encoded), tf.int64)

  def next_chunk(i: tf.Tensor) -> tuple[tf.Tensor]:
    length = _little_32(encoded, i + 4)
    return (i + 8 + length + length % 2,)

  (start,) = tf.while_loop(
    lambda i: (i < size) & ~photo_header.starts_with(encoded, b"ANMF", i),
    next_chunk,
    (tf.constant(12, tf.int64),),
    maximum_iterations=_MOST_CHUNKS,
  )
  length = tf.minimum(_little_32(encoded, start + 4), size)
  frame = _slice(encoded, start + 8 + 16, length - 16)
  header = b"WEBPVP8X\x0a\0\0\0\x10\0\0\0"
  body = tf.strings.join([header, _slice(encoded, start + 8 + 6, 6), frame])
  total = tf.strings.length(body)
  digits = tf.bitwise.bitwise_and(
    tf.bitwise.right_shift(total, [0, 8, 16, 24]), 255
  )
  return tf.strings.join([b"RIFF", _letters(digits), body])


def _slice(
  encoded: tf.Tensor, start: tf.Tensor, length: tf.Tensor | int
) -> tf.Tensor:
  """Bytes of a string; fewer, or none, beyond its end."""
  size = tf.cast(tf.strings.length(encoded), tf.int64)
  start = tf.clip_by_value(tf.cast(start, tf.int64), 0, size)
  length = tf.maximum(tf.cast(length, tf.int64), 0)
  return tf.strings.substr(encoded, start, length)


def _little_32(encoded: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  four = tf.io.decode_raw(
    tf.strings.join([_slice(encoded, start, 4), bytes(4)]),
    tf.uint8,
  )[:4]
  weights = tf.constant([1, 2**8, 2**16, 2**24], tf.int64)
  return tf.reduce_sum(tf.cast(four, tf.int64) * weights)
