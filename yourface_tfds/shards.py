"""How examples become records, and records shards: stock TFRecords, fast.

The records, their order and their distribution are those of TFDS's own writer,
byte by byte but for one thing: TFDS writes the map inside each
`tf.train.Example` in any order, so that no two of its builds are equal. Here
the keys are sorted, the keys are shuffled instead of the examples (theirs are
all in memory, up to a gigabyte), and the wire format is written out directly,
in half the time.

  lengths, size = write_split(template, keys, example_of, num_shards=None)
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from tensorflow_datasets.core import hashing, naming, writer
from tensorflow_datasets.core.utils import shard_utils
from tensorflow_datasets.proto import tf_example_pb2

Example = Mapping[str, Any]


class StableWriter(writer.ExampleWriter):
  """TFDS's writer with sorted map keys: same examples, same bytes.

  For the formats and runners that `write_split` does not serve.
  """

  def write(self, path: Any, examples: Iterable[Any]) -> Any:
    """Writes (key, serialized example) pairs to a file."""
    return super().write(path, _stable(examples))


def _stable(examples: Iterable[Any]) -> Iterator[Any]:
  for key, record in examples:
    example = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue] (generated)
    yield key, example.SerializeToString(deterministic=True)


def write_split(
  template: naming.ShardedFileTemplate,
  examples: Mapping[str, int],
  example_of: Callable[[str], Example],
  *,
  num_shards: int | None = None,
) -> tuple[list[int], int]:
  """Writes the shards of one split.

  Args:
    template: where, and how the files are called.
    examples: the keys of the examples, and the length of each's record.
    example_of: returns the example of a key.
    num_shards: how many; None: as TFDS decides by size.

  Returns:
    Examples in each shard, and bytes of all records together.

  Raises:
    ValueError: fewer examples than shards.
  """
  size = sum(examples.values())
  config = shard_utils.ShardConfig(num_shards=num_shards)
  count = config.get_number_shards(size, len(examples))
  if count > len(examples):
    raise ValueError(
      f"--num_shards: got {count}, allowed: at most the {len(examples)} "
      f"examples of the split {template.split}"
    )
  hasher = hashing.Hasher(template.split)
  order = sorted(examples, key=lambda key: (hasher.hash_key(key), key))
  ends = shard_utils.get_shard_boundaries(len(order), count)
  lengths = []
  with tqdm.tqdm(
    total=len(order),
    unit=" examples",
    desc=f"Writing {template.split}",
    leave=False,
    delay=1,
  ) as bar:
    start = 0
    for shard, end in enumerate(ends):
      path = template.sharded_filepath(shard_index=shard, num_shards=count)
      with tf.io.TFRecordWriter(str(path)) as file:
        for key in order[start:end]:
          file.write(serialize(example_of(key)))
          bar.update()
      lengths.append(end - start)
      start = end
  return lengths, size


def serialize(example: Example) -> bytes:
  """Returns a `tf.train.Example`, its features sorted by name.

  Args:
    example: bytes or str (a bytes_list), int (int64_list), float or float
      arrays of any shape (float_list).
  """
  entries = []
  for name in sorted(example):
    feature = _field(2, _feature(example[name]))
    entries.append(_field(1, _field(1, name.encode()) + feature))
  return _field(1, b"".join(entries))


def _feature(value: Any) -> bytes:
  if isinstance(value, str):
    value = value.encode()
  if isinstance(value, bytes):
    return _field(1, _field(1, value))
  if isinstance(value, int | np.integer):
    return _field(3, _field(1, _varint(int(value) & (1 << 64) - 1)))
  if isinstance(value, float):
    return _field(2, _field(1, struct.pack("<f", value)))
  return _field(2, _field(1, np.asarray(value, "<f4").tobytes()))


def _field(number: int, content: bytes) -> bytes:
  # https://protobuf.dev/programming-guides/encoding: number, type 2, length.
  return b"%c%b%b" % (number << 3 | 2, _varint(len(content)), content)


def _varint(value: int) -> bytes:
  if value < 128:
    return _ONE_BYTE[value]
  parts = bytearray()
  while value > 127:
    parts.append(value & 127 | 128)
    value >>= 7
  parts.append(value)
  return bytes(parts)


_ONE_BYTE = [bytes([value]) for value in range(128)]
