"""Tests of gather: any row, any size, any border; nothing beside them."""

import threading

import numpy as np
import pytest

from yourface_tfds import gather

_GUARD = 171


def _gather(data, starts, size, offset=0):
  """Returns the rows, written at an offset into guarded memory."""
  memory = np.full(len(starts) * size + offset + 200, _GUARD, np.uint8)
  out = memory[offset + 100 :][: len(starts) * size].reshape(len(starts), size)
  gather.rows(np.array(starts, np.uint64) + np.uint64(data.ctypes.data), out)
  around = np.concatenate([memory[: offset + 100], memory[-100:]])
  assert (around == _GUARD).all()
  return out


@pytest.mark.parametrize(
  "size", [1, 2, 31, 32, 33, 63, 64, 65, 95, 96, 127, 128, 129, 3072, 67500]
)
@pytest.mark.parametrize("offset", [0, 1, 4, 31, 32, 63])
def test_rows_of_any_size_at_any_border(size, offset):
  random = np.random.default_rng(size * 64 + offset)
  data = random.integers(0, 256, 3 * size + 100, np.uint8)
  starts = random.integers(0, len(data) - size + 1, 7).tolist()
  starts += [0, len(data) - size]
  expected = [data[start : start + size] for start in starts]
  np.testing.assert_array_equal(_gather(data, starts, size, offset), expected)


def test_images_keep_their_shape():
  data = np.arange(4 * 48, dtype=np.uint8).reshape(4, 4, 4, 3)
  out = np.zeros((2, 4, 4, 3), np.uint8)
  places = np.array([3, 1], np.uint64) * np.uint64(48)
  gather.rows(places + np.uint64(data.ctypes.data), out)
  np.testing.assert_array_equal(out, data[[3, 1]])


@pytest.mark.parametrize("shape", [(0, 8), (3, 0)])
def test_nothing_to_copy(shape):
  gather.rows(np.zeros(shape[0], np.uint64), np.zeros(shape, np.uint8))


def test_several_threads_copy_at_a_time():
  random = np.random.default_rng(1)
  data = random.integers(0, 256, (64, 5000), np.uint8)
  orders = [random.permutation(64) for _ in range(8)]
  outs = [np.zeros_like(data) for _ in orders]

  def work(order, out):
    for _ in range(20):
      out[:] = 0
      places = order.astype(np.uint64) * np.uint64(5000)
      gather.rows(places + np.uint64(data.ctypes.data), out)

  threads = [
    threading.Thread(target=work, args=pair)
    for pair in zip(orders, outs, strict=True)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for order, out in zip(orders, outs, strict=True):
    np.testing.assert_array_equal(out, data[order])


@pytest.mark.parametrize(
  ("addresses", "out", "message"),
  [
    (
      np.zeros(2, np.int64),
      np.zeros((2, 3), np.uint8),
      r"^addresses: got int64\[2\], allowed: uint64\[2\], one a row$",
    ),
    (
      np.zeros(3, np.uint64),
      np.zeros((2, 3), np.uint8),
      r"^addresses: got uint64\[3\], allowed: uint64\[2\], one a row$",
    ),
    (
      np.zeros(2, np.uint64),
      np.zeros((2, 6), np.uint8)[:, ::2],
      r"^out: got uint8\[2, 3\], strides \(6, 2\), allowed: uint8, C-cont",
    ),
    (
      np.zeros(2, np.uint64),
      np.zeros((2, 3), np.float32),
      r"^out: got float32\[2, 3\]",
    ),
  ],
)
def test_wrong_arrays(addresses, out, message):
  with pytest.raises(ValueError, match=message):
    gather.rows(addresses, out)
