"""How fast photos become crops and crops records, against naive loops.

python -m builders.benchmark_build --manual_dir=M
"""

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from builders.your_face import your_face_dataset_builder
from yourface_tfds import build_benchmark, mtcnn

_MANUAL_DIR = flags.DEFINE_string(
  "manual_dir",
  None,
  "The folder with photos/<person>/ to measure on.",
  required=True,
)
_ROUNDS = flags.DEFINE_integer(
  "rounds", 5, "Times both are measured, in turn.", lower_bound=1
)
_PHOTOS = flags.DEFINE_integer(
  "photos",
  0,
  "How many photos to take, evenly spread; 0: all.",
  lower_bound=0,
)
_JSON = cli.json_flag()


def main(argv: list[str]) -> None:
  """Measures, then prints both rates, the ratio and the share of each stage."""
  cli.no_arguments(argv)
  mtcnn.use_one_thread_per_call()  # As under `tfds build`.
  result = build_benchmark.measure(
    _MANUAL_DIR.value, rounds=_ROUNDS.value, limit=_PHOTOS.value
  )
  for config in your_face_dataset_builder.Builder.BUILDER_CONFIGS:
    result[f"write_{config.name}"] = build_benchmark.measure_write(
      _MANUAL_DIR.value,
      your_face_dataset_builder.features(config.settings),
      config.settings,
      rounds=_ROUNDS.value,
    )
  print(cli.dump_json(result) if _JSON.value else build_benchmark.text(result))


if __name__ == "__main__":
  cli.run(main)
