"""Serves the local page, and ends when Ctrl-C is pressed.

with app_place.private_folder(), app_place.listen(host, 7860) as listening:
  app_page.serve(blocks, head, listening, max_body=28_000_000, ready=ready)
"""

import contextlib
import errno
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator

from yourface_tfds import cli

TRIED_PORTS = 100
"""Ports that are tried, from the wanted one on."""

_LAST_PORT = 65535


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
  """Yields a socket that listens on the first free port.

  Args:
    host: a name or address of this machine.
    port: the first that is tried; 0 leaves it to the system.

  Raises:
    UserError: the host is none of this machine, or no port is free.
  """
  last = min(port + TRIED_PORTS - 1, _LAST_PORT) if port else 0
  try:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
  except (OSError, UnicodeError) as error:
    raise _no_host(host, error) from error
  family, _, _, _, address = found[0]
  for number in range(port, last + 1):
    listening = socket.socket(family, socket.SOCK_STREAM)
    with contextlib.closing(listening):
      # Or a port stays taken for a minute after its last connection.
      listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      try:
        listening.bind((address[0], number, *address[2:]))
        listening.listen()
      except OSError as error:
        if error.errno == errno.EACCES:
          raise cli.UserError(
            f"--port: got {number}, which only the system may use, allowed: "
            "1024 to 65535, or 0 for any"
          ) from error
        if error.errno != errno.EADDRINUSE:
          raise _no_host(host, error) from error
        continue
      yield listening
      return
  raise cli.UserError(
    f"--port: got {port}, but {port} to {last} are taken; give another, or 0 "
    "for any"
  )


def _no_host(host: str, error: Exception) -> cli.UserError:
  return cli.UserError(
    f"--host: got {host!r} ({cli.one_line(error)}), allowed: an address of "
    "this machine, as 127.0.0.1, or 0.0.0.0 for all of them"
  )


@contextlib.contextmanager
def private_folder() -> Iterator[pathlib.Path]:
  """Gives Gradio a folder of its own for uploads, and deletes it at the end.

  The page has none, see `app_limits.Gate`; nor are others' served.
  """
  with tempfile.TemporaryDirectory(prefix="your_face_page.") as folder:
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = folder
    try:
      yield pathlib.Path(folder)
    finally:
      os.environ.pop("GRADIO_TEMP_DIR")
      if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


def address(host: str, port: int) -> str:
  """Returns the address of the page, for a browser on this machine."""
  if host in ("0.0.0.0", "::", ""):
    host = "127.0.0.1"
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
