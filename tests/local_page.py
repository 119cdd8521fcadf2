"""The command of the local page, running, and what a script can ask it."""

import base64
import contextlib
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests import drawn, small_export

ASK = "/gradio_api/component_server/"
_LINE = re.compile(r"Your Face: (http://127\.0\.0\.1:(\d+)) \((.*)\)\n")

ONE = small_export.jpeg(small_export.drawing(0))


# Notes whom the process calls or looks for, but for itself.
_SITECUSTOMIZE = """
import os, sys

def watch(event, args):
  if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
    where = args[1] if event == "socket.connect" else args[0]
    host = where[0] if isinstance(where, tuple) else where
    if host not in (None, "", "127.0.0.1", "localhost", "::1", "0.0.0.0"):
      with open(os.environ["TEST_CALLS"], "a") as file:
        file.write(f"{event} {host!r}\\n")

sys.addaudithook(watch)
"""


class Page:
  """The command, running."""

  def __init__(self, model, temporary, *flags):
    self.temporary = temporary
    self.calls = temporary.with_name(f"{temporary.name}.calls")
    site = temporary.with_name(f"{temporary.name}.site")
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
    watched = {"PYTHONPATH": str(site), "TEST_CALLS": str(self.calls)}
    self.process = subprocess.Popen(
      drawn.interruptible(
        [sys.executable, "-m", "export.app", f"--model={model}", *flags]
      ),
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      encoding="utf-8",
      env=drawn.environment() | watched | {"TMPDIR": str(temporary)},
      cwd=drawn.ROOT,
    )
    self.url = self.port = self.note = ""

  def wait(self):
    assert self.process.stdout is not None
    line = self.process.stdout.readline()
    found = _LINE.fullmatch(line)
    if not found:
      raise AssertionError(f"{line!r}, {self.process.communicate()}")
    self.url, self.port, self.note = found.groups()

  def end(self, number=signal.SIGINT):
    self.process.send_signal(number)
    return *self.process.communicate(timeout=30), self.process.returncode


def needs_gradio():
  if importlib.util.find_spec("gradio") is None:
    pytest.skip("Gradio is not installed: pip install gradio")


@contextlib.contextmanager
def started(model, temporary, *flags):
  needs_gradio()
  page = Page(model, temporary, *flags)
  try:
    page.wait()
    yield page
  finally:
    page.process.kill()
    page.process.communicate()


@contextlib.contextmanager
def with_taken_port(model, temporary):
  """Yields the page of a command that was given a port somebody has."""
  with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    with started(
      model, temporary, f"--port={port}", "--photos_per_minute=1000"
    ) as page:
      assert page.note == f"port {port} is taken; Ctrl-C ends it"
      yield page


def files_below(folder):
  """Returns the files, but the code that TensorFlow keeps until it ends."""
  return [
    path
    for path in folder.rglob("*")
    if path.is_file() and not path.name.startswith("__autograph_generated")
  ]


def fetch(server, path, content=None, kind="application/json", **headers):
  request = urllib.request.Request(server.url + path, data=content)
  request.add_header("Content-Type", kind)
  for name, value in headers.items():
    request.add_header(name.replace("_", "-"), value)
  try:
    with urllib.request.urlopen(request, timeout=30) as answer:
      return answer.status, answer.read()
  except urllib.error.HTTPError as error:
    with error:
      return error.code, error.read()


def look(server, photo, **headers):
  """Returns what the page's script would get, without a browser."""
  status, html = fetch(server, "/")
  found = re.search(r'"id":(\d+),"type":"html"', html.decode())
  assert status == 200 and found
  body = {
    "data": {"photo": base64.b64encode(photo).decode()},
    "component_id": int(found[1]),
    "fn_name": "look",
    "session_hash": "x",
  }
  status, answer = fetch(server, ASK, json.dumps(body).encode(), **headers)
  assert status == 200
  return json.loads(answer)
