"""Batches by TensorFlow's own operations, where shards cannot be mapped.

For shards on network storage or compressed ones, and for tf.data service, which
ships a dataset to other processes. Tuned: records are shuffled while still
serialized (a JPEG face is 11 kB, decoded 67.5 kB), and each batch is parsed and
decoded in one call, which beats `tfds.load` about 1.8 times.
"""

from collections.abc import Sequence

import tensorflow as tf

from yourface_tfds import fast_input, record_index

SHUFFLE_BUFFER = 10_000
"""Records held for shuffling: 110 MB of JPEG, 675 MB of raw faces."""


def make(
  parts: Sequence[tuple[str, int, int]],
  layout: record_index.Layout,
  plan: fast_input.Plan,
  *,
  compression: str,
  with_strings: bool,
  fast_dct: bool,
) -> tf.data.Dataset:
  """Returns the batches of a plan, shuffled through a buffer.

  Args:
    parts: file, records to leave out at its start, records to take.
    layout: of the records.
    plan: how many batches, and of which size; its permutation is not used.
    compression: of the files: "", GZIP or ZLIB.
    with_strings: whether the text features are given too.
    fast_dct: as in `batch_reader.ReadSettings`.

  Returns:
    As `fast_input.make`.
  """
  stored = _records(parts, compression)
  if plan.workers > 1:
    stored = stored.shard(plan.workers, plan.worker)

  def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
    records = stored
    if plan.seed is not None:
      size = min(len(plan.numbers), SHUFFLE_BUFFER)
      # Of this graph alone. Else the program's own seed would change the order,
      # and one of 0 fails: TensorFlow compares the pair with (0, 0).
      tf.random.set_seed(1)
      # Else the seed 0 of the first epoch would mean "any".
      records = stored.shuffle(size, (plan.seed << 20) + epoch + 1)
    return records.batch(plan.batch_size, drop_remainder=plan.drop_remainder)

  epochs = tf.data.Dataset.range(plan.epoch, plan.epoch + plan.epochs)
  serialized = epochs.flat_map(one_epoch).skip(plan.start_step)
  count = None if not plan.drop_remainder else plan.batch_size
  batches = _decoded(
    serialized, layout, count, with_strings=with_strings, fast_dct=fast_dct
  )
  return batches.apply(
    tf.data.experimental.assert_cardinality(_batches(plan))
  ).with_options(fast_input.untuned())


def _batches(plan: fast_input.Plan) -> int:
  """Returns how many batches this worker has."""
  mine = len(range(plan.worker, len(plan.numbers), plan.workers))
  if plan.drop_remainder:
    steps = mine // plan.batch_size
  else:
    steps = -(-mine // plan.batch_size)
  return max(0, steps * plan.epochs - plan.start_step)


def _records(
  parts: Sequence[tuple[str, int, int]], compression: str
) -> tf.data.Dataset:
  """Returns serialized examples in stored order.

  Args:
    parts: file, records to leave out at its start, records to take.
    compression: "", GZIP or ZLIB.
  """
  datasets = [
    # A file that is cut short between two records is no error to TensorFlow.
    tf.data.TFRecordDataset(path, compression)
    .skip(skip)
    .take(take)
    .apply(tf.data.experimental.assert_cardinality(take))
    for path, skip, take in parts
  ]
  joined = datasets[0]
  for dataset in datasets[1:]:
    joined = joined.concatenate(dataset)
  return joined


def _decoded(
  serialized: tf.data.Dataset,
  layout: record_index.Layout,
  count: int | None,
  *,
  with_strings: bool,
  fast_dct: bool,
) -> tf.data.Dataset:
  def parsed(examples: tf.Tensor) -> dict[str, tf.Tensor]:
    batch = parse(
      examples, layout, with_strings=with_strings, fast_dct=fast_dct
    )
    for tensor in batch.values():
      tensor.set_shape([count, *tensor.shape[1:]])
    return batch

  # Two calls ahead: more would hold more batches (17 MB of 256 faces each).
  # AUTOTUNE is off the table, see tensorflow#33516 and horovod#4296.
  return serialized.map(
    parsed, num_parallel_calls=2, deterministic=True
  ).prefetch(2)


def parse(
  examples: tf.Tensor,
  layout: record_index.Layout,
  *,
  with_strings: bool = False,
  fast_dct: bool = False,
) -> dict[str, tf.Tensor]:
  """Returns the features of serialized examples.

  Args:
    examples: string[batch].
    layout: of the records.
    with_strings: whether the text features are given too.
    fast_dct: as in `batch_reader.ReadSettings`.

  Returns:
    As `fast_input.make`.
  """
  spec = {name: tf.io.FixedLenFeature([], tf.int64) for name in layout.integers}
  texts = ("image", *(layout.strings if with_strings else ()))
  spec |= {name: tf.io.FixedLenFeature([], tf.string) for name in texts}
  batch = tf.io.parse_example(examples, spec)
  batch["image"] = decode_images(batch["image"], layout, fast_dct=fast_dct)
  names = ("image", *layout.integers, *texts[1:])
  return {name: batch[name] for name in names}


def decode_images(
  encoded: tf.Tensor, layout: record_index.Layout, *, fast_dct: bool = False
) -> tf.Tensor:
  """Decodes a batch of stored images.

  Args:
    encoded: string[batch], JPEG or plain uint8.
    layout: says which of the two, and the size.
    fast_dct: as in `batch_reader.ReadSettings`.

  Returns:
    uint8[batch, size, size, 3], 0..255.
  """
  size = layout.size
  if layout.is_raw:
    pixels = tf.io.decode_raw(encoded, tf.uint8, fixed_length=size * size * 3)
    return tf.reshape(pixels, [-1, size, size, 3])

  def decode(data: tf.Tensor) -> tf.Tensor:
    # INTEGER_ACCURATE equals Pillow's pixels and costs no time; TensorFlow's
    # default is up to two levels off.
    method = "INTEGER_FAST" if fast_dct else "INTEGER_ACCURATE"
    image = tf.io.decode_jpeg(data, 3, dct_method=method)
    return tf.ensure_shape(image, [size, size, 3])

  return tf.map_fn(decode, encoded, fn_output_signature=tf.uint8)
