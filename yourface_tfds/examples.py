"""One example of the dataset, from what is known of its photo."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from yourface_tfds import build_settings, curate


def key(row: curate.PhotoRow) -> str:
  """Returns the name of a photo in the dataset; the order hangs on it."""
  return curate.utf8(row.path)


def example(
  row: curate.PhotoRow,
  labels: Mapping[str, int],
  landmarks: np.ndarray,
  image: bytes,
) -> dict[str, Any]:
  """Returns the example of an accepted photo, by feature."""
  return {
    "image": image,
    **labels,
    "person": row.person,
    "photo": key(row),
    "box": np.array(row.box, np.float32),
    "landmarks": landmarks.astype(np.float32),
    "score": row.score,
    "faces": row.faces,
  }


def encodable(
  example: Mapping[str, Any], settings: build_settings.BuildSettings
) -> dict[str, Any]:
  """Returns an example as TFDS's own encoder wants it: raw images shaped."""
  if settings.encoding == "jpeg":
    return dict(example)
  side = settings.image_size
  pixels = np.frombuffer(example["image"], np.uint8).reshape(side, side, 3)
  return {**example, "image": pixels}
