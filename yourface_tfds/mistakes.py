"""The wrong answers a model was surest of, to be looked at.

found = mistakes.worst(confidence, answers, truth, rows)
faces = mistakes.faces(dataset, "test", [one["index"] for one in found])
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from yourface_tfds import built_dataset, input_pipeline

MOST = 12


def worst(
  confidence: np.ndarray,
  answers: np.ndarray,
  truth: np.ndarray,
  rows: np.ndarray,
) -> list[dict[str, Any]]:
  """Returns the most confident wrong answers, the surest first.

  Args:
    confidence: float[examples], 0..1.
    answers: int[examples], the class answered.
    truth: int[examples].
    rows: int[examples], the place of each example in its split.

  Returns:
    index (in the split), truth, answer and confidence of at most `MOST`; equal
    ones in the order of the split.
  """
  wrong = np.flatnonzero(answers != truth)
  chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
  return [
    {
      "index": int(rows[i]),
      "truth": int(truth[i]),
      "answer": int(answers[i]),
      "confidence": float(confidence[i]),
    }
    for i in chosen
  ]


def faces(
  dataset: built_dataset.Dataset, split: str, indices: Iterable[int]
) -> dict[int, np.ndarray]:
  """Reads some faces of a split, by their place in its stored order.

  Returns:
    Place -> uint8[S, S, 3].
  """
  wanted = sorted(set(indices))
  found: dict[int, np.ndarray] = {}
  if not wanted:
    return found
  start = 0
  with input_pipeline.plain_errors(dataset, split):
    batches = input_pipeline.make_for_eval(dataset, split, batch_size=64)
    for batch in batches:
      count = len(batch["image"])
      for index in wanted:
        if start <= index < start + count:
          found[index] = batch["image"][index - start].numpy()
      start += count
      if start > wanted[-1]:
        break
  return found
