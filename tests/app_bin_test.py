"""The local page's command and its server, as a script meets them."""

import contextlib
import os
import subprocess
import sys

import pytest

from tests import drawn, local_page, small_export

# Each starts a server: minutes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_export.write(folder)
  return folder / "saved_model"


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
  temporary = tmp_path_factory.mktemp("tmp")
  with local_page.with_taken_port(model, temporary) as page:
    yield page


def test_strangers_find_no_other_way_in(server):
  for path in (
    "/docs",
    "/openapi.json",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/runs",
    "/monitoring",
    "/gradio_api/file=/etc/passwd",
  ):
    assert local_page.fetch(server, path)[0] == 404, path
  form = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"'
    b"\r\n\r\n" + local_page.ONE + b"\r\n--x--\r\n"
  )
  kind = "multipart/form-data; boundary=x"
  assert local_page.fetch(server, "/gradio_api/upload", form, kind)[0] == 404
  assert local_page.fetch(server, local_page.ASK, form, kind)[0] == 415
  assert local_page.files_below(server.temporary) == []


def test_no_header_makes_a_new_client(model, tmp_path):
  with local_page.started(
    model, tmp_path, "--port=0", "--photos_per_minute=1"
  ) as page:
    assert len(local_page.look(page, local_page.ONE)["faces"]) == 1
    for number in (1, 2):
      asked = local_page.look(
        page, local_page.ONE, X_Forwarded_For=f"192.0.2.{number}"
      )
      assert "again in" in asked["error"]


def test_a_question_without_a_browser_is_answered_in_memory(server):
  assert len(local_page.look(server, local_page.ONE)["faces"]) == 1
  assert local_page.files_below(server.temporary) == []


def test_calls_would_be_seen(tmp_path):
  page = local_page.Page("nowhere", tmp_path / "x", "--host=page.invalid")
  page.process.communicate()
  assert "page.invalid" in page.calls.read_text()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--model=nowhere"], "--model: no SavedModel in 'nowhere'; export one"),
    (["--model=nowhere", "--port=99999"], "port"),
    (["--model=nowhere", "--host=192.0.2.1"], "--host: got '192.0.2.1'"),
    (["--model=nowhere", "x"], "got the argument 'x'"),
  ],
)
def test_a_bad_flag_is_one_line(flags, message):
  local_page.needs_gradio()
  done = subprocess.run(
    [sys.executable, "-m", "export.app", *flags],
    capture_output=True,
    encoding="utf-8",
    env=drawn.environment(),
    cwd=drawn.ROOT,
  )
  assert done.returncode == 1
  assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
  assert done.stdout == ""


def test_who_waits_at_a_terminal_is_told():
  local_page.needs_gradio()
  terminal, end = os.openpty()
  done = subprocess.run(
    [sys.executable, "-m", "export.app", "--model=nowhere"],
    stderr=end,
    env=drawn.environment(),
    cwd=drawn.ROOT,
  )
  os.close(end)
  said = b""
  with contextlib.suppress(OSError):  # All is read, and nobody writes.
    while part := os.read(terminal, 4096):
      said += part
  os.close(terminal)
  first, second = said.splitlines()
  assert done.returncode == 1
  assert first == b"Starting; the address comes in some seconds"
  assert second.startswith(b"error: --model: no SavedModel in 'nowhere'")


def test_without_gradio_it_says_what_to_install(tmp_path):
  (tmp_path / "gradio.py").write_text("raise ImportError('no gradio')")
  done = subprocess.run(
    [sys.executable, "-m", "export.app", "--model=nowhere"],
    capture_output=True,
    encoding="utf-8",
    env=drawn.environment() | {"PYTHONPATH": str(tmp_path)},
    cwd=drawn.ROOT,
  )
  assert done.returncode == 1
  assert done.stderr == (
    "error: the page needs Gradio, which cannot be imported (no gradio); "
    "install it with: pip install -c constraints.txt gradio\n"
  )
