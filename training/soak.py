"""What a build and a training hold in memory, second by second.

  python -m training.soak --manual_dir=M --output_dir=O

Builds M and trains on it, with the stock commands, and kills what holds more
than --cap_mb of anonymous memory. With several --manual_dir, from few photos to
many, it says how memory grows. What follows `--` are flags of training.train.
"""

import sys

from absl import flags

from yourface_tfds import cli, soak

_MANUAL_DIR = flags.DEFINE_multi_string(
  "manual_dir",
  None,
  "As for `tfds build`; again for more photos.",
  required=True,
)
_OUTPUT_DIR = cli.output_dir_flag("datasets, runs, soak.json and soak.html")
_CAP_MB = flags.DEFINE_float(
  "cap_mb", 3000, "MB that a command may hold.", lower_bound=1
)
_EPOCHS = flags.DEFINE_integer("epochs", 2, "Of each training.", lower_bound=1)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Builds, trains and prints what was held."""
  result = soak.run(
    _MANUAL_DIR.value,
    _OUTPUT_DIR.value,
    cap_mb=_CAP_MB.value,
    epochs=_EPOCHS.value,
    flags=argv[1:],
    out=sys.stderr,
  )
  if _JSON.value:
    print(cli.dump_json(result))
  else:
    print(soak.table(result))
  print(
    f"Figures: {_OUTPUT_DIR.value}/{soak.NAME}; plotted: "
    f"{_OUTPUT_DIR.value}/{soak.PICTURE_NAME}",
    file=sys.stderr,
  )


if __name__ == "__main__":
  cli.run(main)
