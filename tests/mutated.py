"""Bytes of a photo, changed at random, for processes that shall survive it."""

import random
from collections.abc import Sequence


def choose(rng: random.Random, good: Sequence[bytes]) -> bytes:
  """Returns one of some files: cut, longer, or with other bytes."""
  data = bytearray(rng.choice(good))
  kind = rng.random()
  if kind < 0.2:
    del data[rng.randrange(len(data)) :]
  elif kind < 0.3:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 100))]
  elif kind < 0.4:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.choice((1, 2, 100)))
  if data:
    # Half of them in the first bytes, where the headers are.
    reach = min(len(data), rng.choice((40, 700, len(data), len(data))))
    for _ in range(rng.choice((0, 1, 3, 20))):
      data[rng.randrange(reach)] = rng.choice((0, 255, rng.randrange(256)))
  return bytes(data)
