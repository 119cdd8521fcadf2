"""What strangers may ask of the local page, and where it listens."""

import asyncio
import os

import pytest

from yourface_tfds import (
  app_limits,
  app_place,
  cli,
)

_ASK = "/gradio_api/component_server/"


def test_rate_is_a_sliding_window_for_each_client():
  now = [0.0]
  rate = app_limits.Rate(2, seconds=60, clock=lambda: now[0])
  assert rate.take("a") == 0
  now[0] = 50
  assert rate.take("a") == 0
  assert rate.take("a") == 10
  assert rate.take("b") == 0
  now[0] = 60
  assert rate.take("a") == 0
  assert rate.take("a") == 50


def test_rate_forgets_the_client_that_came_longest_ago(monkeypatch):
  monkeypatch.setattr(app_limits, "CLIENTS", 2)
  rate = app_limits.Rate(1, clock=lambda: 0.0)
  for client in ("a", "b", "a", "c"):
    rate.take(client)
  assert rate.take("a") and not rate.take("b")


def ask_gate(method, path, headers=(), chunks=(b"",), kind="http"):
  """Returns the status that the gate answers, and the body that passed it."""
  passed, sent = [], []
  chunks = list(chunks)

  async def app(scope, receive, send):
    passed.append((await receive()).get("body") if chunks == [] else b"")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

  async def receive():
    chunk = chunks.pop(0)
    return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

  async def send(message):
    sent.append(message)

  async def run():
    gate = app_limits.Gate(app, max_body=10)
    scope = {"type": kind, "path": path, "headers": list(headers)}
    await gate(scope | {"method": method}, receive, send)

  asyncio.run(run())
  if kind != "http":
    return sent[0]["type"], passed
  assert dict(sent[0]["headers"])[b"referrer-policy"] == b"no-referrer"
  return sent[0]["status"], passed


_JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
  ("method", "path", "headers", "chunks", "status"),
  [
    ("POST", _ASK, [_JSON], [b"12345", b"67890"], 200),
    ("POST", _ASK, [_JSON], [b"12345", b"678901"], 413),
    ("POST", _ASK, [_JSON, (b"content-length", b"11")], [], 413),
    ("POST", _ASK, [_JSON, (b"content-length", b"x")], [], 413),
    ("POST", _ASK, [(b"content-type", b"multipart/form-data")], [], 415),
    ("POST", _ASK, [], [], 415),
    ("GET", _ASK, [], [], 405),
    ("GET", "/", [], [b""], 200),
    ("POST", "/", [], [], 405),
    ("GET", "/assets/x.js", [], [b""], 200),
    ("POST", "/gradio_api/upload", [_JSON], [], 404),
    ("POST", "/gradio_api/queue/join", [_JSON], [], 404),
    ("GET", "/gradio_api/info", [], [], 404),
    ("GET", "/gradio_api/file=/etc/passwd", [], [], 404),
    ("GET", "/docs", [], [], 404),
  ],
)
def test_the_gate_lets_through_what_the_page_needs(
  method, path, headers, chunks, status
):
  got, passed = ask_gate(method, path, headers, chunks)
  assert got == status
  assert bool(passed) == (status == 200)
  if method == "POST" and status == 200:
    assert passed == [b"1234567890"]


def test_the_gate_closes_other_connections():
  assert ask_gate("GET", "/", kind="websocket") == ("websocket.close", [])


def test_one_client_s_slow_bodies_leave_room_for_others():
  inside, most = [], {}

  async def app(scope, receive, send):
    pass

  async def run():
    gate = app_limits.Gate(app, max_body=10)
    go_on = asyncio.Event()

    def asked(client):
      async def receive():
        inside.append(client)
        now = inside.count(client)
        most[client] = max(most.get(client, 0), now)
        await go_on.wait()
        inside.remove(client)
        return {"type": "http.request", "body": b"", "more_body": False}

      scope = {"type": "http", "method": "POST", "path": _ASK}
      scope |= {"headers": [_JSON], "client": (client, 1)}
      return asyncio.create_task(gate(scope, receive, app))

    slow = [asked("slow") for _ in range(6)]
    await asyncio.sleep(0)
    others = [asked("other")]
    for _ in range(10):
      await asyncio.sleep(0)
    waiting = sorted(inside)
    go_on.set()
    await asyncio.gather(*slow, *others)
    return waiting, gate._clients

  waiting, remembered = asyncio.run(run())
  assert waiting == ["other", "slow", "slow"]
  assert most == {"slow": app_limits.BODIES_A_CLIENT, "other": 1}
  assert remembered == {}


def test_a_taken_port_leads_to_the_next():
  with app_place.listen("127.0.0.1", 0) as first:
    port = first.getsockname()[1]
    with app_place.listen("127.0.0.1", port) as second:
      assert port < second.getsockname()[1] < port + app_place.TRIED_PORTS


def test_no_free_port_is_told(monkeypatch):
  monkeypatch.setattr(app_place, "TRIED_PORTS", 1)
  with app_place.listen("127.0.0.1", 0) as first:
    port = first.getsockname()[1]
    with (
      pytest.raises(cli.UserError) as error,
      app_place.listen("127.0.0.1", port),
    ):
      pass
  assert str(error.value) == (
    f"--port: got {port}, but {port} to {port} are taken; give another, or 0 "
    "for any"
  )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 100])
def test_a_host_of_no_machine_is_told(host):
  message = f"^--host: got {host!r} \\(.*\\), allowed: an address of this"
  with (
    pytest.raises(cli.UserError, match=message),
    app_place.listen(host, 0),
  ):
    pass


def test_addresses_are_for_a_browser_on_this_machine():
  assert app_place.address("0.0.0.0", 80) == "http://127.0.0.1:80"
  assert app_place.address("::1", 80) == "http://[::1]:80"
  assert app_place.address("localhost", 80) == "http://localhost:80"


def test_the_private_folder_goes(monkeypatch):
  monkeypatch.setenv("GRADIO_TEMP_DIR", "before")
  with app_place.private_folder() as folder:
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "left").write_text("x")
  assert not folder.exists()
  assert os.environ["GRADIO_TEMP_DIR"] == "before"
