"""Tests of strategies, cluster, fast_input's shares and whole_batch."""

import json

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import (
  built_dataset,
  cli,
  cluster,
  devices,
  fast_input,
  input_pipeline,
  labels,
  losses,
  mixing,
  strategies,
  whole_batch,
)

_MEND = (
  ", allowed with --strategy=multi_worker: the addresses of all workers and "
  'which of them this is; set it, say, to {"cluster": {"worker": ["host1:2222"'
  ', "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


def _config(jobs, kind="worker", index=0):
  return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
  ("text", "got"),
  [
    ("", "nothing"),
    ("{", "'{', which is no JSON (Expecting property name enclosed in double "),
    ("[]", "'[]', where a part is missing or wrong"),
    (
      '{"cluster": {}}',
      "'{\"cluster\": {}}', where a part is missing or wrong",
    ),
    (
      _config({"worker": ["a:1"], "ps": ["b:1"]}),
      "the job 'ps' in its cluster",
    ),
    (
      _config({"worker": ["a"]}),
      "the address 'a', which is not host:port",
    ),
    (
      _config({"worker": ["a:²"]}),
      "the address 'a:²', which is not host:port",
    ),
    *(
      (
        _config({"worker": ["a:1", f"b:{port}"]}),
        f"the address 'b:{port}', whose port is not 1 to 65535",
      )
      for port in ("0", "00", "65536", "99999", "9" * 60)
    ),
    (
      _config({"worker": [f"b:{'9' * 5000}"]}),
      f"the address 'b:{'9' * 78}', whose port is not 1 to 65535",
    ),
    (
      _config({"worker": ["a:1"]}, index=1),
      "the task {'type': 'worker', 'index': 1}, which is not in its cluster",
    ),
  ],
)
def test_tf_config_that_cannot_be(monkeypatch, text, got):
  monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(cli.UserError) as caught:
    strategies.open_devices("multi_worker")
  assert str(caught.value).startswith(f"TF_CONFIG: got {got}")
  assert str(caught.value).endswith(_MEND)


def test_the_chief_comes_first(monkeypatch):
  jobs = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
  monkeypatch.setenv("TF_CONFIG", _config(jobs, index=1))
  found = cluster.from_environment()
  assert found.names == ("chief 0 (a:1)", "worker 0 (b:2)", "worker 1 (c:3)")
  assert found.rank == 2


def test_unknown_strategy():
  with pytest.raises(cli.UserError) as caught:
    strategies.open_devices("tpu")
  assert str(caught.value) == (
    "--strategy: got 'tpu', allowed: one, mirrored, multi_worker"
  )


@pytest.mark.parametrize(
  ("size", "give"), [(30, "28 or 32"), (3, "4"), (5, "4 or 8")]
)
def test_batch_that_cannot_be_divided(size, give):
  where = devices.Devices()
  where.replicas = 4
  where.check(32)
  with pytest.raises(cli.UserError) as caught:
    where.check(size)
  assert str(caught.value) == (
    f"--batch_size: got {size}, allowed with 4 replicas: multiples of 4; give "
    f"{give}"
  )


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shares_are_disjoint_or_everything(workers):
  for count in range(1, 20):
    parts = [
      fast_input.share_with_rows(count, worker, workers)
      for worker in range(workers)
    ]
    rows = [row for part in parts for row in range(*part)]
    if count >= workers:
      assert rows == list(range(count))
    else:
      assert rows == list(range(count)) * workers
    for worker, part in enumerate(parts):
      in_graph = fast_input.share_with_rows(
        tf.constant(count, tf.int64), tf.constant(worker, tf.int64), workers
      )
      assert tuple(int(value) for value in in_graph) == part


@pytest.fixture(scope="module")
def dataset(tiny_data_dir):
  return built_dataset.open_dataset(tiny_data_dir, "raw-image_size_32")


def _batches(dataset, path, size, **flags):
  batches = input_pipeline.make_for_train(
    dataset, batch_size=size, seed=4, epochs=2, path=path, **flags
  )
  return [batch["image"].numpy() for batch in batches]


@pytest.mark.parametrize("path", ["fast", "stock"])
@pytest.mark.parametrize(("workers", "size"), [(2, 8), (7, 8)])
def test_each_replica_has_its_rows_and_a_neighbour(
  dataset, path, workers, size
):
  # 60 examples: the last step has 12 of 16 rows, or 4 for 7 replicas.
  alone = _batches(dataset, path, size * workers)
  for worker in range(workers):
    own = _batches(
      dataset,
      path,
      size,
      input_context=tf.distribute.InputContext(workers, worker, workers),
      with_neighbour=True,
      has_rows=True,
    )
    assert len(own) == len(alone)
    for whole, part in zip(alone, own, strict=True):
      start, stop = fast_input.share_with_rows(len(whole), worker, workers)
      assert stop > start
      np.testing.assert_array_equal(part[0], whole[start - 1])
      np.testing.assert_array_equal(part[1:], whole[start:stop])


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_as_in_the_whole_batch(kind):
  rng = np.random.default_rng(0)
  images = rng.uniform(0, 255, [10, 6, 6, 3]).astype(np.float32)
  targets = {"job": rng.uniform(0, 1, [10, 2]).astype(np.float32)}

  def mix(images, targets):
    return mixing.mix(
      images,
      targets,
      seed=1,
      step=5,
      settings=mixing.MixSettings(kind=kind, alpha=1.0),
    )

  whole, whole_targets = mix(tf.constant(images), targets)
  assert np.abs(whole - images).max() > 10
  for first, stop in ((0, 4), (4, 5), (5, 10), (0, 10)):
    which = [(first - 1) % 10, *range(first, stop)]
    part, part_targets = whole_batch.mix(
      tf.constant(images[which]),
      {"job": tf.constant(targets["job"][which])},
      mix=mix,
      rows=tuple(tf.constant(n, tf.int64) for n in (first, stop, 10)),
    )
    np.testing.assert_array_equal(part, whole[first:stop])
    np.testing.assert_array_equal(
      part_targets["job"], whole_targets["job"][first:stop]
    )


class _Recorded(devices.Devices):
  """A replica of several that run one after the other.

  Sums are those that `sums` says, or are only noted.
  """

  def __init__(self, replicas, rank, sums=None):
    self.replicas, self.rank = replicas, rank
    self.sums, self.told = sums, None

  def share(self, count):
    return fast_input.share_with_rows(count, self.rank, self.replicas)

  def speaks(self, count):
    return tf.constant(float(count >= self.replicas or self.rank == 0))

  def total(self, tensors):
    self.told = tensors
    return tensors if self.sums is None else self.sums


def _summed(function, replicas):
  """Returns what each replica gets where all their numbers are summed."""
  told = []
  for rank in range(replicas):
    where = _Recorded(replicas, rank)
    function(where)
    told.append(where.told)
  sums = [tf.add_n(tensors) for tensors in zip(*told, strict=True)]
  return [function(_Recorded(replicas, rank, sums)) for rank in range(replicas)]


@pytest.mark.parametrize("count", [9, 2])
def test_losses_are_those_of_the_whole_batch(count):
  rng = np.random.default_rng(1)
  batch, probabilities = {}, {}
  for head, vocabulary in labels.HEADS.items():
    classes = len(vocabulary.names)
    # Of one head not one label is known to the last replica.
    batch[head] = rng.integers(-1, classes, count)
    batch[head][count * 2 // 3 :] = -1
    answers = rng.uniform(0.1, 1, [count, classes])
    probabilities[head] = np.float32(answers / answers.sum(1, keepdims=True))
  batch = {head: tf.constant(values) for head, values in batch.items()}
  expected = losses.head_losses(losses.targets(batch), probabilities)

  def run(where):
    first, stop = where.share(count)
    own = {head: values[first:stop] for head, values in batch.items()}
    answers = {
      head: tf.constant(values[first:stop])
      for head, values in probabilities.items()
    }
    targets = losses.targets(own)
    return own, answers, targets, losses.head_losses(targets, answers)

  def weigh(where):
    *_, targets, each = run(where)
    return whole_batch.weigh(each, targets, where)

  parts = _summed(weigh, 3)
  for head, loss in expected.items():
    total = float(sum(part[head] for part in parts))
    assert total == pytest.approx(float(loss), rel=1e-6)

  def join(where):
    own, answers, *_ = run(where)
    each = parts[where.rank]
    return whole_batch.join(
      own, each, answers, tf.constant(count, tf.int64), where
    )

  for stored, each, answers in _summed(join, 3):
    for head in labels.HEADS:
      np.testing.assert_array_equal(stored[head], batch[head])
      np.testing.assert_array_equal(answers[head], probabilities[head])
      assert float(each[head]) == pytest.approx(float(expected[head]), rel=1e-6)
