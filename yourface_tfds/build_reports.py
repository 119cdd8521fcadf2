"""What lies beside the shards: the account of a build, to read and to look at.

build_reports.write(folder, rows, people, settings, ...)
# photos.csv, contact_sheet.jpg, DATASET_CARD.md, croissant.json
"""

import collections
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from yourface_tfds import (
  build_facts,
  build_settings,
  contact_sheet,
  croissant,
  curate,
  dataset_card,
  labels,
  storage,
)


def write(
  folder: storage.Path,
  rows: Sequence[curate.PhotoRow],
  people: Mapping[str, Mapping[str, int]],
  settings: build_settings.BuildSettings,
  *,
  config_name: str,
  version: str,
  picture: Callable[[curate.PhotoRow], bytes] | None,
) -> None:
  """Writes the reports of a build into the folder of its shards.

  Args:
    folder: where the shards are.
    rows: one for every file under photos/.
    people: person -> head -> class index.
    settings: of the build.
    config_name: of the dataset.
    version: of the dataset.
    picture: returns the crop of an accepted photo as the dataset holds it, the
      JPEG thumbnail of another, b"" where there is none; None: no contact
      sheet.
  """
  facts = build_facts.count(rows, people, settings)
  shards = sorted(path.name for path in folder.iterdir() if path.is_file())
  (folder / "photos.csv").write_bytes(curate.csv_text(rows).encode())
  card = dataset_card.text(
    facts, settings, config_name=config_name, version=version, shards=shards
  )
  (folder / "DATASET_CARD.md").write_text(card, encoding="utf-8")
  if picture:
    contact_sheet.write(
      folder,
      _sections(rows, people, settings, picture),
      heading=f"your_face/{config_name} {version}: {curate.summary(rows)}",
    )
  metadata = croissant.text(
    facts,
    settings,
    config_name=config_name,
    version=version,
    folder=folder,
    file_names=sorted(path.name for path in folder.iterdir()),
  )
  (folder / "croissant.json").write_text(metadata, encoding="utf-8")


def _sections(
  rows: Sequence[curate.PhotoRow],
  people: Mapping[str, Mapping[str, int]],
  settings: build_settings.BuildSettings,
  picture: Callable[[curate.PhotoRow], bytes],
) -> Iterator[contact_sheet.Section]:
  by_person: dict[str, list[curate.PhotoRow]] = collections.defaultdict(list)
  for row in rows:
    by_person[row.person].append(row)
  for person in sorted(set(by_person) | set(people)):
    members = by_person.get(person, [])
    splits = collections.Counter(row.split for row in members if row.split)
    words = [
      labels.HEADS[head].names[index] if index >= 0 else f"{head} unknown"
      for head, index in people.get(person, {}).items()
    ]
    parts = [
      ", ".join(words) or "not in people.csv",
      f"{splits.total()} of {len(members)} photos",
      ", ".join(f"{name} {count}" for name, count in splits.items()),
    ]
    yield contact_sheet.Section(
      title=person or "(in no person's folder)",
      subtitle=" · ".join(part for part in parts if part),
      tiles=(_tile(row, picture(row), settings) for row in members),
    )


def _tile(
  row: curate.PhotoRow, content: bytes, settings: build_settings.BuildSettings
) -> contact_sheet.Tile:
  image = None
  # A label conflict shows only once all have been cut out.
  is_crop = row.status in (curate.ACCEPTED, "duplicate")
  if content and is_crop and settings.encoding == "raw":
    side = settings.image_size
    image = np.frombuffer(content, np.uint8).reshape(side, side, 3)
  elif content:
    image = np.asarray(_open(content, 2 * contact_sheet.TILE_SIDE))
  return contact_sheet.Tile(
    image=image,
    split=row.split,
    reason="" if row.split else row.status,
    name=pathlib.PurePosixPath(row.path).name,
  )


def _open(content: bytes, side: int) -> Image.Image:
  image = Image.open(io.BytesIO(content))
  image.draft("RGB", (side, side))  # Of a large crop no more than is shown.
  return image.convert("RGB")
