"""How fast images are augmented, beside ways that TensorFlow and Keras offer.

python -m training.benchmark_augment
python -m training.benchmark_augment --data_dir=D --config=raw
"""

import sys

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import augment_benchmark

_DATA_DIR = flags.DEFINE_string(
  "data_dir",
  None,
  "The folder that `tfds build --data_dir` wrote to, for its faces; default: "
  "random pixels.",
)
_CONFIG = cli.config_flag()
_BATCH_SIZE = cli.batch_size_flag(256)
_IMAGE_SIZE = flags.DEFINE_integer(
  "image_size",
  None,
  "Side of the random images in pixels; not with --data_dir. Default: 150.",
  lower_bound=2,
)
_ROUNDS = flags.DEFINE_integer(
  "rounds", 5, "Timed batches of each way.", lower_bound=1
)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Measures and prints the table."""
  cli.no_arguments(argv)
  images = augment_benchmark.batch(
    _BATCH_SIZE.value,
    image_size=_IMAGE_SIZE.value,
    data_dir=_DATA_DIR.value,
    # Its default is of the dataset that is not always there.
    config=_CONFIG.value if _CONFIG.present else None,
  )
  result = augment_benchmark.measure(images, rounds=_ROUNDS.value)
  words = sys.stderr if _JSON.value else sys.stdout
  print(augment_benchmark.text(result), file=words)
  if _JSON.value:
    print(cli.dump_json(result))


if __name__ == "__main__":
  cli.run(main)
