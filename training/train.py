"""Trains the three-label model on a built dataset.

python -m training.train --data_dir=D --workdir=W

The same command again goes on after the last saved step, bit by bit as if it
had never stopped.
"""

import dataclasses

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  augment,
  built_dataset,
  calibrated,
  data_service,
  folder_lock,
  mixing,
  models,
  strategies,
  train_lib,
  train_settings,
  workdir,
)

_DEFAULT = train_settings.TrainSettings()

_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_WORKDIR = cli.workdir_flag()
_MODEL = flags.DEFINE_enum(
  "model",
  _DEFAULT.model,
  list(models.model_names()),
  "The network: a backbone with three heads, or one of the 2021 ensembles.",
)
_WEIGHTS = flags.DEFINE_string(
  "weights",
  _DEFAULT.weights,
  "Where the backbone starts: none (random), imagenet (downloaded by Keras) or "
  "the path of a .weights.h5 file.",
)
_INPUT_SIZE = flags.DEFINE_integer(
  "input_size",
  _DEFAULT.input_size,
  "The side in pixels that the network works at, scaled inside it; 0: the "
  "dataset's.",
)
_CHANNELS = flags.DEFINE_integer(
  "channels", _DEFAULT.channels, "3: colour; 1: made grey inside the network."
)
_DROPOUT = flags.DEFINE_float(
  "dropout", _DEFAULT.dropout, "Share of features dropped before the heads."
)
_POLICY = flags.DEFINE_enum(
  "policy", _DEFAULT.policy, models.POLICIES, "Precision of the computation."
)
_BATCH_SIZE = cli.batch_size_flag(_DEFAULT.batch_size)
_EPOCHS = flags.DEFINE_integer(
  "epochs", _DEFAULT.epochs, "Passes over the train split.", lower_bound=1
)
_HEAD_EPOCHS = flags.DEFINE_integer(
  "head_epochs",
  _DEFAULT.head_epochs,
  "Of them, those that train the heads alone, on the frozen backbone, before "
  "all is fine-tuned. Only with pretrained weights.",
)
_OPTIMIZER = flags.DEFINE_enum(
  "optimizer", _DEFAULT.optimizer, train_settings.OPTIMIZERS, "The optimizer."
)
_SCHEDULE = flags.DEFINE_enum(
  "schedule",
  _DEFAULT.schedule,
  train_settings.SCHEDULES,
  "The learning rate after the warm-up: falling as a cosine, or constant from "
  "the start.",
)
_WARMUP_EPOCHS = flags.DEFINE_float(
  "warmup_epochs",
  _DEFAULT.warmup_epochs,
  "Epochs over which the learning rate rises.",
)
_LEARNING_RATE = flags.DEFINE_float(
  "learning_rate", _DEFAULT.learning_rate, "Its peak."
)
_FINE_TUNE_RATE = flags.DEFINE_float(
  "fine_tune_rate",
  _DEFAULT.fine_tune_rate,
  "The peak while fine-tuning, as a part of --learning_rate.",
)
_WEIGHT_DECAY = flags.DEFINE_float(
  "weight_decay", _DEFAULT.weight_decay, "Of adamw."
)
_CLIP_NORM = flags.DEFINE_float(
  "clip_norm", _DEFAULT.clip_norm, "The longest gradient; 0: any."
)
_LABEL_SMOOTHING = flags.DEFINE_float(
  "label_smoothing",
  _DEFAULT.label_smoothing,
  "Share of each label that is spread over all classes.",
)
_CLASS_WEIGHTS = flags.DEFINE_bool(
  "class_weights",
  _DEFAULT.class_weights,
  "Whether examples of rare classes weigh more.",
)
_AUGMENT = flags.DEFINE_enum(
  "augment",
  _DEFAULT.augment,
  list(augment.PRESETS),
  "How training images are changed: default (mirrored left to right), 2021 "
  "(as that year's program did, upside down too), none.",
)
_MIX = flags.DEFINE_enum(
  "mix",
  _DEFAULT.mix,
  list(mixing.KINDS),
  "Whether pairs of images, and their labels, are mixed.",
)
_MIX_ALPHA = flags.DEFINE_float(
  "mix_alpha", _DEFAULT.mix_alpha, "The larger, the more evenly they are mixed."
)
_PATIENCE = flags.DEFINE_integer(
  "patience",
  _DEFAULT.patience,
  "Epochs without a lower validation loss after which training ends; 0: it "
  "goes on to the last.",
)
_SEED = cli.seed_flag(_DEFAULT.seed)
_STRATEGY = flags.DEFINE_enum(
  "strategy",
  "one",
  strategies.NAMES,
  "Where to train. one: a single GPU or the processor. mirrored: all GPUs of "
  "this machine. multi_worker: several machines, the same command on each, and "
  "TF_CONFIG says who they are. --batch_size is that of all together. Loss and "
  "BatchNorm are of the whole batch: figures are those of one device up to "
  "rounding, but for dropout, whose random numbers are others.",
)
_WORKER_TIMEOUT = flags.DEFINE_float(
  "worker_timeout",
  60,
  "With multi_worker: seconds without an answer, at the start too, after which "
  "a worker is gone and the others end.",
  lower_bound=1,
)
_DATA_SERVICE = flags.DEFINE_string(
  "data_service",
  "",
  "HOST:PORT of a dispatcher of tf.data service, see `python -m "
  "training.data_service --help`, whose workers read and decode the images. "
  "The result is the same, bit by bit; what does not come is made here.",
)
_SAVE_SECONDS = flags.DEFINE_float(
  "save_seconds",
  60,
  "The state is saved after each epoch, and at least so often within one.",
  lower_bound=0,
)
_DETERMINISTIC = flags.DEFINE_bool(
  "deterministic",
  True,
  "Whether TensorFlow may only use operations that give the same bits each "
  "time. Without it runs repeat nearly, not exactly; on a GPU it is faster.",
)
_TENSORBOARD = flags.DEFINE_bool(
  "tensorboard", False, "Whether to write logs to W/tensorboard."
)

# Those that the dataset decides.
_GIVEN = ("image_size", "margin", "min_score")


def _settings(
  dataset: built_dataset.Dataset,
) -> train_settings.TrainSettings:
  names = [
    field.name
    for field in dataclasses.fields(train_settings.TrainSettings)
    if field.name not in _GIVEN
  ]
  return train_settings.TrainSettings(
    **{name: flags.FLAGS[name].value for name in names},
    **{name: getattr(dataset, name) for name in _GIVEN},
  )


def main(argv: list[str]) -> None:
  """Trains and says what came out."""
  cli.no_arguments(argv)
  # Before TensorFlow's first operation, and opening a dataset has some.
  where = strategies.open_devices(
    _STRATEGY.value, worker_timeout=_WORKER_TIMEOUT.value
  )
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  settings = _settings(dataset)
  address = _DATA_SERVICE.value
  if address:
    address = data_service.check(address)
  result = train_lib.train(
    dataset,
    settings,
    _WORKDIR.value,
    save_seconds=_SAVE_SECONDS.value,
    deterministic=_DETERMINISTIC.value,
    tensorboard=_TENSORBOARD.value,
    where=where,
    data_service=address,
  )
  if not where.is_chief:
    print("Trained; the first worker has the result")
    return
  with folder_lock.writing(_WORKDIR.value, "--workdir"):
    workdir.remember_dataset(_WORKDIR.value, _DATA_DIR.value, _CONFIG.value)
    calibrated.fit(_WORKDIR.value, dataset)
  for head in result["unlabelled_heads"]:
    print(
      f"Mind: no photo in train has a known {head}; what the model says of it "
      "means nothing"
    )
  best = result["best"][result["judged_by"]]
  print(
    f"Best epoch: {result['best_epoch']} of {len(result['history'])} "
    f"({result['judged_by']} {best:.3f}); figures of all epochs: "
    f"{_WORKDIR.value}/train.json"
  )
  print(
    f"Next: python -m training.evaluate --data_dir={_DATA_DIR.value} "
    f"--config={_CONFIG.value} --workdir={_WORKDIR.value}"
  )


if __name__ == "__main__":
  cli.run(main)
