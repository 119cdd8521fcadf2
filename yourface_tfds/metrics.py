"""How good a model is on a split, and how sure that figure is.

Accuracy per head over the examples whose label is known, a 95 % interval from
a bootstrap over PEOPLE (photos of one person are not independent), and what
always answering train's most frequent class would reach.

  figures = metrics.evaluate(model, dataset, "unseen")
  figures["heads"]["gender"]["accuracy"]
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import built_dataset, input_pipeline, labels

BOOTSTRAP_DRAWS = 2000


def cluster_interval(
  hits: np.ndarray, people: Sequence[str], *, seed: int = 0
) -> tuple[float, float]:
  """Returns the 95 % interval of an accuracy, resampling whole people.

  Percentile bootstrap over clusters (Davison and Hinkley 1997, section 3.8).

  Args:
    hits: bool[examples].
    people: the person of each example.
    seed: of the draws.

  Returns:
    The 2.5 and 97.5 percentiles; the accuracy itself twice for one person.
  """
  _, owner = np.unique(np.asarray(people), return_inverse=True)
  count = owner.max() + 1
  per_person = np.bincount(owner, weights=hits, minlength=count)
  sizes = np.bincount(owner, minlength=count)
  draws = np.random.default_rng(seed).integers(
    count, size=(BOOTSTRAP_DRAWS, count)
  )
  accuracies = per_person[draws].sum(axis=1) / sizes[draws].sum(axis=1)
  low, high = np.percentile(accuracies, [2.5, 97.5])
  return float(low), float(high)


def predict(
  model: keras.Model,
  dataset: built_dataset.Dataset,
  split: str,
  *,
  batch_size: int = 64,
) -> dict[str, np.ndarray]:
  """Runs a model over a split.

  Returns:
    `person` and `photo` (str), int64[examples] under each head's name, and
    float32[examples, classes] under `<head>_probabilities`.
  """
  total = -(-dataset.num_examples(split) // batch_size)
  step = tf.function(lambda images: model(images, training=False))
  columns: dict[str, list[np.ndarray]] = {}
  batches = input_pipeline.make_for_eval(dataset, split, batch_size=batch_size)
  with (
    input_pipeline.plain_errors(),
    tqdm.tqdm(
      batches, total=total, unit=" batches", desc=f"Evaluating {split}"
    ) as bar,
  ):
    for batch in bar:
      for head, probabilities in step(batch["image"]).items():
        columns.setdefault(f"{head}_probabilities", []).append(
          probabilities.numpy()
        )
      for key in ("person", "photo", *labels.HEADS):
        columns.setdefault(key, []).append(batch[key].numpy())
  result = {key: np.concatenate(parts) for key, parts in columns.items()}
  for key in ("person", "photo"):
    result[key] = np.array([value.decode("utf-8") for value in result[key]])
  return result


def majority_classes(dataset: built_dataset.Dataset) -> dict[str, int]:
  """Returns train's most frequent known class of each head, -1 if none is."""
  if not dataset.has_split("train"):
    return dict.fromkeys(labels.HEADS, labels.UNKNOWN)
  return {
    head: int(counts.argmax()) if counts.any() else labels.UNKNOWN
    for head, counts in input_pipeline.class_counts(dataset, "train").items()
  }


def score(
  predictions: Mapping[str, np.ndarray], majority: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
  """Returns the figures of each head.

  Args:
    predictions: as from `predict`.
    majority: the class that the baseline always answers, per head.

  Returns:
    Head -> examples and people with a known label and, if there are any,
    accuracy, its interval (None where one person is all there is), and the
    baseline's accuracy.
  """
  figures = {}
  for head in labels.HEADS:
    truth = predictions[head]
    known = truth >= 0
    people = predictions["person"][known]
    figures[head] = {
      "examples": int(known.sum()),
      "people": len(set(people.tolist())),
    }
    if not known.any():
      continue
    answers = predictions[f"{head}_probabilities"][known].argmax(axis=1)
    hits = answers == truth[known]
    several = figures[head]["people"] > 1
    interval = cluster_interval(hits, people.tolist()) if several else None
    figures[head] |= {
      "accuracy": float(hits.mean()),
      "interval_95": interval,
      "majority_baseline": float((truth[known] == majority[head]).mean()),
    }
  return figures


def evaluate(
  model: keras.Model, dataset: built_dataset.Dataset, split: str
) -> dict[str, Any]:
  """Returns the figures of a model on a split, ready for JSON."""
  predictions = predict(model, dataset, split)
  return {
    "dataset": dataset.info.full_name,
    "split": split,
    "examples": len(predictions["photo"]),
    "people": len(set(predictions["person"].tolist())),
    "heads": score(predictions, majority_classes(dataset)),
  }


def table(figures: Mapping[str, Any]) -> str:
  """Returns the figures of one split as text, a line for each head."""
  lines = [
    f"{figures['split']}: {figures['examples']:,} photos of "
    f"{figures['people']:,} people",
    f"  {'head':<10} {'accuracy':>8}  {'95 % interval':<14} {'majority':>8}"
    f" {'photos':>7} {'people':>7}",
  ]
  for head, values in figures["heads"].items():
    if "accuracy" in values:
      interval = values["interval_95"]
      shown = "{:.3f} to {:.3f}".format(*interval) if interval else "one person"
      middle = (
        f"{values['accuracy']:>8.3f}  {shown:<14}"
        f" {values['majority_baseline']:>8.3f}"
      )
    else:
      middle = f"{'no known label here':<33}"
    lines.append(
      f"  {head:<10} {middle} {values['examples']:>7,} {values['people']:>7,}"
    )
  return "\n".join(lines)
