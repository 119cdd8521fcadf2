"""Programs that end while tf.data reads ahead: they end."""

import subprocess
import sys
import time

import pytest

from tests import drawn

_SCRIPT = """
import sys
import time
from yourface_tfds import built_dataset, input_pipeline, last_calls
data_dir, config, batches, where = sys.argv[1:]
dataset = built_dataset.open_dataset(data_dir, config)
made = input_pipeline.make_for_train(
  dataset, batch_size=30, epochs=3000, seed=0
)
iterator = iter(made)
for _ in range(int(batches)):
  next(iterator)
if where == "module":  # It outlives what belongs to the script.
  last_calls.iterator = iterator
  del iterator
if where == "error":
  raise ValueError("of the program")
print("the end")
"""


def _run(script, *arguments):
  # One that hangs is stopped by the timeout, which fails the test.
  return subprocess.run(
    [sys.executable, "-c", script, *map(str, arguments)],
    cwd=drawn.ROOT,
    env=drawn.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.slow
@pytest.mark.parametrize("where", ["script", "module", "error"])
@pytest.mark.parametrize("batches", [1, 50])
@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_the_end_within_an_epoch(tiny_data_dir, kind, batches, where):
  run = _run(_SCRIPT, tiny_data_dir, f"{kind}-image_size_32", batches, where)
  if where == "error":
    assert run.returncode == 1
    assert run.stderr.endswith("ValueError: of the program\n")
  else:
    assert run.returncode == 0, run.stderr
    assert run.stdout == "the end\n"
  # What fails then is nobody's business.
  assert "StopIteration" not in run.stderr
  assert "last_calls" not in run.stderr


_AFTER = """
import atexit
import tensorflow as tf

def ask():
  try:
    next(iterator)
  except tf.errors.InvalidArgumentError:
    print("refused,", calls)

atexit.register(ask)  # Runs after what is registered later.
from yourface_tfds import last_calls
calls = []

def double(number):
  calls.append(int(number))
  return number * 2

guarded = last_calls.guarded(double)
made = tf.data.Dataset.range(9).map(
  lambda number: tf.numpy_function(guarded, [number], tf.int64)
)
options = tf.data.Options()
options.experimental_optimization.inject_prefetch = False
iterator = iter(made.with_options(options))
print([int(next(iterator)) for _ in range(3)], last_calls.are_over())
"""


def test_no_call_after_the_end():
  run = _run(_AFTER)
  assert run.returncode == 0, run.stderr
  before, after = run.stdout.splitlines()
  assert before == "[0, 2, 4] False"
  assert after == "refused, [0, 1, 2]"


_THREADS = """
import sys
import time
import threading
import time
from yourface_tfds import last_calls

told, out = threading.Event(), sys.stdout

def works():
  # As one that comes back from TensorFlow just when it is told.
  while not told.is_set():
    time.sleep(0.01)
  time.sleep(0.3)
  out.write("ended\\n")
  out.flush()

last_calls.start(works, told.set)
last_calls.start(lambda: None, lambda: out.write("told in vain\\n"))
if sys.argv[1:]:
  last_calls.start(lambda: time.sleep(100), lambda: None)
time.sleep(0.1)
print("the end", flush=True)
"""


def test_threads_end_before_the_interpreter():
  run = _run(_THREADS)
  assert run.returncode == 0, run.stderr
  # One that is over already is not told.
  assert run.stdout == "the end\nended\n"


def test_a_thread_that_does_not_come_back_is_left():
  begun = time.monotonic()
  run = _run(_THREADS, "one that waits")
  assert run.returncode == 0, run.stderr
  assert run.stdout == "the end\nended\n"
  assert time.monotonic() - begun < 50


_LATE = """
import hashlib
import sys
import threading
import time
from yourface_tfds import last_calls

out = sys.stdout
guarded = last_calls.guarded(lambda: out.write("made\\n"))

def work(rounds):  # Without the interpreter's lock, as TensorFlow's threads.
  hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)

begun = time.thread_time()
work(100_000)
rounds = round(100_000 * 0.4 / (time.thread_time() - begun))

def late():
  work(rounds)
  try:
    guarded()
  except StopIteration:
    out.write("refused\\n")
    out.flush()

threading.Thread(target=late, daemon=True).start()
"""


def test_a_call_that_a_thread_is_yet_to_make_is_waited_for():
  run = _run(_LATE)
  assert run.returncode == 0, run.stderr
  assert run.stdout == "refused\n"
