"""DATASET_CARD.md: what a build holds, how it came about, what it lacks.

Written from the build's own figures. It names no person; only shards and
photos.csv do. No date and no place on disk either: two builds of the same
photos give the same card.

  text = dataset_card.text(
    facts, settings, config_name="jpeg", version="1.0.0", shards=shards
  )
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from yourface_tfds import build_facts, build_settings, labels

NAME = "your_face"

RIGHTS = (
  "No licence is granted with these files. Each photo belongs to whoever took "
  "it, and the people shown have rights in their likeness; whoever passes the "
  "files on needs the permission of both."
)

LABELLING = (
  "Label: somebody wrote the labels into people.csv, one row a person, so all "
  "photos of a person carry the same; blank is unknown, stored as -1."
)

USES = (
  "Training and evaluating a small classifier of the three labels for "
  "entertainment, on photos of people who agreed to it.",
)

NOT_FOR = (
  "Job and animal face are entertainment: nothing about a person follows from "
  "a face. The gender label is what somebody wrote into a table, two classes "
  "of that annotation and no one's identity. Do not use any of it to identify "
  "people or to decide anything about them. Photos of real people need their "
  "consent."
)

PERSONAL_DATA = (
  "Faces: every example is a crop of a person's face, with its box and its "
  "five landmarks.",
  "Names: person is the name of the photo's folder, usually that of the person "
  "shown. It stands in every example and in photos.csv.",
  "Paths: photo, and path in photos.csv, are relative to photos/ and may tell "
  "more in folder and file names. photos.csv names files that were not used, "
  "too.",
  f"Labels: {', '.join(labels.HEADS)}, as somebody wrote them about a person.",
  "Not in it: EXIF. Crops are encoded anew from pixels, so time, place and "
  "camera of a photo are never copied.",
)

DELETION = (
  "Remove the person's folder under photos/ and row in people.csv, then run "
  "the same tfds build with --overwrite; without it TFDS keeps what is there. "
  "Do so for every config, and delete copies of the old shards and photos.csv "
  "and models trained on them."
)

_SHARDS_SHOWN = 12


def steps(settings: build_settings.BuildSettings) -> list[str]:
  """Returns how examples were made, one plain sentence or two a step."""
  side = settings.image_size
  form = "JPEG, quality 95" if settings.encoding == "jpeg" else "plain uint8"
  return [
    "Read: each file was judged by its content, decoded to 8-bit RGB and "
    "turned upright by its EXIF orientation.",
    f"Detect: MTCNN; detections below a score of {settings.min_score:g} do not "
    "count, the largest face is the main one, and below "
    f"{settings.min_face_size:g} pixels it was rejected.",
    f"Crop: a square of {settings.margin:g} times the longer side of the box, "
    "turned by the line of the eyes where that can be trusted, scaled to "
    f"{side}x{side} pixels ({form}).",
    "Group: near-duplicates share a group, and a group never crosses a split; "
    "the same picture under two people was rejected.",
    f"Deal: by a hash of names and contents (seed {settings.seed}); shares "
    f"asked for: validation {settings.validation:g} and test {settings.test:g} "
    f"of each known person's photos, unseen {settings.unseen:g} of the people, "
    "who are in no other split.",
    LABELLING,
  ]


def limits(facts: build_facts.BuildFacts) -> list[str]:
  """Returns known limits with their figures, one plain sentence or two each."""
  photos = facts.total.photos
  several = _share(facts.several_faces, photos)
  result = [
    f"Photos with more than one face: {several}; the largest was taken, which "
    "need not be that of the person named. With a second face of more than "
    f"half its area: {_share(facts.large_second_face, photos)}.",
    f"Enlarged crops, with fewer pixels in the photo than in the crop: "
    f"{_share(facts.enlarged, photos)}.",
    f"Near-duplicates: {facts.near_duplicate_groups:,} groups with "
    f"{facts.near_duplicate_photos:,} photos in all.",
    "Only faces that MTCNN finds are in it; turned away, covered or small ones "
    f"are rarer than in the photos (files without a face found: "
    f"{facts.statuses.get('no_face', 0):,}).",
  ]
  empty = [split.name for split in facts.splits if not split.photos]
  if empty:
    result.append(f"Left out, as nobody was dealt to it: {', '.join(empty)}.")
  if facts.people_without_photo:
    result.append(
      "People of people.csv without a usable photo: "
      f"{facts.people_without_photo:,}."
    )
  return result


def biases(facts: build_facts.BuildFacts) -> list[str]:
  """Returns how unevenly each head is labelled, one plain text a head."""
  result = []
  scarce = facts.labels_below(2)
  for head, counts in facts.total.heads.items():
    largest = max(counts[:-1], key=lambda label: label.photos)
    lines = [f"unknown {_share(counts[-1].photos, facts.total.photos)}"]
    if largest.photos:
      share = _share(largest.photos, facts.total.photos)
      lines.insert(0, f"most frequent {largest.name}, {share}")
    for people, words in ((1, "labels of one person only"), (0, "of nobody")):
      names = [label.name for label in scarce[head] if label.people == people]
      if names:
        lines.append(f"{words}: {', '.join(names)}")
    result.append(f"{head}: {'; '.join(lines)}.")
  return result


def _share(part: int, whole: int) -> str:
  percent = f" ({100 * part / whole:.1f} %)" if whole else ""
  return f"{part:,} of {whole:,}{percent}"


def text(
  facts: build_facts.BuildFacts,
  settings: build_settings.BuildSettings,
  *,
  config_name: str,
  version: str,
  shards: Sequence[str],
) -> str:
  """Returns the card in Markdown.

  Args:
    facts: of the build; may have no accepted photo at all.
    settings: of the build.
    config_name: the config's folder name.
    version: of the dataset, MAJOR.MINOR.PATCH.
    shards: file names of the shards; the first dozen is listed.
  """
  total = facts.total
  parts = [
    f"# {NAME}/{_escaped(config_name)} {_escaped(version)}",
    f"{total.photos:,} faces of {total.people:,} people, cropped from "
    f"{facts.files:,} files, each with the labels "
    f"{_escaped(', '.join(labels.HEADS))}. Written from the figures of the "
    "build whose shards lie beside it; [photos.csv](photos.csv) has a row for "
    "every file.",
    _escaped(NOT_FOR),
    "## How it was made",
    _bullets(steps(settings)),
    "Settings:",
    _table(
      [["option", "value"], *_setting_cells(settings)],
    ),
    *_figures(facts),
    "## Personal data in it",
    _bullets(PERSONAL_DATA),
    _escaped(RIGHTS),
    "## Known limits",
    _bullets([*limits(facts), *biases(facts)]),
    "## How to read it",
    *_reading(facts, config_name, version, shards),
    "## How to delete a person",
    _escaped(DELETION),
  ]
  return "\n\n".join(parts) + "\n"


def _setting_cells(
  settings: build_settings.BuildSettings,
) -> list[list[str]]:
  return [
    [f"`{field.name}`", _escaped(str(getattr(settings, field.name)))]
    for field in dataclasses.fields(settings)
  ]


def _figures(facts: build_facts.BuildFacts) -> list[str]:
  statuses = [
    [
      f"`{status}`",
      f"{number:,}",
      _escaped(build_facts.STATUS_MEANINGS.get(status, "")),
    ]
    for status, number in facts.statuses.items()
  ]
  splits = [
    [f"`{split.name}`", f"{split.photos:,}", f"{split.people:,}"]
    for split in (*facts.filled_splits(), facts.total)
  ]
  parts = [
    "## Figures",
    f"Files: {facts.files:,}.",
    _table([["status", "files", "meaning"], *statuses]),
    _table([["split", "photos", "people"], *splits]),
    _spreads(facts),
    "Labels, photos (people):",
  ]
  return [*parts, *(_label_table(facts, head) for head in facts.total.heads)]


def _spreads(facts: build_facts.BuildFacts) -> str:
  lines = []
  for title, spread, form in (
    ("score of the main face", facts.score, ".3f"),
    ("side of the crop in pixels of the photo", facts.source_side, ".0f"),
    ("share of the photo that the face box covers", facts.box_area, ".3f"),
  ):
    if spread is not None:
      figures = (spread.low, spread.median, spread.high)
      lines.append(f"{title}: " + ", ".join(f"{one:{form}}" for one in figures))
  if not lines:
    return "No photo was accepted."
  return "5th, 50th and 95th percentile:\n\n" + _bullets(lines)


def _label_table(facts: build_facts.BuildFacts, head: str) -> str:
  groups = (*facts.filled_splits(), facts.total)
  korean = (*labels.HEADS[head].korean, "")
  cells = [[f"`{head}`", "", *(f"`{group.name}`" for group in groups)]]
  for i, label in enumerate(facts.total.heads[head]):
    found = [group.heads[head][i] for group in groups]
    cells.append(
      [
        _escaped(label.name),
        _escaped(korean[i]),
        *(f"{each.photos:,} ({each.people:,})" for each in found),
      ]
    )
  return _table(cells)


def _reading(
  facts: build_facts.BuildFacts,
  config_name: str,
  version: str,
  shards: Sequence[str],
) -> list[str]:
  splits = [split.name for split in facts.filled_splits()]
  if not splits:
    return ["There is no split to read."]
  shown = list(shards[:_SHARDS_SHOWN])
  if len(shards) > len(shown):
    shown.append(f"and {len(shards) - len(shown):,} more")
  return [
    "With stock TensorFlow Datasets, nothing of this project installed; `D` is "
    "the folder that was given as `--data_dir`:",
    "```python\n"
    "import tensorflow_datasets as tfds\n\n"
    "examples = tfds.load(\n"
    f'  "{NAME}/{config_name}:{version}", data_dir="D", split="{splits[0]}"\n'
    f")  # dicts; as_supervised=True: (image, {{{', '.join(labels.HEADS)}}})\n"
    "```",
    "A label of -1 is unknown: mask it. Shards:",
    "```text\n" + "\n".join(shown) + "\n```",
  ]


_SPECIAL = re.compile(r"[\\`*\[\]<>|&#~]|(?<![^\W_])_|_(?![^\W_])")


def _escaped(plain: str) -> str:
  """Returns text that Markdown shows as it is, in a table cell too."""
  return _SPECIAL.sub(r"\\\g<0>", " ".join(plain.split()))


def _bullets(lines: Iterable[str]) -> str:
  return "\n".join(f"* {_escaped(line)}" for line in lines)


def _table(cells: Sequence[Sequence[str]]) -> str:
  lines = ["| " + " | ".join(row) + " |" for row in cells]
  lines.insert(1, "|" + "---|" * len(cells[0]))
  return "\n".join(lines)
