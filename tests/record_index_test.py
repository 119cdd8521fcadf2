"""Tests of record_index: right rows, and none of what is no such shard."""

import io
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest

from tests import small_records
from yourface_tfds import record_index, shards, tfrecord

_OTHER_BUILD = "the file was changed or damaged after it was written, build it "
_AGAIN = _OTHER_BUILD + "again or copy it again"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """The user's cache folder, empty."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("counts", [[1], [9], [4, 1, 6], [0, 5, 0], [0]])
def test_rows_lead_to_what_was_written(tmp_path, is_raw, counts):
  made = small_records.examples(sum(counts), is_raw)
  written = small_records.write(tmp_path, made, counts)
  layout = small_records.layout_of(is_raw)
  for _ in range(2):  # Made, and found.
    rows = record_index.open_index(
      written, layout, tmp_path / ".index", "train"
    )
    small_records.check(rows, written, made, layout)
  assert len(small_records.indexes(tmp_path / ".index")) == 1


@pytest.mark.parametrize("count", [4095, 4096, 4097, 8200])
def test_many_records_are_written_in_pieces(tmp_path, count):
  made = [
    {"image": bytes([number % 256] * 3), "label": number, "name": f"{number}"}
    for number in range(count)
  ]
  written = small_records.write(tmp_path, made, [count - 5, 5])
  layout = record_index.Layout(
    size=1, is_raw=True, integers=("label",), strings=("name",)
  )
  rows = record_index.open_index(written, layout, tmp_path / ".index", "train")
  small_records.check(rows, written, made, layout)


@pytest.mark.parametrize(
  ("integers", "strings"),
  [(("job",), ("photo",)), ((), ("photo",)), (("job",), ()), ((), ())],
)
def test_only_what_is_asked_for_is_in_a_row(tmp_path, integers, strings):
  made = small_records.examples(3)
  written = small_records.write(tmp_path, made, [3])
  layout = record_index.Layout(
    size=small_records.SIDE, is_raw=True, integers=integers, strings=strings
  )
  rows = record_index.open_index(written, layout, tmp_path / "a", "train")
  small_records.check(rows, written, made, layout)


def test_features_in_any_order_are_found(tmp_path):
  made = small_records.examples(20)
  generator = np.random.default_rng(0)
  turned = []
  for example in made:
    # Each a message with one entry of the map: joined, they are one map.
    parts = [shards.serialize({name: example[name]}) for name in example]
    turned.append(b"".join(parts[i] for i in generator.permutation(len(parts))))
  assert turned[0] != shards.serialize(made[0])
  written = small_records.write(tmp_path, turned, [12, 8])
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / "a", "train"
  )
  contents = [pathlib.Path(shard.path).read_bytes() for shard in written]
  for row, example in zip(rows, made, strict=True):
    payload = contents[row["shard"]][int(row["offset"]) + 12 :]
    for (place, size), name in [
      (row["image"], "image"),
      *zip(row["strings"], ("person", "photo"), strict=True),
    ]:
      value = example[name]
      value = value if isinstance(value, bytes) else value.encode()
      assert payload[place : place + size] == value
    assert row["labels"][2] == example["face_type"]


def test_the_index_is_a_read_only_map_of_its_file(tmp_path):
  made = small_records.examples(5)
  written = small_records.write(tmp_path, made, [5])
  folder = tmp_path / ".index"
  for _ in range(2):
    rows = record_index.open_index(
      written, small_records.layout_of(), folder, "train"
    )
    assert not rows.flags.writeable
    with pytest.raises(ValueError):
      rows["offset"][0] = 1
    with pytest.raises(ValueError):
      rows.flags.writeable = True
    if sys.platform == "linux":
      place = _mapping(rows.ctypes.data)
      assert place[1] == "r--s"
      assert place[-1] == str(folder / small_records.indexes(folder)[0])
      del rows


def _mapping(address):
  """Returns the line of the process's memory map, in words."""
  for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
    words = line.split(maxsplit=5)
    start, stop = (int(end, 16) for end in words[0].split("-"))
    if start <= address < stop:
      return words
  raise AssertionError(f"{address:x} is not mapped")


def test_a_mapped_file_is_its_content(tmp_path):
  path = tmp_path / "사람"
  for content in (b"", b"x", bytes(range(256)) * 100):
    path.write_bytes(content)
    data = record_index.map_file(str(path))
    assert data.dtype == np.uint8
    assert data.tobytes() == content
    if content:
      assert not data.flags.writeable
  with pytest.raises(FileNotFoundError):
    record_index.map_file(str(tmp_path / "none"))


def _refused(tmp_path, made, layout, counts=None, records=None):
  """Returns the path of the only shard, and what was said of it."""
  count = len(made)
  written = small_records.write(tmp_path, made, counts or [count])
  if records is not None:
    written = [record_index.Shard(path=written[0].path, records=records)]
  return written[0].path, _message(tmp_path, written, layout)


def _message(tmp_path, written, layout):
  folder = tmp_path / ".index"
  with pytest.raises(tfrecord.CorruptError) as caught:
    record_index.open_index(written, layout, folder, "train")
  # Whole or not at all.
  assert small_records.indexes(folder) == []
  return str(caught.value)


@pytest.mark.parametrize("records", [0, 6, 8, 1000])
def test_another_number_of_records_is_refused(tmp_path, records):
  path, message = _refused(
    tmp_path,
    small_records.examples(7),
    small_records.layout_of(),
    records=records,
  )
  assert message == (
    f"{path}: holds 7 records, dataset_info.json says {records}; the file is "
    "cut short or of another build, build it again or copy it again"
  )


def test_a_record_in_the_neighbours_shard_is_refused(tmp_path):
  written = small_records.write(tmp_path, small_records.examples(7), [4, 3])
  swapped = [
    record_index.Shard(path=shard.path, records=records)
    for shard, records in zip(written, (3, 4), strict=True)
  ]
  assert _message(tmp_path, swapped, small_records.layout_of()) == (
    f"{written[0].path}: holds 4 records, dataset_info.json says 3; the file "
    "is cut short or of another build, build it again or copy it again"
  )


def test_a_raw_image_of_another_size_is_refused(tmp_path):
  made = [
    *small_records.examples(2),
    *small_records.examples(1, side=small_records.SIDE + 1),
  ]
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message == (
    f"{path}: record 2: its image holds 507 bytes, 12x12 pixels are 432; it is "
    "of another dataset"
  )


def test_a_jpeg_of_another_size_is_refused(tmp_path):
  made = small_records.examples(3, is_raw=False)
  encoded = io.BytesIO()
  PIL.Image.new("RGB", (small_records.SIDE + 5, small_records.SIDE)).save(
    encoded, "JPEG"
  )
  made[1]["image"] = encoded.getvalue()
  path, message = _refused(
    tmp_path, made, small_records.layout_of(is_raw=False)
  )
  assert message == (
    f"{path}: record 1: its image is 17x12 pixels, the dataset says 12x12; it "
    "is of another dataset"
  )


def test_raw_and_jpeg_are_not_mixed_up(tmp_path):
  path, message = _refused(
    tmp_path, small_records.examples(3), small_records.layout_of(is_raw=False)
  )
  assert message == (
    f"{path}: record 0: tjDecompressHeader3(): Could not determine subsampling "
    "level of JPEG image"
  )
  made = small_records.examples(3, is_raw=False)
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message == (
    f"{path}: record 0: its image holds {len(made[0]['image'])} bytes, 12x12 "
    "pixels are 432; it is of another dataset"
  )


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("name", ["image", "gender", "face_type", "photo"])
def test_a_missing_feature_is_refused(tmp_path, is_raw, name):
  made = small_records.examples(4, is_raw)
  del made[2][name]
  path, message = _refused(tmp_path, made, small_records.layout_of(is_raw))
  assert message == (
    f"{path}: record 2: it has no '{name}'; it is of another dataset"
  )


@pytest.mark.parametrize("value", ["man", 0.5])
def test_a_label_that_is_no_integer_is_refused(tmp_path, value):
  made = small_records.examples(4)
  made[3]["job"] = value
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message == (
    f"{path}: record 3: it has no 'job'; it is of another dataset"
  )


def test_a_label_too_large_to_keep_is_refused(tmp_path):
  made = small_records.examples(4)
  made[3]["job"] = 2**31
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message.startswith(f"{path}: record 3: ")


def test_a_text_that_is_an_integer_is_refused(tmp_path):
  made = small_records.examples(4)
  made[3]["person"] = 7
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message == (
    f"{path}: record 3: it has no 'person'; it is of another dataset"
  )


def test_an_empty_text_is_none_the_less_a_text(tmp_path):
  made = small_records.examples(4)
  made[3]["person"] = ""
  written = small_records.write(tmp_path, made, [4])
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / "a", "train"
  )
  small_records.check(rows, written, made, small_records.layout_of())


def test_what_is_no_example_is_refused(tmp_path):
  made = [*small_records.examples(1), b"not an example"]
  path, message = _refused(tmp_path, made, small_records.layout_of())
  assert message == f"{path}: record 1: no tf.train.Example"


def test_a_missing_shard_is_an_error_of_the_system(tmp_path):
  written = small_records.write(tmp_path, small_records.examples(7), [4, 3])
  folder = tmp_path / ".index"
  record_index.open_index(written, small_records.layout_of(), folder, "train")
  pathlib.Path(written[1].path).unlink()
  with pytest.raises(FileNotFoundError) as caught:
    record_index.open_index(written, small_records.layout_of(), folder, "train")
  assert caught.value.filename == written[1].path
  with pytest.raises(FileNotFoundError):
    record_index.open_index(
      written, small_records.layout_of(), tmp_path / "b", "train"
    )


def test_a_shard_cut_short_is_refused(tmp_path):
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  path = pathlib.Path(written[1].path)
  content = path.read_bytes()
  starts = [offset for offset, _ in _places(content)]
  path.write_bytes(content[:-10])
  assert _message(tmp_path, written, small_records.layout_of()) == (
    f"{path}: record 2 at byte {starts[2]}: the file ends inside it, at byte "
    f"{len(content) - 10}; {_AGAIN}"
  )
  path.write_bytes(content[: starts[2]])
  assert _message(tmp_path, written, small_records.layout_of()) == (
    f"{path}: holds 2 records, dataset_info.json says 3; the file is cut short "
    "or of another build, build it again or copy it again"
  )
  path.write_bytes(b"")
  assert _message(tmp_path, written, small_records.layout_of()) == (
    f"{path}: holds 0 records, dataset_info.json says 3; the file is cut short "
    "or of another build, build it again or copy it again"
  )


def test_a_flipped_byte_is_refused(tmp_path):
  written = small_records.write(tmp_path, small_records.examples(7), [4, 3])
  path = pathlib.Path(written[0].path)
  content = bytearray(path.read_bytes())
  starts = [offset for offset, _ in _places(content)]
  content[starts[3] + 100] ^= 1
  path.write_bytes(content)
  assert _message(tmp_path, written, small_records.layout_of()) == (
    f"{path}: record 3 at byte {starts[3]}: its checksum differs; {_AGAIN}"
  )


def _places(content):
  data = np.frombuffer(bytes(content), np.uint8)
  return list(tfrecord.records("", data))


def test_after_an_error_a_repaired_shard_is_read(tmp_path):
  made = small_records.examples(7)
  written = small_records.write(tmp_path, made, [4, 3])
  path = pathlib.Path(written[0].path)
  content = path.read_bytes()
  path.write_bytes(content[:-1])
  _message(tmp_path, written, small_records.layout_of())
  path.write_bytes(content)
  rows = record_index.open_index(
    written, small_records.layout_of(), tmp_path / ".index", "train"
  )
  small_records.check(rows, written, made, small_records.layout_of())
