"""What a build and a training hold in memory, second by second.

  result = soak.run(["people"], output_dir, out=sys.stderr)
  print(soak.table(result))

Memory is that of a process and its children, without the page cache: what the
system cannot take back; MB are millions of bytes. A process that goes above the
cap is killed, and so are its children.
"""

import contextlib
import html
import itertools
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from yourface_tfds import cli, photos, report_page, report_plots, storage
from yourface_tfds.peers import memory

NAME = "soak.json"
PICTURE_NAME = "soak.html"
STAGES = ("build", "train")

_NOTHING = {"seconds": 0.0, "peak_mb": 0.0}

_SECONDS = 1.0
"""Between two looks."""
_ENDS_WITHIN = 60
"""Seconds after Ctrl-C, in which a training saves its step."""


def run(
  manual_dirs: Sequence[str],
  output_dir: storage.Anywhere,
  *,
  cap_mb: float = 3000,
  epochs: int = 2,
  flags: Sequence[str] = (),
  out: TextIO,
) -> dict[str, Any]:
  """Builds and trains on each folder of photos, one after another.

  Args:
    manual_dirs: as for `tfds build`.
    output_dir: gets soak.json, soak.html and, for each folder, D and W.
    cap_mb: MB that no process and its children may hold together.
    epochs: of each training.
    flags: more flags of `training.train`.
    out: where the commands and their output go.

  Returns:
    What soak.json holds: cap_mb, and of each folder its name, photos, and
    stages with seconds, peak_mb and mb, the MB of each second; of the training
    also epoch_peaks_mb.

  Raises:
    UserError: a command failed, or held more than the cap. What was measured
      until then is written, with the error as `failed`.
  """
  folder = storage.only_local(output_dir, "--output_dir")
  result: dict[str, Any] = {"cap_mb": cap_mb, "runs": []}
  try:
    for number, manual_dir in enumerate(manual_dirs):
      found = len(photos.scan(f"{manual_dir}/photos"))
      one: dict[str, Any] = {"manual_dir": manual_dir, "photos": found}
      one |= {"build": {}, "train": {}}
      result["runs"].append(one)
      place = folder / str(number)
      built = ("tfds", "build", "builders/your_face", "--config=jpeg")
      data_dir = f"--data_dir={place / 'D'}"
      command = [*built, f"--manual_dir={manual_dir}", data_dir]
      _measure(command, cap_mb, out, one["build"])
      trained = ("training.train", f"--workdir={place / 'W'}", data_dir)
      command = [*trained, f"--epochs={epochs}", *flags]
      _measure(command, cap_mb, out, one["train"])
  except (cli.UserError, KeyboardInterrupt) as error:
    result["failed"] = cli.one_line(error)
    raise
  finally:
    if result["runs"]:
      storage.write_text(folder / NAME, cli.dump_json(result) + "\n")
      storage.write_text(folder / PICTURE_NAME, picture(result))
  return result


def _measure(
  command: Sequence[str], cap_mb: float, out: TextIO, told: dict[str, Any]
) -> None:
  """Runs a command and looks at its memory each second.

  Args:
    command: module and flags.
    cap_mb: above which it is killed, with all that it started.
    out: for what it says.
    told: gets what was measured, however it ends.

  Raises:
    UserError: it failed, or held more than the cap.
  """
  tfds = ("-m", "tensorflow_datasets.scripts.cli.main")
  module = tfds if command[0] == "tfds" else ("-m", command[0])
  print(f"\n$ {shlex.join(command)}", file=out, flush=True)
  start = time.monotonic()
  with subprocess.Popen(
    [sys.executable, *module, *command[1:]],
    stdout=subprocess.PIPE,
    stderr=out,
    text=True,
    start_new_session=True,  # So that what it starts can be killed with it.
  ) as process:
    watch = _Watch(process, cap_mb)
    ends = []
    try:
      for line in process.stdout or ():
        if line.startswith("epoch "):
          ends.append(time.monotonic() - start)
        print(line, end="", file=out, flush=True)
      code = process.wait()
    except KeyboardInterrupt:
      # The terminal's Ctrl-C does not reach a session of its own.
      _send(process, signal.SIGINT)
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_ENDS_WITHIN)
      raise
    finally:
      _send(process, signal.SIGKILL)
      watch.end()
      seconds = time.monotonic() - start
      told |= {"seconds": round(seconds, 1), "peak_mb": max(watch.mb)}
      told |= {"mb": watch.mb}
      if ends:
        told["epoch_peaks_mb"] = _peaks(watch.mb, ends, seconds)
  if watch.is_above:
    raise cli.UserError(
      f"{command[0]}: held {watch.mb[-1]:,.0f} MB, allowed: {cap_mb:,.0f} "
      "(--cap_mb); it was killed"
    )
  if code:
    raise cli.UserError(
      f"the command above ended with exit code {code}; mend what it says"
    )


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
  """Sends a signal to a process and all that it started, if there are any."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, number)


class _Watch:
  """Looks at a process's memory from a thread; kills it above the cap."""

  def __init__(self, process: subprocess.Popen[str], cap_mb: float) -> None:
    self.mb = [0.0]
    self.is_above = False
    self._process = process
    self._cap_mb = cap_mb
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._look, daemon=True)
    self._thread.start()

  def _look(self) -> None:
    while not self._ended.wait(_SECONDS):
      held = memory.held_mb(str(self._process.pid))
      if held:
        self.mb.append(round(held, 1))
      if held > self._cap_mb:
        self.is_above = True
        _send(self._process, signal.SIGKILL)
        return

  def end(self) -> None:
    """Stops looking."""
    self._ended.set()
    self._thread.join()


def _peaks(
  mb: Sequence[float], ends: Sequence[float], seconds: float
) -> list[float]:
  """Returns the most that was held in each epoch.

  Args:
    mb: of each look, evenly over the time.
    ends: seconds after the start at which epochs ended.
    seconds: that the process lived.
  """
  places = [0, *(round(end / seconds * len(mb)) for end in ends)]
  return [
    max(mb[start:stop], default=0.0)
    for start, stop in itertools.pairwise(places)
  ]


def table(result: Mapping[str, Any]) -> str:
  """Returns the figures, and how they grow, for people."""
  lines = [
    f"{'photos':>9} {'build':>8} {'MB':>7} {'training':>9} {'MB':>7}  of epochs"
  ]
  for one in result["runs"]:
    build, train = ({**_NOTHING, **one[stage]} for stage in STAGES)
    peaks = " ".join(f"{mb:,.0f}" for mb in train.get("epoch_peaks_mb", ()))
    lines.append(
      f"{one['photos']:>9,} {build['seconds']:>6,.0f} s "
      f"{build['peak_mb']:>7,.0f} {train['seconds']:>7,.0f} s "
      f"{train['peak_mb']:>7,.0f}  {peaks}".rstrip()
    )
  first, last = result["runs"][0], result["runs"][-1]
  is_whole = "failed" not in result
  if last["photos"] > first["photos"] and is_whole:
    for stage in STAGES:
      before, after = first[stage]["peak_mb"], last[stage]["peak_mb"]
      each = (after - before) * 1e6 / (last["photos"] - first["photos"])
      lines.append(
        f"{stage}: {(after / before - 1):+.1%} at "
        f"{last['photos'] / first['photos']:.1f} times the photos, "
        f"{each:,.0f} bytes each"
      )
  if not is_whole:
    lines.append(f"failed: {result['failed']}")
  return "\n".join(lines)


def picture(result: Mapping[str, Any]) -> str:
  """Returns the memory of each second as a page of two plots."""
  parts = []
  for stage, name in zip(STAGES, ("tfds build", "training.train"), strict=True):
    series = [
      report_plots.Line(
        name=f"{one['photos']:,} photos",
        points=[(i, mb / 1000) for i, mb in enumerate(one[stage]["mb"])],
      )
      for one in result["runs"]
      if one[stage]
    ]
    if not series:  # It was not come to.
      continue
    longest = max(len(line.points) for line in series)
    axes = report_plots.Axes(
      x_name="seconds",
      y_name="GB of anonymous memory",
      x=(0.0, float(longest)),
      y=(0.0, result["cap_mb"] / 1000),
    )
    parts.append(report_plots.lines(series, axes, title=name))
  # Wider than in a report: thousands of points a line.
  style = f"{report_page.STYLE}figure {{ width: 640px; }}"
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>Memory, second by second</title><style>{style}</style></head>"
    f"<body><h1>Memory, second by second</h1>{''.join(parts)}"
    f'<pre class="wide">{html.escape(table(result))}</pre></body></html>\n'
  )
