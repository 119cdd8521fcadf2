"""Tests of prepare: every file one row, and rows that depend on files alone."""

import collections
import functools
import hashlib
import io
import os
import pathlib
import random
import shutil
import tempfile
import unicodedata

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from yourface_tfds import (
  build_settings,
  cli,
  curate,
  detections,
  faces,
  labels,
  mtcnn,
  photos,
  prepare,
  sample_drawing,
  sample_files,
  shards,
)

RAW = build_settings.BuildSettings(encoding="raw", image_size=64)
HEADER = ",".join(("person", *labels.HEADS)) + "\n"


@pytest.fixture(autouse=True, scope="module")
def _one_finder():
  """Traces the graph of each crop once (2 s; stateless), closes the spools."""
  spools = []
  temporary_file = tempfile.TemporaryFile

  def recorded(**options):
    spools.append(temporary_file(**options))
    return spools[-1]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(faces, "FaceFinder", functools.cache(faces.FaceFinder))
    patch.setattr(tempfile, "TemporaryFile", recorded)
    yield
  for spool in spools:
    spool.close()


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory):
  """12 drawn photos of 3 people, and some that are none."""
  folder = tmp_path_factory.mktemp("prepare") / "m"
  sample_files.write_photos(folder, people=3, photos=4, seed=1)
  person = sorted((folder / "photos").iterdir())[0]
  Image.new("RGB", (300, 300), "teal").save(person / "wall.png")
  (person / "page.jpg").write_text("<html>404</html>")
  (folder / "photos" / "loose.txt").write_text("notes")
  return folder


@pytest.fixture(scope="module")
def prepared(manual_dir, tmp_path_factory):
  work_dir = tmp_path_factory.mktemp("work")
  return prepare.prepare(manual_dir, RAW, work_dir=work_dir)


def _assert_same(one, other):
  assert list(one.rows) == list(other.rows)
  assert one.people == other.people
  for row in one.rows:
    assert one.landmarks(row).tobytes() == other.landmarks(row).tobytes()
    assert np.isnan(one.landmarks(row)).all() == (row.status != "accepted")
    assert one.picture(row) == other.picture(row)


def test_the_spool_gives_pictures_back(prepared):
  by_status = collections.Counter(row.status for row in prepared.rows)
  assert by_status == {
    "accepted": 12,
    "no_face": 1,
    "not_an_image": 1,
    "unknown_person": 1,
  }
  pictures = set()
  for row in prepared.rows:
    picture = prepared.picture(row)
    if row.status == "accepted":
      assert len(picture) == 64 * 64 * 3
      pictures.add(picture)
    elif row.status == "no_face":
      pixels = photos.decode(picture)
      assert pixels.shape == (75, 75, 3)
      assert np.abs(pixels - np.array([0.0, 128, 128])).max() < 4
    else:
      assert picture == b""
  assert len(pictures) == 12
  assert prepared.detected == 13


def test_examples_are_those_of_the_rows(prepared):
  assert prepared.splits() == [
    split
    for split in curate.SPLITS
    if any(row.split == split for row in prepared.rows)
  ]
  seen = 0
  for split in prepared.splits():
    members = prepared.members(split)
    assert [row.path for row in members] == sorted(row.path for row in members)
    for row in members:
      example = prepared.example(row)
      assert example["image"] == prepared.picture(row)
      assert example["person"] == row.person
      heads = {head: example[head] for head in labels.HEADS}
      assert heads == prepared.people[row.person]
      assert example["landmarks"].shape == (5, 2)
      record = shards.serialize(example)
      assert prepared.record_length(row) == len(record)
      seen += 1
  assert seen == 12


def test_a_second_look_detects_nothing(manual_dir, tmp_path):
  first = prepare.prepare(manual_dir, RAW, work_dir=tmp_path)
  second = prepare.prepare(manual_dir, RAW, work_dir=tmp_path)
  assert (first.detected, second.detected) == (13, 0)
  _assert_same(first, second)
  # The crops are in an unnamed file.
  assert [path.name for path in tmp_path.iterdir()] == [prepare.CACHE_NAME]


@pytest.mark.parametrize("cores", [None, 1, 4])
def test_threads_do_not_matter(
  manual_dir, prepared, tmp_path, monkeypatch, cores
):
  monkeypatch.setattr(os, "cpu_count", lambda: cores)
  monkeypatch.setattr(prepare, "_CHUNK", 2)
  other = prepare.prepare(manual_dir, RAW, work_dir=tmp_path)
  _assert_same(other, prepared)


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_the_file_system_does_not_matter(
  manual_dir, prepared, tmp_path, monkeypatch, seed
):
  generator = random.Random(seed)
  copy = tmp_path / "copy"
  paths = sorted(path for path in manual_dir.rglob("*") if path.is_file())
  for path in generator.sample(paths, len(paths)):
    target = copy / path.relative_to(manual_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
  walk = os.walk

  def shuffled(top, **options):
    for folder, folders, names in walk(top, **options):
      generator.shuffle(folders)
      yield folder, folders, generator.sample(names, len(names))

  monkeypatch.setattr(os, "walk", shuffled)
  _assert_same(prepare.prepare(copy, RAW, work_dir=tmp_path), prepared)


def test_hidden_names_keep_pictures_and_splits(manual_dir, prepared, tmp_path):
  copy = shutil.copytree(manual_dir, tmp_path / "copy")
  (copy / "name_salt").write_text("0123456789abcdef")
  settings = build_settings.BuildSettings(
    encoding="raw", image_size=64, hash_names=True
  )
  hidden = prepare.prepare(copy, settings, work_dir=tmp_path)
  text = curate.csv_text(hidden.rows)
  assert not any(person in text for person in prepared.people)

  def known(one):
    return sorted(
      (row.status, row.split, row.group, one.picture(row)) for row in one.rows
    )

  assert known(hidden) == known(prepared)
  assert {row.person for row in hidden.rows} == {"", *hidden.people}
  for row in hidden.members("train"):
    assert hidden.example(row)["person"] == row.person
  (copy / "name_salt").unlink()
  with pytest.raises(cli.UserError, match="hash_names needs a secret"):
    prepare.prepare(copy, settings, work_dir=tmp_path)


@pytest.fixture(scope="module")
def tree_cache(tmp_path_factory):
  """A folder whose cache knows the one face of the trees below."""
  return tmp_path_factory.mktemp("trees")


@functools.cache
def _face():
  person = sample_drawing.make_person(1, 0)
  out = io.BytesIO()
  image = sample_drawing.draw_photo(person, 1, 0)
  image.save(out, "JPEG", quality=90)
  return out.getvalue()


_KNOWN = "김하나"
_FOLDERS = [
  _KNOWN,
  unicodedata.normalize("NFD", _KNOWN),
  *("stranger", ".hidden", "🙂 é", unicodedata.normalize("NFD", "é"), " "),
]
_NAMES = [
  *("a.jpg", "b", ".DS_Store", "Icon\r", "🙂.png", "a, b\n.gif"),
  *(unicodedata.normalize("NFD", "가.jpg"), "가.jpg", "\udcb1.jpg", "-x"),
]
_JUNK = st.sampled_from([b"", b"\0", b"<html>", b"\xff\xd8\xff", b"GIF89a"])
_TREES = st.dictionaries(
  st.tuples(
    st.lists(st.sampled_from([*_FOLDERS, "deeper"]), max_size=3),
    st.sampled_from(_NAMES),
  ).map(lambda parts: "/".join([*parts[0], parts[1]])),
  _JUNK,
  max_size=12,
)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(tree=_TREES)
def test_every_file_has_one_row(tree_cache, tree):
  with tempfile.TemporaryDirectory() as folder:
    manual = pathlib.Path(folder)
    tree = {f"{_KNOWN}/face.jpg": _face(), **tree}
    for path, content in tree.items():
      target = manual / "photos" / path
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(content)
    (manual / "people.csv").write_text(f"{HEADER}{_KNOWN},,,\n", "utf-8")
    settings = build_settings.BuildSettings(strict_people=False)
    prepared = prepare.prepare(manual, settings, work_dir=tree_cache)
  assert [row.path for row in prepared.rows] == sorted(tree)
  for row in prepared.rows:
    first = row.path.split("/")[0] if "/" in row.path else ""
    is_known = unicodedata.normalize("NFC", first) == _KNOWN
    assert row.status in (
      ("accepted", "unreadable", "not_an_image")
      if is_known
      else ("unknown_person",)
    )
    assert (row.status == "accepted") == row.path.endswith("/face.jpg")
    assert bool(row.split) == (row.status == "accepted")
    assert bool(row.detail) == (row.status != "accepted")
    assert bool(prepared.picture(row)) == (row.status == "accepted")


def test_no_usable_face_is_one_line(tmp_path):
  folder = tmp_path / "photos" / "kim"
  folder.mkdir(parents=True)
  (folder / "a.jpg").write_bytes(b"")
  (folder / "b.jpg").write_text("<html>")
  Image.new("RGB", (200, 200), "teal").save(folder / "c.png")
  (tmp_path / "people.csv").write_text(HEADER + "kim,,,\n")
  with pytest.raises(cli.UserError) as caught:
    prepare.prepare(tmp_path, RAW, work_dir=tmp_path)
  assert str(caught.value) == (
    f"{tmp_path / 'photos'}: none of 3 files has a usable face (unreadable 1, "
    "not_an_image 1, no_face 1); add photos that show one"
  )
  with detections.DetectionCache(
    tmp_path / prepare.CACHE_NAME, mtcnn.DetectorSettings()
  ) as cache:
    content = (folder / "c.png").read_bytes()
    assert cache.get(hashlib.sha256(content).hexdigest()) is not None


# What follows deals made-up photos: pictures with bits that differ.


def _print(picture, flips):
  """Returns the prints of a picture, resaved so that some bits differ."""
  generator = np.random.default_rng(picture)
  bits = generator.integers(0, 2, (2, 256), np.uint8)
  bits[0, list(flips)] ^= 1
  return {"picture": np.packbits(bits, axis=1).tobytes()}


@st.composite
def _albums(draw):
  """Photos: person, status, picture, bits that differ, digest."""
  count = draw(st.integers(1, 30))
  photo = st.tuples(
    st.integers(0, 6),
    st.sampled_from(["accepted"] * 5 + ["no_face"]),
    st.integers(0, 25),
    st.sets(st.integers(0, 255), max_size=8),
  )
  return draw(st.lists(photo, min_size=count, max_size=count))


_PEOPLE = st.lists(
  st.fixed_dictionaries(
    {"gender": st.integers(-1, 1), "job": st.integers(-1, 1)}
  ),
  min_size=7,
  max_size=7,
).map(lambda people: {f"p{i}": labels for i, labels in enumerate(people)})
_SETTINGS = st.builds(
  build_settings.BuildSettings,
  validation=st.sampled_from([0.1, 0.3]),
  test=st.sampled_from([0.1, 0.4]),
  unseen=st.sampled_from([0.1, 0.5, 0.9]),
  seed=st.integers(0, 10_000),
)
_property = hypothesis.settings(
  max_examples=120, deadline=None, derandomize=True
)


def _deal(album, people, settings):
  rows, prints = [], []
  for number, (person, status, picture, flips) in enumerate(album):
    path = f"p{person}/{number}.jpg"
    digest = hashlib.sha256(path.encode()).hexdigest()[:16]
    rows.append(
      curate.PhotoRow(
        path=path, person=f"p{person}", status=status, group=digest
      )
    )
    prints.append(_print(picture, flips))
  rows = prepare.deal(rows, prints, people, settings)
  return {int(row.path.split("/")[1][:-4]): row for row in rows}


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_bar_where_near_duplicates_take_long(monkeypatch, capsys, seconds):
  monkeypatch.setattr(prepare, "_SECONDS_UNSAID", seconds)
  people = {"p0": dict.fromkeys(labels.HEADS, 0)}
  album = [(0, "accepted", picture, ()) for picture in range(3)]
  _deal(album, people, build_settings.BuildSettings())
  told = capsys.readouterr().err
  if seconds:
    assert told == ""
  else:
    assert told.splitlines()[-1].startswith("Looking for near-duplicates: 100%")
    assert "68/68" in told


@_property
@hypothesis.given(album=_albums(), people=_PEOPLE, settings=_SETTINGS)
def test_no_picture_and_no_unseen_person_crosses(album, people, settings):
  dealt = _deal(album, people, settings)
  by_picture = collections.defaultdict(list)
  for number, row in dealt.items():
    assert bool(row.split) == (row.status == "accepted")
    by_picture[album[number][2]].append((album[number], row))
  for members in by_picture.values():
    assert len({row.group for _, row in members}) == 1
    accepted = [one for one, _ in members if one[1] == "accepted"]
    is_shared = len({person for person, *_ in accepted}) > 1
    for one, row in members:
      wanted = "duplicate" if is_shared and one in accepted else one[1]
      assert row.status == wanted
    assert len({row.split for _, row in members if row.split}) <= 1
  groups = {members[0][1].group for members in by_picture.values()}
  assert len(groups) == len(by_picture)
  homes = collections.defaultdict(set)
  for row in dealt.values():
    if row.split:
      homes[row.person].add(row.split)
  for splits in homes.values():
    assert splits == {"unseen"} or "unseen" not in splits


def _trained(dealt, settings):
  """Returns who has photos to train on, were nobody unseen."""
  share = settings.test + settings.validation
  return {
    row.person
    for row in dealt.values()
    if row.status == "accepted"
    and curate.fraction(settings.seed, "photo", row.person, row.group) >= share
  }


def _is_needed(person, trained, drawn, people):
  """Whether a label, or the whole, would have nobody left to train on."""
  if trained <= drawn:
    return True
  for head, index in people[person].items():
    holders = {name for name in trained if people[name][head] == index}
    if index >= 0 and person in holders and holders <= drawn:
      return True
  return False


@_property
@hypothesis.given(
  album=_albums(), more=_albums(), people=_PEOPLE, settings=_SETTINGS
)
def test_added_photos_move_only_their_near_duplicates(
  album, more, people, settings
):
  before = _deal(album, people, settings)
  after = _deal([*album, *more], people, settings)
  added = {picture for _, _, picture, _ in more}
  drawn = {
    name
    for name in people
    if curate.fraction(settings.seed, "person", name) < settings.unseen
  }
  sides = [
    (dealt, _trained(dealt, settings), {r.person for r in dealt.values()})
    for dealt in (before, after)
  ]
  for number, (_, _, picture, _) in enumerate(album):
    old, new = before[number], after[number]
    if picture in added:
      continue
    assert (old.status, old.group) == (new.status, new.group)
    if old.split == new.split:
      continue
    # Only between known and unseen, and only for the sake of a label.
    assert "unseen" in (old.split, new.split)
    known = sides[0] if new.split == "unseen" else sides[1]
    assert old.person in drawn
    assert _is_needed(old.person, known[1], drawn, people)


@_property
@hypothesis.given(
  album=_albums(), people=_PEOPLE, settings=_SETTINGS, count=st.integers(1, 6)
)
def test_added_people_move_only_who_a_label_needs(
  album, people, settings, count
):
  # Each picture is one person's, or it would be a near-duplicate.
  album = [(p, s, 100 * p + picture, f) for p, s, picture, f in album]
  first = [one for one in album if one[0] < count]
  rest = [one for one in album if one[0] >= count]
  before = _deal(first, people, settings)
  after = _deal([*first, *rest], people, settings)
  drawn = {
    name
    for name in people
    if curate.fraction(settings.seed, "person", name) < settings.unseen
  }
  for number, old in before.items():
    new = after[number]
    if old.split != new.split:
      assert "unseen" in (old.split, new.split)
      dealt = before if new.split == "unseen" else after
      assert old.person in drawn
      trained = _trained(dealt, settings)
      assert _is_needed(old.person, trained, drawn, people)
