"""Whether every exported file answers as the model does, and how fast.

The gate of the export: each artefact answers the same faces as the Keras model
that was trained, and is refused where it differs by more than `LIMITS` or loses
more than `MAX_LOST`.

  ways = {"serving_default": parity_ways.serving_default("E/saved_model")}
  results = parity.compare(model, ways, parity.batches(dataset, "test"))
  results["serving_default"]["failures"]  # [] where it may be used
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import (
  built_dataset,
  input_pipeline,
  intervals,
  labels,
  sample_drawing,
  sample_people,
)

LIMITS: Mapping[str, float] = {
  "serving_default": 1e-5,
  "photos": 1e-5,
  "float32": 1e-4,
  "float16": 1e-2,
}
"""Way -> largest allowed difference of a probability from Keras."""

MAX_LOST: Mapping[str, float] = {"int8": 0.01}
"""Way -> largest allowed loss of accuracy on any head, of 1; where one photo is
more than that, one photo."""

KERAS = "keras"
"""The name of what all others are compared with."""

BATCH_SIZE = 32
_DRAWN = 16
_PHOTO_SIZE = 256
"""Pixels of drawn people whose faces are to be found; it is in all of them."""

DRAWN = "drawn people"
"""The name of the split that `drawn_batches` stands in for."""

Answers = dict[str, np.ndarray]
"""Head -> float32[B, classes] probabilities; NaN in a row without an answer."""

Way = Callable[[np.ndarray, Answers], tuple[Answers, Answers]]
"""Faces uint8[B, S, S, 3] and what Keras says of them -> what an artefact says,
and what it should say."""

Batch = Mapping[str, np.ndarray]
"""`image` uint8[B, S, S, 3], `person` [B], int64[B] under each head's name."""


def batches(dataset: built_dataset.Dataset, split: str) -> Iterable[Batch]:
  """Yields a split once, with a progress bar."""
  total = -(-dataset.num_examples(split) // BATCH_SIZE)
  with (
    input_pipeline.plain_errors(dataset, split),
    tqdm.tqdm(
      input_pipeline.make_for_eval(dataset, split, batch_size=BATCH_SIZE),
      total=total,
      unit=" batches",
      desc=f"Comparing on {split}",
    ) as bar,
  ):
    for batch in bar:
      yield {name: value.numpy() for name, value in batch.items()}
    dataset.check_unchanged()


def drawn_batches(image_size: int) -> Iterable[Batch]:
  """Yields one batch of drawn people without labels, for want of a dataset."""
  images = [
    sample_drawing.draw_photo(sample_people.make_person(3, i), 3, 0).resize(
      (image_size, image_size)
    )
    for i in range(_DRAWN)
  ]
  yield {
    "image": np.stack([np.asarray(image) for image in images]),
    "person": np.arange(_DRAWN).astype(str),
    **dict.fromkeys(labels.HEADS, np.full(_DRAWN, labels.UNKNOWN)),
  }


def compare(
  model: keras.Model, ways: Mapping[str, Way], photos: Iterable[Batch]
) -> dict[str, dict[str, Any]]:
  """Asks the model and every artefact about the same faces.

  Args:
    model: as from `calibrated.load_model`.
    ways: name -> artefact; names with an entry in `LIMITS` or `MAX_LOST` are
      judged by it.
    photos: as from `batches`.

  Returns:
    Name (and `KERAS`) -> asked (photos), images (answered ones), heads (head ->
    examples, people, accuracy, interval_95; and but for Keras max_difference,
    agreement, accuracy_lost) and failures, a text each. One that answered none
    of the photos is asked about drawn people instead: `on` says so.
  """
  step = tf.function(
    lambda faces: model(faces, training=False),
    # Else the last batch, which is smaller, is a trace of its own.
    input_signature=[tf.TensorSpec(model.inputs[0].shape, tf.float32)],
  )
  said: dict[str, list[Answers]] = {name: [] for name in (KERAS, *ways)}
  meant: dict[str, list[Answers]] = {name: [] for name in ways}
  known: dict[str, list[np.ndarray]] = {}
  for batch in photos:
    expected = step(tf.constant(batch["image"], tf.float32))
    expected = {head: expected[head].numpy() for head in labels.HEADS}
    said[KERAS].append(expected)
    for name, way in ways.items():
      answer, reference = way(batch["image"], expected)
      said[name].append(answer)
      meant[name].append(reference)
    for key in ("person", *labels.HEADS):
      known.setdefault(key, []).append(batch[key])
  truth = {key: np.concatenate(parts) for key, parts in known.items()}
  results = {KERAS: _figures(_joined(said[KERAS]), None, truth)}
  for name in ways:
    figures = _figures(_joined(said[name]), _joined(meant[name]), truth)
    if results[KERAS]["images"] and not figures["images"]:
      # Equal because nothing was compared: faces in which none is found.
      figures = _of_drawn_people(ways[name], _joined(said[KERAS]))
    results[name] = figures | {"failures": _failures(name, figures)}
  return results


def _of_drawn_people(way: Way, like: Answers) -> dict[str, Any]:
  """Asks a way that brings what Keras should say itself, as `photos` does."""
  (drawn,) = drawn_batches(_PHOTO_SIZE)
  none = {
    head: np.full([_DRAWN, values.shape[1]], np.nan, np.float32)
    for head, values in like.items()
  }
  on = {"dataset": None, "split": DRAWN}
  return _figures(*way(drawn["image"], none), drawn) | {"on": on}


def _joined(parts: list[Answers]) -> Answers:
  return {
    head: np.concatenate([part[head] for part in parts])
    for head in labels.HEADS
  }


def _figures(
  said: Answers, meant: Answers | None, truth: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  heads = {}
  asked = answered = 0
  for head, probabilities in said.items():
    # A photo that is not answered is a row of NaN on both sides; one that is
    # answered with NaN stays in, and fails.
    rows = ~np.isnan((meant or said)[head]).any(1)
    asked, answered = len(probabilities), int(rows.sum())
    answers = probabilities[rows].argmax(1)
    known = truth[head][rows] >= 0
    hits = (answers == truth[head][rows])[known]
    people = truth["person"][rows][known]
    heads[head] = _accuracy(hits, people)
    if meant is None:
      continue
    right = meant[head][rows]
    heads[head] |= {
      "max_difference": _largest(probabilities[rows], right),
      "agreement": _mean(answers == right.argmax(1)),
      "accuracy_lost": _lost(hits, right.argmax(1), truth[head][rows], known),
    }
  return {"asked": asked, "images": answered, "heads": heads}


def _accuracy(hits: np.ndarray, people: np.ndarray) -> dict[str, Any]:
  several = len(set(people.tolist())) > 1
  return {
    "examples": len(hits),
    "people": len(set(people.tolist())),
    "accuracy": _mean(hits),
    "interval_95": (
      intervals.cluster_interval(hits, people.tolist()) if several else None
    ),
  }


def _lost(
  hits: np.ndarray, answers: np.ndarray, truth: np.ndarray, known: np.ndarray
) -> float | None:
  if not known.any():
    return None
  return float((answers == truth)[known].mean() - hits.mean())


def _mean(values: np.ndarray) -> float | None:
  return float(values.mean()) if len(values) else None


def _largest(said: np.ndarray, meant: np.ndarray) -> float | None:
  if not len(said):
    return None
  # NaN here becomes inf, which is in no limit and has a name in JSON.
  difference = float(np.abs(said.astype(np.float64) - meant).max())
  return math.inf if math.isnan(difference) else difference


def _failures(name: str, figures: Mapping[str, Any]) -> list[str]:
  failures = []
  if not figures["images"]:
    failures.append(
      f"{name}: answered none of {figures['asked']} photos, allowed: at least "
      "one"
    )
  for head, values in figures["heads"].items():
    difference, limit = values["max_difference"], LIMITS.get(name)
    if limit is not None and difference is not None and difference > limit:
      failures.append(
        f"{name}: {head} differs from Keras by {difference:.2g}, allowed: "
        f"{limit:g}"
      )
    lost, most = values["accuracy_lost"], MAX_LOST.get(name)
    if most is not None and lost is not None:
      most = max(most, 1 / values["examples"])
      # A tenth of a per mille more, for the rounding of the two means.
      if lost > most + 1e-4:
        failures.append(
          f"{name}: {head} loses {100 * lost:.1f} points of accuracy, allowed: "
          f"{100 * most:.3g}"
        )
    if limit is None and difference == math.inf:
      failures.append(f"{name}: {head} answers with NaN")
  return failures
