"""Images a second of our input beside other ways to read the same faces.

  names = input_benchmark.ways("raw", peers=[], compare=False)
  result = input_benchmark.measure(source, "raw", names, Settings())

Each way runs in a process of its own. First an epoch is checked: every face
and every label once, or there is no speed. Then one is watched for its memory,
then they are timed in turn: round by round, each once, so that what else the
machine does meets all of them. A ratio is the median of the ratios in each
round.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tqdm

from yourface_tfds import bench_way, cli
from yourface_tfds.peers import peer, registry

FLOOR = "memcpy"
"""The baseline that no way gets below."""

OWN = {"raw": "own_raw", "jpeg": "own_jpeg"}
"""This project's input by encoding."""

_ALSO_OURS = {"raw": "own_raw_verify", "jpeg": "own_jpeg_fast"}
_STOCK = {"raw": "stock_raw", "jpeg": "stock"}
_FFCV = {"raw": "ffcv_raw", "jpeg": "ffcv_jpeg"}
_CACHED_BYTES = 250 << 20  # `DatasetBuilder._should_cache_ds` of TFDS 4.9.10.
_FEW_STEPS = 100  # An epoch; four batches of ours are ready before it starts.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """How it is measured.

  Attributes:
    batch_size: images a batch.
    rounds: timed epochs of each way.
    step_ms: how long a consumer works on a batch, to tell the share of time
      that it waits; 0: not told.
  """

  batch_size: int = 256
  rounds: int = 5
  step_ms: float = 0


def is_ours(name: str) -> bool:
  """Returns whether a peer is this project's own input."""
  return name in OWN.values() or name in _ALSO_OURS.values()


def ways(encoding: str, *, peers: Sequence[str], compare: bool) -> list[str]:
  """Returns the names of the ways to measure.

  Ours and the stock way of each encoding that takes part are always among
  them, and the floor: the ratios need them.

  Args:
    encoding: of the user's dataset.
    peers: those to compare with.
    compare: whether to compare with all, where `peers` names none.

  Raises:
    UserError: there is no such peer.
  """
  for name in peers:
    if name not in registry.PEERS:
      raise cli.UserError(
        f"--peers: got {name!r}, allowed: {', '.join(registry.PEERS)}"
      )
  others = list(peers) or (list(registry.PEERS) if compare else [])
  wanted = {FLOOR, *others}
  for one in {encoding} | encodings(others):
    wanted |= {OWN[one], _ALSO_OURS[one], _STOCK[one]}
  return [name for name in registry.PEERS if name in wanted]


def encodings(names: Iterable[str]) -> set[str]:
  """Returns the encodings whose shards these ways need."""
  return {registry.PEERS[name].encoding for name in names if name != FLOOR}


def measure(
  source: peer.Source,
  encoding: str,
  names: Sequence[str],
  settings: Settings,
) -> dict[str, Any]:
  """Measures ways to read a source.

  Args:
    source: what they read; its folder takes their formats too.
    encoding: whose own figures stand at the top.
    names: from `ways`.
    settings: how.

  Returns:
    What `--json` prints.
  """
  folder = source.folder / "ways"
  folder.mkdir()
  file = source.folder / "source.json"
  file.write_text(source.to_json())
  with contextlib.ExitStack() as stack:
    measured = [bench_way.Way(name, folder, source) for name in names]
    for way in measured:
      stack.callback(way.kill)
    for way in _bar(measured, "Preparing", "ways"):
      way.attempt(way.prepare, file)
    for way in _bar(measured, "Checking", "ways"):
      way.attempt(way.check, file, settings.batch_size)
    _time(measured, settings)
    for way in measured:
      way.attempt(way.end)
  return _result(source, encoding, measured, settings)


def check_ours(result: Mapping[str, Any]) -> None:
  """Raises UserError if our own input did not run."""
  for row in result["ways"]:
    if row["name"] == result["way"] and row["reason"]:
      raise cli.UserError(f"{row['name']} gave no figures: {row['reason']}")


def _bar(items: Iterable[Any], what: str, unit: str) -> Iterable[Any]:
  return tqdm.tqdm(
    items, desc=what, unit=f" {unit}", leave=False, delay=1, smoothing=0
  )


def _time(measured: Sequence[bench_way.Way], settings: Settings) -> None:
  for number in _bar(range(settings.rounds), "Measuring", "rounds"):
    for way in measured:
      # 1 was the epoch that was watched.
      way.attempt(way.time, 2 + number)
  if settings.step_ms:
    stepped = {*OWN.values(), *_STOCK.values()}
    for way in _bar(
      [way for way in measured if way.peer.name in stepped], "Stepping", "ways"
    ):
      way.attempt(way.step, 2 + settings.rounds, settings.step_ms)


def _result(
  source: peer.Source,
  encoding: str,
  measured: Sequence[bench_way.Way],
  settings: Settings,
) -> dict[str, Any]:
  speeds = {way.peer.name: way.speeds for way in measured if not way.reason}
  fastest = {
    one: max(
      (
        name
        for name in speeds
        if registry.PEERS[name].encoding == one
        and name != FLOOR
        and not is_ours(name)
      ),
      key=lambda name: statistics.median(speeds[name]),
      default=None,
    )
    for one in sorted(encodings(speeds))
  }
  rows = [_row(way, source, speeds, fastest) for way in measured]
  own = next(row for row in rows if row["name"] == OWN[encoding])
  top = (
    "images_per_second",
    "ratio_to_stock",
    "ratio_to_memcpy",
    "peak_anonymous_mb",
    "first_batch_ms",
    "first_start_ms",
    "waited_share",
  )
  return {
    "way": own["name"],
    **{key: own[key] for key in top},
    "examples": source.count,
    "image_size": source.size,
    **dataclasses.asdict(settings),
    "fastest_peer": fastest,
    "machine": machine(),
    "mind": _mind(source, settings),
    "ways": rows,
  }


def _row(
  way: bench_way.Way,
  source: peer.Source,
  speeds: Mapping[str, list[float]],
  fastest: Mapping[str, str | None],
) -> dict[str, Any]:
  one = way.peer

  def ratio(baseline: str | None) -> float | None:
    if way.reason or baseline is None or baseline not in speeds:
      return None
    return statistics.median(
      mine / its for mine, its in zip(way.speeds, speeds[baseline], strict=True)
    )

  facts = {} if way.reason else way.facts
  ran = not way.reason
  return {
    "name": one.name,
    "title": one.title,
    "encoding": one.encoding,
    "shuffle": one.shuffle,
    "ours": is_ours(one.name),
    "note": "; ".join(filter(None, (_cached(one, source), one.note))),
    "reason": way.reason,
    "images_per_second": statistics.median(way.speeds) if ran else None,
    "rounds_images_per_second": way.speeds if ran else [],
    "ratio_to_stock": ratio(_STOCK[one.encoding]),
    "ratio_to_memcpy": ratio(FLOOR),
    "ratio_to_ffcv": ratio(_FFCV[one.encoding]),
    "ratio_to_fastest_peer": ratio(fastest.get(one.encoding)),
    "first_batch_ms": statistics.median(way.first_ms) if ran else None,
    **{
      key: facts.get(key)
      for key in (
        "first_start_ms",
        "peak_mb",
        "imported_mb",
        "peak_anonymous_mb",
        "waited_share",
      )
    },
  }


def _cached(one: peer.Peer, source: peer.Source) -> str:
  """Returns what to know of a stock way whose data TFDS keeps in memory."""
  if one.name != _STOCK[one.encoding]:
    return ""
  shards = source.raw_shards if one.encoding == "raw" else source.jpeg_shards
  size = sum(pathlib.Path(shard).stat().st_size for shard in shards)
  # Without the 16 bytes that frame each record.
  if size - 16 * source.count > _CACHED_BYTES:
    return ""
  return "cached in memory by TFDS: below 250 MiB"


def _mind(source: peer.Source, settings: Settings) -> str:
  steps = -(-source.count // settings.batch_size)
  if steps >= _FEW_STEPS:
    return ""
  return (
    f"An epoch has {steps} batches only; up to four of ours wait before it is "
    "asked for, which makes ours look faster than it is. For figures that "
    f"hold, give --examples={_FEW_STEPS * settings.batch_size} or more."
  )


def machine() -> dict[str, Any]:
  """Returns what a figure must be read with: processor, versions, day."""
  return {
    "cores": len(os.sched_getaffinity(0)),
    "cpu": _cpu(),
    "memory_gb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
    "python": platform.python_version(),
    "tensorflow": _version("tensorflow") or _version("tensorflow-cpu"),
    "date": datetime.date.today().isoformat(),
  }


def _cpu() -> str:
  with contextlib.suppress(OSError):
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return platform.processor() or platform.machine()


def _version(package: str) -> str:
  with contextlib.suppress(importlib.metadata.PackageNotFoundError):
    return importlib.metadata.version(package)
  return ""
