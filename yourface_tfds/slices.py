"""How well a model does on parts of a split: women, singers, small faces.

parts = slices.by_label(predictions) + slices.by_size(sizes)
slices.score(parts, predictions, majority)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yourface_tfds import built_dataset, curate, intervals, labels, storage

NO_TABLE = "face size: there is no photos.csv beside the shards"

_THIRDS = ("smallest", "middle", "largest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
  """Some photos of a split.

  Attributes:
    by: the head they share a label of, or `face_size`.
    value: that label, or which sizes.
    word: the Korean word of a label, or which third; for reading.
    mask: bool[examples of the split].
  """

  by: str
  value: str
  word: str
  mask: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceSizes:
  """How large the face was in each photo.

  Attributes:
    values: float64[examples], NaN where photos.csv has no such photo.
    unit: `pixels` of the face's longer side, or `% of the photo's height`
      where no pixels were kept.
  """

  values: np.ndarray
  unit: str


def read_table(dataset: built_dataset.Dataset) -> list[dict[str, str]] | None:
  """Reads the accepted rows of photos.csv; None if it is not there."""
  path = storage.path(dataset.info.data_dir) / "photos.csv"
  if not path.is_file():
    return None
  rows = curate.read_csv(path)
  return [row for row in rows if row.get("status") == curate.ACCEPTED]


def face_sizes(
  rows: Sequence[Mapping[str, str]], photos: Sequence[str], *, margin: float
) -> FaceSizes:
  """Returns how large the face is in each of some photos.

  Args:
    rows: as from `read_table`.
    photos: `photo` of each example.
    margin: of the dataset; source_side is that of the crop around the face.
  """
  by_path = {row["path"]: row for row in rows}
  found = [by_path.get(photo) for photo in photos]
  sides = np.array([_number(row, "source_side") / margin for row in found])
  known = np.array([row is not None for row in found])
  if known.any() and (sides[known] > 0).all():
    return FaceSizes(values=sides, unit="pixels")
  return FaceSizes(
    values=np.array([100 * _height(row) for row in found]),
    unit="% of the photo's height",
  )


def _number(row: Mapping[str, str] | None, name: str) -> float:
  return float((row or {}).get(name) or np.nan)


def _height(row: Mapping[str, str] | None) -> float:
  """Share of the photo's height: box is y_min, x_min, y_max, x_max."""
  box = ((row or {}).get("box") or "").split()
  return float(box[2]) - float(box[0]) if len(box) == 4 else np.nan


def by_label(predictions: Mapping[str, np.ndarray]) -> list[Slice]:
  """Returns a slice for each label that occurs, head by head."""
  return [
    Slice(by=head, value=name, word=word, mask=predictions[head] == index)
    for head, vocabulary in labels.HEADS.items()
    for index, (name, word) in enumerate(
      zip(vocabulary.names, vocabulary.korean, strict=True)
    )
    if (predictions[head] == index).any()
  ]


def by_size(sizes: FaceSizes) -> list[Slice]:
  """Returns thirds of the photos by size; fewer where sizes are alike."""
  known = ~np.isnan(sizes.values)
  if not known.any():
    return []
  edges = np.quantile(sizes.values[known], [1 / 3, 2 / 3])
  third = np.searchsorted(edges, sizes.values)
  result = []
  for index, word in enumerate(_THIRDS):
    mask = known & (third == index)
    if mask.any():
      low, high = sizes.values[mask].min(), sizes.values[mask].max()
      result.append(
        Slice(
          by="face_size",
          value=f"{low:.0f} to {high:.0f} {sizes.unit}",
          word=word,
          mask=mask,
        )
      )
  return result


def score(
  parts: Sequence[Slice],
  predictions: Mapping[str, np.ndarray],
  majority: Mapping[str, int],
) -> list[dict[str, Any]]:
  """Returns the accuracy of every head on each slice.

  Args:
    parts: as from `by_label` and `by_size`.
    predictions: as from `metrics.predict`.
    majority: the class that the baseline always answers, -1 for none.

  Returns:
    by, value, word, examples, people, and for each head examples, people and,
    where a label is known, accuracy, interval_95 (None with one person) and
    majority_baseline.
  """
  return [
    {
      "by": part.by,
      "value": part.value,
      "word": part.word,
      "examples": int(part.mask.sum()),
      "people": _people(predictions, part.mask),
      "heads": {
        head: _accuracy(head, part.mask, predictions, majority[head])
        for head in labels.HEADS
      },
    }
    for part in parts
  ]


def _people(predictions: Mapping[str, np.ndarray], mask: np.ndarray) -> int:
  return len(np.unique(predictions["person"][mask]))


def _accuracy(
  head: str,
  mask: np.ndarray,
  predictions: Mapping[str, np.ndarray],
  majority: int,
) -> dict[str, Any]:
  mask = mask & (predictions[head] >= 0)
  figures = {
    "examples": int(mask.sum()),
    "people": _people(predictions, mask),
  }
  if not mask.any():
    return figures
  truth = predictions[head][mask]
  hits = predictions[f"{head}_probabilities"][mask].argmax(axis=1) == truth
  people = predictions["person"][mask].tolist()
  several = figures["people"] > 1
  return figures | {
    "accuracy": float(hits.mean()),
    "interval_95": intervals.cluster_interval(hits, people)
    if several
    else None,
    "majority_baseline": float((truth == majority).mean())
    if majority >= 0
    else None,
  }


def widest_gaps(
  scored: Sequence[Mapping[str, Any]], *, minimum: int = 10
) -> list[dict[str, Any]]:
  """Returns, for each head and kind of slice, the best and the worst slice.

  Args:
    scored: as from `score`.
    minimum: photos with a known label that a slice needs to take part; the
      accuracy of a few photos is mostly chance. Of one person it is left out.

  Returns:
    head, by, gap, and `worst` and `best` as slices; the widest gap first. A
    head is not compared over its own labels: that is in its confusion matrix.
  """
  gaps = []
  for head in labels.HEADS:
    for by in dict.fromkeys(part["by"] for part in scored):
      members = [
        part
        for part in scored
        if part["by"] == by != head
        and part["heads"][head]["examples"] >= minimum
        and part["heads"][head]["people"] > 1
      ]
      if len(members) > 1:
        members.sort(key=lambda part: part["heads"][head]["accuracy"])
        worst, best = members[0], members[-1]
        gaps.append(
          {
            "head": head,
            "by": by,
            "gap": best["heads"][head]["accuracy"]
            - worst["heads"][head]["accuracy"],
            "worst": worst,
            "best": best,
          }
        )
  return sorted(gaps, key=lambda one: -one["gap"])
