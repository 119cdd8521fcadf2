"""Tests of permutation: every example once, in an order without a pattern."""

import itertools

import numpy as np
import pytest

from yourface_tfds import permutation

_FACES, _PEOPLE, _BATCH = 58_200, 45, 256


def _order(count, seed=0, epoch=0):
  order = permutation.Order(count, seed=seed, epoch=epoch)
  return order.at(np.arange(count))


def _chi_square(counts, expected):
  """Returns by how many deviations counts differ from equally frequent."""
  freedom = counts.size - 1
  value = ((counts - expected) ** 2 / expected).sum()
  return float((value - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize(
  "count",
  [
    *(1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 66, 255, 256, 257, 1000),
    *(4095, 4096, 4097, 16_383, 16_384, 16_385, _FACES, 300_000),
  ],
)
def test_every_example_stands_at_one_position(count):
  for seed, epoch in [(0, 0), (0, 1), (1, 0), (2**40, 2**40), (-1, 3)]:
    found = _order(count, seed, epoch)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(np.sort(found), np.arange(count))


# Reckoned by integers of plain Python, not by the module.
@pytest.mark.parametrize(
  ("count", "seed", "epoch", "expected"),
  [
    (1, 0, 0, [0]),
    (10, 0, 0, [0, 1, 7, 3, 5, 6, 2, 9, 4, 8]),
    (10, 1, 0, [7, 9, 1, 0, 2, 6, 3, 8, 4, 5]),
    (10, 0, 1, [1, 3, 4, 7, 6, 8, 5, 9, 2, 0]),
    (1000, -1, 0, [507, 916, 234, 339, 614, 899, 734, 779, 99, 364]),
    (_FACES, 7, 3, [24896, 55501, 36719, 51356, 6316, 37593, 20542, 55614]),
    (_FACES, 2**40, 2**40 + 1, [29623, 40311, 3558, 23691, 34787, 14695]),
    (5_000_000, 3, 12345, [389726, 4878387, 623243, 3764485, 3594209]),
  ],
)
def test_the_order_is_the_same_on_every_machine(count, seed, epoch, expected):
  order = permutation.Order(count, seed=seed, epoch=epoch)
  assert order.at(np.arange(len(expected))).tolist() == expected


def test_any_positions_can_be_asked_for_in_any_order():
  whole = _order(1000, 5, 2)
  positions = np.random.default_rng(0).integers(0, 1000, 3000)
  order = permutation.Order(1000, seed=5, epoch=2)
  np.testing.assert_array_equal(order.at(positions), whole[positions])
  for kind in (np.uint8, np.int32, np.int64):
    few = np.array([0, 99, 3, 3], kind)
    np.testing.assert_array_equal(order.at(few), whole[few])
  assert order.at(np.arange(0)).tolist() == []


def test_positions_are_left_as_they_were():
  positions = np.arange(100, dtype=np.uint64)
  permutation.Order(100, seed=0, epoch=0).at(positions)
  np.testing.assert_array_equal(positions, np.arange(100))


@pytest.mark.parametrize("count", [100, 4096, 4097, 8192, 20_000, _FACES])
def test_slices_across_blocks_are_those_of_the_order(count):
  whole = _order(count, 11, 4)
  edges = [0, 1, 255, 256, 4095, 4096, 4097, 8191, 8192, 8193, 12_288]
  edges = sorted({min(edge, count) for edge in [*edges, count - 1, count]})
  for start, stop in itertools.combinations(edges, 2):
    found = permutation.examples_at(count, start, stop, seed=11, epoch=4)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, whole[start:stop])


def test_batches_of_interleaved_epochs_are_those_of_their_orders():
  # More blocks than are remembered, asked for in turns.
  for start in range(0, 12_000, 3000):
    for seed, epoch in itertools.product(range(3), range(4)):
      found = permutation.examples_at(
        12_000, start, start + 3000, seed=seed, epoch=epoch
      )
      whole = _order(12_000, seed, epoch)
      np.testing.assert_array_equal(found, whole[start : start + 3000])


@pytest.mark.parametrize("start", [0, 1, 4096, 4097, 8192])
def test_an_empty_slice_has_no_examples(start):
  # A worker may have none of an epoch's last examples.
  found = permutation.examples_at(8192, start, start, seed=0, epoch=0)
  assert found.dtype == np.int64
  assert found.tolist() == []


def test_a_changed_slice_does_not_change_the_order():
  expected = _order(500, 21)
  found = permutation.examples_at(500, 0, 256, seed=21, epoch=0)
  if found.flags.writeable:
    found[:] = 0
  again = permutation.examples_at(500, 0, 500, seed=21, epoch=0)
  np.testing.assert_array_equal(again, expected)


def test_seed_and_epoch_give_different_orders():
  seeds = [0, 1, 2, 3, 2**40, 2**40 + 1, -1]
  epochs = [0, 1, 2, 3, 2**40, 2**40 + 1]
  pairs = list(itertools.product(seeds, epochs))
  orders = {tuple(_order(1000, seed, epoch)) for seed, epoch in pairs}
  assert len(orders) == len(pairs)
  assert _order(1000, 0, 1).tolist() != _order(1000, 1, 0).tolist()


def test_orders_of_neighbours_agree_as_often_as_by_chance():
  # Two random orders agree at one position, whatever their length.
  steps = [(0, 1), (1, 0), (1, 1), (1, -1), (2**32, 0), (0, 2**32)]
  for seed_step, epoch_step in steps:
    agree = [
      np.count_nonzero(
        _order(1000, number, 500)
        == _order(1000, number + seed_step, 500 + epoch_step)
      )
      for number in range(200)
    ]
    assert abs(np.mean(agree) - 1) < 4 / np.sqrt(200)


@pytest.fixture(scope="module", params=["seeds", "epochs"])
def orders(request):
  """Returns a function: count, how many -> int64[how many, count]."""

  def make(count, number):
    if request.param == "seeds":
      return np.array([_order(count, seed, 0) for seed in range(number)])
    return np.array([_order(count, 0, epoch) for epoch in range(number)])

  return make


@pytest.mark.parametrize("count", [20, 100])
def test_examples_are_equally_often_at_each_position(orders, count):
  number = 1500
  drawn = orders(count, number)
  counts = np.zeros((count, count))
  np.add.at(counts, (np.arange(count)[None], drawn), 1)
  # Each row and each column holds every example once an order, which leaves
  # (count - 1) ** 2 free cells and makes each vary the more.
  freedom = (count - 1) ** 2
  expected = number / count
  value = ((counts - expected) ** 2 / expected).sum() * (count - 1) / count
  assert abs(value - freedom) < 4 * np.sqrt(2 * freedom)
  # No single cell stands out either.
  assert np.abs(counts - expected).max() < 5.5 * np.sqrt(expected)

  differences = (drawn[:, 1:] - drawn[:, :-1]) % count
  counts = np.bincount(differences.reshape(-1), minlength=count)
  assert counts[0] == 0
  assert abs(_chi_square(counts[1:], differences.size / (count - 1))) < 4


def test_all_orders_of_five_are_equally_frequent():
  number = 2400
  drawn = [tuple(_order(5, seed, 7).tolist()) for seed in range(number)]
  names = {order: i for i, order in enumerate(itertools.permutations(range(5)))}
  counts = np.bincount([names[order] for order in drawn], minlength=120)
  assert counts.all()
  assert abs(_chi_square(counts, number / 120)) < 4


@pytest.mark.parametrize(
  ("seed", "epoch"), [(0, 0), (0, 1), (1, 0), (42, 7), (2**40, 2**40)]
)
def test_people_of_one_shard_never_cluster(seed, epoch):
  # Stored person by person; the statistics are those of drawing at random.
  person = np.arange(_FACES) * _PEOPLE // _FACES
  sizes = np.bincount(person)
  drawn = person[_order(_FACES, seed, epoch)]
  share = (sizes * (sizes - 1)).sum() / (_FACES * (_FACES - 1))
  for distance in (1, 2, 7, _BATCH, _FACES // _PEOPLE):
    same = np.count_nonzero(drawn[distance:] == drawn[:-distance])
    pairs = _FACES - distance
    assert abs(same - pairs * share) < 4 * np.sqrt(pairs * share)

  batches = np.arange(_FACES) // _BATCH
  counts = np.zeros((batches[-1] + 1, _PEOPLE))
  np.add.at(counts, (batches, drawn), 1)
  expected = np.bincount(batches)[:, None] * sizes[None] / _FACES
  value = ((counts - expected) ** 2 / expected).sum()
  freedom = (counts.shape[0] - 1) * (_PEOPLE - 1)
  assert abs(value - freedom) < 4 * np.sqrt(2 * freedom)
  # 5.7 a batch; 21 of one person in any of all batches: once in 240 epochs.
  assert counts.max() <= 20


def test_neighbours_in_store_are_apart_in_the_order():
  drawn = _order(_FACES, 3, 2)
  places = np.argsort(drawn)
  gaps = np.abs(np.diff(places))
  # Two places drawn at random are a third of the whole apart, on average.
  spread = _FACES / np.sqrt(18) / np.sqrt(_FACES)
  assert abs(gaps.mean() - _FACES / 3) < 4 * spread
  near = np.count_nonzero(gaps < _BATCH)
  expected = 2 * (_BATCH - 1)  # n pairs, each near by 2 * 255 / n.
  assert abs(near - expected) < 4 * np.sqrt(expected)
