"""Where a training runs: what `--strategy` names.

devices = strategies.open_devices("mirrored")   # see `devices`
"""

import tensorflow as tf

from yourface_tfds import cli, devices, quiet, workers

NAMES = ("one", "mirrored", "multi_worker")
"""What `--strategy` allows."""


def open_devices(name: str, *, worker_timeout: float = 60) -> devices.Devices:
  """Returns where to train; before TensorFlow's first operation.

  Args:
    name: one of `NAMES`. one: the first GPU. mirrored: all GPUs of this
      machine. Without any, the processor, or its logical devices. multi_worker:
      the processes that TF_CONFIG names, each with all its GPUs.
    worker_timeout: seconds without an answer after which a worker is gone.

  Raises:
    UserError: there is no such strategy, TF_CONFIG is not as it shall be, or
      its address is taken.
  """
  if name == "one":
    return devices.ONE
  if name == "mirrored":
    with quiet.without_greeting():
      found = tf.config.list_logical_devices(
        "GPU"
      ) or tf.config.list_logical_devices("CPU")
      return devices.Replicas(
        tf.distribute.MirroredStrategy([device.name for device in found])
      )
  if name == "multi_worker":
    return workers.open_workers(worker_timeout)
  raise cli.UserError(f"--strategy: got {name!r}, allowed: {', '.join(NAMES)}")
