"""Exports the best model of a run as a SavedModel that takes photos.

python -m export.export_saved_model --workdir=W --output_dir=E

It is compared with the model before it takes its place; one that differs is not
kept.
"""

import pathlib
from collections.abc import Iterable

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  built_dataset,
  calibrated,
  export_lib,
  exported_card,
  folder_lock,
  gate,
  parity,
  serving,
  storage,
  workdir,
)

_WORKDIR = cli.workdir_flag()
_OUTPUT_DIR = cli.output_dir_flag("saved_model/, serving/ and labels.json")
_DATA_DIR = flags.DEFINE_string(
  "data_dir",
  None,
  "The dataset whose faces the export is compared on. Default: the one it was "
  "trained on or, where that is gone, drawn people.",
)
_CONFIG = flags.DEFINE_string(
  "config", None, "With --data_dir: jpeg (the default), raw, or your own."
)
_VERIFY = flags.DEFINE_bool(
  "verify", True, "Whether it is compared with the model."
)
_VERSION = flags.DEFINE_integer(
  "version", 1, "Of the folder for TensorFlow Serving.", lower_bound=1
)


def _photos(image_size: int) -> tuple[gate.Photos, dict[str, str | None]]:
  """Returns what to compare on, and its name."""
  where = (_DATA_DIR.value or "", _CONFIG.value or "jpeg")
  if not _DATA_DIR.value:
    remembered = workdir.remembered_dataset(_WORKDIR.value)
    if not (remembered and storage.path(remembered[0]).is_dir()):

      def drawn() -> Iterable[parity.Batch]:
        return parity.drawn_batches(image_size)

      return drawn, {"dataset": None, "split": parity.DRAWN}
    where = remembered
  dataset = built_dataset.open_dataset(*where)
  if dataset.image_size != image_size:
    raise cli.UserError(
      f"--data_dir: got faces of {dataset.image_size} pixels, allowed: "
      f"{image_size}, the model's; give the --config it was trained on"
    )
  split = gate.split_of(dataset)
  return lambda: parity.batches(dataset, split), {
    "dataset": dataset.info.full_name,
    "split": split,
  }


def main(argv: list[str]) -> None:
  """Writes E/saved_model, E/serving, E/labels.json and E/model_card.md."""
  cli.no_arguments(argv)
  with folder_lock.from_to(_WORKDIR.value, _OUTPUT_DIR.value, "--output_dir"):
    _export()


def _export() -> None:
  out = storage.path(_OUTPUT_DIR.value)
  model, settings = calibrated.load_model(_WORKDIR.value)
  photos, on = _photos(settings.image_size)
  results: gate.Results = {}

  def check(folder: pathlib.Path) -> None:
    nonlocal results
    results = gate.saved_model(folder, model, photos)

  def replace(folder: pathlib.Path) -> None:
    if _VERIFY.value:
      check(folder)
    gate.forget(out, *gate.SIGNATURES)

  path = out / gate.SAVED_MODEL
  export_lib.save_saved_model(model, settings, path, check=replace)
  served = serving.publish(path, out / "serving", _VERSION.value)
  storage.write_text(out / "labels.json", export_lib.labels_json(settings))
  card = exported_card.write(_WORKDIR.value, model, out)
  if results:
    # Last: what verify.json names is wholly there.
    gate.record(out, results, on, model)
    print(f"Compared with the model, on {on['split']}:")
    print(gate.table(results))
  if others := gate.of_other_models(out):
    print(others)
  print(f"Wrote {path} (signatures serving_default, photos, all_faces)")
  print(f"Wrote {served} (the same, as TensorFlow Serving wants it)")
  print(f"Wrote {out / 'labels.json'} and {card}")
  print(
    f"Next: python -m export.predict --model={path} --output=card.png PHOTO"
  )


if __name__ == "__main__":
  cli.run(main)
