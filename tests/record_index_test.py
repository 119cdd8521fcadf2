"""Tests of record_index: right rows, made once, never those of other shards."""

import io
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import threading

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from yourface_tfds import record_index, shards, tfrecord

_SIDE = 12
_ROOT = pathlib.Path(__file__).parents[1]
_OTHER_BUILD = "the file was changed or damaged after it was written, build it "
_AGAIN = _OTHER_BUILD + "again or copy it again"


def _layout(is_raw=True, size=_SIDE, integers=("gender", "job", "face_type")):
  return record_index.Layout(
    size=size,
    is_raw=is_raw,
    integers=integers,
    strings=("person", "photo"),
  )


def _examples(count, is_raw=True, side=_SIDE, seed=0):
  generator = np.random.default_rng(seed)
  made = []
  for number in range(count):
    pixels = generator.integers(0, 256, (side, side, 3), np.uint8)
    image = pixels.tobytes()
    if not is_raw:
      encoded = io.BytesIO()
      PIL.Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
      image = encoded.getvalue()
    made.append(
      {
        "image": image,
        "gender": number % 3 - 1,
        "job": number % 2,
        "face_type": int(generator.integers(-1, 11)),
        "person": f"사람 {number % 5}",
        "photo": "é" * int(generator.integers(0, 60)) + f"{number}.jpg",
        "box": generator.uniform(0, 1, 4),
        "landmarks": generator.uniform(0, 1, (5, 2)),
        "score": 0.5,
        "faces": 1,
      }
    )
  return made


def _write(folder, made, counts):
  """Writes records, some examples and some bytes, to shards of these counts."""
  folder.mkdir(parents=True, exist_ok=True)
  written, start = [], 0
  for number, count in enumerate(counts):
    path = folder / f"your_face-train.tfrecord-{number:05}-of-{len(counts):05}"
    with tf.io.TFRecordWriter(str(path)) as file:
      for example in made[start : start + count]:
        is_bytes = isinstance(example, bytes)
        file.write(example if is_bytes else shards.serialize(example))
    written.append(record_index.Shard(path=str(path), records=count))
    start += count
  return written


def _check(rows, written, made, layout):
  """Asserts that the rows lead to everything that was written."""
  assert rows.dtype == layout.row
  assert len(rows) == len(made)
  counts = [shard.records for shard in written]
  which = np.repeat(np.arange(len(counts)), counts)
  np.testing.assert_array_equal(rows["shard"], which)
  contents = [pathlib.Path(shard.path).read_bytes() for shard in written]
  for row, example in zip(rows, made, strict=True):
    start, length = int(row["offset"]) + 12, int(row["length"])
    payload = contents[row["shard"]][start : start + length]
    assert payload == shards.serialize(example)
    place, size = row["image"]
    assert payload[place : place + size] == example["image"]
    for (place, size), name in zip(row["strings"], layout.strings, strict=True):
      assert payload[place : place + size] == example[name].encode()
    expected = [example[name] for name in layout.integers]
    assert row["labels"].tolist() == expected


def _indexes(folder):
  return sorted(path.name for path in folder.glob("*"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """The user's cache folder, empty."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def no_building(monkeypatch):
  """Returns a function after which no shard may be read through."""

  def forbid():
    def records(name, data):
      raise AssertionError(f"{name} was read again")

    monkeypatch.setattr(tfrecord, "records", records)

  return forbid


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("counts", [[1], [9], [4, 1, 6], [0, 5, 0], [0]])
def test_rows_lead_to_what_was_written(tmp_path, is_raw, counts):
  made = _examples(sum(counts), is_raw)
  written = _write(tmp_path, made, counts)
  layout = _layout(is_raw)
  for _ in range(2):  # Made, and found.
    rows = record_index.open_index(
      written, layout, tmp_path / ".index", "train"
    )
    _check(rows, written, made, layout)
  assert len(_indexes(tmp_path / ".index")) == 1


@pytest.mark.parametrize("count", [4095, 4096, 4097, 8200])
def test_many_records_are_written_in_pieces(tmp_path, count):
  made = [
    {"image": bytes([number % 256] * 3), "label": number, "name": f"{number}"}
    for number in range(count)
  ]
  written = _write(tmp_path, made, [count - 5, 5])
  layout = record_index.Layout(
    size=1, is_raw=True, integers=("label",), strings=("name",)
  )
  rows = record_index.open_index(written, layout, tmp_path / ".index", "train")
  _check(rows, written, made, layout)


@pytest.mark.parametrize(
  ("integers", "strings"),
  [(("job",), ("photo",)), ((), ("photo",)), (("job",), ()), ((), ())],
)
def test_only_what_is_asked_for_is_in_a_row(tmp_path, integers, strings):
  made = _examples(3)
  written = _write(tmp_path, made, [3])
  layout = record_index.Layout(
    size=_SIDE, is_raw=True, integers=integers, strings=strings
  )
  rows = record_index.open_index(written, layout, tmp_path / "a", "train")
  _check(rows, written, made, layout)


def test_features_in_any_order_are_found(tmp_path):
  made = _examples(20)
  generator = np.random.default_rng(0)
  turned = []
  for example in made:
    # Each a message with one entry of the map: joined, they are one map.
    parts = [shards.serialize({name: example[name]}) for name in example]
    turned.append(b"".join(parts[i] for i in generator.permutation(len(parts))))
  assert turned[0] != shards.serialize(made[0])
  written = _write(tmp_path, turned, [12, 8])
  rows = record_index.open_index(written, _layout(), tmp_path / "a", "train")
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
  made = _examples(5)
  written = _write(tmp_path, made, [5])
  folder = tmp_path / ".index"
  for _ in range(2):
    rows = record_index.open_index(written, _layout(), folder, "train")
    assert not rows.flags.writeable
    with pytest.raises(ValueError):
      rows["offset"][0] = 1
    with pytest.raises(ValueError):
      rows.flags.writeable = True
    if sys.platform == "linux":
      place = _mapping(rows.ctypes.data)
      assert place[1] == "r--s"
      assert place[-1] == str(folder / _indexes(folder)[0])
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


def test_an_index_is_made_once_and_used_again(tmp_path, no_building):
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  folder = tmp_path / ".index"
  record_index.open_index(written, _layout(), folder, "train")
  names = _indexes(folder)
  assert len(names) == 1
  path = folder / names[0]
  assert path.stat().st_mode & 0o777 == 0o644
  before = path.stat()
  no_building()
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert _indexes(folder) == names
  assert path.stat().st_mtime_ns == before.st_mtime_ns
  assert path.stat().st_ino == before.st_ino


def test_a_dataset_that_was_moved_keeps_its_index(tmp_path, no_building):
  made = _examples(7)
  written = _write(tmp_path / "one", made, [4, 3])
  record_index.open_index(
    written, _layout(), tmp_path / "one" / ".index", "train"
  )
  (tmp_path / "one").rename(tmp_path / "two")
  moved = [
    record_index.Shard(
      path=shard.path.replace("/one/", "/two/"), records=shard.records
    )
    for shard in written
  ]
  no_building()
  rows = record_index.open_index(
    moved, _layout(), tmp_path / "two" / ".index", "train"
  )
  _check(rows, moved, made, _layout())


def test_the_forbidden_building_is_noticed(tmp_path, no_building):
  written = _write(tmp_path, _examples(2), [2])
  no_building()
  with pytest.raises(AssertionError):
    record_index.open_index(written, _layout(), tmp_path / "a", "train")


def _old_and_new(tmp_path):
  """An index of a dataset, and the names in its folder."""
  folder = tmp_path / ".index"
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  record_index.open_index(written, _layout(), folder, "train")
  return folder, made, written, _indexes(folder)


def test_another_content_is_indexed_anew_and_the_old_index_goes(tmp_path):
  folder, _, written, names = _old_and_new(tmp_path)
  times = [pathlib.Path(shard.path).stat().st_mtime_ns for shard in written]
  made = _examples(7, seed=1)
  for index, text in enumerate("abcdefg"):
    # As long as before: nothing but the content tells.
    made[index]["photo"] = _examples(7)[index]["photo"][:-1] + text
  assert written == _write(tmp_path, made, [4, 3])
  for shard, time in zip(written, times, strict=True):
    os.utime(shard.path, ns=(time, time))
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert len(_indexes(folder)) == 1
  assert _indexes(folder) != names


@pytest.mark.parametrize("changed", [0, 29])
def test_both_ends_of_a_shard_tell_it_from_another(tmp_path, changed):
  made = _examples(30)
  written = _write(tmp_path, made, [30])
  path = pathlib.Path(written[0].path)
  before = path.stat()
  assert before.st_size > 20_000
  record_index.open_index(written, _layout(), tmp_path / ".index", "train")
  made[changed]["job"] = 7
  _write(tmp_path, made, [30])
  os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
  assert path.stat().st_size == before.st_size
  rows = record_index.open_index(
    written, _layout(), tmp_path / ".index", "train"
  )
  _check(rows, written, made, _layout())


def test_another_time_is_indexed_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  path = written[1].path
  os.utime(path, ns=(0, pathlib.Path(path).stat().st_mtime_ns + 1))
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert len(_indexes(folder)) == 1
  assert _indexes(folder) != names


def test_another_layout_is_indexed_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  layout = _layout(integers=("gender", "face_type", "job"))
  rows = record_index.open_index(written, layout, folder, "train")
  _check(rows, written, made, layout)
  assert len(_indexes(folder)) == 1
  assert _indexes(folder) != names


def test_shards_in_another_order_are_indexed_anew(tmp_path):
  folder, made, written, _ = _old_and_new(tmp_path)
  turned = written[::-1]
  rows = record_index.open_index(turned, _layout(), folder, "train")
  _check(rows, turned, made[4:] + made[:4], _layout())


def test_each_split_has_its_index(tmp_path, no_building):
  folder, made, written, _ = _old_and_new(tmp_path)
  other = _examples(3, seed=2)
  second = _write(tmp_path / "second", other, [3])
  for name in ("validation", "test", "train2"):
    record_index.open_index(second, _layout(), folder, name)
  assert [name.split(".")[0] for name in _indexes(folder)] == [
    "test",
    "train",
    "train2",
    "validation",
  ]
  no_building()
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  rows = record_index.open_index(second, _layout(), folder, "test")
  _check(rows, second, other, _layout())


def _damages(content):
  for place in (0, 1, len(content) // 2, len(content) - 1):
    damaged = bytearray(content)
    damaged[place] ^= 1
    yield bytes(damaged)
  yield b""
  yield content[:-1]
  yield content[: len(content) // 7]  # A row less an index may well have.
  yield content + b"\0"
  yield content + content
  yield bytes(len(content))


def test_a_damaged_index_is_made_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  path = folder / names[0]
  content = path.read_bytes()
  for damaged in _damages(content):
    path.write_bytes(damaged)
    rows = record_index.open_index(written, _layout(), folder, "train")
    _check(rows, written, made, _layout())
    assert _indexes(folder) == names
    assert path.read_bytes() == content


def test_a_lost_index_is_made_anew(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  (folder / names[0]).unlink()
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert _indexes(folder) == names


def _foreign(tmp_path):
  """Returns the index file of other shards with as many records."""
  made = _examples(7, seed=9)
  written = _write(tmp_path / "foreign", made, [4, 3])
  folder = tmp_path / "foreign" / ".index"
  record_index.open_index(written, _layout(), folder, "train")
  return folder / _indexes(folder)[0]


def test_an_index_of_other_shards_under_its_own_name_is_not_used(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  foreign = _foreign(tmp_path)
  (folder / names[0]).unlink()
  (folder / foreign.name).write_bytes(foreign.read_bytes())
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert _indexes(folder) == names


def test_an_index_of_other_shards_under_our_name_is_not_used(tmp_path):
  folder, made, written, names = _old_and_new(tmp_path)
  (folder / names[0]).write_bytes(_foreign(tmp_path).read_bytes())
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  assert _indexes(folder) == names


def test_an_index_of_other_shards_under_a_mixed_name_is_not_used(tmp_path):
  # Our fingerprint, its checksum: renamed by somebody.
  folder, made, written, names = _old_and_new(tmp_path)
  foreign = _foreign(tmp_path)
  split, fingerprint, *_ = names[0].split(".")
  checksum = foreign.name.split(".")[2]
  (folder / names[0]).unlink()
  mixed = folder / f"{split}.{fingerprint}.{checksum}.index"
  mixed.write_bytes(foreign.read_bytes())
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())


def test_without_a_writable_folder_the_cache_is_used(
  tmp_path, cache, no_building
):
  folder = tmp_path / ".index"
  folder.write_text("a file: not even root can write into it")
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())
  found = list((cache / "yourface_tfds" / "index").glob("*/*"))
  assert [path.name.split(".")[0] for path in found] == ["train"]
  assert folder.is_file()
  # Two datasets do not get in each other's way.
  other = _examples(3, seed=1)
  second = _write(tmp_path / "second", other, [3])
  (tmp_path / "second" / ".index").write_text("")
  record_index.open_index(
    second, _layout(), tmp_path / "second" / ".index", "train"
  )
  assert len(list((cache / "yourface_tfds" / "index").glob("*/*"))) == 2
  no_building()
  rows = record_index.open_index(written, _layout(), folder, "train")
  _check(rows, written, made, _layout())


def test_the_cache_is_in_the_home_folder_unless_told(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  written = _write(tmp_path, _examples(2), [2])
  (tmp_path / ".index").write_text("")
  for value in (None, ""):
    if value is None:
      monkeypatch.delenv("XDG_CACHE_HOME")
    else:
      monkeypatch.setenv("XDG_CACHE_HOME", value)
    record_index.open_index(written, _layout(), tmp_path / ".index", "train")
    place = tmp_path / "home" / ".cache" / "yourface_tfds" / "index"
    assert len(list(place.glob("*/train.*.index"))) == 1


def test_a_user_without_a_home_can_open(tmp_path, monkeypatch):
  # As in a container that runs under some number: no HOME, no name.
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.delenv("HOME")

  def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

  monkeypatch.setattr(pwd, "getpwuid", nobody)
  made = _examples(2)
  written = _write(tmp_path, made, [2])
  rows = record_index.open_index(written, _layout(), tmp_path / "a", "train")
  _check(rows, written, made, _layout())
  assert len(_indexes(tmp_path / "a")) == 1


def test_without_any_writable_folder_it_still_works(
  tmp_path, cache, monkeypatch
):
  scratch = tmp_path / "scratch"
  scratch.mkdir()
  monkeypatch.setattr(tempfile, "tempdir", str(scratch))
  (tmp_path / ".index").write_text("")
  cache.write_text("")
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  for _ in range(2):
    rows = record_index.open_index(
      written, _layout(), tmp_path / ".index", "train"
    )
    assert list(scratch.iterdir()) == []
    _check(rows, written, made, _layout())
  assert (tmp_path / ".index").read_text() == cache.read_text() == ""


def _refused(tmp_path, made, layout, counts=None, records=None):
  """Returns the path of the only shard, and what was said of it."""
  count = len(made)
  written = _write(tmp_path, made, counts or [count])
  if records is not None:
    written = [record_index.Shard(path=written[0].path, records=records)]
  return written[0].path, _message(tmp_path, written, layout)


def _message(tmp_path, written, layout):
  folder = tmp_path / ".index"
  with pytest.raises(tfrecord.CorruptError) as caught:
    record_index.open_index(written, layout, folder, "train")
  # Whole or not at all.
  assert _indexes(folder) == []
  return str(caught.value)


@pytest.mark.parametrize("records", [0, 6, 8, 1000])
def test_another_number_of_records_is_refused(tmp_path, records):
  path, message = _refused(tmp_path, _examples(7), _layout(), records=records)
  assert message == (
    f"{path}: holds 7 records, dataset_info.json says {records}; the file is "
    "cut short or of another build, build it again or copy it again"
  )


def test_a_record_in_the_neighbours_shard_is_refused(tmp_path):
  written = _write(tmp_path, _examples(7), [4, 3])
  swapped = [
    record_index.Shard(path=shard.path, records=records)
    for shard, records in zip(written, (3, 4), strict=True)
  ]
  assert _message(tmp_path, swapped, _layout()) == (
    f"{written[0].path}: holds 4 records, dataset_info.json says 3; the file "
    "is cut short or of another build, build it again or copy it again"
  )


def test_a_raw_image_of_another_size_is_refused(tmp_path):
  made = [*_examples(2), *_examples(1, side=_SIDE + 1)]
  path, message = _refused(tmp_path, made, _layout())
  assert message == (
    f"{path}: record 2: its image holds 507 bytes, 12x12 pixels are 432; it is "
    "of another dataset"
  )


def test_a_jpeg_of_another_size_is_refused(tmp_path):
  made = _examples(3, is_raw=False)
  encoded = io.BytesIO()
  PIL.Image.new("RGB", (_SIDE + 5, _SIDE)).save(encoded, "JPEG")
  made[1]["image"] = encoded.getvalue()
  path, message = _refused(tmp_path, made, _layout(is_raw=False))
  assert message == (
    f"{path}: record 1: its image is 17x12 pixels, the dataset says 12x12; it "
    "is of another dataset"
  )


def test_raw_and_jpeg_are_not_mixed_up(tmp_path):
  path, message = _refused(tmp_path, _examples(3), _layout(is_raw=False))
  assert message == (
    f"{path}: record 0: tjDecompressHeader3(): Could not determine subsampling "
    "level of JPEG image"
  )
  made = _examples(3, is_raw=False)
  path, message = _refused(tmp_path, made, _layout())
  assert message == (
    f"{path}: record 0: its image holds {len(made[0]['image'])} bytes, 12x12 "
    "pixels are 432; it is of another dataset"
  )


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("name", ["image", "gender", "face_type", "photo"])
def test_a_missing_feature_is_refused(tmp_path, is_raw, name):
  made = _examples(4, is_raw)
  del made[2][name]
  path, message = _refused(tmp_path, made, _layout(is_raw))
  assert message == (
    f"{path}: record 2: it has no '{name}'; it is of another dataset"
  )


@pytest.mark.parametrize("value", ["man", 0.5])
def test_a_label_that_is_no_integer_is_refused(tmp_path, value):
  made = _examples(4)
  made[3]["job"] = value
  path, message = _refused(tmp_path, made, _layout())
  assert message == (
    f"{path}: record 3: it has no 'job'; it is of another dataset"
  )


def test_a_label_too_large_to_keep_is_refused(tmp_path):
  made = _examples(4)
  made[3]["job"] = 2**31
  path, message = _refused(tmp_path, made, _layout())
  assert message.startswith(f"{path}: record 3: ")


def test_a_text_that_is_an_integer_is_refused(tmp_path):
  made = _examples(4)
  made[3]["person"] = 7
  path, message = _refused(tmp_path, made, _layout())
  assert message == (
    f"{path}: record 3: it has no 'person'; it is of another dataset"
  )


def test_an_empty_text_is_none_the_less_a_text(tmp_path):
  made = _examples(4)
  made[3]["person"] = ""
  written = _write(tmp_path, made, [4])
  rows = record_index.open_index(written, _layout(), tmp_path / "a", "train")
  _check(rows, written, made, _layout())


def test_what_is_no_example_is_refused(tmp_path):
  made = [*_examples(1), b"not an example"]
  path, message = _refused(tmp_path, made, _layout())
  assert message == f"{path}: record 1: no tf.train.Example"


def test_a_missing_shard_is_an_error_of_the_system(tmp_path):
  written = _write(tmp_path, _examples(7), [4, 3])
  folder = tmp_path / ".index"
  record_index.open_index(written, _layout(), folder, "train")
  pathlib.Path(written[1].path).unlink()
  with pytest.raises(FileNotFoundError) as caught:
    record_index.open_index(written, _layout(), folder, "train")
  assert caught.value.filename == written[1].path
  with pytest.raises(FileNotFoundError):
    record_index.open_index(written, _layout(), tmp_path / "b", "train")


def test_a_shard_cut_short_is_refused(tmp_path):
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  path = pathlib.Path(written[1].path)
  content = path.read_bytes()
  starts = [offset for offset, _ in _places(content)]
  path.write_bytes(content[:-10])
  assert _message(tmp_path, written, _layout()) == (
    f"{path}: record 2 at byte {starts[2]}: the file ends inside it, at byte "
    f"{len(content) - 10}; {_AGAIN}"
  )
  path.write_bytes(content[: starts[2]])
  assert _message(tmp_path, written, _layout()) == (
    f"{path}: holds 2 records, dataset_info.json says 3; the file is cut short "
    "or of another build, build it again or copy it again"
  )
  path.write_bytes(b"")
  assert _message(tmp_path, written, _layout()) == (
    f"{path}: holds 0 records, dataset_info.json says 3; the file is cut short "
    "or of another build, build it again or copy it again"
  )


def test_a_flipped_byte_is_refused(tmp_path):
  written = _write(tmp_path, _examples(7), [4, 3])
  path = pathlib.Path(written[0].path)
  content = bytearray(path.read_bytes())
  starts = [offset for offset, _ in _places(content)]
  content[starts[3] + 100] ^= 1
  path.write_bytes(content)
  assert _message(tmp_path, written, _layout()) == (
    f"{path}: record 3 at byte {starts[3]}: its checksum differs; {_AGAIN}"
  )


def _places(content):
  data = np.frombuffer(bytes(content), np.uint8)
  return list(tfrecord.records("", data))


def test_after_an_error_a_repaired_shard_is_read(tmp_path):
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  path = pathlib.Path(written[0].path)
  content = path.read_bytes()
  path.write_bytes(content[:-1])
  _message(tmp_path, written, _layout())
  path.write_bytes(content)
  rows = record_index.open_index(
    written, _layout(), tmp_path / ".index", "train"
  )
  _check(rows, written, made, _layout())


_PROCESS = """
import pathlib, sys
from yourface_tfds import record_index
layout = record_index.Layout(
  size=12, is_raw=True, integers=("gender", "job", "face_type"),
  strings=("person", "photo"),
)
folder, *paths = sys.argv[1:]
shards = [record_index.Shard(path=path, records=150) for path in paths]
print("ready", flush=True)
for line in sys.stdin:
  place = pathlib.Path(folder) / line.strip()
  rows = record_index.open_index(shards, layout, place, "train")
  print(len(rows), int(rows["labels"].sum()), flush=True)
"""


def test_two_processes_may_make_it_at_once(tmp_path):
  made = _examples(300)
  written = _write(tmp_path, made, [150, 150])
  paths = [shard.path for shard in written]
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", _PROCESS, str(tmp_path), *paths],
      cwd=_ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for _ in range(2)
  ]
  integers = _layout().integers
  total = sum(example[name] for example in made for name in integers)
  try:
    for process in processes:
      assert process.stdout and process.stdout.readline() == "ready\n"
    for step in range(20):
      for process in processes:
        assert process.stdin
        process.stdin.write(f"{step}\n")
        process.stdin.flush()
      for process in processes:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line == f"300 {total}\n", line or process.stderr.read()
      assert len(_indexes(tmp_path / str(step))) == 1
    for process in processes:
      _, errors = process.communicate(timeout=30)
      assert errors == ""
      assert process.returncode == 0
  finally:
    for process in processes:
      process.kill()
      process.communicate()
  rows = record_index.open_index(written, _layout(), tmp_path / "0", "train")
  _check(rows, written, made, _layout())


def test_what_another_builder_removes_is_opened_nevertheless(
  tmp_path, monkeypatch
):
  # The other one found no index either. It removes old ones just when ours has
  # been put there and is about to be opened.
  made = _examples(7)
  written = _write(tmp_path, made, [4, 3])
  folder = tmp_path / ".index"
  mine = threading.current_thread()
  other_builds, mine_is_there = threading.Event(), threading.Event()
  old_are_removed, mine_is_open = threading.Event(), threading.Event()
  found = []

  def build():
    found.append(record_index.open_index(written, _layout(), folder, "train"))

  other = threading.Thread(target=build)
  records, map_file = tfrecord.records, record_index.map_file
  replace = pathlib.Path.replace

  def slow_records(name, data):
    if threading.current_thread() is other:
      other_builds.set()
      mine_is_there.wait(10)
    return records(name, data)

  def slow_replace(path, target):
    if threading.current_thread() is other:
      old_are_removed.set()
      mine_is_open.wait(10)
    return replace(path, target)

  def slow_map_file(path):
    if threading.current_thread() is mine and path.endswith(".index"):
      mine_is_there.set()
      old_are_removed.wait(10)
    return map_file(path)

  monkeypatch.setattr(tfrecord, "records", slow_records)
  monkeypatch.setattr(record_index, "map_file", slow_map_file)
  monkeypatch.setattr(pathlib.Path, "replace", slow_replace)
  other.start()
  try:
    assert other_builds.wait(10)
    rows = record_index.open_index(written, _layout(), folder, "train")
  finally:
    mine_is_there.set()
    mine_is_open.set()
    other.join(10)
  _check(rows, written, made, _layout())
  _check(found[0], written, made, _layout())


_NO_ROOM = """
import pathlib, resource, sys
from yourface_tfds import record_index
layout = record_index.Layout(
  size={size}, is_raw={is_raw}, integers={integers}, strings={strings}
)
folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
  record_index.open_index(
    [record_index.Shard(path=sys.argv[2], records=9)], layout, folder, "train"
  )
except OSError as error:
  print(error)
"""


def test_no_room_for_the_index_anywhere(tmp_path, cache):
  (written,) = _write(tmp_path, _examples(9), [9])
  layout = _layout()
  code = _NO_ROOM.format(
    size=layout.size,
    is_raw=layout.is_raw,
    integers=layout.integers,
    strings=layout.strings,
  )
  folder = tmp_path / ".index"
  done = subprocess.run(
    [sys.executable, "-c", code, str(folder), written.path],
    cwd=pathlib.Path(__file__).parents[1],
    env={**os.environ, "TMPDIR": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.stderr == ""
  assert done.stdout.startswith(
    f"{folder}: the index of train cannot be written, there or in the cache "
    f"folder or {tmp_path}: "
  )
  assert done.stdout.endswith("; make room\n")
  assert list(folder.iterdir()) == []
  assert not [path for path in cache.rglob("*") if path.is_file()]
