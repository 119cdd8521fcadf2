"""How examples are serialized into shards.

TFDS writes the same records in the same order on every run, but the map inside
each `tf.train.Example` in any order, so that no two builds are byte-identical.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow_datasets.core import writer
from tensorflow_datasets.proto import tf_example_pb2


class StableWriter(writer.ExampleWriter):
  """Serializes with sorted map keys: same examples, same bytes."""

  def write(self, path: Any, examples: Iterable[Any]) -> Any:
    """Writes (key, serialized example) pairs to a file."""
    return super().write(path, _stable(examples))


def _stable(examples: Iterable[Any]) -> Iterator[Any]:
  for key, record in examples:
    example = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue] (generated)
    yield key, example.SerializeToString(deterministic=True)
