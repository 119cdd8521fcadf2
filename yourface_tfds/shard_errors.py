"""What tf.data says of a damaged shard, in one line that names file and byte.

with shard_errors.plain_errors(dataset, "train"):
  for batch in batches:
    ...
"""

import contextlib
import re
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from yourface_tfds import built_dataset, cli, tfrecord

# Both headers, gzip's and zlib's.
_ANY_HEADER = zlib.MAX_WBITS | 32


@contextlib.contextmanager
def plain_errors(
  dataset: built_dataset.Dataset | None = None, *splits: str
) -> Iterator[None]:
  """Turns what TensorFlow makes of a reader's error back into one line.

  TensorFlow's own reader says at which byte a record is damaged, but not of
  which file: the shards are read again to tell, from their beginning to there.

  Args:
    dataset: that is read.
    splits: that are read.

  Raises:
    tfrecord.CorruptError: where the reader raised one inside tf.data, or
      TensorFlow found a damaged record, or fewer than there must be.
  """
  try:
    yield
  except (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
  ) as error:
    text = re.search(r"CorruptError: (.*)", error.message)
    if text is not None:
      with contextlib.ExitStack() as copies:
        if dataset is not None:
          for split in splits:
            copies.enter_context(dataset.blaming_copies(split))
        raise tfrecord.CorruptError(text[1]) from error
    if dataset is not None:
      for split in splits:
        check(dataset, split)
    if not isinstance(error, tf.errors.DataLossError):
      raise
    # TensorFlow adds where in its graph the error came from.
    plain = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", cli.one_line(error))
    raise tfrecord.CorruptError(
      f"a shard: {plain}; build the dataset again"
    ) from error


def check(dataset: built_dataset.Dataset, split: str) -> None:
  """Reads the shards of a whole split and verifies every record.

  A shard at a time is in memory. Bytes of a compressed one are counted in what
  it unpacks to.

  Raises:
    tfrecord.CorruptError: one is damaged, or does not hold as many records as
      it must.
    OSError: one cannot be read.
  """
  for shard in dataset.shards(split):
    try:
      with tf.io.gfile.GFile(shard.path, "rb") as file:
        content = file.read()
    except tf.errors.NotFoundError as error:
      raise tfrecord.CorruptError(
        f"{shard.path}: is missing; build the dataset again or copy it again"
      ) from error
    if tfrecord.compression(content[: tfrecord.HEADER]):
      content = _unpacked(shard.path, content)
    data = np.frombuffer(content, np.uint8)
    count = sum(1 for _ in tfrecord.records(shard.path, data))
    if count != shard.records:
      raise tfrecord.other_count(shard.path, count, shard.records)


def _unpacked(path: str, content: bytes) -> bytes:
  stream = zlib.decompressobj(_ANY_HEADER)
  try:
    unpacked = stream.decompress(content)
    if not stream.eof:
      raise zlib.error("it ends too early")
  except zlib.error as error:
    raise tfrecord.CorruptError(
      f"{path}: cannot be unpacked ({error}); the file was changed or damaged "
      "after it was written, build it again or copy it again"
    ) from error
  return unpacked
