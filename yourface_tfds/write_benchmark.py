"""The speed of the shard writer against a bare loop and TFDS's own writer.

  result = write_benchmark.measure(outcomes, features, settings, rounds=5)

The bare loop builds a `tf.train.Example` for each record and hands it to
`tf.io.TFRecordWriter`, in the order given, and nothing else: no shuffling, no
sharding. All three write the same examples, from memory.
"""

import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_datasets.core import (
  example_serializer,
  file_adapters,
  naming,
  writer,
)
from tensorflow_datasets.core import features as features_lib
from tensorflow_datasets.core.utils import file_utils

from yourface_tfds import (
  build_settings,
  examples,
  labels,
  photo_worker,
  shards,
)

_Examples = Mapping[str, Mapping[str, Any]]


def measure(
  outcomes: Sequence[photo_worker.Outcome],
  features: features_lib.FeaturesDict,
  settings: build_settings.BuildSettings,
  *,
  count: int,
  rounds: int,
) -> dict[str, float]:
  """Writes the same examples in three ways, one after the other each round.

  Args:
    outcomes: of accepted photos, repeated until there are enough examples.
    features: of the dataset.
    settings: what the outcomes were made with.
    count: how many examples.
    rounds: how often.

  Returns:
    Examples a second of each way, and their ratios (medians of the rounds).
  """
  content = {}
  heads = dict.fromkeys(labels.HEADS, 0)
  for i in range(count):
    outcome = outcomes[i % len(outcomes)]
    if outcome.landmarks is not None:
      content[f"{i:08d}"] = examples.example(
        outcome.row, heads, outcome.landmarks, outcome.pixels
      )
  ways: dict[str, Callable[[_Examples, pathlib.Path], None]] = {
    "bare": _bare,
    "ours": _ours,
    "tfds": functools.partial(_tfds, features=features, settings=settings),
  }
  seconds: dict[str, list[float]] = {name: [] for name in ways}
  for _ in range(rounds):
    for name, write in ways.items():
      with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(content, pathlib.Path(folder))
        seconds[name].append(time.perf_counter() - start)
  rates = {
    f"{name}_examples_per_second": len(content) / statistics.median(values)
    for name, values in seconds.items()
  }
  return {
    **rates,
    "ours_to_bare": _ratio(seconds["ours"], seconds["bare"]),
    "tfds_to_bare": _ratio(seconds["tfds"], seconds["bare"]),
  }


def _ratio(ours: Sequence[float], bare: Sequence[float]) -> float:
  return statistics.median(a / b for a, b in zip(ours, bare, strict=True))


def _bare(content: _Examples, folder: pathlib.Path) -> None:
  with tf.io.TFRecordWriter(str(folder / "records")) as file:
    for example in content.values():
      features = {name: _feature(value) for name, value in example.items()}
      record = tf.train.Example(features=tf.train.Features(feature=features))
      file.write(record.SerializeToString())


def _feature(value: Any) -> Any:
  if isinstance(value, str):
    value = value.encode()
  if isinstance(value, bytes):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  if isinstance(value, int):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
  return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(value)))


def _template(folder: pathlib.Path) -> naming.ShardedFileTemplate:
  return naming.ShardedFileTemplate(
    data_dir=file_utils.as_path(folder),
    dataset_name="your_face",
    split="train",
    filetype_suffix="tfrecord",
  )


def _ours(content: _Examples, folder: pathlib.Path) -> None:
  # The build, too, learns the lengths from the records without their pixels.
  lengths = {
    key: len(
      shards.serialize({**example, "image": bytes(len(example["image"]))})
    )
    for key, example in content.items()
  }
  shards.write_split(_template(folder), lengths, lambda key: content[key])


def _tfds(
  content: _Examples,
  folder: pathlib.Path,
  *,
  features: features_lib.FeaturesDict,
  settings: build_settings.BuildSettings,
) -> None:
  specs: Any = features.get_serialized_info()
  serializer = example_serializer.ExampleSerializer(specs)
  stock = writer.Writer(
    serializer=serializer,
    filename_template=_template(folder),
    hash_salt="train",
    disable_shuffling=False,
    example_writer=writer.ExampleWriter(file_adapters.FileFormat.TFRECORD),
  )
  for key, example in content.items():
    encoded = features.encode_example(examples.encodable(example, settings))
    stock.write(key.encode(), encoded)
  stock.finalize()
