"""MosaicML Streaming without the libraries that it imports and does not use.

Its package imports transformers and torchvision for datasets of text and
images on the net, and asks for transformers below 5, whose versions that
install beside `datasets` 5 are years old. Where they are absent, empty classes
stand in while it is imported.
"""

# MosaicML Streaming is no part of the project.
# pyright: reportMissingImports=false

import importlib.util
import io
import pathlib
import sys
import types
from typing import Any

import numpy as np
import PIL.Image

_USED = {
  "transformers.feature_extraction_utils": "BatchFeature",
  "transformers.tokenization_utils_base": "BatchEncoding",
  "transformers.models.auto.tokenization_auto": "AutoTokenizer",
  "torchvision.datasets": "VisionDataset",
  "torchvision.transforms.functional": "to_tensor",
}


def _stand_ins() -> dict[str, types.ModuleType]:
  modules = {}
  for name, attribute in _USED.items():
    if importlib.util.find_spec(name.partition(".")[0]) is not None:
      continue
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
      parent = ".".join(parts[:end])
      modules.setdefault(parent, types.ModuleType(parent))
    setattr(modules[name], attribute, type(attribute, (), {}))
  return modules


_standing_in = _stand_ins()
sys.modules.update(_standing_in)
from streaming import MDSWriter, StreamingDataset  # noqa: E402

for _name in _standing_in:
  # Whoever asks for them later is to hear that they are not installed.
  del sys.modules[_name]

_COLUMNS = {"image": "bytes", "labels": "ndarray:int64:3"}


class Faces(StreamingDataset):
  """A folder that `write` wrote, read in shuffled blocks of its shards."""

  def __init__(
    self, folder: pathlib.Path, shape: tuple[int, ...], batch_size: int
  ) -> None:
    super().__init__(
      local=str(folder), shuffle=True, batch_size=batch_size, shuffle_seed=0
    )
    self._face_shape = shape

  def __getitem__(self, at: Any) -> Any:
    """Returns uint8[size, size, 3] and its labels."""
    row = super().__getitem__(at)
    data = row["image"]
    # Copies, as torch wants to write to what it is given.
    if len(data) == np.prod(self._face_shape):
      image = np.frombuffer(data, np.uint8).reshape(self._face_shape).copy()
    else:
      image = np.array(PIL.Image.open(io.BytesIO(data)))
    return image, row["labels"].copy()


def write(folder: pathlib.Path, images: Any, labels: np.ndarray) -> None:
  """Writes encoded images and their labels.

  Args:
    folder: to write to.
    images: an iterable of bytes, one each.
    labels: int64[count, 3].
  """
  with MDSWriter(out=str(folder), columns=_COLUMNS) as writer:
    for image, row in zip(images, labels, strict=True):
      writer.write({"image": image, "labels": row})
