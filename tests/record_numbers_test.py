"""Tests of record_numbers, against the list of all numbers."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from yourface_tfds import record_numbers


@hypothesis.given(
  st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=6)
)
def test_equals_a_list_of_all_numbers(gaps):
  runs, number = [], 0
  for gap, count in gaps:
    runs.append((number + gap, count))
    number += gap + count
  everything = [first + i for first, count in runs for i in range(count)]
  numbers = record_numbers.RecordNumbers(runs)
  assert len(numbers) == len(everything)
  places = np.arange(len(everything))[::-1]
  np.testing.assert_array_equal(numbers.at(places), everything[::-1])
  walked = [n for run in numbers.slices() for n in range(run.start, run.stop)]
  assert walked == everything


def test_runs_that_meet_are_one():
  numbers = record_numbers.RecordNumbers([(0, 5), (5, 0), (5, 7), (20, 1)])
  assert list(numbers.slices()) == [slice(0, 12), slice(20, 21)]
  assert numbers.at(np.array([11, 12])).tolist() == [11, 20]
