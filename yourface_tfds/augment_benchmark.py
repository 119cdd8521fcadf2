"""What augmentation costs, against the same op by op and stacked Keras layers.

  result = augment_benchmark.measure(images, rounds=5)
  result["ratio_to_stacked"]   # 15: ours does 15 images in the time of one

All ways make the changes of the preset "2021" (flip, shift, rotation, zoom,
edge pixels repeated) of the same uint8 batch, in a graph, on the device that
TensorFlow would take, in turn within each round.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from yourface_tfds import augment, built_dataset, cli, input_pipeline

_PRESET = "2021"
_IMAGE_SIZE = 150  # That of the named configs.
_NAMES = {
  "ours": "ours: gathers, one loop compiled by XLA",
  "projective": "the same warp, ImageProjectiveTransformV3",
  "stacked": "four stacked Keras layers",
}
_Way = Callable[[tf.Tensor], tf.Tensor]


def batch(
  count: int,
  *,
  image_size: int | None = None,
  data_dir: str | None = None,
  config: str | None = None,
) -> np.ndarray:
  """Returns the images to measure with.

  Args:
    count: how many.
    image_size: their side, of noise: the work is that of faces. Default: 150.
    data_dir: of a dataset whose first faces are taken, again if too few.
    config: of the dataset. Default: jpeg.

  Returns:
    uint8[count, size, size, 3].

  Raises:
    UserError: what is given does not go together, or there is no such dataset.
  """
  if data_dir is None:
    if config is not None:
      raise cli.UserError(
        f"--config: got {config!r}, allowed with --data_dir only; give the "
        "folder of the dataset too"
      )
    size = _IMAGE_SIZE if image_size is None else image_size
    shape = (count, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  if image_size is not None:
    raise cli.UserError(
      f"--image_size: got {image_size}, allowed without --data_dir only; leave "
      "it out, the dataset has its own"
    )
  dataset = built_dataset.open_dataset(data_dir, config or "jpeg")
  faces = input_pipeline.sample_faces(dataset, "train", count)
  return np.resize(faces, (count, *faces.shape[1:]))


def measure(images: np.ndarray, *, rounds: int) -> dict[str, Any]:
  """Measures every way in turn.

  Args:
    images: uint8[batch, size, size, 3], the batch that all change.
    rounds: timed passes of the batch through each way.

  Returns:
    Images a second of each way (median of the rounds); how many times as many
    ours does as each of the others (median of the rounds' ratios), and the
    ratios of all rounds; what was measured, and where.
  """
  on_device = tf.constant(images)
  ways = {name: tf.function(way) for name, way in _ways(len(images)).items()}
  seconds: dict[str, list[float]] = {name: [] for name in ways}
  for way in ways.values():
    _seconds(way, on_device)  # Traced, compiled.
  for number in tqdm.trange(rounds, unit=" rounds", desc="Augmentation"):
    # The one that comes first changes: what a round leaves behind (clock,
    # caches) shall not always help the same.
    order = list(ways)
    for name in order if number % 2 else reversed(order):
      seconds[name].append(_seconds(ways[name], on_device))
  ratios = {
    name: [a / b for a, b in zip(seconds[name], seconds["ours"], strict=True)]
    for name in ways
    if name != "ours"
  }
  gpus = tf.config.list_logical_devices("GPU")
  return {
    "preset": _PRESET,
    "image_size": images.shape[1],
    "batch_size": len(images),
    "rounds": rounds,
    "device": gpus[0].name if gpus else "CPU",
    "images_per_second": {
      name: len(images) / statistics.median(times)
      for name, times in seconds.items()
    },
    "ratio_to_projective": statistics.median(ratios["projective"]),
    "ratio_to_stacked": statistics.median(ratios["stacked"]),
    "ratios": ratios,
  }


def _seconds(way: _Way, images: tf.Tensor) -> float:
  start = time.perf_counter()
  # A GPU has finished only once a number of the result is here.
  float(way(images)[-1, -1, -1, -1])
  return time.perf_counter() - start


def _ways(batch_size: int) -> dict[str, _Way]:
  """Returns uint8[batch, h, w, 3] -> float32 of the same shape, by name."""
  settings = augment.PRESETS[_PRESET]
  layer = augment.Augment(settings, seed=0)
  numbers = np.arange(batch_size, dtype=np.int64)
  keys = tf.constant(np.stack([np.zeros_like(numbers), numbers], axis=1))
  layers = _stacked_layers(settings)

  def projective(images: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(images)[1:3]
    return tf.raw_ops.ImageProjectiveTransformV3(
      images=tf.cast(images, tf.float32),
      transforms=layer.matrices(keys, shape[0], shape[1]),
      output_shape=shape,
      fill_value=0.0,
      interpolation="BILINEAR",
      fill_mode="NEAREST",
    )

  def stacked(images: tf.Tensor) -> tf.Tensor:
    changed = tf.cast(images, tf.float32)
    for each in layers:
      changed = each(changed, training=True)
    return changed

  return {
    "ours": lambda images: layer(images, keys, training=True),
    "projective": projective,
    "stacked": stacked,
  }


def _stacked_layers(
  settings: augment.AugmentSettings,
) -> Sequence[keras.layers.Layer]:
  shift, zoom = settings.shift, settings.zoom
  turn = settings.rotation / 360  # Keras counts in full turns.
  fill: dict[str, Any] = {"fill_mode": "nearest", "seed": 0}
  return [
    keras.layers.RandomFlip("vertical", seed=0),
    keras.layers.RandomTranslation(shift, shift, **fill),
    keras.layers.RandomRotation(turn, **fill),
    keras.layers.RandomZoom((-zoom, zoom), (-zoom, zoom), **fill),
  ]


def text(result: dict[str, Any]) -> str:
  """Returns the figures of `measure` for people."""
  size = result["image_size"]
  lines = [
    f"Augmentation {result['preset']}, batches of {result['batch_size']} of "
    f"{size}x{size} uint8, {result['device']}: median of {result['rounds']} "
    "rounds"
  ]
  for name, speed in result["images_per_second"].items():
    line = f"  {_NAMES[name]:42} {speed:9,.0f} images/s"
    if name in result["ratios"]:
      ratios = result["ratios"][name]
      line += (
        f"; ours {result[f'ratio_to_{name}']:.1f} times as many "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
      )
    lines.append(line)
  return "\n".join(lines)
