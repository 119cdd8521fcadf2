"""How fast an export answers, beside the way most people would do it.

python -m export.benchmark_photos --workdir=W --model=E/saved_model \
  --photos_dir=M/photos
"""

import random
import sys

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  calibrated,
  manifest,
  photo_benchmark,
  photos,
  storage,
)

_WORKDIR = cli.workdir_flag()
_MODEL = flags.DEFINE_string(
  "model", None, "The SavedModel exported from it.", required=True
)
_PHOTOS_DIR = flags.DEFINE_string(
  "photos_dir", None, "A folder of photos.", required=True
)
_MAX_PHOTOS = flags.DEFINE_integer(
  "max_photos", 192, "So many of them, drawn at random.", lower_bound=1
)
_BATCH_SIZE = cli.batch_size_flag(16)
_ROUNDS = flags.DEFINE_integer(
  "rounds", 5, "How often each way is measured, in turn.", lower_bound=1
)
_NAIVE_PHOTOS = flags.DEFINE_integer(
  "naive_photos", 16, "Photos a round for the slow way.", lower_bound=1
)
_SEED = cli.seed_flag()
_TRUST = cli.trust_flag()
_JSON = cli.json_flag()


def _contents() -> list[bytes]:
  """Returns the bytes of photos that Pillow can read: the slow way uses it."""
  files = photos.scan(storage.only_local(_PHOTOS_DIR.value, "--photos_dir"))
  random.Random(_SEED.value).shuffle(files)
  contents = []
  for file in files:
    try:
      content = file.read()
      photos.decode(content)
    except photos.RejectedError:
      continue
    contents.append(content)
    if len(contents) == _MAX_PHOTOS.value:
      break
  return contents


def main(argv: list[str]) -> None:
  """Measures and prints the figures."""
  cli.no_arguments(argv)
  manifest.check(_MODEL.value, trust=_TRUST.value)
  model, _ = calibrated.load_model(_WORKDIR.value)
  result = photo_benchmark.measure(
    _MODEL.value,
    model,
    _contents(),
    batch_size=_BATCH_SIZE.value,
    rounds=_ROUNDS.value,
    naive_photos=_NAIVE_PHOTOS.value,
  )
  out = sys.stderr if _JSON.value else sys.stdout
  print(photo_benchmark.text(result), file=out)
  if _JSON.value:
    print(cli.dump_json(result))


if __name__ == "__main__":
  cli.run(main)
