"""Answers faces with LiteRT: pip install ai-edge-litert numpy pillow.

python answer_with_litert.py E/your_face_int8.tflite face.png

Takes your_face_float32, _float16 and _int8.tflite. The images are faces that
were cut out as the dataset's are; finding them is the SavedModel's work.
"""

import argparse
import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


def read_face(path: str, size: int) -> np.ndarray:
  """Returns the square in the image's middle, uint8[1, size, size, 3]."""
  with Image.open(path) as image:
    upright = ImageOps.exif_transpose(image).convert("RGB")
  return np.asarray(ImageOps.fit(upright, (size, size)))[np.newaxis]


def main() -> int:
  """Prints an answer for each face; returns 1 if one has none, else 0."""
  parser = argparse.ArgumentParser(description=main.__doc__)
  parser.add_argument("model", help="a .tflite file")
  parser.add_argument("faces", nargs="+", help="images of one face each")
  given = parser.parse_args()
  # The words are a zip archive behind the model, in the same file.
  with zipfile.ZipFile(given.model) as archive:
    labels = json.loads(archive.read("labels.json"))
  runner = Interpreter(given.model).get_signature_runner("serving_default")
  wanted = runner.get_input_details()["faces"]
  missed = 0
  for path in given.faces:
    try:
      face = read_face(path, int(wanted["shape"][1]))
    except OSError as error:
      print(f"{path}: error: {error}")
      missed = 1
      continue
    # Pixels go in as 0..255, as float32 or, in the int8 file, uint8.
    answer = runner(faces=face.astype(wanted["dtype"]))
    best = {head: int(answer[head].argmax()) for head in labels["heads"]}
    for language, words in (("ko", "korean"), ("en", "names")):
      said = {head: labels["heads"][head][words][best[head]] for head in best}
      print(f"{path}: {labels['sentence_' + language].format(**said)}")
    for head, words in labels["heads"].items():
      rows = zip(words["names"], answer[head][0], strict=True)
      print(f"  {head}: " + ", ".join(f"{name} {p:.3f}" for name, p in rows))
  return missed


if __name__ == "__main__":
  sys.exit(main())
