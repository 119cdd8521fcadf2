"""How fast an export answers photos, beside the way most people would do it.

  result = photo_benchmark.measure("E/saved_model", model, contents)
  result["ratio_to_naive"]   # so many photos in the time of one

The naive way takes one photo at a time: Pillow decodes it, the `mtcnn` package
finds its faces, Pillow cuts the largest out, `model.predict` classifies it.
"""

import functools
import io
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import mtcnn
import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image

from yourface_tfds import cli, crop, mtcnn_nets, parity_ways

_FACES_BATCH = 16
_CALLS = 8
"""Of `serving_default` and the Keras model, in each round."""


def measure(
  saved_model: str | os.PathLike[str],
  model: keras.Model,
  contents: Sequence[bytes],
  *,
  batch_size: int = 16,
  rounds: int = 5,
  naive_photos: int = 16,
) -> dict[str, Any]:
  """Measures all ways in turn, round by round.

  Args:
    saved_model: the folder.
    model: the Keras model that is in it.
    contents: the bytes of photos.
    batch_size: photos a call of `photos`.
    rounds: how many.
    naive_photos: the naive way gets so many of the photos each round, and
      `photos` the same ones once more, for the ratio.

  Returns:
    `photos_per_second` of `photos` over all of them, `naive_per_second`,
    `ratio_to_naive`, `ratio_to_keras` (time of `serving_default` over that of
    the bare model in a tf.function), medians of the rounds; `rounds`, each
    round's four figures.

  Raises:
    UserError: there is no photo.
  """
  if not contents:
    raise cli.UserError("--photos_dir: got no photo, allowed: one or more")
  loaded = parity_ways.load(saved_model)
  answer = _in_batches(loaded.signatures["photos"], batch_size)
  naive = _naive(model)
  classify, bare = _classifiers(loaded, model)
  # Traced, compiled, allocated before the first round.
  answer(contents)
  naive(contents[: min(naive_photos, 2)])
  classify()
  bare()
  found = []
  for number in tqdm.trange(rounds, unit=" rounds", desc="Photos"):
    start = number * naive_photos % len(contents)
    few = (list(contents) * 2)[start : start + naive_photos]
    ways: list[Callable[[], float]] = [
      functools.partial(_seconds, answer, contents),
      functools.partial(_seconds, answer, few),
      functools.partial(_seconds, naive, few),
      functools.partial(_seconds, classify),
      functools.partial(_seconds, bare),
    ]
    # What comes first changes, so that nothing always helps the same.
    order = range(5) if number % 2 else range(4, -1, -1)
    found.append(_figures({i: ways[i]() for i in order}, contents, few))
  medians = {
    name: statistics.median(one[name] for one in found) for name in found[0]
  }
  return {
    "photos": len(contents),
    "batch_size": batch_size,
    **medians,
    "rounds": found,
  }


def _figures(
  seconds: Mapping[int, float], contents: Sequence[bytes], few: Sequence[bytes]
) -> dict[str, float]:
  """Returns a round's figures, from what each of the five ways took."""
  return {
    "photos_per_second": len(contents) / seconds[0],
    "naive_per_second": len(few) / seconds[2],
    "ratio_to_naive": seconds[2] / seconds[1],
    "ratio_to_keras": seconds[3] / seconds[4],
  }


def _seconds(way: Callable[..., Any], *arguments: Any) -> float:
  start = time.perf_counter()
  way(*arguments)
  return time.perf_counter() - start


def _in_batches(
  signature: Any, batch_size: int
) -> Callable[[Sequence[bytes]], None]:
  def answer(contents: Sequence[bytes]) -> None:
    for start in range(0, len(contents), batch_size):
      said = signature(
        photos=tf.constant(list(contents[start : start + batch_size]))
      )
      said["sentence_ko"].numpy()

  return answer


def _classifiers(
  loaded: Any, model: keras.Model
) -> tuple[Callable[[], None], Callable[[], None]]:
  """Returns `serving_default` and the bare model, called a few times each."""
  signature = loaded.signatures["serving_default"]
  spec = signature.structured_input_signature[1]["faces"]
  pixels = np.random.default_rng(0).integers(
    0, 256, (_FACES_BATCH, *spec.shape[1:])
  )
  faces = tf.constant(pixels.astype(np.uint8))
  bare = tf.function(
    lambda faces: model(tf.cast(faces, tf.float32), training=False)
  )

  def repeat(way: Callable[[], Any]) -> Callable[[], None]:
    def calls() -> None:
      for _ in range(_CALLS):
        way()["gender"].numpy()

    return calls

  return repeat(lambda: signature(faces=faces)), repeat(lambda: bare(faces))


def _naive(model: keras.Model) -> Callable[[Sequence[bytes]], None]:
  detector = mtcnn.MTCNN(device="CPU:0")
  side = model.input_shape[1]
  margin = crop.CropSettings().margin

  def answer(contents: Sequence[bytes]) -> None:
    for content in contents:
      image = Image.open(io.BytesIO(content)).convert("RGB")
      # Below the cell of its smallest net the package fails.
      if min(image.size) < mtcnn_nets.CELL:
        continue
      # The package's annotations call its lists arrays.
      faces: Any = detector.detect_faces(np.asarray(image)) or []
      if not faces:
        continue
      largest = max(faces, key=lambda face: face["box"][2] * face["box"][3])
      left, top, width, height = largest["box"]
      half = margin * max(width, height) / 2
      x, y = left + width / 2, top + height / 2
      face = image.crop(
        (round(x - half), round(y - half), round(x + half), round(y + half))
      ).resize((side, side))
      pixels = np.asarray(face, np.float32)[np.newaxis]
      said: Any = model.predict(pixels, verbose=0)  # pyright: ignore[reportArgumentType]
      for probabilities in said.values():
        probabilities.argmax()

  return answer


def text(result: dict[str, Any]) -> str:
  """Returns the result as lines for people to read."""
  rounds = result["rounds"]

  def spread(name: str) -> str:
    values = [one[name] for one in rounds]
    return f"{min(values):.2f} to {max(values):.2f}"

  lines = [
    f"{result['photos']:,} photos, batches of {result['batch_size']}, median "
    f"of {len(rounds)} rounds (lowest to highest):"
  ]
  for name, words in (
    ("photos_per_second", "signature photos, photos/s"),
    ("naive_per_second", "mtcnn, Pillow, model.predict, photos/s"),
    ("ratio_to_naive", "times as fast on the same photos"),
    ("ratio_to_keras", "serving_default's time over the bare model's"),
  ):
    lines.append(f"  {words:<46}{result[name]:>8.2f}  ({spread(name)})")
  return "\n".join(lines)
