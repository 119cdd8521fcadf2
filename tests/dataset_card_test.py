"""Tests of dataset_card: the card says what the build's figures say."""

import dataclasses
import random
import re

import pytest

from yourface_tfds import (
  build_facts,
  build_settings,
  curate,
  dataset_card,
  labels,
)

SETTINGS = build_settings.BuildSettings()
SHARDS = ["your_face-train.tfrecord-00000-of-00001"]


def _rows(count=40, people=4, splits=("train", "test")):
  random_ = random.Random(3)
  return [
    curate.PhotoRow(
      path=f"사람{number % people}/{number}.jpg",
      person=f"사람{number % people}",
      status="accepted",
      split=splits[number % len(splits)],
      group=str(number),
      faces=1,
      score=random_.uniform(0.9, 1),
      box=(0.1, 0.1, 0.4, 0.3),
      source_side=200.0,
    )
    for number in range(count)
  ]


def _people(count=4):
  return {
    f"사람{number}": {
      "gender": number % 2,
      "job": -1 if number == 3 else number % 2,
      "face_type": 0 if number < 2 else number,
    }
    for number in range(count)
  }


def _card(rows, settings=SETTINGS, people=None, **values):
  facts = build_facts.count(
    rows, _people() if people is None else people, settings
  )
  values = {
    "config_name": "jpeg",
    "version": "1.0.0",
    "shards": SHARDS,
    **values,
  }
  return dataset_card.text(facts, settings, **values)


def _section(card, title):
  return re.split(r"^## ", card.split(f"## {title}\n")[1], flags=re.M)[0]


def test_figures_come_from_the_rows():
  rows = _rows()
  figures = _section(_card(rows), "Figures")
  assert "| `accepted` | 40 |" in figures
  assert "| `train` | 20 | 2 |" in figures
  assert "| `all` | 40 | 4 |" in figures
  assert "| man | 남자 | 20 (2) | 0 (0) | 20 (2) |" in figures
  assert "| unknown |  | 0 (0) | 10 (1) | 10 (1) |" in figures
  rows[0] = dataclasses.replace(rows[0], status="no_face", split="")
  figures = _section(_card(rows), "Figures")
  assert "| `no_face` | 1 | nothing scored min_score or more |" in figures
  assert "| `train` | 19 | 2 |" in figures
  assert "| man | 남자 | 19 (2) | 0 (0) | 19 (2) |" in figures


@pytest.mark.parametrize(
  ("change", "before", "after"),
  [
    (
      {"source_side": 149.0},
      "than in the crop: 0 of 40 (0.0 %)",
      "than in the crop: 1 of 40 (2.5 %)",
    ),
    (
      {"faces": 2, "area_ratio": 0.2},
      "more than one face: 0 of 40 (0.0 %)",
      "more than one face: 1 of 40 (2.5 %)",
    ),
    (
      {"faces": 2, "area_ratio": 0.6},
      "half its area: 0 of 40 (0.0 %)",
      "half its area: 1 of 40 (2.5 %)",
    ),
    (
      {"group": "7"},
      "Near-duplicates: 0 groups with 0 photos",
      "Near-duplicates: 1 groups with 2 photos",
    ),
  ],
)
def test_limits_follow_the_rows(change, before, after):
  rows = _rows()
  limits = _section(_card(rows), "Known limits")
  assert before in limits
  assert after not in limits
  rows[0] = dataclasses.replace(rows[0], **change)
  assert after in _section(_card(rows), "Known limits")


def test_scarce_labels_and_empty_splits_are_named():
  limits = _section(_card(_rows()), "Known limits")
  assert "* gender: most frequent man, 20 of 40 (50.0 %); unknown 0" in limits
  # 사람2 is a rabbit, 사람3 a fox, the other two are dogs.
  assert "labels of one person only: rabbit, fox; of nobody: cat, din" in limits
  assert (
    "unknown 10 of 40 (25.0 %); labels of one person only: singer" in limits
  )
  assert "nobody was dealt to it: validation, unseen." in limits
  full = _card(_rows(splits=curate.SPLITS), people=_people(5))
  assert "nobody was dealt" not in full
  assert "without a usable photo: 1." in full
  assert "without a usable photo" not in limits


def test_settings_in_use_are_in_the_card():
  settings = build_settings.BuildSettings(
    encoding="raw", image_size=64, margin=1.55, seed=11, min_face_size=23
  )
  made = _section(_card(_rows(), settings), "How it was made")
  for field in dataclasses.fields(settings):
    assert f"| `{field.name}` | {getattr(settings, field.name)} |" in made
  assert "1.55 times" in made
  assert "64x64 pixels (plain uint8)" in made
  assert "seed 11" in made
  assert "23 pixels" in made
  assert "JPEG" in _section(_card(_rows()), "How it was made")


def test_reading_is_python_that_names_the_config_and_a_split():
  reading = _section(
    _card(_rows(splits=("unseen",)), config_name="raw-seed_3", version="2.1.0"),
    "How to read it",
  )
  match = re.search(r"```python\n(.*?)```", reading, re.S)
  assert match is not None
  compile(match[1], "card", "exec")
  assert (
    '"your_face/raw-seed_3:2.1.0", data_dir="D", split="unseen"' in match[1]
  )
  assert SHARDS[0] in reading
  many = [f"{number}.tfrecord" for number in range(40)]
  reading = _section(_card(_rows(), shards=many), "How to read it")
  assert "\n11.tfrecord\nand 28 more\n" in reading
  assert "12.tfrecord" not in reading


def test_card_without_a_photo_or_a_label_is_readable():
  rejected = [
    dataclasses.replace(row, status="no_face", split="") for row in _rows()
  ]
  for rows in (rejected, []):
    card = _card(rows, shards=[])
    assert "0 faces of 0 people" in card
    assert "There is no split to read." in card
    assert "No photo was accepted." in card
    assert "most frequent" not in card
    assert "nan" not in card.lower()
    assert "None" not in card
  unlabelled = {person: dict.fromkeys(labels.HEADS, -1) for person in _people()}
  card = _card(_rows(), people=unlabelled)
  assert "* job: unknown 40 of 40 (100.0 %); of nobody: actor, singer." in card


def test_tables_are_rectangular_and_names_escaped(monkeypatch):
  head = labels.Head(names=("a|b\\", "<i>_c_"), korean=("*가*", "`나`"))
  monkeypatch.setattr(labels, "HEADS", {"gender": head})
  card = _card(_rows(), config_name="jpeg-image_size_64")
  assert "| a\\|b\\\\ | \\*가\\* |" in card
  assert "| \\<i\\>\\_c\\_ | \\`나\\` |" in card
  assert card.startswith("# your_face/jpeg-image_size_64 1.0.0\n")
  for block in re.findall(r"(?:^\|.*\n)+", card, re.M):
    columns = {
      len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()
    }
    assert len(columns) == 1
    assert re.match(r"\|.*\n(\|---)+\|\n", block)


def test_names_nobody_and_is_the_same_each_time():
  card = _card(_rows())
  assert "사람" not in card
  assert card == _card(_rows()[::-1])
  assert card.endswith("\n")
  for words in ("EXIF", "photos.csv", "--overwrite", "entertainment"):
    assert words in card
