"""The local page in a headless Chromium, and its command."""

import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from tests import browser, drawn, small_export
from yourface_tfds import (
  app_answer,
  app_texts,
  card,
  model_card,
  paint,
  predict_lib,
  web_site,
)

# A server and a browser: minutes.
pytestmark = pytest.mark.slow

_ASK = "/gradio_api/component_server/"
_LINE = re.compile(r"Your Face: (http://127\.0\.0\.1:(\d+)) \((.*)\)\n")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_export.write(folder)
  return folder


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


@pytest.fixture(scope="module")
def server(export, tmp_path_factory):
  with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    with started(
      export / "saved_model",
      tmp_path_factory.mktemp("tmp"),
      f"--port={port}",
      "--photos_per_minute=1000",
    ) as page:
      assert page.note == f"port {port} is taken; Ctrl-C ends it"
      yield page


@pytest.fixture(scope="module")
def chromium():
  with browser.chromium() as running:
    yield running


@contextlib.contextmanager
def opened(chromium, server, language=None, **options):
  """Yields the page; fails if it asked another host or wrote an error."""
  options = {"viewport": {"width": 390, "height": 844}, **options}
  context = chromium.new_context(**options)
  try:
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong = []

    def note(request):
      if not request.url.startswith((server.url, "data:", "blob:")):
        wrong.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(server.url)
    page.wait_for_selector("[data-ready]", state="attached")
    if language:
      page.click(f"nav a[lang={language}]")
    yield page
    assert not wrong
  finally:
    context.close()


@pytest.fixture
def page(chromium, server):
  with opened(chromium, server) as page:
    yield page


@pytest.fixture(scope="module")
def said(export):
  """Bytes of a photo -> what the model says of its faces."""
  return predict_lib.load(export / "saved_model").all_faces


def two_people():
  """Two people of whom the untrained model says different things."""
  picture = Image.new("RGB", (1000, 500))
  for place, number in enumerate((4, 8)):
    drawing = small_export.drawing(number).resize((500, 500))
    picture.paste(drawing, (500 * place, 0))
  return small_export.jpeg(picture)


ONE = small_export.jpeg(small_export.drawing(0))
TWO = two_people()


def upload(page, content, name="a.jpg"):
  page.set_input_files(
    "#file", {"name": name, "mimeType": "image/jpeg", "buffer": content}
  )


def error_of(page):
  page.wait_for_selector("#error:not([hidden])")
  assert page.is_visible("#start") and not page.is_visible("#result")
  return page.inner_text("#error")


def card_of(page):
  """Returns the card that is offered, downloaded, and its name."""
  page.wait_for_selector("#download[href]")
  with page.expect_download() as download:
    page.click("#download")
  path = download.value.path()
  return Image.open(io.BytesIO(path.read_bytes())), (
    download.value.suggested_filename
  )


def files_below(folder):
  """Returns the files, but the code that TensorFlow keeps until it ends."""
  return [
    path
    for path in folder.rglob("*")
    if path.is_file() and not path.name.startswith("__autograph_generated")
  ]


def test_a_drawn_photo_is_answered(page, server, said):
  assert page.title() == "Your Face · 내 얼굴은 무슨 동물상?"
  upload(page, ONE)
  page.wait_for_selector("#result")
  (face,) = said(ONE)
  assert page.inner_text("#sentence") == face.sentence_ko
  assert page.inner_text("#other-sentence") == face.sentence_en
  assert page.locator("#faces").is_hidden()
  best = face.best("ko")["face_type"]
  assert best in page.inner_text("#bars")
  assert page.inner_text("#animal-word") == best
  for head, row in face.probabilities.items():
    assert paint.percent(max(row)) in page.inner_text("#bars"), head
  sizes = page.evaluate(
    "['.crop img', '#photo img'].map((query) => {"
    "const image = document.querySelector(query);"
    "return [image.naturalWidth, image.naturalHeight]})"
  )
  assert sizes[0] == [app_answer.CROP_SIZE] * 2
  assert sizes[1] == [790, 635]
  picture, name = card_of(page)
  assert (picture.format, picture.size, name) == (
    "PNG",
    card.SIZE,
    "내-얼굴-카드.png",
  )
  expected = predict_lib.draw_card(ONE, face, "ko")
  assert picture.convert("RGB").tobytes() == expected.tobytes()
  page.click("nav a[lang=en]")
  assert page.title() == "Your Face · Which animal is in your face?"
  assert page.inner_text("#sentence") == face.sentence_en
  assert face.best("en")["face_type"] in page.inner_text("#bars")
  page.wait_for_selector("#download[download='your-face-card.png']")
  picture, _ = card_of(page)
  expected = predict_lib.draw_card(ONE, face, "en")
  assert picture.convert("RGB").tobytes() == expected.tobytes()
  page.click("#another")
  assert page.is_visible("#start") and not page.is_visible("#result")
  assert page.evaluate("document.activeElement.id") == "file"
  assert files_below(server.temporary) == []


def test_several_faces_are_chosen_by_keyboard_alone(page, said):
  faces = said(TWO)
  assert len(faces) == 2 and faces[0].sentence_ko != faces[1].sentence_ko
  # Chromium is told to hand its dialog over while the keys are pressed.
  page.on("filechooser", lambda _: None)
  page.keyboard.press("Tab")
  seen = []
  while page.evaluate("document.activeElement.id") != "file":
    seen.append(page.evaluate("document.activeElement.textContent"))
    page.keyboard.press("Tab")
    assert len(seen) < 10
  assert "English" in seen
  outline = page.evaluate(
    "getComputedStyle(document.querySelector('#file + label')).outlineStyle"
  )
  assert outline == "solid"
  with page.expect_file_chooser() as chooser:
    page.keyboard.press("Enter")
  chooser.value.set_files(
    {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": TWO}
  )
  page.wait_for_selector("#result")
  assert page.evaluate("document.activeElement.id") == "result"
  assert "2개" in page.inner_text("#how-many")
  while page.evaluate("document.activeElement.id") != "face-0":
    page.keyboard.press("Tab")
  page.keyboard.press("ArrowRight")
  assert page.inner_text("#sentence") == faces[1].sentence_ko
  assert page.evaluate("document.activeElement.id") == "face-1"
  picture, _ = card_of(page)
  expected = predict_lib.draw_card(TWO, faces[1], "ko")
  assert picture.convert("RGB").tobytes() == expected.tobytes()
  while page.evaluate("document.activeElement.id") != "another":
    page.keyboard.press("Shift+Tab")
  page.keyboard.press("Enter")
  assert page.is_visible("#start")


def _png(width, height):
  out = io.BytesIO()
  Image.new("L", (width, height)).save(out, "PNG")
  return out.getvalue()


@pytest.mark.parametrize(
  ("content", "key"),
  [
    (b"hello", "not_an_image"),
    (b"", "unreadable"),
    (ONE[: len(ONE) // 2], "unreadable"),
    (_png(300, 200), "no_face"),
    (_png(10_000, 5_001), "too_large"),
  ],
  ids=["text", "empty", "cut", "grey", "pixels"],
)
def test_a_bad_file_gets_a_sentence_that_helps(page, content, key):
  values = {"bytes": 20, "pixels": app_texts.MEGAPIXELS}
  upload(page, content)
  assert error_of(page) == app_texts.plain(key, "ko", **values)
  page.click("nav a[lang=en]")
  assert error_of(page) == app_texts.plain(key, "en", **values)
  assert page.get_attribute("#error", "role") == "alert"


def test_a_file_of_too_many_bytes_is_not_sent(page):
  asked = []
  page.on("request", lambda request: asked.append(request.url))
  page.evaluate(
    "() => {const data = new DataTransfer();"
    "data.items.add(new File([new Uint8Array(20_000_001)], 'a.jpg'));"
    "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data}))}"
  )
  values = {"bytes": 20, "pixels": app_texts.MEGAPIXELS}
  assert error_of(page) == app_texts.plain("too_large", "ko", **values)
  assert asked == []


def test_after_an_error_the_next_photo_is_answered(page):
  upload(page, b"hello")
  error_of(page)
  upload(page, ONE)
  page.wait_for_selector("#result")
  assert page.is_hidden("#error")


@pytest.mark.slow
def test_limits_of_the_command_and_a_tflite_file(chromium, export, tmp_path):
  flags = ["--photos_per_minute=1", "--max_megabytes=1", "--language=en"]
  with (
    started(export / "face.tflite", tmp_path, "--port=0", *flags) as narrow,
    opened(chromium, narrow) as page,
  ):
    assert narrow.note == "Ctrl-C ends it"
    assert page.evaluate("document.documentElement.lang") == "en"
    assert "up to 1 MB" in page.inner_text("#start")
    upload(page, bytes(1_000_001))
    assert "1 MB and 50 megapixels" in error_of(page)
    upload(page, TWO)
    page.wait_for_selector("#result")
    page.click("#another")
    upload(page, ONE)
    assert re.search(r"again in [1-5]?\d s\.|again in 60 s\.", error_of(page))
    _, _, code = narrow.end(signal.SIGTERM)
    assert code == 143
  assert list(narrow.temporary.iterdir()) == []


def test_korean_is_drawn_with_letters_of_its_own(page):
  assert browser.kinds_of_letters(page, "강아지상", "#your-face") == 4


def test_korean_needs_no_font_of_the_system(server):
  with (
    browser.chromium(korean=False) as chromium,
    opened(chromium, server) as page,
  ):
    assert browser.kinds_of_letters(page, "강아지상", "#your-face") == 4
    # What no text has is drawn by the system, which cannot.
    assert browser.kinds_of_letters(page, "쀍뛟", "#your-face") == 1


@pytest.mark.parametrize("language", card.LANGUAGES)
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_can_be_read_on_every_screen(chromium, server, language, width):
  options = {
    "viewport": {"width": width, "height": 844},
    "color_scheme": "dark",
    # Or colours are caught on their way to others.
    "reduced_motion": "reduce",
  }
  with opened(chromium, server, language, **options) as page:
    for content, shown in ((b"", "#error"), (TWO, "#download[href]")):
      assert browser.sideways(page) <= 0
      assert browser.low_contrast(page) == []
      upload(page, content)
      page.wait_for_selector(shown)
    assert browser.sideways(page) <= 0
    assert browser.low_contrast(page) == []
    text = page.inner_text("body")
    assert bool(re.search("[가-힣]", text.replace("한국어", ""))) or (
      language == "en"
    )
    uses = {"ko": web_site.OUT_OF_SCOPE_KO, "en": model_card.OUT_OF_SCOPE}
    for use in uses[language]:
      assert use in text


def test_boxes_and_numbers_choose_as_the_row_does(page, said):
  upload(page, TWO)
  page.wait_for_selector("#result")
  faces = said(TWO)
  area = page.locator("#photo img").bounding_box()
  for i, face in enumerate(faces):
    box = page.locator(".box").nth(i).bounding_box()
    left = (box["x"] - area["x"]) / area["width"]
    top = (box["y"] - area["y"]) / area["height"]
    assert left == pytest.approx(face.box[1], abs=0.01)
    assert top == pytest.approx(face.box[0], abs=0.01)
  for number, mark in ((1, ".box"), (0, ".plate")):
    page.locator(mark).nth(number).click()
    assert page.inner_text("#sentence") == faces[number].sentence_ko
    assert page.locator(f"#face-{number}").is_checked()
    assert page.locator(".box.chosen").count() == 1
    assert page.locator(".plate.chosen").inner_text() == str(number + 1)


@pytest.mark.parametrize("width", [320, 390])
def test_large_letters_and_fingers_have_room(chromium, server, width):
  options = {
    "viewport": {"width": width, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "permissions": ["camera"],
  }
  for language in card.LANGUAGES:
    with opened(chromium, server, language, **options) as page:
      assert browser.gap(page, "#start .buttons", ".mouse + .hint") >= 12
      assert browser.are_buttons_even(page)
      page.click("#camera")
      page.wait_for_selector("#finder:not([hidden])")
      assert page.is_hidden("#start") and browser.are_buttons_even(page)
      page.click("#cancel")
      upload(page, TWO)
      page.wait_for_selector("#download[href]")
      assert browser.are_buttons_even(page)
      for _, lines, past in browser.plates(page):
        assert lines < 1.5 and past < 1
      sizes = "h => parseFloat(getComputedStyle(h).fontSize)"
      title, part = (
        page.locator(f"{name} >> nth=0").evaluate(sizes)
        for name in ("#result h3", "#result h4")
      )
      assert title >= 1.2 * part
      page.evaluate("document.documentElement.style.fontSize = '200%'")
      assert browser.sideways(page) <= 0
      assert page.locator(".crop img").bounding_box()["width"] >= 96


def test_screen_readers_are_told(page):
  upload(page, TWO)
  page.wait_for_selector("#download[href]")
  assert page.get_attribute("#said", "aria-live") == "polite"
  names = page.get_by_role("radio")
  assert names.count() == 2
  assert page.get_by_role("radio", name="얼굴 2").count() == 1
  assert page.get_by_role("radiogroup", name="얼굴이 2개").count() == 1
  assert page.get_by_role("link", name="카드 내려받기").count() == 1
  assert page.get_by_role("main").count() == 1
  without = page.evaluate(
    "[...document.querySelectorAll('#your-face img')]"
    ".filter((image) => !image.hasAttribute('alt')).length"
  )
  assert without == 0


def test_the_camera_takes_a_photo(chromium, server):
  with opened(chromium, server, permissions=["camera"]) as page:
    page.click("#camera")
    page.wait_for_selector("#finder:not([hidden])")
    page.wait_for_function("document.querySelector('#video').videoWidth > 0")
    page.click("#cancel")
    assert page.evaluate("document.querySelector('#video').srcObject") is None
    page.click("#camera")
    page.wait_for_function("document.querySelector('#video').videoWidth > 0")
    page.click("#shoot")
    # The test picture has no face.
    assert error_of(page) == app_texts.plain("no_face", "ko")
    assert page.evaluate("document.querySelector('#video').srcObject") is None


def test_a_refused_camera_is_a_sentence(chromium, server):
  with opened(chromium, server) as page:
    page.evaluate(
      "() => {navigator.mediaDevices.getUserMedia ="
      " () => Promise.reject(Error())}"
    )
    page.click("#camera")
    assert error_of(page) == app_texts.plain("no_camera", "ko")


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_is_pasted_or_dropped(page, said, kind):
  page.evaluate(
    "([kind, text]) => {"
    "const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"
    "const data = new DataTransfer();"
    "data.items.add(new File([bytes], 'a.jpg', {type: 'image/jpeg'}));"
    "document.dispatchEvent(kind === 'paste'"
    "? new ClipboardEvent('paste', {clipboardData: data})"
    ": new DragEvent('drop', {dataTransfer: data}))}",
    [kind, base64.b64encode(ONE).decode()],
  )
  page.wait_for_selector("#result")
  assert page.inner_text("#sentence") == said(ONE)[0].sentence_ko


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
    assert fetch(server, path)[0] == 404, path
  form = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"'
    b"\r\n\r\n" + ONE + b"\r\n--x--\r\n"
  )
  kind = "multipart/form-data; boundary=x"
  assert fetch(server, "/gradio_api/upload", form, kind)[0] == 404
  assert fetch(server, _ASK, form, kind)[0] == 415
  assert files_below(server.temporary) == []


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
  status, answer = fetch(server, _ASK, json.dumps(body).encode(), **headers)
  assert status == 200
  return json.loads(answer)


def test_no_header_makes_a_new_client(export, tmp_path):
  with started(
    export / "saved_model", tmp_path, "--port=0", "--photos_per_minute=1"
  ) as page:
    assert len(look(page, ONE)["faces"]) == 1
    for number in (1, 2):
      asked = look(page, ONE, X_Forwarded_For=f"192.0.2.{number}")
      assert "again in" in asked["error"]


def test_a_question_without_a_browser_is_answered_in_memory(server):
  assert len(look(server, ONE)["faces"]) == 1
  assert files_below(server.temporary) == []


def test_ctrl_c_ends_it_and_nothing_is_left(chromium, server):
  """The last test of the running commands: it ends them."""
  with opened(chromium, server) as page:
    upload(page, ONE)
    page.wait_for_selector("#download[href]")
    begin = time.monotonic()
    out, err, code = server.end()
    assert time.monotonic() - begin < 10
    upload(page, ONE)
    assert error_of(page) == app_texts.plain("no_answer", "ko")
  assert (out, err, code) == ("", "\nEnded; no photo was kept.\n", 130)
  assert list(server.temporary.iterdir()) == []
  # In all of its life it asked nobody.
  assert not server.calls.exists(), server.calls.read_text()


def test_calls_would_be_seen(tmp_path):
  page = Page("nowhere", tmp_path / "x", "--host=page.invalid")
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
  needs_gradio()
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
  needs_gradio()
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
