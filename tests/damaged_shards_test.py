"""Shards that were damaged: refused with file and place, or read rightly.

Every way of reading, every element compared with what was written.
"""

import random
import re

import pytest

from tests import damage
from yourface_tfds import (
  cli,
  input_pipeline,
  mistakes,
  tfrecord,
)

_WAYS = ("fresh", "indexed", "meanwhile", "stock", "sample", "faces", "counts")


@pytest.fixture(params=damage.ENCODINGS)
def copy(tiny_data_dir, tmp_path, request):
  return damage.Copy(tiny_data_dir, tmp_path, request.param)


def _flip(content, place):
  changed = bytearray(content)
  changed[place] ^= random.Random(place).randrange(1, 256)
  return bytes(changed)


def _drop_index(copy):
  for path in (copy.folder / ".index").glob("*"):
    path.unlink()


def _attempt(copy, way, spoil):
  """Reads in one of the ways; returns the rows, or the error's text."""
  if way == "fresh":
    _drop_index(copy)
  dataset = copy.open()
  try:
    if way == "meanwhile":
      first = damage.epoch(dataset, 0)
      spoil()
      second = damage.epoch(dataset, 1)
      assert sorted(first) == sorted(second)
      return copy.whole
    spoil()
    if way == "sample":
      with input_pipeline.plain_errors(dataset, "train"):
        images = input_pipeline.sample_faces(dataset, "train", 60)
      whole = [pixels for pixels, *_ in copy.whole.values()]
      assert [image.tobytes() for image in images] == whole
      return copy.whole
    if way == "faces":
      faces = mistakes.faces(dataset, "train", range(60))
      whole = [pixels for pixels, *_ in copy.whole.values()]
      assert [faces[i].tobytes() for i in range(60)] == whole
      return copy.whole
    if way == "counts":
      counts = input_pipeline.class_counts(dataset, "train")
      found = [labels[0] for _, labels, _ in copy.whole.values()]
      assert counts["gender"].tolist() == [found.count(0), found.count(1)]
      return copy.whole
    return damage.read(dataset, "stock" if way == "stock" else "fast")
  except (tfrecord.CorruptError, cli.UserError) as error:
    return str(error)


def _check_refusal(said, path, record, offset):
  assert isinstance(said, str), "read as if nothing were wrong"
  assert said.startswith(f"{path}: record {record} at byte {offset}: "), said
  assert "\n" not in said
  assert said.endswith("build it again or copy it again"), said


def _targets(content, seed):
  """Returns kind -> a byte to flip, and the record it is in."""
  rng = random.Random(seed)
  places = damage.places(content)
  number = rng.randrange(len(places))
  offset, length = places[number]
  last, last_length = places[-1]
  in_last = last + tfrecord.HEADER + rng.randrange(last_length)
  return {
    "length": (offset + rng.randrange(8), number),
    "length's checksum": (offset + 8 + rng.randrange(4), number),
    "payload": (offset + tfrecord.HEADER + rng.randrange(length), number),
    "checksum": (
      offset + tfrecord.HEADER + length + rng.randrange(4),
      number,
    ),
    "last record": (in_last, len(places) - 1),
  }


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte(copy, way, seed):
  # 4 seeds x 5 places x 7 ways x 2 encodings: 280 flips, each of the rot that
  # nothing but reading can see.
  path = copy.shards[seed % len(copy.shards)]
  content = copy.kept[path]
  for kind, (place, number) in _targets(content, seed).items():
    said = _attempt(
      copy,
      way,
      lambda place=place: copy.damage(path, _flip(content, place), is_rot=True),
    )
    offset, _ = damage.places(content)[number]
    if said == copy.whole:
      # The index knows where records lie: their lengths are not read again.
      # Labels stand in it too.
      assert way == "counts" or (
        kind.startswith("length")
        and way in ("indexed", "meanwhile", "sample", "faces")
      ), kind
    else:
      _check_refusal(said, path, number, offset)
    copy.mend()


@pytest.mark.parametrize("way", ("fresh", "indexed", "stock"))
def test_cut_short_at_any_byte(copy, way):
  path = copy.shards[1]
  content = copy.kept[path]
  places = damage.places(content)
  rng = random.Random(5)
  cuts = [rng.randrange(1, len(content)) for _ in range(6)]
  # Between two records, where nothing but the number of records tells.
  for cut in [*cuts, places[7][0], places[-1][0], 0]:
    said = _attempt(copy, way, lambda cut=cut: copy.damage(path, content[:cut]))
    assert isinstance(said, str)
    ends = [offset + 16 + length for offset, length in places]
    if cut in (0, *ends):
      count = ([0, *ends]).index(cut)
      assert said == (
        f"{path}: holds {count} records, dataset_info.json says "
        f"{len(places)}; the file is cut short or of another build, build it "
        "again or copy it again"
      )
    else:
      number = max(i for i, (offset, _) in enumerate(places) if offset < cut)
      _check_refusal(said, path, number, places[number][0])
    copy.mend()


@pytest.mark.parametrize("way", ("fresh", "indexed", "meanwhile", "stock"))
def test_a_block_of_zeros(copy, way):
  # What a disk gives back for a sector that it lost.
  for seed in range(3):
    path = copy.shards[seed]
    content = copy.kept[path]
    start = random.Random(seed).randrange(len(content) - 512) // 512 * 512
    zeroed = content[:start] + bytes(512) + content[start + 512 :]
    said = _attempt(
      copy,
      way,
      lambda path=path, zeroed=zeroed: copy.damage(path, zeroed, is_rot=True),
    )
    assert isinstance(said, str)
    assert re.match(re.escape(str(path)) + r": record \d+ at byte \d+: ", said)
    copy.mend()


@pytest.mark.parametrize("way", ("fresh", "indexed", "stock"))
def test_a_missing_shard(copy, way):
  path = copy.shards[2]
  said = _attempt(copy, way, path.unlink)
  assert said == (
    f"{path}: is missing; build the dataset again or copy it again"
  )


@pytest.mark.parametrize("way", ("fresh", "indexed", "stock"))
def test_two_shards_swapped(copy, way):
  # All is there, in another order: each face still has its own labels.
  first, second, _ = copy.shards
  dataset = copy.open()
  assert dataset.shards("train")[0].records == 20

  def swap():
    copy.damage(first, copy.kept[second])
    copy.damage(second, copy.kept[first])

  said = _attempt(copy, way, swap)
  assert said == copy.whole
  assert list(said) != list(copy.whole)
