"""Peers that run on PyTorch: its DataLoader, and FFCV."""

# PyTorch and FFCV are no part of the project.
# pyright: reportMissingImports=false

import functools
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import PIL.Image

from yourface_tfds.peers import peer


class _JpegFiles:
  """One JPEG file a face, read and decoded one by one."""

  def __init__(self, folder: pathlib.Path, labels: np.ndarray) -> None:
    self._folder = folder
    self._labels = labels

  def __len__(self) -> int:
    return len(self._labels)

  def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    with PIL.Image.open(self._folder / f"{index:08}.jpg") as image:
      return np.array(image), self._labels[index]


class _Rows:
  """Rows of one mapped file, gathered a batch at a time."""

  def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
    self._images = images
    self._labels = labels

  def __len__(self) -> int:
    return len(self._labels)

  def __getitems__(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return self._images[indices], self._labels[indices]


def _loader_epoch(dataset: Any, batch_size: int, **settings: Any) -> peer.Epoch:
  import torch

  generator = torch.Generator()
  loader = torch.utils.data.DataLoader(
    dataset,
    batch_size=batch_size,
    shuffle=True,
    generator=generator,
    **settings,
  )

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    generator.manual_seed(seed)
    yield from loader

  return epoch


def _prepare_files(source: peer.Source, folder: pathlib.Path) -> None:
  for index, data in enumerate(source.jpegs()):
    (folder / f"{index:08}.jpg").write_bytes(data)


def _make_loader(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  return _loader_epoch(
    _JpegFiles(folder, source.labels()),
    batch_size,
    num_workers=source.workers,
    persistent_workers=source.workers > 0,
  )


def _make_memmap(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  import torch

  def tensors(batch: tuple[np.ndarray, np.ndarray]) -> tuple[Any, Any]:
    return torch.from_numpy(batch[0]), torch.from_numpy(batch[1])

  # A plain view: np.memmap gathers the same, but makes memmaps of the copies.
  rows = _Rows(np.asarray(source.raw()), source.labels())
  return _loader_epoch(rows, batch_size, collate_fn=tensors)


class _Samples:
  """The faces as FFCV's writer takes them."""

  def __init__(self, source: peer.Source) -> None:
    self._images = source.raw()
    self._labels = source.labels().tolist()

  def __len__(self) -> int:
    return len(self._labels)

  def __getitem__(self, index: int) -> tuple[Any, ...]:
    return np.asarray(self._images[index]), *self._labels[index]


_BETON = "faces.beton"


def _prepare_ffcv(
  source: peer.Source, folder: pathlib.Path, *, mode: str
) -> None:
  from ffcv.fields import IntField, RGBImageField
  from ffcv.writer import DatasetWriter

  fields: dict[str, Any] = {
    "image": RGBImageField(write_mode=mode, jpeg_quality=95)
  }
  for name in peer.LABELS:
    fields[name] = IntField()
  writer = DatasetWriter(
    str(folder / _BETON), fields, num_workers=source.workers
  )
  writer.from_indexed_dataset(_Samples(source))


def _make_ffcv(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
  from ffcv.loader import Loader, OrderOption
  from ffcv.transforms import ToTensor

  pipelines: dict[str, list[Any]] = {
    "image": [SimpleRGBImageDecoder(), ToTensor()]
  }
  for name in peer.LABELS:
    pipelines[name] = [IntDecoder(), ToTensor()]
  loader = Loader(
    str(folder / _BETON),
    batch_size=batch_size,
    # Numba refuses more threads than there are cores.
    num_workers=min(source.workers, os.cpu_count() or 1),
    order=OrderOption.RANDOM,
    os_cache=True,
    drop_last=False,
    seed=0,
    pipelines=pipelines,
  )

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    loader.next_epoch = seed  # It draws its order from (its seed, this).
    for images, *labels in loader:
      yield images, labels

  return epoch


_FFCV: dict[str, Any] = {
  "shuffle": "global",
  "modules": ("torch", "ffcv.loader", "ffcv.fields", "ffcv.transforms"),
  "make": _make_ffcv,
}

PEERS = (
  peer.Peer(
    name="torch_loader",
    title="torch DataLoader and Pillow",
    encoding="jpeg",
    shuffle="global",
    modules=("torch",),
    prepare=_prepare_files,
    make=_make_loader,
    note="one file a face; its worker processes stay between epochs",
  ),
  peer.Peer(
    name="torch_memmap",
    title="torch DataLoader, one memmap",
    encoding="raw",
    shuffle="global",
    modules=("torch",),
    prepare=peer.nothing,
    make=_make_memmap,
    note="in process, one gather a batch, a new tensor each",
  ),
  peer.Peer(
    name="ffcv_raw",
    title="FFCV, raw",
    encoding="raw",
    prepare=functools.partial(_prepare_ffcv, mode="raw"),
    note="os_cache; gives views of five buffers that it fills again",
    **_FFCV,
  ),
  peer.Peer(
    name="ffcv_jpeg",
    title="FFCV, JPEG",
    encoding="jpeg",
    prepare=functools.partial(_prepare_ffcv, mode="jpg"),
    note="faces encoded again by OpenCV at quality 95; decodes with "
    "libjpeg-turbo's TJFLAG_FASTDCT (and TJFLAG_NOREALLOC), fancy upsampling "
    "left on; os_cache; gives views of five buffers that it fills again",
    **_FFCV,
  ),
)
