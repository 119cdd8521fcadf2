"""The 2021 program's training beside ours, on the same faces.

  result = compare_2021.run("D", "jpeg", "O", epochs=30, seed=0)
  print(compare_2021.table(result))

Each is trained and evaluated by the commands a user would give, in processes of
their own, one after the other; what differs is the flags.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from yourface_tfds import cli, labels, storage
from yourface_tfds.peers import memory

WAYS: Mapping[str, tuple[str, ...]] = {
  # Its CNN ensemble at 100x100 in grey, its ImageDataGenerator, Adam; nothing
  # that it did not have.
  "2021": (
    "--model=cnn_ensemble",
    "--input_size=100",
    "--channels=1",
    "--augment=2021",
    "--optimizer=adam",
    "--schedule=constant",
    "--learning_rate=0.001",
    "--clip_norm=0",
    "--label_smoothing=0",
    "--noclass_weights",
  ),
  "ours": (),
}
"""Flags of `training.train` for each."""


def run(
  data_dir: str,
  config: str,
  output_dir: str | os.PathLike[str],
  *,
  flags: Sequence[str] = (),
  ours: Sequence[str] = (),
  out: TextIO = sys.stdout,
) -> dict[str, Any]:
  """Trains and evaluates both.

  Args:
    data_dir: of the dataset.
    config: of the dataset.
    output_dir: takes a workdir for each, and `compare_2021.json`.
    flags: more flags of `training.train`, for both.
    ours: the same, for ours only.
    out: takes what the commands print.

  Returns:
    What `compare_2021.json` holds.

  Raises:
    UserError: one of the commands failed.
  """
  output_dir = storage.path(output_dir)
  result = {}
  for name, own in WAYS.items():
    where = (
      f"--data_dir={data_dir}",
      f"--config={config}",
      f"--workdir={output_dir / name}",
    )
    more = (*own, *flags, *(ours if name == "ours" else ()))
    peak = _command("training.train", *where, *more, out=out)
    _command("training.evaluate", *where, out=out)
    result[name] = _figures(output_dir / name) | {"peak_anonymous_mb": peak}
  storage.write_text(output_dir / "compare_2021.json", cli.dump_json(result))
  return result


def _command(module: str, *arguments: str, out: TextIO) -> float:
  """Prints a command and runs it; returns its peak memory in MB."""
  words = ["python", "-m", module, *arguments]
  print(f"\n$ {shlex.join(words)}", file=out, flush=True)
  # In a session of its own, so that Ctrl-C reaches it once, through us: it
  # saves on the first one and gives up on the second.
  process = subprocess.Popen(
    [sys.executable, *words[1:]], stdout=out, start_new_session=True
  )
  try:
    with memory.Peak(str(process.pid)) as peak:
      process.wait()
  except KeyboardInterrupt:
    process.send_signal(signal.SIGINT)
    process.wait()
    raise
  if process.returncode:
    raise cli.UserError(
      f"the command above ended with exit code {process.returncode}; mend what "
      "it says and run this again, which goes on there"
    )
  return peak.mb


def _figures(workdir: storage.Path) -> dict[str, Any]:
  def read(name: str) -> dict[str, Any]:
    return json.loads((workdir / name).read_text(encoding="utf-8"))

  told = read("train.json")
  return {
    "model": told["settings"]["model"],
    "parameters": told["parameters"],
    "epochs": len(told["history"]),
    "images_per_second": told["images_per_second"],
    "splits": {
      path.stem.removeprefix("evaluate_"): read(path.name)
      for path in sorted(workdir.glob("evaluate_*.json"))
    },
  }


def table(result: Mapping[str, Any]) -> str:
  """Returns the figures side by side."""
  names = list(result)
  rows: list[tuple[str, ...]] = [("", *names)]
  for key, form in (
    ("model", "{}"),
    ("parameters", "{:,}"),
    ("epochs", "{}"),
    ("images_per_second", "{:,.0f}"),
    ("peak_anonymous_mb", "{:,.0f}"),
  ):
    cells = (form.format(result[name][key]) for name in names)
    rows.append((key.replace("_", " "), *cells))
  for split in result[names[0]]["splits"]:
    for head in labels.HEADS:
      cells = (
        _accuracy(result[name]["splits"][split]["heads"][head])
        for name in names
      )
      rows.append((f"{split} {head}", *cells))
    majority = result[names[0]]["splits"][split]
    rows.append(
      (
        f"{split} photos, people",
        f"{majority['examples']}, {majority['people']}",
      )
    )
  widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(3)]
  return "\n".join(
    "  ".join(
      cell.ljust(width) for cell, width in zip(row, widths, strict=False)
    ).rstrip()
    for row in rows
  )


def _accuracy(figures: Mapping[str, Any]) -> str:
  if "accuracy" not in figures:
    return "no known label"
  text = f"{figures['accuracy']:.3f}"
  if figures["interval_95"]:
    low, high = figures["interval_95"]
    text += f" ({low:.3f} to {high:.3f})"
  return f"{text}, majority {figures['majority_baseline']:.3f}"
