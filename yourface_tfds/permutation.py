"""The order of an epoch, as a pure function: nothing is shuffled or stored.

Any position can be asked for by itself, so that training starts anywhere in an
epoch, workers take slices of one order, and memory does not grow with the data.

  order = permutation.Order(58_200, seed=7, epoch=3)
  order.at(np.arange(256))   # which examples make the first batch
"""

import functools

import numpy as np

ROUNDS = 8
"""Of the network."""
_BLOCK = 4096  # Positions at a time: 64 numpy calls cost more than 256 values.
_MASK64 = (1 << 64) - 1


class Order:
  """A random permutation of `range(count)`.

  A Feistel network over the next power of four, whose values beyond the end
  are sent through again until they fall inside ("cycle walking": J. Black and
  P. Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002). Integers
  only, so that every machine and every version gives the same order.
  """

  def __init__(self, count: int, *, seed: int, epoch: int) -> None:
    self.count = count
    self._half = half_bits(count)
    state = _mix(mixed(seed) + epoch)
    self._keys = tuple(
      np.uint64(_mix(state + number)) for number in range(1, ROUNDS + 1)
    )

  def at(self, positions: np.ndarray) -> np.ndarray:
    """Returns which example stands at each position.

    Args:
      positions: integers[n], 0..count - 1.

    Returns:
      int64[n], 0..count - 1.
    """
    values = self._permuted(positions.astype(np.uint64))
    outside = np.flatnonzero(values >= self.count)
    while len(outside):
      values[outside] = self._permuted(values[outside])
      outside = outside[values[outside] >= self.count]
    return values.astype(np.int64)

  def _permuted(self, values: np.ndarray) -> np.ndarray:
    half = np.uint64(self._half)
    mask = np.uint64((1 << self._half) - 1)
    left, right = values >> half, values & mask
    for key in self._keys:
      left, right = right, left ^ (_mix_array(right + key) & mask)
    return (left << half) | right


def half_bits(count: int) -> int:
  """Returns the bits of each half of the network for so many examples."""
  # Halves of two bits reach too few permutations: orders of five or six
  # examples were not equally frequent.
  return max(3, ((count - 1).bit_length() + 1) // 2)


def mixed(seed: int) -> int:
  """Returns a seed's 64 bits, any of them as likely 0 as 1."""
  return _mix(seed & _MASK64)


def examples_at(
  count: int, start: int, stop: int, *, seed: int, epoch: int
) -> np.ndarray:
  """Returns the examples at positions start..stop - 1 of an epoch's order.

  The same as `Order.at`, from a few remembered blocks: 256 positions by
  themselves take 0.3 ms, mostly of numpy's calls.

  Returns:
    int64[stop - start].
  """
  if start == stop:
    return np.zeros(0, np.int64)
  blocks = range(start // _BLOCK, -(-stop // _BLOCK))
  parts = [_block(count, seed, epoch, number) for number in blocks]
  whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
  first = blocks.start * _BLOCK
  return whole[start - first : stop - first].copy()


@functools.lru_cache(maxsize=8)  # 32 kB each.
def _block(count: int, seed: int, epoch: int, number: int) -> np.ndarray:
  start = number * _BLOCK
  positions = np.arange(start, min(count, start + _BLOCK))
  return Order(count, seed=seed, epoch=epoch).at(positions)


# The finalizer of SplitMix64: G. Steele, D. Lea and C. Flood, Fast Splittable
# Pseudorandom Number Generators, OOPSLA 2014; constants of variant 13 of
# D. Stafford.
GAMMA = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _mix(value: int) -> int:
  value = (value + GAMMA) & _MASK64
  value = ((value ^ (value >> 30)) * FACTORS[0]) & _MASK64
  value = ((value ^ (value >> 27)) * FACTORS[1]) & _MASK64
  return value ^ (value >> 31)


def _mix_array(values: np.ndarray) -> np.ndarray:
  values = values ^ (values >> np.uint64(30))
  values *= np.uint64(FACTORS[0])
  values ^= values >> np.uint64(27)
  values *= np.uint64(FACTORS[1])
  return values ^ (values >> np.uint64(31))
