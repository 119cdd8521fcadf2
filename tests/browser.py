"""A headless Chromium for tests of pages, driven by Playwright.

  with browser.chromium() as chromium, browser.serve(folder) as url:
    page = chromium.new_page()
    page.goto(url)

A test that needs one is skipped with the reason where there is none; with CI=1
and YOURFACE_SLOW=1 Playwright fetches its own instead.
"""

import contextlib
import functools
import http.server
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from yourface_tfds import lettering

_NAMES = ("chromium", "chromium-browser", "google-chrome")

_playing: list[Any] = []

_NO_KOREAN = (
  "<selectfont><rejectfont><pattern><patelt name='lang'><string>ko</string>"
  "</patelt></pattern></rejectfont></selectfont>"
)

_CONTRAST = """
() => {
  const number = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      const [r, g, b, a = 1] = number(color);
      if (a === 1) return [r, g, b];
      if (a > 0) throw new Error(`half transparent: ${element.outerHTML}`);
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element);
    const [one, other] = [number(style.color), ground(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([text, ratio]);
  }
  return found;
}
"""


def find() -> str:
  """Returns the path of a Chromium; skips the test where there is none."""
  if importlib.util.find_spec("playwright") is None:
    pytest.skip("Playwright is not installed: pip install playwright")
  for name in _NAMES:
    path = shutil.which(name)
    if path:
      return path
  from playwright import sync_api

  with sync_api.sync_playwright() as playwright:
    path = playwright.chromium.executable_path
  if not pathlib.Path(path).is_file():
    if os.environ.get("CI") != "1" or os.environ.get("YOURFACE_SLOW") != "1":
      pytest.skip("no Chromium: apt-get install chromium")
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    subprocess.run(command, check=True)
  return path


@contextlib.contextmanager
def chromium(*, korean: bool = True) -> Iterator:
  """Yields a browser, `playwright.sync_api.Browser`.

  It has a camera that shows a test picture.

  Args:
    korean: it has the font of the cards for Korean, whatever the system has;
      False: of the system's fonts, only those without Korean.
  """
  executable = find()
  arguments = ["--use-fake-device-for-media-stream"]
  if os.geteuid() == 0:
    arguments.append("--no-sandbox")  # Chromium as root asks for it.
  fonts = pathlib.Path(str(lettering.font(12).path)).parent
  with (
    _fontconfig(fonts if korean else None) as config,
    _playwright() as playwright,
  ):
    running = playwright.chromium.launch(
      executable_path=executable,
      args=arguments,
      env={**os.environ, "FONTCONFIG_FILE": str(config)},
    )
    try:
      yield running
    finally:
      running.close()


@contextlib.contextmanager
def _playwright() -> Iterator:
  """Yields Playwright, of which a thread can have one at a time."""
  if _playing:
    yield _playing[-1]
    return
  from playwright import sync_api

  with sync_api.sync_playwright() as playwright:
    _playing.append(playwright)
    try:
      yield playwright
    finally:
      _playing.clear()


@contextlib.contextmanager
def _fontconfig(fonts: pathlib.Path | None) -> Iterator[pathlib.Path]:
  with tempfile.TemporaryDirectory(prefix="your_face_fonts.") as folder:
    path = pathlib.Path(folder, "fonts.conf")
    ours = f"<dir>{fonts}</dir>" if fonts else _NO_KOREAN
    path.write_text(
      '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
      f"<fontconfig>{ours}<dir>/usr/share/fonts</dir>"
      f"<cachedir>{folder}/cache</cachedir></fontconfig>",
      encoding="utf-8",
    )
    yield path


class _Handler(http.server.SimpleHTTPRequestHandler):
  def __init__(self, *arguments, seen, **options):
    self._seen = seen
    super().__init__(*arguments, **options)

  def log_message(self, *_):
    self._seen.append(self.path)


@contextlib.contextmanager
def serve(folder: pathlib.Path, seen: list[str] | None = None) -> Iterator[str]:
  """Serves a folder as `python -m http.server` does; yields the address.

  Args:
    folder: what to serve.
    seen: the path of every request is appended to it.
  """
  seen = [] if seen is None else seen
  handler = functools.partial(_Handler, directory=str(folder), seen=seen)
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f"http://127.0.0.1:{server.server_port}/"
    finally:
      server.shutdown()
      thread.join()


_DRAWN = """
async ([text, name]) => {
  const style = getComputedStyle(document.querySelector(name));
  const font = `700 40px ${style.fontFamily}`;
  await document.fonts.load(font, text);
  return [...text].map((letter) => {
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    pen.font = font;
    pen.fillText(letter, 10, 60);
    return canvas.toDataURL();
  });
}
"""


def kinds_of_letters(page, text: str, name: str) -> int:
  """Returns how many different pictures the letters of a text give.

  A font without them draws the same box for each.

  Args:
    page: the page.
    text: letters, each once.
    name: of the element whose font is used, a CSS selector.
  """
  return len(set(page.evaluate(_DRAWN, [text, name])))


def low_contrast(page, least: float = 4.5) -> list:
  """Returns [text, ratio] of all visible text below a contrast (WCAG 2)."""
  found = page.evaluate(_CONTRAST)
  assert found, "no text is visible"
  return [[text, ratio] for text, ratio in found if ratio < least]


_PLATES = """
() => {
  const photo = document.querySelector("#photo").getBoundingClientRect();
  return [...document.querySelectorAll(".plate")].map((plate) => {
    const {top, left, right, bottom, height} = plate.getBoundingClientRect();
    const line = parseFloat(getComputedStyle(plate).lineHeight);
    const past = Math.max(
      photo.top - top, photo.left - left, right - photo.right,
      bottom - photo.bottom);
    return [plate.innerText, height / line, past];
  });
}
"""


def plates(page) -> list:
  """Returns [text, lines, pixels outside the photo] of each box's number."""
  return page.evaluate(_PLATES)


_BUTTONS = """
() => [...document.querySelectorAll(".button")]
  .filter((button) => button.checkVisibility())
  .map((button) => {
    const {x, y, width} = button.getBoundingClientRect();
    return [x, y, width].map(Math.round);
  })
"""


def are_buttons_even(page) -> bool:
  """Whether all buttons are in one row, or below each other and as wide."""
  lefts, tops, widths = zip(*page.evaluate(_BUTTONS), strict=True)
  return len(set(tops)) == 1 or len(set(lefts)) == len(set(widths)) == 1


def gap(page, above: str, below: str) -> float:
  """Returns the pixels between two elements, CSS selectors."""
  upper = page.locator(above).bounding_box()
  lower = page.locator(below).bounding_box()
  return lower["y"] - upper["y"] - upper["height"]


def sideways(page) -> int:
  """Returns by how many pixels the page is wider than the window."""
  return page.evaluate("document.documentElement.scrollWidth - innerWidth")
