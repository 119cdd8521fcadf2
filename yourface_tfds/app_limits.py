"""What strangers may ask of the local page, how much and how often.

limit = app_limits.Rate(30, seconds=60)
wait = limit.take("127.0.0.1")    # 0.0, or the seconds to wait
app = app_limits.Gate(app, max_body=28_000_000)
"""

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

CLIENTS = 10_000
"""Addresses that a `Rate` remembers; 30 times each are about 10 kB."""

BODIES = 4
"""Requests with a body that are taken at a time; others wait unread."""

BODIES_A_CLIENT = 2
"""The same of one address, so that a slow one does not stop the others."""

_SECONDS_A_BODY = 60
_ASK = "/gradio_api/component_server/"
_PAGES = ("/", "/theme.css", "/config", "/favicon.ico", "/manifest.json")
_BELOW = ("/assets/", "/static/")
_HEADERS = [
  # Gradio runs the component's script by Function(), hence unsafe-eval. With
  # connect-src and img-src as they are, a photo has nowhere else to go.
  (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    b"font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    b"base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
  ),
  (b"referrer-policy", b"no-referrer"),
  (b"x-content-type-options", b"nosniff"),
]

Application = Callable[..., Any]
"""An ASGI application."""


class Rate:
  """At most so many times in any window, for each client. For many threads."""

  def __init__(
    self,
    most: int,
    *,
    seconds: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Remembers nobody yet.

    Args:
      most: times in a window, 1 or more.
      seconds: length of the window.
      clock: the time, seconds.
    """
    self._most, self._seconds, self._clock = most, seconds, clock
    self._taken: collections.OrderedDict[str, collections.deque[float]] = (
      collections.OrderedDict()
    )
    self._lock = threading.Lock()

  def take(self, client: str) -> float:
    """Counts one time for a client, unless it has had enough.

    Returns:
      0.0 when it was counted, else the seconds until it would be.
    """
    with self._lock:
      now = self._clock()
      times = self._taken.setdefault(client, collections.deque())
      self._taken.move_to_end(client)
      if len(self._taken) > CLIENTS:
        self._taken.popitem(last=False)
      while times and times[0] <= now - self._seconds:
        times.popleft()
      if len(times) >= self._most:
        return times[0] + self._seconds - now
      times.append(now)
      return 0.0


class Gate:
  """Lets through what the page needs of Gradio, and bodies of a certain size.

  Gradio serves many other paths: files, uploads, which it writes to disk, a
  proxy, a programming interface. To this page they do not exist.
  """

  def __init__(self, app: Application, *, max_body: int) -> None:
    """Wraps an ASGI application.

    Args:
      app: the application.
      max_body: bytes that the body of a request may have.
    """
    self._app, self._max_body = app, max_body
    self._slots = asyncio.Semaphore(BODIES)
    # Only of clients that are being answered, or wait.
    self._clients: dict[str, tuple[asyncio.Semaphore, int]] = {}

  async def __call__(
    self, scope: dict[str, Any], receive: Application, send: Application
  ) -> None:
    """Answers one request, as ASGI 3 says."""
    if scope["type"] == "lifespan":
      await self._app(scope, receive, send)
      return
    status = _refusal(scope)
    if status:
      await _refuse(scope, send, status)
      return

    async def send_with_headers(message: dict[str, Any]) -> None:
      if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", []), *_HEADERS]
      await send(message)

    if scope["method"] != "POST":
      await self._app(scope, receive, send_with_headers)
      return
    async with self._slot_of(scope), self._slots:
      body = await self._body(scope, receive)
      if body is None:
        await _refuse(scope, send, 413)
        return
      await self._app(scope, _replay(body, receive), send_with_headers)

  @contextlib.asynccontextmanager
  async def _slot_of(self, scope: dict[str, Any]) -> AsyncIterator[None]:
    """Waits until the client of a request may send a body."""
    client = str((scope.get("client") or ("",))[0])
    slots, asking = self._clients.get(
      client, (asyncio.Semaphore(BODIES_A_CLIENT), 0)
    )
    self._clients[client] = slots, asking + 1
    try:
      async with slots:
        yield
    finally:
      slots, asking = self._clients[client]
      self._clients[client] = slots, asking - 1
      if asking == 1:
        del self._clients[client]

  async def _body(
    self, scope: dict[str, Any], receive: Application
  ) -> bytes | None:
    """Returns the body of a request; None if it is too large or too slow."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if not length.isdigit() or int(length) > self._max_body:
      return None
    body, more = bytearray(), True
    end = time.monotonic() + _SECONDS_A_BODY
    while more:
      try:
        message = await asyncio.wait_for(receive(), end - time.monotonic())
      except asyncio.TimeoutError:
        return None
      body += message.get("body", b"")
      more = message["type"] == "http.request" and message.get("more_body")
      if len(body) > self._max_body:
        return None
    return bytes(body)


def _refusal(scope: dict[str, Any]) -> int:
  """Returns the status of a request that is none of the page's, else 0."""
  if scope["type"] != "http":
    return 404
  path, method = scope["path"], scope["method"]
  if path == _ASK:
    # Of a form Gradio would write the files to disk.
    kind = dict(scope["headers"]).get(b"content-type", b"")
    if method != "POST":
      return 405
    return 0 if kind.split(b";")[0].strip() == b"application/json" else 415
  if path not in _PAGES and not path.startswith(_BELOW):
    return 404
  return 0 if method in ("GET", "HEAD") else 405


async def _refuse(
  scope: dict[str, Any], send: Application, status: int
) -> None:
  if scope["type"] != "http":
    await send({"type": "websocket.close", "code": 1008})
    return
  headers = [(b"content-length", b"0"), (b"connection", b"close"), *_HEADERS]
  await send(
    {"type": "http.response.start", "status": status, "headers": headers}
  )
  await send({"type": "http.response.body", "body": b""})


def _replay(body: bytes, receive: Application) -> Application:
  """Returns an ASGI `receive` for a body that was read already."""
  messages = [{"type": "http.request", "body": body, "more_body": False}]

  async def replay() -> dict[str, Any]:
    return messages.pop() if messages else await receive()

  return replay
