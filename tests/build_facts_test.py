"""Tests of build_facts: figures from rows, and the table of them."""

import dataclasses
import pathlib
import random
import re

import pytest

from yourface_tfds import build_facts, build_settings, curate, labels

SETTINGS = build_settings.BuildSettings()
PEOPLE = {
  "김하나": {"gender": 1, "job": 0, "face_type": 1},
  "Lee Dul": {"gender": 0, "job": -1, "face_type": -1},
  "Park": {"gender": 0, "job": 1, "face_type": 1},
  "Nobody": {"gender": 1, "job": 1, "face_type": 10},
}


def _row(path, split="", **values):
  return curate.PhotoRow(
    **{
      "path": path,
      "person": path.split("/")[0] if "/" in path else "",
      "status": "accepted" if split else "no_face",
      "split": split,
      "group": path if split else "",
      "faces": 1,
      "score": 0.9,
      "box": (0.0, 0.0, 0.5, 0.5),
      "source_side": 300.0,
      **values,
    }
  )


ROWS = [
  _row("김하나/1.jpg", "train", group="x", faces=3, area_ratio=0.75),
  _row("김하나/2.jpg", "train", group="x", faces=2, area_ratio=0.5),
  _row("김하나/3.jpg", "test", source_side=149.5),
  _row("Lee Dul/1.jpg", "train", score=0.99, source_side=150.0),
  _row("Park/1.jpg", "unseen", box=(0.0, 0.0, 1.0, 0.2)),
  _row("Park/2.jpg"),
  _row("Park/3.jpg"),
  _row("Park/4.jpg", status="duplicate", group="x", faces=5, area_ratio=0.9),
  _row("note.txt", status="unknown_person"),
  *(_row(f"Nobody/{number}.jpg") for number in range(4)),
]


def test_count():
  facts = build_facts.count(ROWS, PEOPLE, SETTINGS)
  assert facts.files == 13
  assert list(facts.statuses.items()) == [
    ("accepted", 5),
    ("no_face", 6),
    ("duplicate", 1),
    ("unknown_person", 1),
  ]
  assert [
    (split.name, split.photos, split.people) for split in facts.splits
  ] == [("train", 3, 2), ("validation", 0, 0), ("test", 1, 1), ("unseen", 1, 1)]
  assert [split.name for split in facts.filled_splits()] == [
    "train",
    "test",
    "unseen",
  ]
  assert (facts.total.photos, facts.total.people) == (5, 3)
  assert facts.people_without_photo == 1
  # The rejected row of the same group is no member.
  assert (facts.near_duplicate_groups, facts.near_duplicate_photos) == (1, 2)
  # Half of the area is not more than half of it.
  assert (facts.several_faces, facts.large_second_face) == (2, 1)
  assert facts.enlarged == 1
  larger = dataclasses.replace(SETTINGS, image_size=151)
  assert build_facts.count(ROWS, PEOPLE, larger).enlarged == 2


def _counts(split, head):
  return {
    label.name: (label.photos, label.people)
    for label in split.heads[head]
    if label.photos or label.people
  }


def test_label_counts():
  facts = build_facts.count(ROWS, PEOPLE, SETTINGS)
  assert _counts(facts.total, "gender") == {"man": (2, 2), "woman": (3, 1)}
  assert _counts(facts.splits[0], "gender") == {"man": (1, 1), "woman": (2, 1)}
  assert _counts(facts.total, "job") == {
    "actor": (3, 1),
    "singer": (1, 1),
    "unknown": (1, 1),
  }
  assert _counts(facts.total, "face_type") == {
    "cat": (4, 2),
    "unknown": (1, 1),
  }
  assert _counts(facts.splits[1], "job") == {}
  for head, counts in facts.total.heads.items():
    assert [label.name for label in counts] == [
      *labels.HEADS[head].names,
      "unknown",
    ]
  scarce = facts.labels_below(2)
  assert [label.name for label in scarce["gender"]] == ["woman"]
  assert len(scarce["face_type"]) == 10
  assert "cat" not in [label.name for label in scarce["face_type"]]


def test_counts_do_not_depend_on_the_order():
  rows = ROWS * 3
  random.Random(5).shuffle(rows)
  facts = build_facts.count(rows, PEOPLE, SETTINGS)
  other = build_facts.count(ROWS * 3, PEOPLE, SETTINGS)
  assert facts == other
  assert list(facts.statuses) == list(other.statuses)


def test_spreads():
  rows = [
    _row(f"Park/{number}.jpg", "train", score=number / 100, source_side=number)
    for number in range(101)
  ]
  facts = build_facts.count(rows[::-1], PEOPLE, SETTINGS)
  assert facts.score == build_facts.Spread(low=0.05, median=0.5, high=0.95)
  assert facts.source_side == build_facts.Spread(low=5, median=50, high=95)
  assert facts.box_area == build_facts.Spread(low=0.25, median=0.25, high=0.25)


def test_nothing_accepted():
  facts = build_facts.count([_row("Park/1.jpg")], PEOPLE, SETTINGS)
  assert facts.filled_splits() == ()
  assert (facts.score, facts.source_side, facts.box_area) == (None, None, None)
  text = build_facts.table(facts)
  assert text.count("left out") == 4
  assert "woman" not in text
  assert build_facts.count([], {}, SETTINGS).files == 0


def test_accepted_person_without_labels_is_an_error():
  with pytest.raises(KeyError, match="Park"):
    build_facts.count([_row("Park/1.jpg", "train")], {}, SETTINGS)


def test_table():
  text = build_facts.table(build_facts.count(ROWS, PEOPLE, SETTINGS))
  lines = text.splitlines()
  assert lines[0] == "13 files"
  assert re.fullmatch(r"  accepted +5  used, one example each", lines[1])
  assert all(len(line) <= 80 for line in lines)
  assert re.search(r"^  train +3 +2$", text, re.M)
  assert re.search(r"^  validation +0 +0 +left out: nobody", text, re.M)
  assert re.search(r"^  photos/people +train +test +unseen$", text, re.M)
  assert re.search(r"^  gender +man +1/1 +0/0 +1/1$", text, re.M)
  assert re.search(r"^ +woman +2/1 +1/1 +0/0$", text, re.M)
  start = lines.index(next(line for line in lines if "photos/people" in line))
  assert {len(line) for line in lines[start:]} == {len(lines[start])}


def test_table_is_aligned_with_korean_names(monkeypatch):
  korean = labels.HEADS["gender"].korean
  head = labels.Head(names=korean, korean=korean)
  monkeypatch.setattr(labels, "HEADS", {"gender": head})
  text = build_facts.table(build_facts.count(ROWS, PEOPLE, SETTINGS))
  line, unknown = (
    next(line for line in text.splitlines() if name in line)
    for name in ("남자", "unknown ")
  )
  # Two columns a syllable in a terminal.
  assert len(line) + 2 == len(unknown)


def test_every_status_of_the_documentation_has_a_meaning():
  page = pathlib.Path(__file__).parents[1] / "BUILD.md"
  row = re.search(r"^\| `status` \|(.*)$", page.read_text("utf-8"), re.M)
  assert row is not None
  documented = set(re.findall(r"`(\w+)`", row[1]))
  assert len(documented) > 5
  assert documented == set(build_facts.STATUS_MEANINGS)
