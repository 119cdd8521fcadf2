"""A small untrained export, and drawn photos, for tests of what uses one."""

import io
import pathlib

import keras
import numpy as np
from PIL import Image

from yourface_tfds import (
  export_lib,
  labels,
  manifest,
  models,
  sample_drawing,
  sample_people,
  tflite_lib,
  train_settings,
)

SIZE = 64
SETTINGS = train_settings.TrainSettings(image_size=SIZE)
LABELS = export_lib.labels_json(SETTINGS)


def model() -> keras.Model:
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  # Heads of a new model say .5 to everything; these tell faces apart.
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(30.0 * kernel)
  return model


def write(folder: pathlib.Path) -> bytes:
  """Writes saved_model/ and face.tflite; returns TFLite without the words."""
  made = model()
  export_lib.save_saved_model(made, SETTINGS, folder / "saved_model")
  manifest.write(folder / "saved_model")
  faces = np.zeros([1, SIZE, SIZE, 3], np.uint8)
  content = tflite_lib.convert(made, "float32", SIZE, faces)
  (folder / "face.tflite").write_bytes(
    tflite_lib.attach(content, {"labels.json": LABELS})
  )
  return content


def drawing(number: int) -> Image.Image:
  person = sample_people.make_person(3, number)
  return sample_drawing.draw_photo(person, 3, 0)


def jpeg(image: Image.Image, **options) -> bytes:
  out = io.BytesIO()
  image.save(out, "JPEG", quality=92, **options)
  return out.getvalue()


def crowd() -> bytes:
  """A photo of two people, the second smaller than the first."""
  photo = Image.new("RGB", (1300, 700), "silver")
  left = 0
  for number, side in enumerate((700, 600)):
    image = drawing(number)
    factor = side / max(image.size)
    image = image.resize([round(length * factor) for length in image.size])
    photo.paste(image, (left, 0))
    left += image.width
  return jpeg(photo.crop((0, 0, left, 700)))
