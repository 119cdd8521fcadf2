"""Answers for photo files from an exported SavedModel, and their pictures."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from yourface_tfds import card, cli, labels, photos

BATCH_SIZE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
  """What the model said of one file.

  Attributes:
    path: as given.
    error: "" when fine, else what is wrong with the photo; the rest is empty.
    sentence_ko, sentence_en: the answer in words.
    box: y_min, x_min, y_max, x_max, 0..1 of the upright photo.
    score: the detector's confidence, 0..1.
    faces: how many faces the photo shows.
    probabilities: head -> probability of each class.
  """

  path: str
  error: str = ""
  sentence_ko: str = ""
  sentence_en: str = ""
  box: tuple[float, ...] = ()
  score: float = 0.0
  faces: int = 0
  probabilities: dict[str, list[float]] = dataclasses.field(
    default_factory=dict
  )

  def as_json(self) -> dict[str, Any]:
    """Returns the answer for JSON, classes by name."""
    if self.error:
      return {"path": self.path, "error": self.error}
    values = dataclasses.asdict(self)
    del values["error"]
    values["probabilities"] = {
      head: dict(zip(labels.HEADS[head].names, row, strict=True))
      for head, row in self.probabilities.items()
    }
    return values


def load(path: str | os.PathLike[str]) -> Any:
  """Loads the `photos` signature of a SavedModel.

  Raises:
    UserError: `path` is no SavedModel, or none of ours.
  """
  path = os.fspath(path)
  try:
    model = tf.saved_model.load(path)
  except (OSError, ValueError) as error:
    raise cli.UserError(
      f"--model: no SavedModel in {path!r}; export one with: python -m "
      "export.export_saved_model --workdir=W --output_dir=E"
    ) from error
  if "photos" not in model.signatures:
    raise cli.UserError(
      f"--model: {path} has no signature `photos`, only "
      f"{', '.join(model.signatures) or 'none'}; export it with "
      "export.export_saved_model"
    )
  signature = model.signatures["photos"]
  # A signature does not keep alive the model it belongs to.
  signature.model = model
  return signature


def predict(signature: Any, paths: Sequence[str]) -> Iterator[Prediction]:
  """Yields the answer for each photo file, in order.

  Args:
    signature: from `load`.
    paths: files; one that cannot be read gets an error of its own.
  """
  for start in range(0, len(paths), BATCH_SIZE):
    part = paths[start : start + BATCH_SIZE]
    contents, problems = [], []
    for path in part:
      try:
        contents.append(pathlib.Path(path).read_bytes())
        problems.append("")
      except OSError as error:
        contents.append(b"")
        problems.append(f"unreadable: {error.strerror}")
    outputs = {
      name: value.numpy()
      for name, value in signature(tf.constant(contents)).items()
    }
    for i, path in enumerate(part):
      yield _prediction(path, problems[i], outputs, i)


def _prediction(
  path: str, problem: str, outputs: dict[str, np.ndarray], i: int
) -> Prediction:
  error = problem or outputs["error"][i].decode("utf-8")
  if error:
    return Prediction(path=path, error=error)
  return Prediction(
    path=path,
    sentence_ko=outputs["sentence_ko"][i].decode("utf-8"),
    sentence_en=outputs["sentence_en"][i].decode("utf-8"),
    box=tuple(outputs["box"][i].tolist()),
    score=float(outputs["score"][i]),
    faces=int(outputs["faces"][i]),
    probabilities={head: outputs[head][i].tolist() for head in labels.HEADS},
  )


def draw_card(prediction: Prediction) -> Image.Image:
  """Returns the picture for an answer without an error."""
  photo = photos.decode(pathlib.Path(prediction.path).read_bytes())
  return card.draw(
    photo,
    card.Answer(
      sentence=prediction.sentence_ko,
      box=prediction.box,
      probabilities=prediction.probabilities,
    ),
  )
