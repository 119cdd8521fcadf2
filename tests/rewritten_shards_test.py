"""Shards that somebody writes to while they are read."""

import pathlib
import struct

import numpy as np
import pytest

from tests import damage
from yourface_tfds import tfrecord


@pytest.mark.parametrize("encoding", damage.ENCODINGS)
def test_a_shard_of_another_build_while_it_is_read(
  tiny_data_dir, tmp_path, encoding
):
  # Right checksums, and where records are equally long even the right places.
  copy = damage.Copy(tiny_data_dir, tmp_path, encoding)
  dataset = copy.open()
  damage.epoch(dataset, 0)
  copy.damage(copy.shards[0], copy.kept[copy.shards[1]])
  with pytest.raises(tfrecord.CorruptError) as caught:
    damage.epoch(dataset, 1)
    dataset.check_unchanged()
  assert str(caught.value).startswith(f"{copy.shards[0]}: ")


def _relabelled(content):
  """Returns a shard whose faces hang under the labels of their neighbours."""
  data = np.frombuffer(content, np.uint8)
  payloads = [
    bytes(tfrecord.payload(data, offset, length))
    for offset, length in tfrecord.records("", data)
  ]
  out = b""
  for payload in payloads[::-1]:
    head = struct.pack("<Q", len(payload))
    out += head + struct.pack("<I", tfrecord.masked_crc(head))
    out += payload + struct.pack("<I", tfrecord.masked_crc(payload))
  return out


def test_equally_long_records_in_another_order_are_not_read(
  tiny_data_dir, tmp_path
):
  # Written over the old file in place, as `cp` and rsync --inplace do: every
  # checksum and every place is right, the labels of the index are not.
  copy = damage.Copy(tiny_data_dir, tmp_path, "raw")
  content = copy.kept[copy.shards[0]]
  changed = _relabelled(content)
  assert len(changed) == len(content)
  assert [n for _, n in damage.places(changed)] == [
    n for _, n in reversed(damage.places(content))
  ]
  dataset = copy.open()
  damage.epoch(dataset, 0)
  copy.damage(copy.shards[0], changed)
  with pytest.raises(tfrecord.CorruptError) as caught:
    damage.epoch(dataset, 1)
    dataset.check_unchanged()
  assert str(caught.value).startswith(f"{copy.shards[0]}: ")
  # Opened anew it is another dataset, and read as that.
  assert damage.read(copy.open()) == copy.whole


@pytest.mark.parametrize("encoding", damage.ENCODINGS)
def test_a_shard_that_is_replaced_is_read_on(tiny_data_dir, tmp_path, encoding):
  # As `tfds build` publishes: another file under the same name.
  copy = damage.Copy(tiny_data_dir, tmp_path, encoding)
  dataset = copy.open()
  first = damage.epoch(dataset, 0)
  new = pathlib.Path(f"{copy.shards[0]}.new")
  new.write_bytes(copy.kept[copy.shards[1]])
  new.replace(copy.shards[0])
  assert sorted(damage.epoch(dataset, 1)) == sorted(first)
  dataset.check_unchanged()
