"""Proves that every exported file answers as the model that was trained.

python -m export.verify --workdir=W --data_dir=D --export_dir=E

Exit code 1 where one differs by more than is allowed.
"""

import sys

import tqdm
from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  built_dataset,
  calibrated,
  folder_lock,
  gate,
  latency,
  manifest,
  parity,
  parity_ways,
  storage,
  tflite_lib,
)

_WORKDIR = cli.workdir_flag()
_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_EXPORT_DIR = flags.DEFINE_string(
  "export_dir",
  None,
  "The folder that the exports wrote to.",
  required=True,
)
_SPLIT = flags.DEFINE_string(
  "split", None, "Whose faces they are asked about. Default: test."
)
_LATENCY = flags.DEFINE_bool(
  "latency", True, "Whether to measure milliseconds with 1 and 2 threads."
)
_TRUST = cli.trust_flag()
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Compares, prints the tables and writes E/verify.json."""
  cli.no_arguments(argv)
  with folder_lock.from_to(_WORKDIR.value, _EXPORT_DIR.value, "--export_dir"):
    _verify()


def _verify() -> None:
  folder = storage.path(_EXPORT_DIR.value)
  saved_model = folder / gate.SAVED_MODEL
  if saved_model.is_dir():
    manifest.check(saved_model, trust=_TRUST.value, flag="--export_dir")
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  model, _ = calibrated.load_model(_WORKDIR.value, dataset.image_size)
  split = _SPLIT.value or gate.split_of(dataset)
  dataset.num_examples(split)  # A wrong name ends before anything is loaded.
  ways = {}
  if saved_model.is_dir():
    ways = gate.ways_of_saved_model(saved_model, model)
  for kind in tflite_lib.KINDS:
    path = folder / tflite_lib.file_name(kind)
    if path.is_file():
      ways[kind] = parity_ways.tflite(path)
  if not ways:
    raise cli.UserError(
      f"--export_dir: got {folder} with nothing exported in it; run "
      f"python -m export.export_saved_model --workdir={_WORKDIR.value} "
      f"--output_dir={folder}"
    )
  results = parity.compare(model, ways, parity.batches(dataset, split))
  if _LATENCY.value:
    for threads in tqdm.tqdm((1, 2), desc="Measuring latency", unit=" runs"):
      measured = latency.measure(_WORKDIR.value, folder, threads=threads)
      for name, ms in measured.items():
        results[name].setdefault("latency_ms", {})[str(threads)] = ms
  on = {"dataset": dataset.info.full_name, "split": split}
  path = gate.record(folder, results, on, model)
  out = sys.stderr if _JSON.value else sys.stdout
  print(f"{on['dataset']}, {split}:", file=out)
  print(gate.table(results), file=out)
  written = gate.read(folder)
  print("\n" + gate.sizes_and_latency(written["ways"]), file=out)
  print(f"Figures: {path}", file=out)
  if _JSON.value:
    print(cli.dump_json(written))
  found = gate.failures(results)
  if found:
    raise cli.UserError(f"{'; '.join(found)}; export again from this --workdir")
  print(
    f"Next: python -m export.predict --model={folder}/saved_model "
    "--output=card.png PHOTO",
    file=out,
  )


if __name__ == "__main__":
  cli.run(main)
