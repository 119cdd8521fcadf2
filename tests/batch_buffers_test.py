"""Tests of batch_buffers: memory comes back when nobody can see it, not before.

New memory is zero and used memory is not: that tells one from the other, which
addresses would not (the system gives the same ones again).
"""

import concurrent.futures
import gc
import mmap
import pickle
import threading
import weakref

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import batch_buffers

_ROWS, _SIDE = 4, 8


def _lend(buffers, rows=_ROWS, tag=1):
  """Returns an array full of a tag, and whether its memory was used before."""
  array = buffers.lend(rows)
  was_used = bool(array.any())
  array[:] = tag
  return array, was_used


def _used(buffers, count):
  """Returns how many of the next arrays have memory that was used before."""
  held = [_lend(buffers) for _ in range(count)]
  return sum(was_used for _, was_used in held)


def test_arrays_are_images_that_can_be_written():
  buffers = batch_buffers.BatchBuffers(256, 10)
  for rows in (256, 1, 17, 256, 0):
    array = buffers.lend(rows)
    assert array.shape == (rows, 10, 10, 3)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    assert array.flags.c_contiguous
    array[:] = 255
    del array


def test_a_buffer_of_no_images_can_be_lent():
  assert batch_buffers.BatchBuffers(0, 8).lend(0).shape == (0, 8, 8, 3)


def test_larger_batches_than_agreed_are_refused():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  with pytest.raises(TypeError):
    # As large as a page, which is what a buffer's size is rounded up to.
    buffers.lend(mmap.PAGESIZE)
  assert buffers.lend(_ROWS).shape[0] == _ROWS


def test_every_array_begins_where_tensorflow_wants_it():
  for rows, side in [(1, 1), (3, 7), (256, 10), (5, 150)]:
    buffers = batch_buffers.BatchBuffers(rows, side)
    for _ in range(3):
      held = [buffers.lend(count) for count in (rows, 1, rows)]
      assert all(array.ctypes.data % 64 == 0 for array in held)
      held.clear()


def test_memory_is_used_again_once_the_array_is_gone():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  array, was_used = _lend(buffers)
  assert not was_used
  address = array.ctypes.data
  other, was_used = _lend(buffers)
  assert not was_used
  assert not np.shares_memory(array, other)
  del array
  array, was_used = _lend(buffers)
  assert was_used
  assert array.ctypes.data == address


def test_a_smaller_array_gives_back_a_whole_buffer():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  array, _ = _lend(buffers, tag=9)
  address = array.ctypes.data
  for rows in (1, 3, 2):
    del array
    array = buffers.lend(rows)
    assert array.ctypes.data == address
  del array
  array = buffers.lend(_ROWS)
  assert array.ctypes.data == address
  assert (array == 9).all()


_VIEWS = {
  "slice": lambda array: array[1:],
  "one image": lambda array: array[2],
  "slice of a slice": lambda array: array[1:][1:][..., 0],
  "reshaped": lambda array: array.reshape(-1),
  "transposed": lambda array: array.T,
  "backwards": lambda array: array[::-1, ::-1],
  "of another type": lambda array: array.reshape(-1).view(np.uint32),
  "of a class": lambda array: array.view(np.recarray)[1:],
  "memoryview": lambda array: memoryview(array),
  "of a memoryview": lambda array: np.asarray(memoryview(array)[1:]),
  "from its buffer": lambda array: np.frombuffer(array, np.uint8, 10, 5),
  "by DLPack": lambda array: np.from_dlpack(array),
  "broadcast": lambda array: np.broadcast_to(array, (2, *array.shape)),
  "iterator": lambda array: iter(array),
  "in an object": lambda array: {"image": [array]},
}


@pytest.mark.parametrize("kind", _VIEWS)
def test_a_view_keeps_the_memory(kind):
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  array, _ = _lend(buffers)
  view = _VIEWS[kind](array)
  del array
  assert _used(buffers, 1) == 0
  # What that one gave back, and no more.
  assert _used(buffers, 2) == 1
  del view
  assert _used(buffers, 4) == 3


def test_copies_do_not_keep_the_memory():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  array, _ = _lend(buffers, tag=5)
  copies = [array.copy(), array[[0, 1]], pickle.loads(pickle.dumps(array))]
  copies.append(tf.constant(array).numpy())
  del array
  assert _used(buffers, 1) == 1
  assert all((copy == 5).all() for copy in copies)


def test_an_error_gives_the_memory_back():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)

  def fail():
    array, _ = _lend(buffers)
    raise ValueError(array.shape)

  with pytest.raises(ValueError):
    fail()
  assert _used(buffers, 1) == 1


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_no_more_is_kept_than_asked_for(keep):
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE, keep=keep)
  for _ in range(3):
    held = [_lend(buffers)[0] for _ in range(5)]
    held.clear()
    assert _used(buffers, 5) == keep


def test_six_are_kept_unless_told():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  held = [_lend(buffers)[0] for _ in range(9)]
  held.clear()
  assert _used(buffers, 9) == 6


def test_memory_outlives_the_buffers_and_then_goes():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  array, _ = _lend(buffers, tag=3)
  spare, _ = _lend(buffers)
  del spare
  reference = weakref.ref(buffers)
  del buffers
  gc.collect()
  assert (array == 3).all()
  del array
  gc.collect()
  assert reference() is None


def _flush():
  """Has TensorFlow drop what it drops only when it calls Python again."""
  list(_mapped(lambda step: step, tf.int64))
  gc.collect()


def _mapped(function, kind, count=1):
  return tf.data.Dataset.range(count).map(
    lambda step: tf.numpy_function(function, [step], kind)
  )


def test_a_tensor_keeps_the_memory_that_it_shares():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE)
  addresses = []

  def read(step):
    array, _ = _lend(buffers, tag=int(step) + 1)
    addresses.append(array.ctypes.data)
    return array

  tensors = list(_mapped(read, tf.uint8, 3))
  _flush()
  # No copy was made: else nothing is tested here.
  shared = [np.asarray(memoryview(tensor)) for tensor in tensors]
  assert [array.ctypes.data for array in shared] == addresses
  del shared
  array, was_used = _lend(buffers)
  held = [array]
  assert not was_used
  while tensors:
    assert [tensor.numpy().max() for tensor in tensors] == [1, 2, 3][
      -len(tensors) :
    ]
    tensors.pop(0)
    _flush()
    used = [_lend(buffers) for _ in range(2)]
    assert [was_used for _, was_used in used] == [True, False]
    held += [array for array, _ in used]


def test_a_dataset_that_runs_on_never_overwrites_a_batch():
  buffers = batch_buffers.BatchBuffers(_ROWS, _SIDE, keep=2)

  def read(step):
    return _lend(buffers, tag=int(step) % 251)[0]

  dataset = tf.data.Dataset.range(300).map(
    lambda step: (step, tf.numpy_function(read, [step], tf.uint8)),
    num_parallel_calls=4,
  )
  held = []
  for step, images in dataset.prefetch(2):
    held.append((int(step), images))
    if int(step) % 3 == 0:
      held.pop(int(step) * 7 % len(held))
    if int(step) % 50 == 0:
      held = held[::2]
    for number, tensor in held[-8:]:
      assert np.unique(tensor).tolist() == [number % 251]
  for number, tensor in held:
    assert np.unique(tensor).tolist() == [number % 251]


_actions = st.lists(
  st.one_of(
    st.tuples(st.just("lend"), st.integers(1, _ROWS)),
    st.tuples(st.just("view"), st.integers(0, 100)),
    st.tuples(st.just("drop"), st.integers(0, 100)),
  ),
  max_size=60,
)


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(actions=_actions, keep=st.integers(0, 4))
def test_two_living_arrays_never_have_one_memory(actions, keep):
  buffers = batch_buffers.BatchBuffers(_ROWS, 2, keep=keep)
  held: list[tuple[int, np.ndarray]] = []
  tag = 0
  for action, number in actions:
    if action == "lend":
      tag += 1
      array, _ = _lend(buffers, number, tag)
      held.append((tag, array))
      del array
    elif held and action == "view":
      mine, array = held[number % len(held)]
      held.append((mine, array[number % len(array) :].reshape(-1)))
      del array
    elif held:
      held.pop(number % len(held))
    assert all((array == mine).all() for mine, array in held)
  # Whatever its content says, no two arrays lie in one place.
  owners = {}
  for mine, array in held:
    start = array.ctypes.data // mmap.PAGESIZE
    assert owners.setdefault(start, mine) == mine


def test_threads_never_have_one_memory():
  buffers = batch_buffers.BatchBuffers(_ROWS, 32, keep=3)
  barrier = threading.Barrier(8)

  def work(number):
    barrier.wait()
    generator = np.random.default_rng(number)
    held = []
    for step in range(300):
      tag = number * 31 + step % 31 + 1
      array = buffers.lend(int(generator.integers(1, _ROWS + 1)))
      array[:] = tag
      held.append((tag, array[:]))
      del array
      if len(held) > generator.integers(1, 5):
        tag, view = held.pop(generator.integers(len(held)))
        assert (view == tag).all()
    return len(held)

  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    assert sum(threads.map(work, range(8))) > 0
