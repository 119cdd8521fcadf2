"""Runs one peer in its own process, asked line by line.

python -m yourface_tfds.peers.child --peer=P --source=S --folder=F

With --prepare it writes the peer's format into --folder and ends. Without, it
imports the peer's libraries, opens what was prepared, and answers on stdout,
one JSON object a line. Whatever libraries print goes to stderr.

  ->               {"ready": true, "imported_mb": 312.5}
                   or {"ready": false, "reason": "..."}, and it ends
  check            one epoch, looked at:
                   {"images": 300, "labels": [sums of the columns],
                   "mean": mean pixel, "seen_once": true, false or null,
                   "first_batch_ms": 12.1}
  epoch SEED       one epoch, timed from asking for the iterator to its end:
                   {"images": 300, "seconds": 0.2, "first_batch_ms": 12.1}
  watch SEED       the same, while its memory is looked at every 20 ms
  step SEED MS     one epoch, whose consumer sleeps so long after each batch:
                   {"images": 300, "seconds": 0.9, "waited_share": 0.1}
  stop             {"peak_anonymous_mb": 420.1, "imported_mb": 312.5}
                   the peak while opening, check and watch

The first answer with "first_batch_ms" has "first_start_ms" too: from the start
of opening to the first batch, without the time between opening and asking.
"""

import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import numpy as np
from absl import app, flags, logging

from yourface_tfds import quiet
from yourface_tfds.peers import memory, peer, registry

_PEER = flags.DEFINE_string("peer", None, "Which peer.", required=True)
_SOURCE = flags.DEFINE_string(
  "source", None, "JSON file of a peer.Source.", required=True
)
_FOLDER = flags.DEFINE_string(
  "folder", None, "The peer's own folder.", required=True
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", 256, "Images a batch.", lower_bound=1
)
_PREPARE = flags.DEFINE_bool("prepare", False, "Write the folder, and end.")

Answer = dict[str, Any]


def serve(
  one: peer.Peer,
  source: peer.Source,
  folder: pathlib.Path,
  batch_size: int,
  lines: Iterable[str],
  say: Callable[[Answer], None],
) -> None:
  """Opens a peer and answers lines until `stop` or their end."""
  reason = one.absent() or one.refusal(source)
  if not reason:
    try:
      one.load()
    # A library that was built for other versions may raise anything.
    except Exception as error:
      reason = f"{type(error).__name__}: {error}"
  if reason:
    say({"ready": False, "reason": reason})
    return
  imported_mb = memory.held_mb()
  peak = memory.Peak()
  with peak:
    start = time.perf_counter()
    epoch = one.make(source, folder, batch_size)
    opened_ms = 1000 * (time.perf_counter() - start)
  say({"ready": True, "imported_mb": imported_mb})
  is_first = True
  for line in lines:
    command, *arguments = line.split()
    if command == "stop":
      break
    if command in ("check", "watch"):
      with peak:
        answer = _answer(one, source, epoch, command, arguments)
    else:
      # Unwatched: a look takes Python's lock, which some readers live on.
      answer = _answer(one, source, epoch, command, arguments)
    if is_first and "first_batch_ms" in answer:
      answer["first_start_ms"] = opened_ms + answer["first_batch_ms"]
    is_first = False
    say(answer)
  say({"peak_anonymous_mb": peak.mb, "imported_mb": imported_mb})


def _answer(
  one: peer.Peer,
  source: peer.Source,
  epoch: peer.Epoch,
  command: str,
  arguments: list[str],
) -> Answer:
  if command == "check":
    return check(one, source, epoch)
  if command in ("epoch", "watch"):
    return timed(epoch, int(arguments[0]))
  if command == "step":
    return stepped(epoch, int(arguments[0]), float(arguments[1]) / 1000)
  raise ValueError(
    f"Got {command!r}, allowed: check, epoch SEED, watch SEED, step SEED MS, "
    "stop"
  )


def check(one: peer.Peer, source: peer.Source, epoch: peer.Epoch) -> Answer:
  """Reads an epoch and says what was in it, as the module's docstring does."""
  count, pixels = 0, 0.0
  sums = np.zeros(len(one.columns), np.int64)
  seen = set()
  start, first = time.perf_counter(), 0.0
  for images, labels in epoch(0):
    if not count:
      first = time.perf_counter()
    images = np.asarray(images)
    columns = (
      np.stack([np.asarray(column).reshape(-1) for column in labels], 1)
      if isinstance(labels, list | tuple)
      else np.asarray(labels)
    )
    if len(columns) != len(images):
      raise ValueError(f"Got {len(images)} images and {len(columns)} labels")
    count += len(images)
    pixels += float(images.mean(dtype=np.float64)) * len(images)
    sums += columns.astype(np.int64).sum(0)
    if not one.augments:
      seen.update(hash(image.tobytes()) for image in images)
  return {
    "images": count,
    "labels": sums.tolist(),
    "mean": pixels / max(count, 1),
    "seen_once": None
    if one.augments
    else count == source.count and len(seen) == _stored(one, source),
    "first_batch_ms": 1000 * (first - start),
  }


def _stored(one: peer.Peer, source: peer.Source) -> int:
  """Returns how many different faces there are."""
  if one.encoding == "raw":
    return len({hash(image.tobytes()) for image in source.raw()})
  return len({hash(data) for data in source.jpegs()})


def timed(epoch: peer.Epoch, seed: int) -> Answer:
  """Reads an epoch and looks at nothing but lengths."""
  count, first = 0, 0.0
  start = time.perf_counter()
  for images, _ in epoch(seed):
    if not count:
      first = time.perf_counter()
    count += len(images)
  end = time.perf_counter()
  return {
    "images": count,
    "seconds": end - start,
    "first_batch_ms": 1000 * (first - start),
  }


def stepped(epoch: peer.Epoch, seed: int, step: float) -> Answer:
  """Reads an epoch as a consumer does that works so many seconds on a batch.

  It sleeps: a step on an accelerator leaves the processor to the input.
  """
  count, waited = 0, 0.0
  start = asked = time.perf_counter()
  for images, _ in epoch(seed):
    waited += time.perf_counter() - asked
    count += len(images)
    time.sleep(step)
    asked = time.perf_counter()
  end = time.perf_counter()
  return {
    "images": count,
    "seconds": end - start,
    "waited_share": (waited + end - asked) / (end - start),
  }


def protocol() -> TextIO:
  """Returns the real stdout; from now on, prints go to stderr."""
  sys.stdout.flush()
  out = os.fdopen(os.dup(1), "w", encoding="utf-8")
  os.dup2(2, 1)
  return out


def run(peers: Mapping[str, peer.Peer], out: TextIO) -> None:
  """Does what the flags ask for, with one of these peers."""
  if _PEER.value not in peers:
    raise app.UsageError(
      f"--peer: got {_PEER.value!r}, allowed: {', '.join(peers)}"
    )
  one = peers[_PEER.value]
  source = peer.Source.from_json(pathlib.Path(_SOURCE.value).read_text())
  folder = pathlib.Path(_FOLDER.value)

  def say(answer: Answer) -> None:
    print(json.dumps(answer), file=out, flush=True)

  if not _PREPARE.value:
    serve(one, source, folder, _BATCH_SIZE.value, sys.stdin, say)
    return
  reason = one.absent() or one.refusal(source)
  if not reason:
    folder.mkdir(parents=True, exist_ok=True)
    one.prepare(source, folder)
  say({"prepared": not reason, **({"reason": reason} if reason else {})})


def main(argv: list[str]) -> None:
  """Serves one peer of the registry."""
  if argv[1:]:
    raise app.UsageError(f"Got {argv[1:]}, allowed: flags")
  quiet.install()
  logging.set_verbosity(logging.WARNING)
  run(registry.PEERS, protocol())


if __name__ == "__main__":
  app.run(main)
