"""Evaluates the best model of a run on splits it was not trained on.

python -m training.evaluate --data_dir=D --workdir=W --split=test,unseen
"""

import sys
from typing import TextIO

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  built_dataset,
  calibrated,
  folder_lock,
  metrics,
  report,
  report_text,
  storage,
  workdir,
)

_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_WORKDIR = cli.workdir_flag()
_SPLIT = flags.DEFINE_list(
  "split",
  ["test", "unseen"],
  "The splits: test holds new photos of known people, unseen people who are in "
  "no other split. Without the flag, those of the two that exist.",
)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Prints a table a split; writes figures, report and model card."""
  cli.no_arguments(argv)
  with folder_lock.writing(_WORKDIR.value, "--workdir"):
    _evaluate()


def _evaluate() -> None:
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  splits = _SPLIT.value
  if not flags.FLAGS["split"].present:
    splits = [split for split in splits if dataset.has_split(split)] or splits
  if not splits:
    raise cli.UserError(
      "--split: got none, allowed: one or more of "
      f"{', '.join(dataset.info.splits)}"
    )
  for split in splits:
    dataset.num_examples(split)  # A wrong name ends before the first figure.
  model, _ = workdir.load_model(_WORKDIR.value, dataset.image_size)
  temperatures = metrics.fit_temperatures(model, dataset)
  calibrated.write(_WORKDIR.value, temperatures)
  results = {}
  for split in splits:
    results[split] = metrics.evaluate(model, dataset, split, temperatures)
    path = f"{_WORKDIR.value}/evaluate_{split}.json"
    storage.write_text(path, cli.dump_json(results[split]))
    print(report_text.table(results[split]), file=_out())
    print(f"Figures: {path}", file=_out())
  whole = report.make(model, dataset, _WORKDIR.value, results, temperatures)
  faces = report.mistaken_faces(dataset, results)
  cards = report.cards(model, dataset, results, temperatures)
  _, page, card = report.write(_WORKDIR.value, whole, faces, cards)
  print(f"Report: {page}", file=_out())
  print(f"Model card: {card}", file=_out())
  if _JSON.value:
    print(cli.dump_json(results))
  print(
    f"Next: python -m export.export_saved_model --workdir={_WORKDIR.value} "
    "--output_dir=E",
    file=_out(),
  )


def _out() -> TextIO:
  # With --json, standard output holds JSON alone.
  return sys.stderr if _JSON.value else sys.stdout


if __name__ == "__main__":
  cli.run(main)
