"""The whole road on drawn people: every command, printed, then run.

python -m yourface_tfds.demo --output_dir=demo_output

The commands are the ones of the README, run as a user would run them; nothing
here knows a shortcut. Run it from the checkout.
"""

import csv
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
from typing import Any

from absl import flags

from yourface_tfds import cli, labels, storage

_OUTPUT_DIR = cli.output_dir_flag("everything it makes")
_PEOPLE = flags.DEFINE_integer("people", 88, "People to draw.", lower_bound=4)
_PHOTOS = flags.DEFINE_integer("photos", 6, "Photos of each.", lower_bound=4)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "To train.", lower_bound=1)
_SEED = cli.seed_flag(1)

_MARKER = ".yourface_demo"


def main(argv: list[str]) -> None:
  """Runs the road and sums up what came out."""
  cli.no_arguments(argv)
  if not pathlib.Path("builders/your_face").is_dir():
    raise cli.UserError(
      f"{pathlib.Path.cwd()} has no builders/your_face; run the demo from the "
      "checkout of the project"
    )
  out = _fresh_folder(storage.only_local(_OUTPUT_DIR.value, "--output_dir"))
  started = time.perf_counter()
  photos, data, run, export = (
    str(out / name) for name in ("photos", "data", "run", "export")
  )
  seed = f"--seed={_SEED.value}"
  _step(
    *("python", "-m", "yourface_tfds.sample_photos", f"--output_dir={photos}"),
    *(f"--people={_PEOPLE.value}", f"--photos={_PHOTOS.value}", seed),
  )
  _step(
    *("tfds", "build", "builders/your_face", "--config=jpeg"),
    *(f"--manual_dir={photos}", f"--data_dir={data}"),
  )
  where = (f"--data_dir={data}", f"--workdir={run}")
  _step("python", "-m", "training.train", *where, f"--epochs={_EPOCHS.value}")
  _step("python", "-m", "training.evaluate", *where)
  _step(
    *("python", "-m", "export.export_saved_model"),
    *(f"--workdir={run}", f"--output_dir={export}"),
  )
  _step(
    "python", "-m", "export.export_tflite", *where, f"--output_dir={export}"
  )
  _step("python", "-m", "export.verify", *where, f"--export_dir={export}")
  photo = _unseen_photo(pathlib.Path(photos), pathlib.Path(data))
  sentence = _step(
    *("python", "-m", "export.predict", f"--model={export}/saved_model"),
    *(f"--output={out}/card.png", str(photo)),
  )
  _sum_up(out, sentence.splitlines()[0], time.perf_counter() - started)


def _fresh_folder(out: pathlib.Path) -> pathlib.Path:
  """Empties the folder of an earlier demo; refuses any other."""
  if out.exists() and any(out.iterdir()):
    if not (out / _MARKER).exists():
      raise cli.UserError(
        f"--output_dir: {out} is not empty and holds no demo; name another"
      )
    shutil.rmtree(out)
  out.mkdir(parents=True, exist_ok=True)
  (out / _MARKER).touch()
  return out


def _step(program: str, *arguments: str) -> str:
  """Prints a command, runs it, and returns its standard output."""
  print(f"\n$ {shlex.join([program, *arguments])}", flush=True)
  path = pathlib.Path(sys.executable).with_name(program)
  environment = {"PYTHONUNBUFFERED": "1", **os.environ}
  lines = []
  with subprocess.Popen(
    [str(path), *arguments],
    stdout=subprocess.PIPE,
    env=environment,
    encoding="utf-8",
  ) as process:
    for line in process.stdout or ():
      print(line, end="", flush=True)
      lines.append(line)
  if process.returncode:
    raise cli.UserError(
      f"the command above ended with exit code {process.returncode}; mend what "
      "it says and run the demo again"
    )
  return "".join(lines)


def _unseen_photo(photos: pathlib.Path, data: pathlib.Path) -> pathlib.Path:
  """Returns a photo of a person the model never saw, else of the test split."""
  found = sorted(data.glob("your_face/jpeg/*/photos.csv"))
  with found[-1].open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
  for split in ("unseen", "test", "train"):
    for row in rows:
      if row["split"] == split:
        return photos / "photos" / row["path"]
  raise cli.UserError(f"{found[-1]}: no accepted photo; draw more people")


def _sum_up(out: pathlib.Path, sentence: str, seconds: float) -> None:
  print(f"\n{'=' * 72}\n{sentence}\n")
  for path in sorted((out / "run").glob("evaluate_*.json")):
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    shown = "  ".join(
      f"{head} {figures['heads'][head].get('accuracy', float('nan')):.3f}"
      for head in labels.HEADS
    )
    print(
      f"{figures['split']:<7} {shown}   ({figures['examples']} photos of "
      f"{figures['people']} people)"
    )
  print(
    "These are drawings: this shows that the machine works, not how good it is "
    "on people.\n"
  )
  made = {
    "photos": "the drawn people",
    "data/your_face/jpeg": "the dataset: shards and photos.csv",
    "run": "the training run",
    "export/saved_model": "the SavedModel: photo in, answer out",
    "export/your_face_float32.tflite": "the TFLite files, int8 beside it",
    "export/verify.json": "the proof that all of them answer alike",
    "card.png": "the picture",
  }
  for name, text in made.items():
    print(f"  {out / name}  {text}")
  print(f"\nDone in {seconds:.0f} s.")


if __name__ == "__main__":
  cli.run(main)
