"""Tests of shards: our records and files are those of TFDS, byte by byte."""

from typing import Any

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer, naming, writer
from tensorflow_datasets.core.utils import shard_utils

from builders.your_face import your_face_dataset_builder as builder_module
from yourface_tfds import build_settings, curate, examples, shards

SIDE = 16
_property = hypothesis.settings(
  max_examples=300, deadline=None, derandomize=True
)


def _deterministic(example):
  """Returns what protobuf itself writes with its map sorted."""
  message = tf.train.Example()
  message.features.SetInParent()
  for name, value in example.items():
    feature = message.features.feature[name]
    if isinstance(value, str):
      feature.bytes_list.value.append(value.encode())
    elif isinstance(value, bytes):
      feature.bytes_list.value.append(value)
    elif isinstance(value, int | np.integer):
      feature.int64_list.value.append(int(value))
    else:
      feature.float_list.value.extend(np.ravel(value).tolist())
  return message.SerializeToString(deterministic=True)


_floats = st.floats(width=32, allow_nan=False)
# Where one name begins with another, protobuf's own order is not that of the
# strings but "10" "11" "1"; the dataset has no such names.
_names = st.text(
  st.characters(exclude_categories=["Cs"], exclude_characters="$"),
  max_size=140,
).map(lambda name: name + "$")
_values = st.one_of(
  st.binary(max_size=300),
  st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
  st.integers(-(2**63), 2**63 - 1),
  st.integers(-(2**31), 2**31 - 1).map(np.int32),
  _floats,
  _floats.map(np.float32),
  hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6),
    elements=_floats,
  ),
)


@_property
@hypothesis.given(example=st.dictionaries(_names, _values, max_size=10))
def test_any_example_is_serialized_as_by_protobuf(example):
  record = shards.serialize(example)
  assert record == _deterministic(example)
  names = list(tf.train.Example.FromString(record).features.feature)
  assert sorted(names) == sorted(example)


@pytest.mark.parametrize(
  "value",
  [
    *(0, 1, 127, 128, 16383, 16384, -1, 2**63 - 1, -(2**63)),
    *(True, np.int64(-5), np.uint8(200)),
    *("", b"", "사람", "🙂" * 50),
    *(0.0, -0.0, 0.1, 1e-45, 3.4028234e38, float("inf"), np.float32(1 / 3)),
    np.arange(10, dtype=np.float32).reshape(5, 2),
    np.arange(10, dtype=np.float32).reshape(5, 2).T,  # Not contiguous.
    np.arange(4) / 3,
    *(bytes(size) for size in (118, 119, 120, 121, 126, 127, 128)),
    *(bytes(size) for size in (16370, 16375, 16383, 16384, 2_000_000)),
    np.full([600_000], 0.1, np.float32),
  ],
  ids=lambda value: type(value).__name__,
)
def test_lengths_and_limits(value):
  example = {"a": value, "y" * 127: 2, "z" * 128: 3, "é": 4, "～": 5}
  assert shards.serialize(example) == _deterministic(example)


def test_the_order_of_the_features_does_not_matter():
  example = {"b": 1, "a": 2.5, "c": b"x", "B": "y"}
  backwards = dict(reversed(example.items()))
  assert shards.serialize(example) == shards.serialize(backwards)
  assert shards.serialize({}) == _deterministic({})


def test_floats_are_rounded_as_by_protobuf():
  for value in (0.1, 1 / 3, 1 + 2**-24, 1e-46, 16777217.0):
    example = {"score": value, "box": np.array([value, -value])}
    assert shards.serialize(example) == _deterministic(example)


def _photos(count, settings):
  """Made-up accepted photos of every size and name, by key."""
  generator = np.random.default_rng(count)
  made = {}
  for number in range(count):
    person = f"사람 {number % 3}"
    row = curate.PhotoRow(
      path=f"{person}/{'é' * (number % 5)}{number}.jpg",
      person=person,
      status=curate.ACCEPTED,
      faces=1 + number % 4,
      score=float(np.float32(generator.uniform(0.9, 1))),
      box=tuple(generator.uniform(0, 1, 4).tolist()),
    )
    if settings.encoding == "raw":
      image = generator.bytes(SIDE * SIDE * 3)
    else:
      pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
      image = tf.io.encode_jpeg(pixels, quality=1 + number).numpy()
    made[examples.key(row)] = examples.example(
      row,
      {"gender": number % 3 - 1, "job": 0, "face_type": number % 11},
      generator.uniform(0, 1, (5, 2)),
      image,
    )
  return made


def _template(folder, split="train"):
  folder.mkdir(parents=True)
  return naming.ShardedFileTemplate(
    data_dir=folder,
    dataset_name="your_face",
    split=split,
    filetype_suffix="tfrecord",
  )


def _write(folder, made, num_shards, split="train"):
  return shards.write_split(
    _template(folder, split),
    {key: len(shards.serialize(made[key])) for key in made},
    made.__getitem__,
    num_shards=num_shards,
  )


def _write_stock(folder, made, settings, num_shards, split="train"):
  """Writes as `GeneratorBasedBuilder` does, features encoded by TFDS."""
  config = builder_module.YourFaceConfig(
    encoding=settings.encoding, image_size=settings.image_size
  )
  builder = builder_module.Builder(data_dir=folder / "none", config=config)
  features: Any = builder.info.features
  stock = writer.Writer(
    serializer=example_serializer.ExampleSerializer(
      features.get_serialized_info()
    ),
    filename_template=_template(folder, split),
    hash_salt=split,
    disable_shuffling=False,
    example_writer=shards.StableWriter(tfds.core.FileFormat.TFRECORD),
    shard_config=shard_utils.ShardConfig(num_shards=num_shards),
  )
  for key, example in made.items():
    encodable = examples.encodable(example, settings)
    if settings.encoding == "jpeg":
      encodable["image"] = tf.io.decode_jpeg(encodable["image"]).numpy()
    encoded = features.encode_example(encodable)
    if settings.encoding == "jpeg":  # TFDS would compress it in its own way.
      encoded["image"] = example["image"]
    stock.write(key, encoded)
  return stock.finalize()


def _contents(folder):
  return {
    path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
  }


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize(
  ("count", "num_shards"),
  [(1, None), (1, 1), (7, None), (7, 1), (7, 3), (100, None), (100, 3)],
)
def test_a_split_is_that_of_the_stock_writer(
  tmp_path, encoding, count, num_shards
):
  settings = build_settings.BuildSettings(encoding=encoding, image_size=SIDE)
  made = _photos(count, settings)
  ours = _write(tmp_path / "ours", made, num_shards)
  stock = _write_stock(tmp_path / "stock", made, settings, num_shards)
  assert ours == (list(stock[0]), stock[1])
  assert sum(ours[0]) == count
  assert len(ours[0]) == (num_shards or 1)
  contents = _contents(tmp_path / "ours")
  assert len(contents) == (num_shards or 1)
  assert contents == _contents(tmp_path / "stock")


def test_the_size_decides_on_shards_as_in_tfds(tmp_path, monkeypatch):
  # Of 64 MB a shard, as TFDS has it, the test would write gigabytes.
  monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 10_000)
  settings = build_settings.BuildSettings(encoding="raw", image_size=SIDE)
  made = _photos(100, settings)
  ours = _write(tmp_path / "ours", made, None)
  stock = _write_stock(tmp_path / "stock", made, settings, None)
  assert ours == (list(stock[0]), stock[1])
  assert len(ours[0]) > 2
  assert _contents(tmp_path / "ours") == _contents(tmp_path / "stock")


def _keys_of(folder):
  paths = sorted(str(path) for path in folder.iterdir())
  return [
    tf.train.Example.FromString(record.numpy())
    .features.feature["photo"]
    .bytes_list.value[0]
    .decode()
    for record in tf.data.TFRecordDataset(paths)
  ]


def test_the_order_hangs_on_keys_and_split_alone(tmp_path):
  settings = build_settings.BuildSettings(encoding="raw", image_size=SIDE)
  made = _photos(20, settings)
  _write(tmp_path / "one", made, 3)
  backwards = dict(reversed(made.items()))
  _write(tmp_path / "two", backwards, 3)
  assert _contents(tmp_path / "one") == _contents(tmp_path / "two")
  _write(tmp_path / "other", made, 3, split="test")
  keys = [_keys_of(tmp_path / name) for name in ("one", "other")]
  assert keys[0] != keys[1]
  assert sorted(keys[0]) == sorted(keys[1]) == sorted(made)
  assert keys[0] != sorted(made)


def test_more_shards_than_examples_is_refused(tmp_path):
  settings = build_settings.BuildSettings(encoding="raw", image_size=SIDE)
  with pytest.raises(ValueError) as caught:
    _write(tmp_path / "x", _photos(2, settings), 3, split="validation")
  assert str(caught.value) == (
    "--num_shards: got 3, allowed: at most the 2 examples of the split "
    "validation"
  )
  assert not list((tmp_path / "x").iterdir())


def test_stable_writer_sorts_what_protobuf_does_not(tmp_path):
  example = {f"{name}": 1 for name in range(10, 40)}
  record = shards.serialize(example)
  shuffled = tf.train.Example.FromString(record)
  entries = [shards.serialize({name: 1}) for name in sorted(example)]
  # Each is a Features message with one entry: joined backwards, no longer
  # sorted, but the same map.
  joined = b"".join(reversed(entries))
  assert tf.train.Example.FromString(joined) == shuffled
  assert joined != record
  path = tmp_path / "a.tfrecord"
  stable = shards.StableWriter(tfds.core.FileFormat.TFRECORD)
  stable.write(path, [("key", joined)])
  read = [one.numpy() for one in tf.data.TFRecordDataset([str(path)])]
  assert read == [record]
