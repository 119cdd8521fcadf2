"""Makes batches for trainings on other machines, by tf.data service.

  python -m training.data_service --port=5050                    # one of these
  python -m training.data_service --dispatcher=HOST:5050         # many of these
  python -m training.train --data_service=HOST:5050 ...

The first deals steps, the others make their batches. They read the shards
under the same path as the training, and need nothing else of it. Whoever
reaches the ports can run anything: use them in a network of your own.
"""

import os
import signal
import socket
import time
from typing import Any

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import data_service

_DISPATCHER = flags.DEFINE_string(
  "dispatcher",
  None,
  "HOST:PORT of the dispatcher that this process works for. Without it, this "
  "is the dispatcher.",
)
_PORT = flags.DEFINE_integer(
  "port",
  None,
  "The port to listen at; 0: any that is free. Default: 5050 for the "
  "dispatcher, 0 for a worker. A worker that is started again after a crash "
  "takes over soonest with the same one.",
  lower_bound=0,
  upper_bound=65535,
)
_HOST = flags.DEFINE_string(
  "host",
  None,
  "The name or address under which trainings reach this worker. Default: this "
  "machine's name, or localhost where the dispatcher is at localhost.",
)
_WORK_DIR = flags.DEFINE_string(
  "work_dir",
  "",
  "Where the dispatcher notes what it has dealt, so that the same command goes "
  "on with it after a crash. Default: nowhere.",
)
_WAIT_SECONDS = flags.DEFINE_float(
  "wait_seconds", 60, "How long a worker waits for its dispatcher at its start."
)


def _start() -> tuple[Any, str]:
  if _DISPATCHER.value is None:
    port = 5050 if _PORT.value is None else _PORT.value
    server = data_service.start_dispatcher(port=port, work_dir=_WORK_DIR.value)
    port = int(server.target.rpartition(":")[2])
    return server, (
      f"Dispatcher at port {port}\n"
      "Next, on any machine that sees the shards: "
      f"python -m training.data_service --dispatcher=HOST:{port}\n"
      f"and: python -m training.train --data_service=HOST:{port} ..."
    )
  if _WORK_DIR.value:
    raise cli.UserError(
      f"--work_dir: got {_WORK_DIR.value!r} with --dispatcher; only the "
      "dispatcher keeps notes, leave one of them out"
    )
  near, _ = data_service.parse(_DISPATCHER.value, "--dispatcher")
  is_near = near in ("localhost", "127.0.0.1")
  host = _HOST.value or ("localhost" if is_near else socket.getfqdn())
  server = data_service.start_worker(
    _DISPATCHER.value,
    host=host,
    port=_PORT.value or 0,
    wait=_WAIT_SECONDS.value,
  )
  return server, f"Worker for {_DISPATCHER.value}, reached as {host}"


def main(argv: list[str]) -> None:
  """Serves until Ctrl-C or SIGTERM."""
  cli.no_arguments(argv)
  asked: list[int] = []
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: asked.append(number))
  server, words = _start()
  print(f"{words}\nCtrl-C ends it", flush=True)
  # Not server.join(), during which Python sees no signal.
  while not asked:
    time.sleep(0.5)
  del server
  # Python's own end would wait for threads of TensorFlow that wait for others.
  os._exit(128 + asked[0])


if __name__ == "__main__":
  cli.run(main)
