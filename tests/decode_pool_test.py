"""Threads that decode: results, errors, their end, and no lock in common."""

import concurrent.futures
import gc
import threading

import pytest

from yourface_tfds import decode_pool


def test_results_and_errors():
  pool = decode_pool.DecodePool(2)
  tasks = [pool.submit(divmod, 7, number) for number in range(3)]
  concurrent.futures.wait(tasks)
  with pytest.raises(ZeroDivisionError):
    tasks[0].result()
  assert [task.result() for task in tasks[1:]] == [(7, 0), (3, 1)]


def test_as_many_at_a_time_as_threads():
  pool = decode_pool.DecodePool(3)
  meeting = threading.Barrier(3)
  tasks = [pool.submit(meeting.wait, 10) for _ in range(3)]
  assert sorted(task.result() for task in tasks) == [0, 1, 2]


def test_threads_end_with_it():
  before = set(threading.enumerate())
  pool = decode_pool.DecodePool(4)
  ours = set(threading.enumerate()) - before
  assert [thread.name for thread in ours] == ["decode"] * 4
  del pool
  gc.collect()
  for thread in ours:
    thread.join(timeout=5)
  assert not any(thread.is_alive() for thread in ours)


def test_a_task_is_not_kept():
  class Content:
    pass

  pool = decode_pool.DecodePool(1)
  content = Content()
  pool.submit(id, content).result()
  pool.submit(id, None).result()
  assert len(gc.get_referrers(content)) <= 1


def test_a_submission_takes_no_lock_of_the_process():
  # What the collector waits for within one pool may wait for another.
  pool = decode_pool.DecodePool(1)
  lock = concurrent.futures.thread._global_shutdown_lock
  with lock:
    assert pool.submit(len, "four").result(timeout=10) == 4
