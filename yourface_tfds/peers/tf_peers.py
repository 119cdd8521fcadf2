"""Peers that run on TensorFlow: the stock ways, and those of 2021."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from yourface_tfds.peers import peer

_BUFFER = 10_000


def _stock(source: peer.Source, config: str, batch_size: int) -> peer.Epoch:
  import tensorflow_datasets as tfds

  faces: Any = tfds.load(
    f"your_face/{config}", data_dir=source.data_dir, split="train"
  )
  batches = faces.shuffle(_BUFFER).batch(batch_size)

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    for batch in batches:
      yield batch["image"], tuple(batch[name] for name in peer.LABELS)

  return epoch


def _stock_jpeg(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  return _stock(source, source.jpeg_config, batch_size)


def _stock_raw(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  return _stock(source, source.raw_config, batch_size)


def _float_bytes(source: peer.Source) -> int:
  return source.count * source.size**2 * 3 * 4


def _available_bytes() -> int:
  for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
    if line.startswith("MemAvailable:"):
      return int(line.split()[1]) * 1024
  raise RuntimeError("/proc/meminfo: no MemAvailable")


def _too_big(source: peer.Source) -> str:
  needed, available = _float_bytes(source), _available_bytes()
  if needed <= available / 2:
    return ""
  return (
    f"{source.count:,} float32 images take {needed / 1e9:.1f} GB; allowed: "
    f"half of the {available / 1e9:.1f} GB that are free"
  )


def _prepare_npy(source: peer.Source, folder: pathlib.Path) -> None:
  raw = source.raw()
  images = np.lib.format.open_memmap(
    folder / "images.npy", "w+", np.float32, raw.shape
  )
  for start in range(0, len(raw), 1024):
    images[start : start + 1024] = raw[start : start + 1024]
  images.flush()
  np.save(folder / "labels.npy", source.labels())


def _flow(
  folder: pathlib.Path, batch_size: int, **augmentation: Any
) -> peer.Epoch:
  import tensorflow as tf

  images = np.load(folder / "images.npy")
  labels = np.load(folder / "labels.npy")
  generator = tf.keras.preprocessing.image.ImageDataGenerator(**augmentation)

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    batches = generator.flow(images, labels, batch_size=batch_size, seed=seed)
    for _ in range(len(batches)):  # It has no end of its own.
      yield next(batches)

  return epoch


def _make_npy(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  return _flow(folder, batch_size)


def _make_npy_augmented(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  return _flow(
    folder,
    batch_size,
    horizontal_flip=True,
    width_shift_range=0.1,
    height_shift_range=0.1,
    rotation_range=5,
    zoom_range=0.2,
  )


def _class_folders(source: peer.Source) -> list[str]:
  # Unknown first: the index of a folder is its label plus one.
  return [
    f"{label + 1:03}" for label in range(-1, source.labels()[:, 2].max() + 1)
  ]


def _prepare_directory(source: peer.Source, folder: pathlib.Path) -> None:
  for name in _class_folders(source):
    (folder / name).mkdir()
  labels = source.labels()[:, 2]
  for index, data in enumerate(source.jpegs()):
    (folder / f"{labels[index] + 1:03}" / f"{index:08}.jpg").write_bytes(data)


def _make_directory(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  import keras

  batches = keras.utils.image_dataset_from_directory(
    str(folder),
    class_names=_class_folders(source),
    image_size=(source.size, source.size),
    batch_size=batch_size,
    seed=0,
  )

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    for images, indices in batches:
      yield images, (indices - 1,)

  return epoch


_STOCK_NOTE = (
  "tfds.load(...).shuffle(10_000).batch(B), all features, seedless; TFDS "
  "caches decoded images of datasets up to 250 MiB, whose first epoch alone "
  "reads files"
)
_TFDS = ("tensorflow", "tensorflow_datasets")
_NPY: dict[str, Any] = {
  "encoding": "raw",
  "shuffle": "global",
  "modules": ("tensorflow", "tensorflow.keras", "scipy"),
  "prepare": _prepare_npy,
  "refusal": _too_big,
}

PEERS = (
  peer.Peer(
    name="stock",
    title="tfds.load, JPEG",
    encoding="jpeg",
    shuffle="buffer 10,000",
    modules=_TFDS,
    prepare=peer.nothing,
    make=_stock_jpeg,
    note=_STOCK_NOTE,
  ),
  peer.Peer(
    name="stock_raw",
    title="tfds.load, raw",
    encoding="raw",
    shuffle="buffer 10,000",
    modules=_TFDS,
    prepare=peer.nothing,
    make=_stock_raw,
    note=_STOCK_NOTE,
  ),
  peer.Peer(
    name="seed_npy",
    title="NPY and ImageDataGenerator",
    make=_make_npy,
    note="all images as float32 in memory; gives float32, not augmented",
    **_NPY,
  ),
  peer.Peer(
    name="seed_npy_augmented",
    title="NPY and ImageDataGenerator, augmenting",
    make=_make_npy_augmented,
    note="the same with flip, shift .1, rotation 5 degrees and zoom .2",
    augments=True,
    **_NPY,
  ),
  peer.Peer(
    name="image_directory",
    title="image_dataset_from_directory",
    encoding="jpeg",
    shuffle="files once, then 8 batches",
    modules=("tensorflow", "keras"),
    prepare=_prepare_directory,
    make=_make_directory,
    note="one label (face_type, one folder a class); gives float32; its "
    "TensorFlow decoder uses the fast DCT; its seed is fixed",
    columns=("face_type",),
  ),
)
