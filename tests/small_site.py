"""A small export, and the drawn photos it is asked about, for the pages."""

import io

import keras
import numpy as np

from tests import drawn
from yourface_tfds import (
  export_lib,
  labels,
  models,
  sample_drawing,
  sample_people,
  tflite_detector,
  tflite_lib,
  train_settings,
)

SIZE = 64
# Not the defaults: what a dataset was built with must reach the page.
SETTINGS = train_settings.TrainSettings(
  image_size=SIZE, margin=1.6, min_score=0.95
)
SOURCE = drawn.ROOT / "export/web"


def photo(i):
  """One of four drawn people of whom the test model says different things."""
  person = sample_people.make_person(3, (4, 8, 3, 9)[i])
  return sample_drawing.draw_photo(person, 3, 0)


def encoded(image, kind="PNG", **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def make_model():
  """A model that says different things of different photos."""
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  # Heads of a new model say .5 to everything; these tell faces apart.
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(30.0 * kernel)
  return model


def write(model, folder):
  """Writes an export: float32, int8 and the detector."""
  seen = np.stack([np.asarray(photo(i).resize((SIZE, SIZE))) for i in range(4)])
  words = export_lib.labels_json(SETTINGS)
  for kind in ("float32", "int8"):
    path = folder / tflite_lib.file_name(kind)
    tflite_lib.write(model, kind, SIZE, seen, words, path)
  tflite_detector.save(folder / tflite_detector.FILE_NAME)
  (folder / "labels.json").write_text(words, encoding="utf-8")
