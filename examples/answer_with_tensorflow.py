"""Answers photos with nothing but TensorFlow: pip install tensorflow.

python answer_with_tensorflow.py E/saved_model a.jpg b.jpg

The words of the classes lie in the SavedModel's folder, which may be moved.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import tensorflow as tf


def likeliest(answer: dict[str, Any], row: int, heads: dict[str, Any]) -> str:
  """Returns the most probable class of each head, as text."""
  said = []
  for head, words in heads.items():
    probabilities = answer[head][row]
    best = probabilities.argmax()
    said.append(
      f"{head} {words['names'][best]} ({words['korean'][best]}) "
      f"{probabilities[best]:.1%}"
    )
  return ", ".join(said)


def main() -> int:
  """Prints an answer for each photo; returns 1 if one has none, else 0."""
  parser = argparse.ArgumentParser(description=main.__doc__)
  parser.add_argument("saved_model", type=pathlib.Path)
  parser.add_argument("photos", nargs="+", type=pathlib.Path)
  given = parser.parse_args()
  words = given.saved_model / "assets.extra/labels.json"
  try:
    heads = json.loads(words.read_text(encoding="utf-8"))["heads"]
    contents = [photo.read_bytes() for photo in given.photos]
  except OSError as error:
    parser.error(str(error))
  # Kept in a name: its signatures do not keep its weights alive.
  model = tf.saved_model.load(str(given.saved_model))
  # All photos in one batch; for thousands, call it for some at a time.
  outputs = model.signatures["photos"](tf.constant(contents))
  answer = {name: tensor.numpy() for name, tensor in outputs.items()}
  for row, photo in enumerate(given.photos):
    if not answer["found"][row]:
      print(f"{photo}: error: {answer['error'][row].decode()}")
      continue
    print(f"{photo}: {answer['sentence_ko'][row].decode()}")
    print(f"  {answer['sentence_en'][row].decode()}")
    print(f"  {likeliest(answer, row, heads)}")
  return int(not answer["found"].all())


if __name__ == "__main__":
  sys.exit(main())
