"""How good a model is on a split, and how sure that figure is.

Every figure is over the examples whose label is known. Accuracy, balanced
accuracy and macro F1 have a 95 % interval from a bootstrap over PEOPLE (photos
of one person are not independent), and beside them what always answering
train's most frequent class would reach.

  temperatures = metrics.fit_temperatures(model, dataset)
  figures = metrics.evaluate(model, dataset, "unseen", temperatures)
  figures["heads"]["gender"]["accuracy"]
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import (
  built_dataset,
  calibration,
  cli,
  confusion,
  coverage,
  input_pipeline,
  intervals,
  labels,
  mistakes,
  slices,
)

Temperatures = Mapping[str, calibration.Temperature]
"""Head -> temperature; a head without one is not calibrated."""


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

  Raises:
    UserError: an answer is no number.
  """
  total = -(-dataset.num_examples(split) // batch_size)
  step = tf.function(lambda images: model(images, training=False))
  columns: dict[str, list[np.ndarray]] = {}
  batches = input_pipeline.make_for_eval(dataset, split, batch_size=batch_size)
  with (
    input_pipeline.plain_errors(dataset, split),
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
  dataset.check_unchanged()
  result = {key: np.concatenate(parts) for key, parts in columns.items()}
  for head in labels.HEADS:
    if not np.isfinite(result[f"{head}_probabilities"]).all():
      raise cli.UserError(
        f"{split}: got answers for {head} that are no numbers, allowed: "
        "probabilities; the weights are damaged, train again in a new --workdir"
      )
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


def fit_temperatures(
  model: keras.Model, dataset: built_dataset.Dataset
) -> dict[str, calibration.Temperature]:
  """Fits one temperature for each head on `validation`.

  Returns:
    Head -> temperature, without heads that have no known label there; nothing
    where there is no such split.
  """
  if not dataset.has_split("validation"):
    return {}
  predictions = predict(model, dataset, "validation")
  known = {head: predictions[head] >= 0 for head in labels.HEADS}
  return {
    head: calibration.fit_temperature(
      predictions[f"{head}_probabilities"][known[head]],
      predictions[head][known[head]],
    )
    for head in labels.HEADS
    if known[head].any()
  }


def score(
  predictions: Mapping[str, np.ndarray],
  majority: Mapping[str, int],
  temperatures: Temperatures | None = None,
) -> dict[str, dict[str, Any]]:
  """Returns the figures of each head.

  Args:
    predictions: as from `predict`.
    majority: the class that the baseline always answers, -1 for none.
    temperatures: as from `fit_temperatures`.

  Returns:
    Head -> examples and people with a known label and, if there are any:
    accuracy, balanced_accuracy and macro_f1 with an interval each (None where
    one person is all there is), majority (the same three of the baseline, None
    where train has no label), log_loss, ece and reliability, the same
    `_calibrated` (None without a temperature), confusion, coverage, mistakes.
  """
  figures = {}
  for head in labels.HEADS:
    known = predictions[head] >= 0
    people = predictions["person"][known]
    figures[head] = {
      "examples": int(known.sum()),
      "people": len(np.unique(people)),
    }
    if known.any():
      temperature = (temperatures or {}).get(head)
      figures[head] |= _answer_figures(
        head, predictions, known, majority[head]
      ) | _confidence_figures(head, predictions, known, temperature)
  return figures


def _answer_figures(
  head: str,
  predictions: Mapping[str, np.ndarray],
  known: np.ndarray,
  majority: int,
) -> dict[str, Any]:
  """What hangs on the answers alone."""
  names = labels.HEADS[head].names
  truth = predictions[head][known]
  people = predictions["person"][known].tolist()
  answers = predictions[f"{head}_probabilities"][known].argmax(axis=1)
  counts = confusion.matrix(truth, answers, classes=len(names))
  found = {name: float(f(counts)) for name, f in confusion.STATISTICS.items()}
  ranges: Mapping[str, intervals.Interval | None] = dict.fromkeys(found)
  if len(set(people)) > 1:
    ranges = intervals.confusion_intervals(
      truth, answers, people, classes=len(names)
    )
  baseline = None
  if majority >= 0:
    always = np.full_like(truth, majority)
    constant = confusion.matrix(truth, always, classes=len(names))
    baseline = {"class": names[majority]} | {
      name: float(f(constant)) for name, f in confusion.STATISTICS.items()
    }
  return {
    "accuracy": found["accuracy"],
    "interval_95": ranges["accuracy"],
    "majority_baseline": baseline and baseline["accuracy"],
    "balanced_accuracy": found["balanced_accuracy"],
    "balanced_accuracy_interval_95": ranges["balanced_accuracy"],
    "macro_f1": found["macro_f1"],
    "macro_f1_interval_95": ranges["macro_f1"],
    "majority": baseline,
    "classes": list(names),
    "confusion": counts.tolist(),
  }


def _confidence_figures(
  head: str,
  predictions: Mapping[str, np.ndarray],
  known: np.ndarray,
  temperature: calibration.Temperature | None,
) -> dict[str, Any]:
  """What hangs on how sure the model says it is."""
  truth = predictions[head][known]
  raw = predictions[f"{head}_probabilities"][known]
  answers = raw.argmax(axis=1)
  hits = answers == truth
  before = calibration.reliability(raw.max(axis=1), hits)
  figures = {
    "log_loss": calibration.log_loss(raw, truth),
    "log_loss_calibrated": None,
    "ece": calibration.expected_error(before),
    "ece_calibrated": None,
    "temperature": None,
    "temperature_status": None,
    "reliability": before,
    "reliability_calibrated": None,
  }
  sure = raw.max(axis=1).astype(np.float64)
  if temperature:
    softened = calibration.soften(raw, temperature.value)
    sure = softened.max(axis=1)
    after = calibration.reliability(sure, hits)
    figures |= {
      "log_loss_calibrated": calibration.log_loss(softened, truth),
      "ece_calibrated": calibration.expected_error(after),
      "temperature": temperature.value,
      "temperature_status": temperature.status,
      "reliability_calibrated": after,
    }
  figures["coverage"] = coverage.curve(sure, hits)
  rows = np.flatnonzero(known)
  names = labels.HEADS[head].names
  figures["mistakes"] = [
    one
    | {
      "truth": names[one["truth"]],
      "answer": names[one["answer"]],
      "person": str(predictions["person"][one["index"]]),
      "photo": str(predictions["photo"][one["index"]]),
    }
    for one in mistakes.worst(sure, answers, truth, rows)
  ]
  return figures


def evaluate(
  model: keras.Model,
  dataset: built_dataset.Dataset,
  split: str,
  temperatures: Temperatures | None = None,
) -> dict[str, Any]:
  """Returns the figures of a model on a split, ready for JSON.

  Args:
    model: as from `workdir.load_model`.
    dataset: from `built_dataset.open_dataset`.
    split: or a slice of one, `train[:10%]`.
    temperatures: as from `fit_temperatures`; without, nothing is calibrated.
  """
  predictions = predict(model, dataset, split)
  majority = majority_classes(dataset)
  parts = slices.by_label(predictions)
  rows = slices.read_table(dataset)
  left_out = slices.NO_TABLE if rows is None else None
  if rows is not None:
    sizes = slices.face_sizes(
      rows, predictions["photo"].tolist(), margin=dataset.margin
    )
    parts += slices.by_size(sizes)
    missing = int(np.isnan(sizes.values).sum())
    if missing:
      left_out = f"face size: of {missing:,} photos it is not in photos.csv"
  return {
    "dataset": dataset.info.full_name,
    "split": split,
    "examples": len(predictions["photo"]),
    "people": len(set(predictions["person"].tolist())),
    "heads": score(predictions, majority, temperatures),
    "slices": slices.score(parts, predictions, majority),
    "left_out": left_out,
  }
