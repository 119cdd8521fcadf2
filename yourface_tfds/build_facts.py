"""Figures of one build, counted from its rows, and the table of them.

Nothing is counted twice: the table in the terminal, DATASET_CARD.md and
croissant.json all read the same `BuildFacts`.

  facts = build_facts.count(prepared.rows, prepared.people, settings)
  facts.total.photos                    # examples in all shards
  facts.labels_below(2)["face_type"]    # labels of nobody or one person
  print(build_facts.table(facts))
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from yourface_tfds import build_settings, curate, labels

UNKNOWN_NAME = "unknown"
"""What the tables call a label that nobody gave, -1 in the dataset."""

LARGE_SECOND_FACE = 0.5
"""`area_ratio` above which a second face rivals the one that was cropped."""

STATUS_MEANINGS: Mapping[str, str] = {
  curate.ACCEPTED: "used, one example each",
  "not_an_image": "no decoder knows the content",
  "unreadable": "truncated, corrupt, or refused by the system",
  "too_large": "more pixels, bytes or scans than are read",
  "outside": "a link that leaves photos/",
  "unknown_person": "no row in people.csv, or in no person's folder",
  "no_face": "nothing scored min_score or more",
  "face_too_small": "main face smaller than min_face_size",
  "duplicate": "the same picture under two people",
}
"""Status -> what it means, in few words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelCount:
  """How often one label occurs.

  Attributes:
    name: class name, or `UNKNOWN_NAME`.
    photos: accepted photos with it.
    people: people with it who have such a photo.
  """

  name: str
  photos: int
  people: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitFacts:
  """Accepted photos of one split, or of all.

  Attributes:
    name: the split.
    photos: how many, one example each.
    people: who they show.
    heads: head -> one count a class in index order, the unknown ones last.
  """

  name: str
  photos: int
  people: int
  heads: Mapping[str, tuple[LabelCount, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
  """Where the values of a figure lie: the 5th, 50th and 95th percentile."""

  low: float
  median: float
  high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildFacts:
  """Figures of one build.

  Attributes:
    files: all files under photos/, used or not.
    statuses: status -> files, `accepted` first, then the most frequent.
    splits: all of `curate.SPLITS` in order, also those without a photo.
    total: all accepted photos.
    people_without_photo: people of people.csv without an accepted photo.
    near_duplicate_groups: groups of more than one accepted photo.
    near_duplicate_photos: photos in these groups.
    several_faces: accepted photos that show more than one face.
    large_second_face: those whose second face has more than
      `LARGE_SECOND_FACE` of the main one's area.
    enlarged: accepted photos with fewer pixels than their crop.
    score: of the detector, 0..1; None without accepted photos, as below.
    source_side: side of the crop in pixels of the photo.
    box_area: share of the photo's area that the face box covers, 0..1.
  """

  files: int
  statuses: Mapping[str, int]
  splits: tuple[SplitFacts, ...]
  total: SplitFacts
  people_without_photo: int
  near_duplicate_groups: int
  near_duplicate_photos: int
  several_faces: int
  large_second_face: int
  enlarged: int
  score: Spread | None
  source_side: Spread | None
  box_area: Spread | None

  def filled_splits(self) -> tuple[SplitFacts, ...]:
    """Returns the splits that have photos, which are those on disk."""
    return tuple(split for split in self.splits if split.photos)

  def labels_below(self, people: int) -> dict[str, list[LabelCount]]:
    """Returns per head the known labels that fewer than `people` have."""
    return {
      head: [label for label in counts[:-1] if label.people < people]
      for head, counts in self.total.heads.items()
    }


def count(
  rows: Sequence[curate.PhotoRow],
  people: Mapping[str, Mapping[str, int]],
  settings: build_settings.BuildSettings,
) -> BuildFacts:
  """Counts a build, in .1 s for 100,000 rows.

  Args:
    rows: one for every file, dealt by `curate.assign_splits`.
    people: person -> head -> class index, -1 unknown.
    settings: of the build.

  Returns:
    The figures. They do not depend on the order of the rows.

  Raises:
    KeyError: an accepted row's person is not in `people`.
  """
  statuses = collections.Counter(row.status for row in rows)
  accepted = [row for row in rows if row.status == curate.ACCEPTED]
  members: dict[str, list[curate.PhotoRow]] = collections.defaultdict(list)
  for row in accepted:
    members[row.split].append(row)
  groups = collections.Counter(row.group for row in accepted if row.group)
  repeated = [size for size in groups.values() if size > 1]
  return BuildFacts(
    files=len(rows),
    statuses=dict(sorted(statuses.items(), key=_accepted_first)),
    splits=tuple(
      _split_facts(split, members[split], people) for split in curate.SPLITS
    ),
    total=_split_facts("all", accepted, people),
    people_without_photo=len(people.keys() - {row.person for row in accepted}),
    near_duplicate_groups=len(repeated),
    near_duplicate_photos=sum(repeated),
    several_faces=sum(row.faces > 1 for row in accepted),
    large_second_face=sum(
      row.area_ratio > LARGE_SECOND_FACE for row in accepted
    ),
    enlarged=sum(row.source_side < settings.image_size for row in accepted),
    score=_spread(row.score for row in accepted),
    source_side=_spread(row.source_side for row in accepted),
    box_area=_spread(_area(row.box) for row in accepted if row.box),
  )


def _accepted_first(item: tuple[str, int]) -> tuple[bool, int, str]:
  status, number = item
  return status != curate.ACCEPTED, -number, status


def _area(box: Sequence[float]) -> float:
  y_min, x_min, y_max, x_max = box
  return (y_max - y_min) * (x_max - x_min)


def _spread(values: Iterable[float]) -> Spread | None:
  ordered = sorted(values)
  if not ordered:
    return None
  low, median, high = (
    ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95)
  )
  return Spread(low=low, median=median, high=high)


def _split_facts(
  name: str,
  rows: Sequence[curate.PhotoRow],
  people: Mapping[str, Mapping[str, int]],
) -> SplitFacts:
  photos_of = collections.Counter(row.person for row in rows)
  return SplitFacts(
    name=name,
    photos=len(rows),
    people=len(photos_of),
    heads={
      head: _label_counts(head, photos_of, people) for head in labels.HEADS
    },
  )


def _label_counts(
  head: str,
  photos_of: Mapping[str, int],
  people: Mapping[str, Mapping[str, int]],
) -> tuple[LabelCount, ...]:
  photos: dict[int, int] = collections.Counter()
  persons: dict[int, int] = collections.Counter()
  for person, number in photos_of.items():
    index = people[person][head]
    photos[index] += number
    persons[index] += 1
  names = dict(enumerate(labels.HEADS[head].names))
  names[labels.UNKNOWN] = UNKNOWN_NAME
  return tuple(
    LabelCount(name=name, photos=photos[index], people=persons[index])
    for index, name in names.items()
  )


def table(facts: BuildFacts) -> str:
  """Returns the closing table of a build.

  Statuses and what each means, photos and people of each split, then how many
  photos and people each label has in each split. 80 columns wide unless label
  names or counts are long.
  """
  lines = [f"{facts.files:,} files"]
  lines += _aligned(
    [
      [status, f"{number:,}", STATUS_MEANINGS.get(status, "")]
      for status, number in facts.statuses.items()
    ],
    left=(0, 2),
  )
  lines += ["", *_aligned(_split_cells(facts), left=(0, 3))]
  splits = facts.filled_splits()
  if not splits:
    return "\n".join(lines)
  cells = [["photos/people", "", *(split.name for split in splits)]]
  for head, counts in facts.total.heads.items():
    for i, label in enumerate(counts):
      found = [split.heads[head][i] for split in splits]
      cells.append(
        [
          "" if i else head,
          label.name,
          *(f"{each.photos:,}/{each.people:,}" for each in found),
        ]
      )
  return "\n".join([*lines, "", *_aligned(cells, left=(0, 1))])


def _split_cells(facts: BuildFacts) -> list[list[str]]:
  cells = [["split", "photos", "people", ""]]
  for split in facts.splits:
    note = "" if split.photos else "left out: nobody was dealt to it"
    cells.append([split.name, f"{split.photos:,}", f"{split.people:,}", note])
  return cells


def _aligned(
  cells: Sequence[Sequence[str]], *, left: Sequence[int]
) -> list[str]:
  """Returns lines of columns, those in `left` to the left, others right."""
  widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
  lines = []
  for row in cells:
    line = ""
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
      space = " " * (width - _width(cell))
      line += "  " + (cell + space if i in left else space + cell)
    lines.append(line.rstrip())
  return lines


def _width(text: str) -> int:
  """Returns terminal columns: a Korean syllable takes two."""
  return sum(
    0
    if unicodedata.combining(letter)
    else 1 + (unicodedata.east_asian_width(letter) in "WF")
    for letter in text
  )
