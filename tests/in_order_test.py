"""Whatever comes, in whatever order: each step once, in order."""

import random
import threading
import time

import pytest
import tensorflow as tf

from yourface_tfds import cli, in_order

_STEPS = 60


def _there(steps, wait=0.0):
  """Returns what makes steps elsewhere."""

  def arrivals():
    for step in steps:
      time.sleep(wait)
      yield step, {"step": step, "from": "there"}

  return arrivals


def _here(step):
  return {"step": step, "from": "here"}


def _taken(arrivals, *, start=0, stop=_STEPS, patience=5.0):
  """Returns where each step was made; they must come in order."""
  steps = in_order.InOrder(arrivals, _here, name="there:1", patience=patience)
  batches = list(steps.steps(start, stop))
  assert [batch["step"] for batch in batches] == list(range(start, stop))
  return [batch["from"] for batch in batches]


@pytest.mark.parametrize("start", [0, 7])
def test_in_order(start):
  made = _taken(_there(range(start, _STEPS)), start=start)
  assert made == ["there"] * (_STEPS - start)


@pytest.mark.parametrize("seed", range(20))
def test_out_of_order(seed):
  # As far apart as waits: each block of as many steps is shuffled.
  chosen = random.Random(seed)
  steps = list(range(_STEPS))
  for first in range(0, _STEPS, in_order.WINDOW):
    block = steps[first : first + in_order.WINDOW]
    chosen.shuffle(block)
    steps[first : first + in_order.WINDOW] = block
  assert _taken(_there(steps)) == ["there"] * _STEPS


@pytest.mark.parametrize("seed", range(20))
def test_lost_ones_are_made_here(seed):
  chosen = random.Random(seed)
  lost = set(chosen.sample(range(_STEPS), 20))
  steps = [step for step in range(_STEPS) if step not in lost]
  made = _taken(_there(steps))
  assert {i for i, where in enumerate(made) if where == "here"} == lost


def test_late_and_repeated_ones_are_dropped():
  # 0 comes when it has long been made here, all others come twice.
  steps = [s for step in range(1, _STEPS) for s in (step, step)] + [0]
  made = _taken(_there(steps))
  assert made == ["here"] + ["there"] * (_STEPS - 1)


def test_nothing_comes():
  forever = threading.Event()

  def arrivals():
    forever.wait()
    yield 0, {}

  started = time.monotonic()
  assert _taken(arrivals, patience=0.2) == ["here"] * _STEPS
  # Waited for once, not once a step.
  assert 0.2 <= time.monotonic() - started < 2
  forever.set()


def test_it_comes_again_after_a_while():
  def arrivals():
    for step in range(_STEPS):
      if step == 10:
        time.sleep(0.6)
      yield step, {"step": step, "from": "there"}

  steps = in_order.InOrder(arrivals, _here, name="there:1", patience=0.2)
  made = []
  for batch in steps.steps(0, _STEPS):
    made.append(batch["from"])
    time.sleep(0.02)
  assert made[:10] == ["there"] * 10
  assert made[10] == "here"
  assert made[-10:] == ["there"] * 10


def test_a_slow_reader_is_not_a_silent_service():
  # What waits is full for longer than the patience, then drained at once.
  steps = in_order.InOrder(
    _there(range(_STEPS), wait=0.02), _here, name="there:1", patience=0.3
  )
  made = []
  for batch in steps.steps(0, _STEPS):
    made.append(batch["from"])
    if len(made) == 1:
      time.sleep(1)
  assert made == ["there"] * _STEPS


def test_no_more_than_the_window_waits():
  pulled = []

  def arrivals():
    for step in range(1, _STEPS):
      pulled.append(step)
      yield step, {"step": step, "from": "there"}

  steps = in_order.InOrder(arrivals, _here, name="there:1")
  iterator = steps.steps(0, _STEPS)
  assert next(iterator)["from"] == "here"
  time.sleep(0.2)
  assert len(pulled) == in_order.WINDOW
  iterator.close()


@pytest.mark.parametrize(
  "kind", [tf.errors.UnavailableError, tf.errors.CancelledError]
)
def test_a_service_that_goes_away(kind, caplog):
  def arrivals():
    yield from _there(range(5))()
    raise kind(None, None, "gone\n away")

  made = _taken(arrivals)
  assert made == ["there"] * 5 + ["here"] * (_STEPS - 5)
  texts = [record.getMessage() for record in caplog.records]
  assert "--data_service: gone away" in texts
  assert "--data_service: 55 batches of 60 were made here" in texts
  assert (
    "--data_service: step 5 did not come from there:1 (nothing comes any "
    "more); it is made here, and so is every other that does not come"
  ) in texts


def test_workers_that_cannot():
  def arrivals():
    yield from _there(range(5))()
    raise tf.errors.NotFoundError(None, None, "/data/a.tfrecord; no such file")

  steps = in_order.InOrder(arrivals, _here, name="there:1")
  iterator = steps.steps(0, _STEPS)
  with pytest.raises(cli.UserError) as caught:
    list(iterator)
  assert str(caught.value) == (
    "--data_service: a worker of there:1 could not make a batch "
    "(/data/a.tfrecord; no such file); workers need the same shards under the "
    "same paths as here, whole"
  )


def test_an_end_in_the_middle_stops_the_thread():
  before = threading.active_count()
  steps = in_order.InOrder(_there(range(_STEPS)), _here, name="there:1")
  iterator = steps.steps(0, _STEPS)
  next(iterator)
  iterator.close()
  end = time.monotonic() + 5
  while threading.active_count() > before and time.monotonic() < end:
    time.sleep(0.01)
  assert threading.active_count() == before
