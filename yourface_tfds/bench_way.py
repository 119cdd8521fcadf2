"""One way of reading while it is measured, step by step.

way = bench_way.Way("own_raw", folder, source)
way.attempt(way.prepare, source_file)
way.attempt(way.check, source_file, 256)
way.attempt(way.time, 1)
way.attempt(way.end)
way.speeds, way.facts   # or way.reason: why it did not get that far
"""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from yourface_tfds import bench_child
from yourface_tfds.peers import peer, registry

# How often its own format takes the stored bytes; float32 are four times uint8.
_COPIES = {"seed_npy": 4, "seed_npy_augmented": 4, "hf_datasets": 2}


class Way:
  """One way: its process, and what came of it.

  Attributes:
    peer: what it reads with.
    reason: why it did not run to its end, or "".
    speeds: images a second of each timed epoch.
    first_ms: from asking for an epoch to its first batch, of each.
    facts: first_start_ms, peak_mb, imported_mb, peak_anonymous_mb (the
      difference) and waited_share.
  """

  def __init__(
    self, name: str, folder: pathlib.Path, source: peer.Source
  ) -> None:
    self.peer = registry.PEERS[name]
    self.reason = ""
    self.speeds: list[float] = []
    self.first_ms: list[float] = []
    self.facts: dict[str, Any] = {}
    self._folder = folder / name
    self._source = source
    self._child: bench_child.Child | None = None

  def attempt(self, work: Callable[..., None], *arguments: Any) -> None:
    """Does a part of the work, unless an earlier part failed."""
    if self.reason:
      return
    try:
      work(*arguments)
    except bench_child.FailedError as error:
      self.reason = str(error)
      self.kill()

  def prepare(self, source_file: pathlib.Path) -> None:
    """Writes its own format."""
    self.reason = self.peer.absent() or self.peer.refusal(self._source)
    if self.reason or self.peer.prepare is peer.nothing:
      return
    self._check_room()
    self._open(source_file, 1, prepare=True).ready()
    self.stop()

  def _check_room(self) -> None:
    name = "raw.npy" if self.peer.encoding == "raw" else "jpeg.bin"
    stored = (self._source.folder / name).stat().st_size
    needed = 1.1 * stored * _COPIES.get(self.peer.name, 1)
    free = shutil.disk_usage(self._source.folder).free
    if needed > free:
      raise bench_child.FailedError(
        f"its files take {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are "
        "free; name another --scratch_dir"
      )

  def _open(
    self, source_file: pathlib.Path, batch_size: int, **settings: Any
  ) -> bench_child.Child:
    self._child = bench_child.Child(
      self.peer.name,
      source_file,
      self._folder,
      batch_size=batch_size,
      **settings,
    )
    return self._child

  def check(self, source_file: pathlib.Path, batch_size: int) -> None:
    """Opens it and looks at an epoch and at its memory."""
    child = self._open(source_file, batch_size)
    child.ready()
    seen = child.ask("check")
    columns = [peer.LABELS.index(name) for name in self.peer.columns]
    labels = self._source.labels().sum(0, dtype=np.int64)[columns].tolist()
    if seen["images"] != self._source.count or seen["seen_once"] is False:
      raise bench_child.FailedError(
        f"incomplete: an epoch gave {seen['images']:,} images, not each of "
        f"{self._source.count:,} once"
      )
    if seen["labels"] != labels:
      raise bench_child.FailedError(
        f"incomplete: its labels sum to {seen['labels']}, those stored to "
        f"{labels}"
      )
    self.facts["first_start_ms"] = seen["first_start_ms"]
    child.ask("watch 1")

  def _ask(self, line: str) -> dict[str, Any]:
    if self._child is None:
      raise bench_child.FailedError("it was not started")
    return self._child.ask(line)

  def time(self, seed: int) -> None:
    """Times an epoch."""
    answer = self._ask(f"epoch {seed}")
    self.speeds.append(answer["images"] / answer["seconds"])
    self.first_ms.append(answer["first_batch_ms"])

  def step(self, seed: int, step_ms: float) -> None:
    """Reads an epoch as a consumer does that works on each batch."""
    answer = self._ask(f"step {seed} {step_ms}")
    self.facts["waited_share"] = answer["waited_share"]

  def end(self) -> None:
    """Ends it; the last that it says is its memory."""
    answer = self._ask("stop")
    peak, imported = answer["peak_anonymous_mb"], answer["imported_mb"]
    self.facts |= {
      "peak_mb": peak,
      "imported_mb": imported,
      "peak_anonymous_mb": peak - imported,
    }
    self.stop()

  def stop(self) -> None:
    """Ends its process, if there is one."""
    if self._child is not None:
      self._child.close()

  def kill(self) -> None:
    """Ends its process at once, if there is one."""
    if self._child is not None:
      self._child.kill()
