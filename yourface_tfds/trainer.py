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
  input_pipeline,
  losses,
  mixing,
  models,
  phases,
  quiet,
  running_sums,
  train_settings,
)


class Trainer:
  """A model, its optimizer and how far they have come.

  Attributes:
    step: steps done, of the whole run.
    sums: of the epoch in progress.
    model, optimizer: the optimizer is of the phase that `step` is in.
    steps_per_epoch: batches of the train split, the last one may be smaller.
  """

  def __init__(
    self,
    dataset: built_dataset.Dataset,
    settings: train_settings.TrainSettings,
  ) -> None:
    """Builds the model.

    Args:
      dataset: with a train split.
      settings: of the run.

    Raises:
      UserError: the weights cannot be had.
    """
    keras.utils.set_random_seed(settings.seed)
    self.dataset = dataset
    self.settings = settings
    self.step = 0
    self.sums = running_sums.RunningSums()
    self.model = models.build_model(settings.model_settings(), settings.policy)
    examples = dataset.num_examples("train")
    self.steps_per_epoch = -(-examples // settings.batch_size)
    self._augment = augment.Augment(
      augment.PRESETS[settings.augment], seed=settings.seed
    )
    with quiet.without_greeting():  # XLA's, when it first compiles.
      self._augment(
        tf.zeros([1, 8, 8, 3], tf.uint8),
        tf.zeros([1, 2], tf.int64),
        training=True,
      )
    self._weights = None
    if settings.class_weights:
      counts = input_pipeline.class_counts(dataset, "train")
      self._weights = losses.class_weights(counts)
    self._phases = phases.plan(settings)
    self._validation = running_sums.RunningSums()
    self._eval_step = tf.function(self._evaluate, reduce_retracing=True)
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
    self.optimizer = phases.make_optimizer(
      self.settings, phase, self.steps_per_epoch
    )
    self.optimizer.build(self.model.trainable_variables)
    # What is trained is part of the graph.
    self._train_step = tf.function(self._train, reduce_retracing=True)

  def _train(self, batch: losses.Batch, step: tf.Tensor) -> None:
    settings = self.settings
    epoch = step // self.steps_per_epoch
    first = step % self.steps_per_epoch * settings.batch_size
    places = first + tf.range(
      tf.shape(batch["image"], tf.int64)[0], dtype=tf.int64
    )
    keys = tf.stack([tf.fill(tf.shape(places), epoch), places], axis=1)
    images = self._augment(batch["image"], keys, training=True)
    images, targets = mixing.mix(
      images,
      losses.targets(batch),
      seed=settings.seed,
      step=step,
      settings=settings.mix_settings(),
    )
    with tf.GradientTape() as tape:
      probabilities = self.model(images, training=True)
      each = losses.head_losses(
        targets,
        probabilities,
        weights=self._weights,
        label_smoothing=settings.label_smoothing,
      )
      scaled = self.optimizer.scale_loss(tf.add_n(list(each.values())))
    variables = self.model.trainable_variables
    gradients = tape.gradient(scaled, variables)
    self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    self.sums.add(batch, each, probabilities, step)

  def _evaluate(self, batch: losses.Batch) -> None:
    probabilities = self.model(
      tf.cast(batch["image"], tf.float32), training=False
    )
    each = losses.head_losses(losses.targets(batch), probabilities)
    self._validation.add(batch, each, probabilities, tf.constant(0, tf.int64))

  def batches(self) -> Iterator[losses.Batch]:
    """Yields the batches from here to the end of the last epoch."""
    dataset = input_pipeline.make_for_train(
      self.dataset,
      batch_size=self.settings.batch_size,
      seed=self.settings.seed,
      epoch=self.epoch,
      epochs=self.settings.epochs - self.epoch,
      start_step=self.step % self.steps_per_epoch,
    )
    return iter(input_pipeline.to_device(dataset))

  def train_on(self, batches: Iterable[losses.Batch]) -> Iterator[int]:
    """Trains on batches, one at a time; yields the step after each.

    Steps are only started: their figures are in `sums`.
    """
    for batch in batches:
      phase = self._phase(self.step)
      if phase is not self._current:
        self._enter(phase)
      self._train_step(batch, tf.constant(self.step, tf.int64))
      self.step += 1
      yield self.step

  def validate(self) -> dict[str, float]:
    """Returns the figures on `validation`: plain cross-entropy, no changes."""
    self._validation.reset()
    with input_pipeline.plain_errors():
      for batch in input_pipeline.make_for_eval(
        self.dataset, "validation", batch_size=self.settings.batch_size
      ):
        self._eval_step(batch)
    return self._validation.figures("validation_")
