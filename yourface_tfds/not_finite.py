"""What is said where a loss is no longer finite: which photos it was."""

from yourface_tfds import (
  batch_buffers,
  batch_reader,
  built_dataset,
  cli,
  fast_input,
  input_pipeline,
  storage,
  train_settings,
)


def error(
  dataset: built_dataset.Dataset,
  settings: train_settings.TrainSettings,
  workdir: storage.Path,
  step: int,
  *,
  write: bool = True,
) -> cli.UserError:
  """Returns the error for a step, after its photos are written down.

  Args:
    dataset: that is trained on.
    settings: of the run.
    workdir: of the run; takes `not_finite.txt`.
    step: of the run.
    write: whether this process writes there.
  """
  steps_per_epoch = -(-dataset.num_examples("train") // settings.batch_size)
  epoch, place = divmod(step, steps_per_epoch)
  photos = train_photos(
    dataset,
    batch_size=settings.batch_size,
    seed=settings.seed,
    epoch=epoch,
    step=place,
  )
  path = workdir / "not_finite.txt"
  if write:
    storage.write_text(path, "\n".join([*photos, ""]))
  return cli.UserError(
    f"step {step} (epoch {epoch + 1}, batch {place + 1}): the loss is not "
    f"finite; its photos are in {path} ({', '.join(photos[:2])}, ...); look "
    f"at them, or lower --learning_rate (now {settings.learning_rate:g}); "
    "start in a new --workdir"
  )


def train_photos(
  dataset: built_dataset.Dataset,
  *,
  batch_size: int,
  seed: int,
  epoch: int,
  step: int,
) -> list[str]:
  """Returns the photos of a training batch, in order.

  Args:
    dataset: as `input_pipeline.make_for_train` had it.
    batch_size: as it had it, of all workers together.
    seed: as it had it.
    epoch: of the batch.
    step: of the epoch.

  Returns:
    Paths relative to photos/; none where the fast path cannot be taken.
  """
  if input_pipeline.obstacle(dataset, "train")[1]:
    return []
  plan = fast_input.Plan(
    numbers=dataset.numbers("train"),
    batch_size=batch_size,
    seed=seed,
    epoch=epoch,
  )
  reader = dataset.reader("train", batch_reader.ReadSettings())
  buffers = batch_buffers.BatchBuffers(batch_size, dataset.image_size)
  batch = reader.read(plan.records(step), buffers, with_strings=True)
  photos = batch.strings[dataset.layout.strings.index("photo")]
  return [photo.decode("utf-8") for photo in photos]
