"""Trains the three-label model on a built dataset.

python -m training.train --data_dir=D --workdir=W

The same command again continues after the last whole epoch.
"""

from absl import flags

from yourface_tfds import built_dataset, cli, models, train_lib, workdir

_DEFAULT = workdir.TrainSettings()

_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_WORKDIR = cli.workdir_flag()
_MODEL = flags.DEFINE_enum(
  "model", _DEFAULT.model, list(models.BACKBONES), "The backbone."
)
_WEIGHTS = flags.DEFINE_string(
  "weights",
  _DEFAULT.weights,
  "Where the backbone starts: none (random), imagenet (downloaded by Keras) or "
  "the path of a .weights.h5 file. A backbone with weights stays frozen.",
)
_POLICY = flags.DEFINE_enum(
  "policy", _DEFAULT.policy, models.POLICIES, "Precision of the computation."
)
_BATCH_SIZE = cli.batch_size_flag(_DEFAULT.batch_size)
_EPOCHS = flags.DEFINE_integer(
  "epochs", _DEFAULT.epochs, "Passes over the train split.", lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
  "learning_rate", _DEFAULT.learning_rate, "Its peak, after one epoch."
)
_SEED = cli.seed_flag(_DEFAULT.seed)


def main(argv: list[str]) -> None:
  """Trains and says what came out."""
  cli.no_arguments(argv)
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  settings = workdir.TrainSettings(
    model=_MODEL.value,
    weights=_WEIGHTS.value,
    image_size=dataset.image_size,
    margin=dataset.margin,
    min_score=dataset.min_score,
    policy=_POLICY.value,
    batch_size=_BATCH_SIZE.value,
    epochs=_EPOCHS.value,
    learning_rate=_LEARNING_RATE.value,
    seed=_SEED.value,
  )
  result = train_lib.train(dataset, settings, _WORKDIR.value)
  for head in result["unlabelled_heads"]:
    print(
      f"Mind: no photo in train has a known {head}; what the model says of it "
      "means nothing"
    )
  best = result["best"][result["judged_by"]]
  print(
    f"Best epoch: {result['best_epoch']} of {settings.epochs} "
    f"({result['judged_by']} {best:.3f}); figures of all epochs: "
    f"{_WORKDIR.value}/train.json"
  )
  print(
    f"Next: python -m training.evaluate --data_dir={_DATA_DIR.value} "
    f"--config={_CONFIG.value} --workdir={_WORKDIR.value} --split=test"
  )


if __name__ == "__main__":
  cli.run(main)
