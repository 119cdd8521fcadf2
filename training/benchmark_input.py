"""How fast the input is, beside TFDS, a plain copy and other libraries.

python -m training.benchmark_input --data_dir=D
python -m training.benchmark_input --data_dir=D --train_models=small_cnn
"""

import pathlib
import sys
import tempfile

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  bench_source,
  built_dataset,
  input_benchmark,
  input_report,
  step_benchmark,
  storage,
  train_settings,
)

_DEFAULT = input_benchmark.Settings()

_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_SPLIT = flags.DEFINE_string(
  "split", "train", "The split to read, or a slice of one: train[:10%]."
)
_BATCH_SIZE = cli.batch_size_flag(_DEFAULT.batch_size)
_EXAMPLES = flags.DEFINE_integer(
  "examples",
  0,
  "How many faces to read: the first of the split, or all of them again and "
  "again until there are so many; 0: the split as it is.",
  lower_bound=0,
)
_ROUNDS = flags.DEFINE_integer(
  "rounds", _DEFAULT.rounds, "Timed epochs of each way.", lower_bound=1
)
_COMPARE = flags.DEFINE_bool(
  "compare",
  False,
  "Measure other libraries too, those that training/install_peers.sh could "
  "install.",
)
_PEERS = flags.DEFINE_list(
  "peers",
  [],
  "Compare with these only, by name, for example ffcv_raw,dali. Ours, "
  "tfds.load and memcpy are always measured.",
)
_STEP_MS = flags.DEFINE_float(
  "step_ms",
  _DEFAULT.step_ms,
  "Also measure which share of the time a consumer waits that works so many "
  "milliseconds on each batch; 0: do not.",
  lower_bound=0,
)
_SCRATCH_DIR = flags.DEFINE_string(
  "scratch_dir",
  None,
  "A folder with room for copies of the faces in every format that is read; "
  "they are removed at the end. Default: the system's temporary folder.",
)
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir",
  None,
  "The folder to write benchmark_input.json and benchmark_input.png to.",
)
_TRAIN_MODELS = flags.DEFINE_list(
  "train_models",
  None,
  "Also measure a training step of these models, with this input against one "
  "cached batch; '': do not. Default: the default model if there is a GPU.",
)
_TRAIN_STEPS = flags.DEFINE_integer(
  "train_steps", 50, "Training steps a round.", lower_bound=1
)
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
  "train_batch_size",
  train_settings.TrainSettings().batch_size,
  "Images a training step.",
  lower_bound=1,
)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Measures, prints the table and writes what was asked for."""
  cli.no_arguments(argv)
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  trained = step_benchmark.all_settings(
    dataset, _TRAIN_MODELS.value, _TRAIN_BATCH_SIZE.value
  )
  encoding = "raw" if dataset.is_raw else "jpeg"
  names = input_benchmark.ways(
    encoding, peers=_PEERS.value, compare=_COMPARE.value
  )
  if _SCRATCH_DIR.value:
    scratch_dir = storage.only_local(_SCRATCH_DIR.value, "--scratch_dir")
    scratch_dir.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    prefix="benchmark_input.", dir=_SCRATCH_DIR.value
  ) as scratch:
    source = bench_source.make(
      dataset,
      _SPLIT.value,
      pathlib.Path(scratch),
      examples=_EXAMPLES.value,
      encodings=input_benchmark.encodings(names),
    )
    result = input_benchmark.measure(
      source,
      encoding,
      names,
      input_benchmark.Settings(
        batch_size=_BATCH_SIZE.value,
        rounds=_ROUNDS.value,
        step_ms=_STEP_MS.value,
      ),
    )
  words = sys.stderr if _JSON.value else sys.stdout
  print(input_report.table(result), file=words)
  result["train_steps"] = []
  for settings in trained:
    figures = step_benchmark.measure(
      dataset, settings, steps=_TRAIN_STEPS.value, rounds=_ROUNDS.value
    )
    print(f"\n{step_benchmark.text(figures)}", file=words)
    result["train_steps"].append(figures)
  if _JSON.value:
    print(cli.dump_json(result))
  if _OUTPUT_DIR.value:
    paths = input_report.write(result, _OUTPUT_DIR.value)
    print(f"Written: {', '.join(paths)}", file=words)
  elif not _JSON.value:
    print("Written: nothing; --output_dir=O keeps the figures and a picture")
  input_benchmark.check_ours(result)


if __name__ == "__main__":
  cli.run(main)
