"""Tests of curate: label conflicts, splits, and the account of both."""

import collections
import csv
import json
import os
import pathlib
import random
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from yourface_tfds import cli, curate


def _row(path, status="accepted", group=None, **values):
  person = path.split("/")[0] if "/" in path else ""
  group = path if group is None else group
  return curate.PhotoRow(
    path=path, person=person, status=status, group=group, **values
  )


def test_picture_under_two_people_is_rejected_under_both():
  rows = [
    _row("IU/1.jpg", group="x"),
    _row("IU/2.jpg", group="x"),
    _row("IU/3.jpg", group="y"),
    _row("Rain/1.jpg", group="x"),
    _row("Rain/2.jpg", group="y", status="no_face"),
    _row("Zico/1.jpg", group="x"),
  ]
  result = curate.reject_shared(rows)
  assert [row.path for row in result] == [row.path for row in rows]
  assert [row.status for row in result] == [
    "duplicate",
    "duplicate",
    "accepted",
    "duplicate",
    "no_face",
    "duplicate",
  ]
  assert [row.detail for row in result] == [
    "the same picture as Rain/1.jpg",
    "the same picture as Rain/1.jpg",
    "",
    "the same picture as IU/1.jpg",
    "",
    "the same picture as IU/1.jpg",
  ]
  assert result[2] is rows[2]


def test_fraction():
  values = [curate.fraction(0, "photo", number) for number in range(2000)]
  assert all(0 <= value < 1 for value in values)
  assert np.histogram(values, 4, (0, 1))[0].min() > 430
  assert curate.fraction("a", 1) == curate.fraction("a", "1")
  assert curate.fraction("ab", "c") != curate.fraction("a", "bc")
  # Written down: another value would deal every dataset anew.
  assert curate.fraction(0, "person", "IU") == pytest.approx(
    0.2709189444200159, abs=1e-12
  )
  assert 0 <= curate.fraction("\udcb1.jpg") < 1


def _dealt(rows, people, **settings):
  return curate.assign_splits(rows, people, curate.SplitSettings(**settings))


@st.composite
def _folders(draw, max_people=12):
  """Photos with groups, and people with labels, none of them special."""
  count = draw(st.integers(1, max_people))
  people = {
    f"p{number}": {
      "gender": draw(st.integers(-1, 1)),
      "job": draw(st.integers(-1, 1)),
    }
    for number in range(count)
  }
  rows = []
  for person in people:
    for photo in range(draw(st.integers(0, 8))):
      group = draw(st.integers(0, 5))
      status = "accepted" if draw(st.integers(0, 5)) else "no_face"
      rows.append(
        _row(f"{person}/{photo}", status=status, group=f"{person} {group}")
      )
  return rows, people


_SETTINGS = st.builds(
  curate.SplitSettings,
  validation=st.sampled_from([0, 0.1, 0.4]),
  test=st.sampled_from([0, 0.1, 0.5]),
  unseen=st.sampled_from([0, 0.1, 0.5, 0.9]),
  seed=st.integers(0, 10_000),
)
_property = hypothesis.settings(
  max_examples=150, deadline=None, derandomize=True
)


@_property
@hypothesis.given(folders=_folders(), settings=_SETTINGS)
def test_splits_keep_their_promises(folders, settings):
  rows, people = folders
  result = curate.assign_splits(rows, people, settings)
  assert [row.path for row in result] == [row.path for row in rows]
  homes = collections.defaultdict(set)
  groups = collections.defaultdict(set)
  for row in result:
    assert (row.split in curate.SPLITS) == (row.status == "accepted")
    assert row.split or row.status != "accepted"
    if row.split:
      homes[row.person].add(row.split)
      groups[row.group].add(row.split)
  assert all(len(splits) == 1 for splits in groups.values())
  for splits in homes.values():
    assert splits == {"unseen"} or "unseen" not in splits

  # With nobody unseen: who has photos to train on, and where each photo is.
  known = curate.assign_splits(
    rows,
    people,
    curate.SplitSettings(
      validation=settings.validation,
      test=settings.test,
      unseen=0,
      seed=settings.seed,
    ),
  )
  capable = {row.person for row in known if row.split == "train"}
  training = {row.person for row in result if row.split == "train"}
  for head in ("gender", "job"):
    for index in (0, 1):
      holders = {name for name in capable if people[name][head] == index}
      assert not holders or holders & training
  assert bool(capable) == bool(training)
  for before, after in zip(known, result, strict=True):
    assert after.split in (before.split, "unseen")


@_property
@hypothesis.given(folders=_folders(), settings=_SETTINGS, random_=st.randoms())
def test_splits_do_not_depend_on_the_order(folders, settings, random_):
  rows, people = folders
  wanted = {
    row.path: row.split for row in curate.assign_splits(rows, people, settings)
  }
  random_.shuffle(rows)
  names = list(people)
  random_.shuffle(names)
  people = {name: people[name] for name in names}
  for row in curate.assign_splits(rows, people, settings):
    assert row.split == wanted[row.path]


_HASH_SEED_PROGRAM = """
import json, random
from yourface_tfds import curate
rng = random.Random(0)
result = []
for seed in range(300):
  people = {
    f"p{number}": {"a": rng.randrange(-1, 3), "b": rng.randrange(-1, 3)}
    for number in range(6)
  }
  rows = [
    curate.PhotoRow(path=name, person=name, status="accepted", group=name)
    for name in people
  ]
  settings = curate.SplitSettings(unseen=0.9, seed=seed)
  dealt = curate.assign_splits(rows, people, settings)
  result.append([row.split for row in dealt])
print(json.dumps(result))
"""


def test_splits_do_not_depend_on_the_process():
  results = []
  for hash_seed in "0123":
    done = subprocess.run(
      [sys.executable, "-c", _HASH_SEED_PROGRAM],
      capture_output=True,
      check=True,
      timeout=60,
      env=os.environ
      | {
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": str(pathlib.Path(curate.__file__).parents[1]),
      },
    )
    results.append(json.loads(done.stdout))
  assert results[0] == results[1] == results[2] == results[3]


def _many(people, photos):
  """Rows, and labels that each have many holders."""
  rows = [
    _row(f"p{person}/{photo}")
    for person in range(people)
    for photo in range(photos)
  ]
  labels = {
    f"p{person}": {"gender": person % 2, "job": person // 2 % 3 - 1}
    for person in range(people)
  }
  return rows, labels


def _splits(rows):
  return {row.path: row.split for row in rows}


def test_added_photos_move_no_other():
  rows, people = _many(40, 10)
  before = _splits(_dealt(rows, people, seed=2))
  more = rows + [_row(f"p{person}/new") for person in range(40)]
  random.Random(0).shuffle(more)
  after = _splits(_dealt(more, people, seed=2))
  assert {path: after[path] for path in before} == before
  assert len(after) == len(before) + 40


def test_added_and_removed_people_move_no_other():
  rows, people = _many(60, 6)
  whole = _splits(_dealt(rows, people, seed=4))
  some = [row for row in rows if int(row.person[1:]) < 40]
  part = _splits(_dealt(some, people, seed=4))
  assert part == {path: whole[path] for path in part}
  assert set(part.values()) == set(curate.SPLITS)


def test_shares():
  rows, people = _many(250, 20)
  dealt = _dealt(rows, people)
  counts = collections.Counter(row.split for row in dealt)
  known = sum(counts.values()) - counts["unseen"]
  assert counts["train"] / known == pytest.approx(0.8, abs=0.02)
  assert counts["validation"] / known == pytest.approx(0.1, abs=0.02)
  assert counts["test"] / known == pytest.approx(0.1, abs=0.02)
  unseen = {row.person for row in dealt if row.split == "unseen"}
  assert len(unseen) / 250 == pytest.approx(0.1, abs=0.05)


def test_shares_may_be_none():
  rows, people = _many(30, 5)
  dealt = _dealt(rows, people, validation=0, test=0, unseen=0)
  assert {row.split for row in dealt} == {"train"}


def test_another_seed_is_another_deal():
  rows, people = _many(30, 10)
  one, same, other = (
    _splits(_dealt(rows, people, seed=seed)) for seed in (1, 1, 2)
  )
  assert one == same
  moved = sum(one[path] != other[path] for path in one)
  assert 30 < moved < 200


def test_a_lone_person_is_trained_on():
  rows, people = _many(1, 20)
  for seed in range(20):
    dealt = _dealt(rows, {"p0": {"gender": -1}}, seed=seed, unseen=0.99)
    assert "unseen" not in {row.split for row in dealt}
    assert people


def test_last_person_of_a_label_is_trained_on():
  rows, people = _many(20, 10)
  people["p7"] = {"gender": -1, "job": 9}
  for seed in range(30):
    dealt = _dealt(rows, people, seed=seed, unseen=0.9)
    assert "unseen" not in {row.split for row in dealt if row.person == "p7"}


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"validation": 1}, "validation: got 1, allowed: 0 to below 1"),
    ({"test": -0.01}, "test: got -0.01, allowed: 0 to below 1"),
    ({"unseen": float("nan")}, "unseen: got nan, allowed: 0 to below 1"),
    (
      {"validation": 0.6, "test": 0.4},
      "validation + test: got 1, allowed: below 1, so that photos are left to "
      "train on",
    ),
  ],
)
def test_settings_say_what_is_allowed(settings, message):
  with pytest.raises(cli.UserError) as caught:
    curate.SplitSettings(**settings)
  assert str(caught.value) == message


def test_csv_text():
  row = _row(
    "IU/1.jpg",
    group="ab12",
    split="train",
    faces=2,
    area_ratio=0.25,
    score=0.99987,
    box=(0.1, 0.2, 0.5, 2 / 3),
    source_side=133.25,
  )
  assert curate.csv_text([row, _row("a.jpg", status="no_face", group="")]) == (
    "path,person,status,split,group,faces,area_ratio,score,box,source_side,"
    "detail\n"
    "IU/1.jpg,IU,accepted,train,ab12,2,0.2500,0.9999,"
    "0.100000 0.200000 0.500000 0.666667,133.2500,\n"
    "a.jpg,,no_face,,,0,0.0000,0.0000,,0.0000,\n"
  )


def test_csv_is_one_row_a_file_whatever_its_name(tmp_path):
  paths = [
    "Kim, Jr./a,b.jpg",
    'The "Rock"/"1".jpg',
    "line\nend/1\r\n2.jpg",
    "IU/Icon\r",
    "\N{LINE SEPARATOR}/x.jpg",
    " 김유정 /😀 .jpg",
    "'=1+1/,.jpg",
  ]
  rows = [_row(path, detail="a\r\nb, c") for path in paths]
  path = tmp_path / "photos.csv"
  path.write_bytes(curate.csv_text(rows).encode())
  read = curate.read_csv(path)
  assert [row["path"] for row in read] == paths
  assert [row["person"] for row in read] == [row.person for row in rows]
  assert all(row["detail"] == "a\r\nb, c" for row in read)
  with path.open(encoding="utf-8", newline="") as file:
    assert len(list(csv.reader(file))) == len(paths) + 1


def test_csv_shows_a_name_that_is_not_utf_8_escaped():
  text = curate.csv_text([_row("IU/\udcb1\udce8.jpg", group="")])
  assert "IU/\\udcb1\\udce8.jpg,IU,accepted" in text
  text.encode("utf-8")


def test_summary_is_most_frequent_first():
  statuses = ["no_face"] + ["accepted"] * 1200 + ["duplicate"] * 2
  rows = [_row(f"a/{number}", status) for number, status in enumerate(statuses)]
  assert curate.summary(rows) == "accepted 1,200, duplicate 2, no_face 1"
  assert curate.summary([]) == ""


def test_describe():
  rows = [_row(f"a/{number}", split="train") for number in range(1100)]
  rows += [_row("b/1", split="train"), _row("b/2", split="test")]
  rows += [_row("c/1", split="unseen"), _row("d/1", status="no_face")]
  assert curate.describe(rows).split("\n") == [
    "1,104 files: accepted 1,103, no_face 1",
    "  train        1,101 photos of    2 people",
    "  validation       0 photos of    0 people  (left out: nobody was dealt "
    "to it)",
    "  test             1 photos of    1 people",
    "  unseen           1 photos of    1 people",
  ]
