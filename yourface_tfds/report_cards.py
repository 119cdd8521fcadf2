"""The card of one face of a split, as the report shows it.

cards = {"test": report_cards.surest(model, dataset, "test", temperatures)}
"""

import keras
import numpy as np
from PIL import Image

from yourface_tfds import (
  built_dataset,
  calibration,
  card,
  input_pipeline,
  labels,
  metrics,
  predict_words,
)

_LOOKED_AT = 256
"""Faces of a split that are asked about: a card shows one that is usual."""


def surest(
  model: keras.Model,
  dataset: built_dataset.Dataset,
  split: str,
  temperatures: metrics.Temperatures,
) -> Image.Image | None:
  """Draws the card of the rightest answer to the first faces of a split.

  Args:
    model: that was evaluated.
    dataset: it was evaluated on.
    split: of it.
    temperatures: as from `metrics.fit_temperatures`.

  Returns:
    RGB, `card.SIZE`; None where no face has a known label and only right
    answers.
  """
  with input_pipeline.plain_errors(dataset, split):
    batches = input_pipeline.make_for_eval(
      dataset, split, batch_size=_LOOKED_AT
    )
    batch = {name: value.numpy() for name, value in next(iter(batches)).items()}
  said = model.predict_on_batch(batch["image"].astype(np.float32))
  sure = np.full(len(batch["image"]), np.inf)
  answers: dict[str, np.ndarray] = {}
  for head in labels.HEADS:
    row = np.asarray(said[head], np.float64)
    if head in temperatures:
      row = calibration.soften(row, temperatures[head].value)
    answers[head] = row
    known = batch[head] >= 0
    right = row.argmax(1) == batch[head]
    sure[known] = np.minimum(sure, np.where(right, row.max(1), 0))[known]
  sure[np.isinf(sure)] = 0
  best = int(sure.argmax())
  if not sure[best]:
    return None
  chosen = {head: row[best].tolist() for head, row in answers.items()}
  index = {head: int(np.argmax(row)) for head, row in chosen.items()}
  korean, english = predict_words.ours().sentences(index)
  return card.draw(
    batch["image"][best],
    card.Answer(sentence_ko=korean, sentence_en=english, probabilities=chosen),
  )
