"""Trains the 2021 program's network and ours on the same faces, side by side.

python -m training.compare_2021 --data_dir=D --output_dir=O
"""

import sys

from absl import flags

from yourface_tfds import cli, compare_2021, train_settings

_DEFAULT = train_settings.TrainSettings()

_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_OUTPUT_DIR = cli.output_dir_flag("both runs and compare_2021.json")
_EPOCHS = flags.DEFINE_integer(
  "epochs", _DEFAULT.epochs, "Of each, at most.", lower_bound=1
)
_BATCH_SIZE = cli.batch_size_flag(_DEFAULT.batch_size)
_MODEL = flags.DEFINE_string("model", _DEFAULT.model, "Our network.")
_WEIGHTS = flags.DEFINE_string(
  "weights", _DEFAULT.weights, "Where ours starts."
)
_SEED = cli.seed_flag(_DEFAULT.seed)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Runs both and prints them side by side."""
  cli.no_arguments(argv)
  result = compare_2021.run(
    _DATA_DIR.value,
    _CONFIG.value,
    _OUTPUT_DIR.value,
    flags=(
      f"--epochs={_EPOCHS.value}",
      f"--batch_size={_BATCH_SIZE.value}",
      f"--seed={_SEED.value}",
    ),
    ours=(f"--model={_MODEL.value}", f"--weights={_WEIGHTS.value}"),
    out=sys.stderr if _JSON.value else sys.stdout,
  )
  if _JSON.value:
    print(cli.dump_json(result))
    return
  print(f"\n{compare_2021.table(result)}")
  print(f"\nFigures: {_OUTPUT_DIR.value}/compare_2021.json")


if __name__ == "__main__":
  cli.run(main)
