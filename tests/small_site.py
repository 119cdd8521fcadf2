"""A small export, and the drawn photos it is asked about, for the pages."""

import io

import numpy as np

from tests import drawn, small_export
from yourface_tfds import (
  export_lib,
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
FILES = [
  "core/dist/index.js",
  "core/wasm/litert_wasm_internal.js",
  "core/wasm/litert_wasm_internal.wasm",
  "core/wasm/litert_wasm_compat_internal.js",
  "core/wasm/litert_wasm_compat_internal.wasm",
  "wasm-utils/dist/index.js",
]


def photo(i):
  """One of four drawn people of whom the test model says different things."""
  return small_export.drawing((4, 8, 3, 9)[i])


def encoded(image, kind="PNG", **options):
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def write(model, folder):
  """Writes an export: float32, int8 and the detector."""
  seen = np.stack([np.asarray(photo(i).resize((SIZE, SIZE))) for i in range(4)])
  words = export_lib.labels_json(SETTINGS)
  for kind in ("float32", "int8"):
    path = folder / tflite_lib.file_name(kind)
    tflite_lib.write(model, kind, SIZE, seen, words, path)
  tflite_detector.save(folder / tflite_detector.FILE_NAME)
  (folder / "labels.json").write_text(words, encoding="utf-8")
