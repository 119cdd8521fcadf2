"""A model in training: its steps, its phases, and where it stands.

trainer = trainer.Trainer(dataset, settings)
trainer.train_on(batches)
trainer.sums.figures()
"""

from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf

from yourface_tfds import (
  augment,
  built_dataset,
  devices,
  input_pipeline,
  losses,
  mixing,
  models,
  phases,
  quiet,
  running_sums,
  stopping,
  train_settings,
  whole_batch,
)

READ = input_pipeline.ReadSettings(verify="always")
"""Each time: 3 us a face, and what a disk loses while it trains is noticed."""


class Trainer:
  """A model, its optimizer and how far they have come.

  Attributes:
    step: steps done, of the whole run.
    sums: of the epoch in progress, of all devices; each has them.
    devices: that it trains on.
    model, optimizer: the optimizer is of the phase that `step` is in.
    steps_per_epoch: batches of the train split, the last one may be smaller.
  """

  def __init__(
    self,
    dataset: built_dataset.Dataset,
    settings: train_settings.TrainSettings,
    where: devices.Devices = devices.ONE,
    data_service: str = "",
  ) -> None:
    """Builds the model.

    Args:
      dataset: with a train split.
      settings: of the run.
      where: the devices to train on.
      data_service: see `input_pipeline.make_for_train`.

    Raises:
      UserError: the weights cannot be had, or the batch not be divided.
    """
    where.check(settings.batch_size)
    keras.utils.set_random_seed(settings.seed)
    self.dataset = dataset
    self.settings = settings
    self.step = 0
    self.devices = where
    self._data_service = data_service
    with where.scope():
      self.sums = running_sums.RunningSums()
      self._validation = running_sums.RunningSums()
      self._asked = tf.Variable(0.0, trainable=False)
      self.model = models.build_model(
        settings.model_settings(), settings.policy
      )
    where.prepare(self.model)
    where.part_seeds(self.model.variables)
    # Each image is mixed with the one before it, which another device may have.
    self._with_neighbour = where.replicas > 1 and settings.mix != "none"
    examples = dataset.num_examples("train")
    self.steps_per_epoch = -(-examples // settings.batch_size)
    self._augment = _augmentation(settings)
    self._weights = None
    if settings.class_weights:
      counts = input_pipeline.class_counts(dataset, "train")
      self._weights = losses.class_weights(counts)
    self._to_validate: dict[str | None, tf.data.Dataset] = {}
    self._phases = phases.plan(settings)
    self._eval_step = tf.function(
      where.each(self._evaluate), reduce_retracing=True
    )
    self._enter(self._phases[0])

  @property
  def epoch(self) -> int:
    """Whole epochs done."""
    return self.step // self.steps_per_epoch

  def seek(self, step: int) -> None:
    """Goes to after a step: what is restored next is of that step's phase."""
    self.step = step
    self._enter(self._phase(max(step - 1, 0)))

  def _phase(self, step: int) -> phases.Phase:
    epoch = step // self.steps_per_epoch
    for phase in self._phases:
      if epoch < phase.stop:
        return phase
    return self._phases[-1]

  def _enter(self, phase: phases.Phase) -> None:
    self._current = phase
    if models.can_fine_tune(self.settings.model_settings()):
      models.set_fine_tuning(self.model, on=phase.fine_tuning)
    with self.devices.scope():
      self.optimizer = phases.make_optimizer(
        self.settings, phase, self.steps_per_epoch
      )
      self.optimizer.build(self.model.trainable_variables)
    self.devices.summed_before(self.optimizer)
    # What is trained is part of the graph.
    self._train_step = tf.function(
      self.devices.each(self._train), reduce_retracing=True
    )

  def _train(
    self, batch: losses.Batch, step: tf.Tensor, asked: tf.Tensor
  ) -> None:
    """Trains one device on its rows of a batch."""
    settings = self.settings
    epoch = step // self.steps_per_epoch
    begin = step % self.steps_per_epoch * settings.batch_size
    count = tf.shape(batch["image"], tf.int64)[0]
    if self.devices.replicas > 1:
      left = self.dataset.num_examples("train") - begin
      count = tf.minimum(left, settings.batch_size)
    first, stop = self.devices.share(count)
    rows = tf.range(first, stop)
    if self._with_neighbour:
      rows = tf.concat([[(first - 1) % count], rows], 0)
    keys = tf.stack([tf.fill(tf.shape(rows), epoch), begin + rows], axis=1)
    images = self._augment(batch["image"], keys, training=True)
    images, targets = whole_batch.mix(
      images,
      losses.targets(batch),
      mix=lambda images, targets: mixing.mix(
        images,
        targets,
        seed=settings.seed,
        step=step,
        settings=settings.mix_settings(),
      ),
      rows=(first, stop, count) if self._with_neighbour else None,
    )
    if self._with_neighbour:
      batch = {name: tensor[1:] for name, tensor in batch.items()}
    with tf.GradientTape() as tape:
      probabilities = self.model(images, training=True)
      each = losses.head_losses(
        targets,
        probabilities,
        weights=self._weights,
        label_smoothing=settings.label_smoothing,
      )
      each = whole_batch.weigh(each, targets, self.devices)
      scaled = self.optimizer.scale_loss(tf.add_n(list(each.values())))
    variables = self.model.trainable_variables
    gradients = self.devices.total(tape.gradient(scaled, variables))
    self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    if self.devices.are_several:
      (asked,) = self.devices.total([asked + 0.0])
      self._asked.assign(asked)
    whole = whole_batch.join(batch, each, probabilities, count, self.devices)
    self.sums.add(*whole, step)

  def _evaluate(self, batch: losses.Batch, count: tf.Tensor) -> None:
    """Adds one device's rows of a batch of `count` rows."""
    probabilities = self.model(
      tf.cast(batch["image"], tf.float32), training=False
    )
    targets = losses.targets(batch)
    each = losses.head_losses(targets, probabilities)
    each = whole_batch.weigh(each, targets, self.devices)
    whole = whole_batch.join(batch, each, probabilities, count, self.devices)
    self._validation.add(*whole, tf.constant(0, tf.int64))

  def batches(self) -> Iterator[losses.Batch]:
    """Yields the batches from here to the end of the last epoch."""

    def make(
      context: tf.distribute.InputContext | None, device: str | None
    ) -> tf.data.Dataset:
      dataset = input_pipeline.make_for_train(
        self.dataset,
        batch_size=self.settings.batch_size // self.devices.replicas,
        seed=self.settings.seed,
        epoch=self.epoch,
        epochs=self.settings.epochs - self.epoch,
        start_step=self.step % self.steps_per_epoch,
        input_context=context,
        with_neighbour=self._with_neighbour,
        has_rows=True,
        settings=READ,
        data_service=self._data_service,
      )
      return input_pipeline.to_device(dataset, device)

    return self.devices.batches(make)

  def train_on(self, batches: Iterable[losses.Batch]) -> Iterator[int]:
    """Trains on batches, one at a time; yields the step after each.

    Steps are only started: their figures are in `sums`.
    """
    for batch in batches:
      phase = self._phase(self.step)
      if phase is not self._current:
        self._enter(phase)
      asked = self.devices.are_several and stopping.is_asked()
      self._train_step(
        batch,
        tf.constant(self.step, tf.int64),
        tf.constant(float(asked)),
      )
      self.step += 1
      yield self.step

  def is_asked_to_stop(self) -> bool:
    """Returns whether anybody was, on whichever worker, before this step.

    With several workers all must ask after the same step, and then wait for it.
    """
    if self.devices.are_several:
      return bool(self._asked.numpy())
    return stopping.is_asked()

  def validate(self) -> dict[str, float]:
    """Returns the figures on `validation`: plain cross-entropy, no changes."""
    size = self.settings.batch_size

    def make(
      context: tf.distribute.InputContext | None, device: str | None
    ) -> tf.data.Dataset:
      # The same one each epoch: TensorFlow lets go of a dataset's function only
      # when the process ends, and with it of its buffers, 46 MB of 128 faces.
      if device not in self._to_validate:
        self._to_validate[device] = input_pipeline.make_for_eval(
          self.dataset,
          "validation",
          batch_size=size // self.devices.replicas,
          input_context=context,
          has_rows=True,
        )
      return self._to_validate[device]  # Texts cannot be copied to a GPU.

    self._validation.reset()
    left = self.dataset.num_examples("validation")
    with input_pipeline.plain_errors(self.dataset, "validation"):
      for batch in self.devices.batches(make):
        self._eval_step(batch, tf.constant(min(left, size), tf.int64))
        left -= size
    return self._validation.figures("validation_")


def _augmentation(settings: train_settings.TrainSettings) -> augment.Augment:
  layer = augment.Augment(augment.PRESETS[settings.augment], seed=settings.seed)
  with quiet.without_greeting():  # XLA's, when it first compiles.
    layer(
      tf.zeros([1, 8, 8, 3], tf.uint8),
      tf.zeros([1, 2], tf.int64),
      training=True,
    )
  return layer
