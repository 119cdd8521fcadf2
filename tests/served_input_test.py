"""The graph that workers are sent gives the batches of the fast path."""

import numpy as np
import pytest
import tensorflow as tf

from tests import drawn
from yourface_tfds import (
  built_dataset,
  fast_input,
  input_pipeline,
  served_input,
)

_CONFIGS = ("jpeg-image_size_32", "raw-image_size_32")
_PLANS = (
  {"batch_size": 16, "seed": 5, "epochs": 2},
  {"batch_size": 16, "seed": 5, "epochs": 2, "start_step": 3},
  {"batch_size": 16, "seed": 5, "drop_remainder": True},
  {"batch_size": 4, "seed": 1, "workers": 3, "worker": 1},
  {"batch_size": 29, "seed": 1, "workers": 2, "with_neighbour": True},
  # The last step has fewer rows than workers: this one has none.
  {"batch_size": 1, "seed": 1, "workers": 59, "worker": 0},
)


@pytest.fixture(params=_CONFIGS, scope="module")
def dataset(tiny_data_dir, request):
  return built_dataset.open_dataset(tiny_data_dir, request.param)


def _graph(dataset, split="train", **fields):
  plan = fast_input.Plan(numbers=dataset.numbers(split), **fields)
  served = served_input.graph(
    [shard.path for shard in dataset.shards(split)],
    dataset.index(split),
    dataset.layout,
    plan,
    fast_dct=False,
  )
  return plan, served


@pytest.mark.parametrize("fields", _PLANS)
def test_same_as_the_fast_path(dataset, fields):
  plan, served = _graph(dataset, **fields)
  expected = list(
    fast_input.make(
      dataset.reader("train", input_pipeline.ReadSettings()),
      dataset.layout,
      plan,
      with_strings=False,
    )
  )
  got = sorted(served, key=lambda batch: int(batch[served_input.STEP]))
  steps = [int(batch.pop(served_input.STEP)) for batch in got]
  assert steps == list(range(plan.start_step, plan.start_step + len(expected)))
  for ours, theirs in zip(got, expected, strict=True):
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
      assert ours[name].dtype == tensor.dtype
      np.testing.assert_array_equal(ours[name], tensor)


def test_a_slice_of_a_split(dataset):
  plan, served = _graph(dataset, "train[10%:35%]", batch_size=4, seed=2)
  labels = [batch["gender"].numpy() for batch in served]
  whole = dataset.index("train")["labels"][:, 0]
  expected = whole[dataset.numbers("train[10%:35%]").at(np.arange(15))]
  assert sorted(np.concatenate(labels)) == sorted(expected)
  assert len(plan.numbers) == 15


def test_no_thread_tunes_in_a_worker(dataset):
  _, served = _graph(dataset, batch_size=16, seed=0)
  assert served.options().autotune.enabled is False


def test_nothing_of_ours_is_in_the_graph(dataset):
  _, served = _graph(dataset, batch_size=16, seed=0)
  # Python functions would be operations of one of these kinds.
  graph = tf.compat.v1.GraphDef.FromString(
    tf.raw_ops.DatasetToGraphV2(input_dataset=served._variant_tensor).numpy()
  )
  names = {node.op for node in graph.node}
  for function in drawn.functions_of(graph):
    names |= {node.op for node in function.node_def}
  assert "TFRecordDatasetV2" in names
  assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & names


def test_a_damaged_record_is_an_error(tiny_data_dir, tmp_path, dataset):
  shards = [shard.path for shard in dataset.shards("train")]
  row = dataset.index("train")[0]
  content = bytearray(tf.io.gfile.GFile(shards[0], "rb").read())
  content[int(row["offset"]) + 12 + int(row["length"]) // 2] ^= 1
  damaged = tmp_path / "damaged"
  damaged.write_bytes(content)
  plan = fast_input.Plan(numbers=dataset.numbers("train"), batch_size=60)
  served = served_input.graph(
    [str(damaged), *shards[1:]],
    dataset.index("train"),
    dataset.layout,
    plan,
    fast_dct=False,
  )
  with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
    list(served)
