"""What a peer is, and the faces that every peer prepares its format from.

source = peer.Source.from_json(text)
one = registry.PEERS["ffcv_raw"]
one.missing()                      # "" or why it cannot run here
one.prepare(source, folder)
epoch = one.make(source, folder, 256)
for images, labels in epoch(0):    # whatever arrays the library gives
  ...
"""

import dataclasses
import functools
import importlib
import importlib.util
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

LABELS = ("gender", "job", "face_type")
"""The columns of labels.npy, as `labels.HEADS`."""

ENCODINGS = ("jpeg", "raw")

Epoch = Callable[[int], Iterable[tuple[Any, Any]]]
"""seed -> batches of (images, labels)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """The faces to read, in the forms that peers start from.

  Attributes:
    folder: holds raw.npy, uint8[count, size, size, 3]; jpeg.bin, all JPEGs one
      after the other; jpeg_ends.npy, int64[count], where each ends in it; and
      labels.npy, int64[count, 3], `LABELS`, -1 unknown.
    raw_shards: TFRecord files of plain uint8 faces.
    jpeg_shards: TFRecord files of JPEG faces.
    data_dir: of the dataset that holds both configs.
    raw_config, jpeg_config: their names.
    size: side of the faces, pixels.
    count: how many faces.
    workers: processes or threads of those peers that let one choose.
  """

  folder: pathlib.Path
  raw_shards: tuple[str, ...]
  jpeg_shards: tuple[str, ...]
  data_dir: str
  raw_config: str
  jpeg_config: str
  size: int
  count: int
  workers: int = 2

  @classmethod
  def from_json(cls, text: str) -> "Source":
    """Returns what `to_json` wrote."""
    fields = json.loads(text)
    fields["folder"] = pathlib.Path(fields["folder"])
    for name in ("raw_shards", "jpeg_shards"):
      fields[name] = tuple(fields[name])
    return cls(**fields)

  def to_json(self) -> str:
    """Returns the source as a JSON object."""
    return json.dumps(dataclasses.asdict(self), default=str)

  def raw(self) -> np.ndarray:
    """Returns uint8[count, size, size, 3], mapped from its file."""
    return np.load(self.folder / "raw.npy", mmap_mode="r")

  def labels(self) -> np.ndarray:
    """Returns int64[count, 3], `LABELS`."""
    return np.load(self.folder / "labels.npy")

  def jpegs(self) -> Iterator[bytes]:
    """Yields each JPEG."""
    start = 0
    with (self.folder / "jpeg.bin").open("rb") as file:
      for end in np.load(self.folder / "jpeg_ends.npy").tolist():
        yield file.read(end - start)
        start = end


def _never(source: Source) -> str:
  return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
  """One way to read the faces.

  Attributes:
    name: for flags and files, for example `ffcv_raw`.
    title: for a table.
    encoding: how its format stores pixels, one of `ENCODINGS`.
    shuffle: how well it shuffles, in two or three words.
    modules: what it imports, in this order, NumPy aside.
    prepare: writes its own format into an empty folder, or nothing.
    make: opens (source, folder, batch size) once, for epochs started often.
    note: what a reader of its figures must know.
    columns: which labels it gives; its batches hold one array of each, or one
      array with these columns.
    augments: whether it changes the faces, so that none can be told again.
    refusal: returns why it cannot read this source here, or "".
  """

  name: str
  title: str
  encoding: str
  shuffle: str
  modules: tuple[str, ...]
  prepare: Callable[[Source, pathlib.Path], None]
  make: Callable[[Source, pathlib.Path, int], Epoch]
  note: str = ""
  columns: tuple[str, ...] = LABELS
  augments: bool = False
  refusal: Callable[[Source], str] = _never

  def __post_init__(self) -> None:
    if self.encoding not in ENCODINGS:
      raise ValueError(
        f"encoding of {self.name}: got {self.encoding!r}, allowed: "
        f"{', '.join(ENCODINGS)}"
      )

  def load(self) -> None:
    """Imports its libraries."""
    for module in self.modules:
      importlib.import_module(module)

  def absent(self) -> str:
    """Returns what is not installed, or ""; imports nothing."""
    for module in self.modules:
      top = module.partition(".")[0]
      if importlib.util.find_spec(top) is None:
        return f"no module {top}; training/install_peers.sh installs it"
    return ""

  def missing(self) -> str:
    """Returns why it cannot run on this machine, or "".

    The libraries are imported in a process of their own: they need not bear
    each other.
    """
    return self.absent() or _import_error(
      tuple(module for module in self.modules if module not in sys.modules)
    )


@functools.cache
def _import_error(modules: tuple[str, ...]) -> str:
  if not modules:
    return ""
  run = subprocess.run(
    [sys.executable, "-c", f"import {', '.join(modules)}"],
    stdin=subprocess.DEVNULL,
    capture_output=True,
    encoding="utf-8",
    errors="replace",
  )
  if not run.returncode:
    return ""
  said = run.stderr.strip().rpartition("\n")[-1]
  return f"import {', '.join(modules)}: {said or f'exit {run.returncode}'}"


def nothing(source: Source, folder: pathlib.Path) -> None:
  """Prepares nothing, for peers that read what is there."""
