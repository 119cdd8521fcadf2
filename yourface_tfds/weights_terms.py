"""Where the weights a model started from came from, and their terms.

weights_terms.of({"model": "MobileNetV2", "weights": "imagenet"})
"""

import re
from collections.abc import Mapping
from typing import Any

_IMAGENET = (
  "from Keras Applications (code Apache-2.0), trained on ImageNet, whose "
  "images may be used for non-commercial research and education only"
)

_NETS = {
  "transfer_ensemble": "ResNet50V2, VGG19 and InceptionResNetV2",
}
"""What a model is made of, where its name is not that of the one net."""

_ORIGINS = {
  "VGG19": "VGG19's weights were ported from those of VGG, University of "
  "Oxford (CC BY 4.0).",
}

MTCNN = (
  "The exported SavedModel also holds the face detector MTCNN, weights from "
  "the mtcnn package (MIT)."
)


def of(settings: Mapping[str, Any]) -> str:
  """Returns where the weights a model started from came from, and their terms.

  Args:
    settings: as in settings.json; `model` and `weights` are read.
  """
  weights = settings.get("weights")
  if weights is None:
    return "What the weights started from is missing in settings.json."
  if weights == "none":
    return "None: the classifier was trained from random weights."
  model = str(settings.get("model"))
  nets = _NETS.get(model, model)
  origins = [text for net, text in _ORIGINS.items() if net in nets]
  if weights == "imagenet":
    return " ".join([f"{nets}: {_IMAGENET}.", *origins])
  return " ".join(
    [
      f"{nets}: started from {name(str(weights))}, whose origin this run does "
      f"not know. If it is {_IMAGENET}, those terms hold.",
      *origins,
    ]
  )


def name(weights: str) -> str:
  """Returns the last part of a path: the rest may name people and machines."""
  return re.split(r"[\\/]", weights.rstrip("\\/"))[-1]
