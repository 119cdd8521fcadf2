"""tf.data service: the processes that make batches for those that train.

  dispatcher = data_service.start_dispatcher(port=5050)
  worker = data_service.start_worker("host:5050", host="me", port=0)
  data_service.check("host:5050")   # before a training that asks it

Stock servers of TensorFlow; what they run is sent to them. They know nobody's
name: whoever reaches their port can have them run any graph, which reads and
writes files as they may. They belong in a network of one's own.
"""

import socket
import time
from typing import Any

import tensorflow as tf

from yourface_tfds import cli

# Seconds. TensorFlow's own are 30, and 60 until a worker counts as gone.
_HEARTBEAT = 1.0
_GONE = 5.0
_ANSWER = 5.0  # Until a connection stands.


def parse(address: str, flag: str) -> tuple[str, int]:
  """Returns host and port of an address.

  Raises:
    UserError: it is none.
  """
  host, colon, port = address.removeprefix("grpc://").rpartition(":")
  if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
    raise cli.UserError(
      f"{flag}: got {address!r}, allowed: HOST:PORT, for example localhost:5050"
    )
  return host.strip("[]"), int(port)


def check(address: str) -> str:
  """Returns the address of a dispatcher that answers, without grpc://.

  TensorFlow itself would wait for one for an hour.

  Raises:
    UserError: nobody does.
  """
  host, port = parse(address, "--data_service")
  try:
    socket.create_connection((host, port), _ANSWER).close()
  except OSError as error:
    raise cli.UserError(
      f"--data_service: nobody answers at {address} ({error}); start the "
      f"dispatcher there: python -m training.data_service --port={port}"
    ) from error
  return address.removeprefix("grpc://")


def start_dispatcher(*, port: int, work_dir: str = "") -> Any:
  """Starts what deals steps to workers.

  Args:
    port: to listen at; 0: any that is free.
    work_dir: where it notes what it has dealt, so that the same command goes
      on with it after a crash; "": nowhere.

  Returns:
    The server, which lives as long as it is kept; its `target` ends in
    HOST:PORT.

  Raises:
    UserError: the port is taken, or nothing can be written to `work_dir`.
  """
  _check_free(port)
  config = tf.data.experimental.service.DispatcherConfig(
    port=port,
    work_dir=work_dir or None,
    fault_tolerant_mode=bool(work_dir),
    worker_timeout_ms=int(_GONE * 1000),
  )
  try:
    if work_dir:
      tf.io.gfile.makedirs(work_dir)
    return tf.data.experimental.service.DispatchServer(config)
  except tf.errors.OpError as error:
    raise _cannot_start(error, port) from error


def start_worker(
  dispatcher: str, *, host: str, port: int, wait: float = 60
) -> Any:
  """Starts what makes batches.

  Args:
    dispatcher: HOST:PORT of the dispatcher.
    host: under which those that train reach this machine.
    port: to listen at; 0: any that is free.
    wait: seconds that a dispatcher may take to answer.

  Returns:
    The server, which lives as long as it is kept.

  Raises:
    UserError: the port is taken, or no dispatcher answers.
  """
  where, number = parse(dispatcher, "--dispatcher")
  _wait_for(where, number, wait)
  _check_free(port)
  bracketed = f"[{where}]" if ":" in where else where
  try:
    return tf.data.experimental.service.WorkerServer(
      tf.data.experimental.service.WorkerConfig(
        dispatcher_address=f"{bracketed}:{number}",
        worker_address=f"{host}:{port or '%port%'}",
        port=port,
        heartbeat_interval_ms=int(_HEARTBEAT * 1000),
      )
    )
  except tf.errors.OpError as error:
    raise _cannot_start(error, port) from error


def _wait_for(host: str, port: int, seconds: float) -> None:
  end = time.monotonic() + seconds
  while True:
    try:
      socket.create_connection((host, port), _ANSWER).close()
      return
    except OSError as error:
      if time.monotonic() >= end:
        raise cli.UserError(
          f"--dispatcher: nobody answers at {host}:{port} for {seconds:g} "
          f"seconds ({error}); start it: python -m training.data_service "
          f"--port={port}"
        ) from error
    time.sleep(0.2)


def _check_free(port: int) -> None:
  """Raises UserError if somebody listens at a port.

  gRPC would listen beside them (SO_REUSEPORT), and each would get some of what
  is sent.
  """
  try:
    socket.create_server(("", port)).close()
  except OSError as error:
    raise _cannot_start(error, port) from error


def _cannot_start(error: Exception, port: int) -> cli.UserError:
  return cli.UserError(
    f"--port: got {port}, where this process cannot listen "
    f"({cli.one_line(error)[:150]}); end what does, or give another"
  )
