"""Which photo goes where: label conflicts, splits, and the account of it.

Every decision is a hash of names and contents, never a draw: the same photos
give the same splits in any order, and a photo added later moves no other,
unless it is the near-duplicate of one, or gives a label the person in train
that another was kept known for.

  rows = curate.reject_shared(rows)             # one picture, two people
  rows = curate.assign_splits(rows, people, settings)
  text = curate.csv_text(rows)                  # photos.csv
"""

import collections
import csv
import dataclasses
import hashlib
import heapq
import io
import operator
import re
from collections.abc import Iterable, Mapping, Sequence

from yourface_tfds import cli, storage

KNOWN_SPLITS = ("train", "validation", "test")
SPLITS = (*KNOWN_SPLITS, "unseen")
"""`unseen` holds people who are in none of the three before it."""

ACCEPTED = "accepted"

SAME_AS = "the same picture as "
"""In the detail of a `duplicate`, before the path of the other."""

# A spreadsheet takes such a cell for a formula, and it may be the name of a
# file or folder: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# What steers a terminal or turns the order of letters around, but for tab and
# line ends, which quotes hold; and a backslash that would look like its escape.
_STEERING = re.compile(
  "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
  r"|\\(?=x[0-9a-f]{2}|u20[0-9a-f]{2})"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u(20[0-9a-f]{2}))")
_LIKE_NO_UTF8 = re.compile(r"\\(?=udc[0-9a-f]{2}|x5c)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings:
  """How photos are dealt to the splits.

  Attributes:
    validation, test: shares of each known person's photos.
    unseen: share of the people kept out of the other three splits.
    seed: another seed, another deal.
  """

  validation: float = 0.1
  test: float = 0.1
  unseen: float = 0.1
  seed: int = 0

  def __post_init__(self) -> None:
    for name in ("validation", "test", "unseen"):
      value = getattr(self, name)
      if not 0 <= value < 1:
        raise cli.UserError(f"{name}: got {value}, allowed: 0 to below 1")
    if self.validation + self.test >= 1:
      raise cli.UserError(
        f"validation + test: got {self.validation + self.test:g}, allowed: "
        "below 1, so that photos are left to train on"
      )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PhotoRow:
  """One row of photos.csv: what became of one file.

  Attributes:
    path: relative to photos/.
    person: the folder's name in NFC, "" for a file in none.
    status: `accepted`, or why not.
    split: one of `SPLITS`, "" unless accepted.
    group: id shared by the near-duplicates of one picture, "" if undecoded.
    faces: how many faces were found.
    area_ratio: second largest face to the largest, 0 for a single one.
    score: the detector's confidence in the main face, 0..1.
    box: y_min, x_min, y_max, x_max of the main face, 0..1 of the upright photo.
    source_side: side of the crop in pixels of the photo; below the dataset's
      image size it was enlarged.
    detail: the reason in words.
  """

  path: str
  person: str
  status: str
  split: str = ""
  group: str = ""
  faces: int = 0
  area_ratio: float = 0.0
  score: float = 0.0
  box: tuple[float, ...] = ()
  source_side: float = 0.0
  detail: str = ""


def reject_shared(rows: Sequence[PhotoRow]) -> list[PhotoRow]:
  """Marks accepted photos that stand under two people as `duplicate`.

  One of the labels must be wrong, and nothing tells which.
  """
  owners: dict[str, dict[str, str]] = collections.defaultdict(dict)
  for row in rows:
    if row.status == ACCEPTED:
      owners[row.group].setdefault(row.person, row.path)
  # Two are enough, or a picture of n people would cost n * n steps.
  firsts = {
    group: heapq.nsmallest(2, paths.items(), key=operator.itemgetter(1))
    for group, paths in owners.items()
    if len(paths) > 1
  }
  result = []
  for row in rows:
    if row.status == ACCEPTED and row.group in firsts:
      (person, path), (_, second) = firsts[row.group]
      detail = SAME_AS + (second if person == row.person else path)
      row = dataclasses.replace(row, status="duplicate", detail=detail)
    result.append(row)
  return result


def fraction(*words: object) -> float:
  """Returns a number in [0, 1) that depends on the words alone."""
  text = "\0".join(str(word) for word in words)
  digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"))
  return int.from_bytes(digest.digest()[:8], "big") / 2**64


def assign_splits(
  rows: Sequence[PhotoRow],
  people: Mapping[str, Mapping[str, int]],
  settings: SplitSettings,
) -> list[PhotoRow]:
  """Gives each accepted photo its split.

  Args:
    rows: photos; only accepted ones are dealt.
    people: person -> head -> class index.
    settings: shares and seed.

  Returns:
    The rows in the same order. A group never crosses a split; a person in
    `unseen` is in no other.
  """
  known_split = {
    (row.person, row.group): _known_split(row, settings)
    for row in rows
    if row.status == ACCEPTED
  }
  train_people = {
    person for (person, _), split in known_split.items() if split == "train"
  }
  all_people = {person for person, _ in known_split}
  unseen = _draw_unseen(all_people, train_people, people, settings)
  return [
    row
    if row.status != ACCEPTED
    else dataclasses.replace(
      row,
      split="unseen"
      if row.person in unseen
      else known_split[row.person, row.group],
    )
    for row in rows
  ]


def _known_split(row: PhotoRow, settings: SplitSettings) -> str:
  share = fraction(settings.seed, "photo", row.person, row.group)
  if share < settings.test:
    return "test"
  if share < settings.test + settings.validation:
    return "validation"
  return "train"


def _draw_unseen(
  all_people: Iterable[str],
  train_people: Iterable[str],
  people: Mapping[str, Mapping[str, int]],
  settings: SplitSettings,
) -> set[str]:
  shares = {
    person: fraction(settings.seed, "person", person) for person in all_people
  }
  unseen = {person for person in shares if shares[person] < settings.unseen}
  by_label = collections.defaultdict(set)
  for person in train_people:
    for head, index in people[person].items():
      if index >= 0:
        by_label[head, index].add(person)
  # Sorted: the order of a set of names is another in each process.
  for _, holders in sorted(by_label.items()):
    if holders <= unseen:
      unseen.remove(max(holders, key=lambda person: shares[person]))
  if not set(train_people) - unseen:  # Nothing would be left to train on.
    return set()
  return unseen


def summary(rows: Iterable[PhotoRow]) -> str:
  """Returns how many rows have each status, most frequent first."""
  counts = collections.Counter(row.status for row in rows)
  return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def describe(rows: Sequence[PhotoRow]) -> str:
  """Returns the closing table of a build: statuses, then splits."""
  lines = [f"{len(rows):,} files: {summary(rows)}"]
  for split in SPLITS:
    members = [row for row in rows if row.split == split]
    count = len({row.person for row in members})
    note = "" if members else "  (left out: nobody was dealt to it)"
    lines.append(
      f"  {split:<11}{len(members):>7,} photos of {count:>4,} people{note}"
    )
  return "\n".join(lines)


def utf8(name: str) -> str:
  r"""Returns a file's name as UTF-8 can hold it, another for each name.

  A byte that is not UTF-8 on disk becomes \udc80 to \udcff; a name that has
  these very letters already, \x5cudc80.
  """
  plain = _LIKE_NO_UTF8.sub(r"\\x5c", name)
  return plain.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_text(rows: Iterable[PhotoRow]) -> str:
  r"""Returns photos.csv: a header and one line a row, in the order given.

  Names are `utf8`. What would steer a terminal is escaped, \x1b, and text that
  a spreadsheet would run begins with a quote, '=1+1; `read_csv` undoes both.
  """
  names = [field.name for field in dataclasses.fields(PhotoRow)]
  out = io.StringIO(newline="")
  writer = csv.writer(out, lineterminator="\n")
  # Before Python 3.13 a carriage return (macOS: "Icon\r") is quoted only
  # where everything is.
  quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
  writer.writerow(names)
  for row in rows:
    cells = [_cell(getattr(row, name)) for name in names]
    has_return = any("\r" in str(cell) for cell in cells)
    (quoting if has_return else writer).writerow(cells)
  return out.getvalue()


def _cell(value: object) -> object:
  if isinstance(value, tuple):
    return " ".join(f"{number:.6f}" for number in value)
  if isinstance(value, str):
    text = _STEERING.sub(_escape, utf8(value))
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text
  return f"{value:.4f}" if isinstance(value, float) else value


def _escape(match: re.Match[str]) -> str:
  code = ord(match[0])
  return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _read_cell(text: str) -> str:
  if text.startswith("'") and text.lstrip("'").startswith(_FORMULA):
    text = text[1:]
  return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)


def read_csv(path: storage.Anywhere) -> list[dict[str, str]]:
  """Reads photos.csv back, one dict of strings a row, names as `utf8`."""
  text = storage.path(path).read_bytes().decode()
  return [
    {
      name: _read_cell(cell) if isinstance(cell, str) else cell
      for name, cell in row.items()
    }
    for row in csv.DictReader(io.StringIO(text, newline=""))
  ]
