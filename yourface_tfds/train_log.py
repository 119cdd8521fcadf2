"""Logs for TensorBoard, which need not be installed to write them."""

from collections.abc import Mapping

import tensorflow as tf

from yourface_tfds import storage, trainer


class TrainLog:
  """Scalars of a run: per epoch the figures, per step the learning rate."""

  def __init__(self, folder: storage.Path) -> None:
    self._writer = tf.summary.create_file_writer(str(folder))

  def step(self, run: trainer.Trainer) -> None:
    """Logs a step."""
    # Every tenth: a rate changes slowly, and each look waits for the device.
    if run.step % 10 == 0:
      rate = float(tf.convert_to_tensor(run.optimizer.learning_rate))
      self._write({"learning_rate": rate}, run.step)

  def epoch(self, run: trainer.Trainer, figures: Mapping[str, float]) -> None:
    """Logs an epoch."""
    self._write(figures, run.step)
    self._writer.flush()

  def _write(self, scalars: Mapping[str, float], step: int) -> None:
    # tf.summary.scalar is part of the package tensorboard; this is what it
    # writes.
    metadata = tf.compat.v1.SummaryMetadata(
      plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    )
    with self._writer.as_default():
      for name, value in scalars.items():
        tf.summary.write(name, tf.constant(value), step, metadata)
