"""The local page in a headless Chromium."""

import base64
import contextlib
import io
import re
import signal
import time

import pytest
from PIL import Image

from tests import browser, local_page, small_export
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


@pytest.fixture(scope="module")
def export(tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_export.write(folder)
  return folder


@pytest.fixture(scope="module")
def server(export, tmp_path_factory):
  temporary = tmp_path_factory.mktemp("tmp")
  with local_page.with_taken_port(export / "saved_model", temporary) as page:
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


def test_a_drawn_photo_is_answered(page, server, said):
  assert page.title() == "Your Face · 내 얼굴은 무슨 동물상?"
  upload(page, local_page.ONE)
  page.wait_for_selector("#result")
  (face,) = said(local_page.ONE)
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
  expected = predict_lib.draw_card(local_page.ONE, face, "ko")
  assert picture.convert("RGB").tobytes() == expected.tobytes()
  page.click("nav a[lang=en]")
  assert page.title() == "Your Face · Which animal is in your face?"
  assert page.inner_text("#sentence") == face.sentence_en
  assert face.best("en")["face_type"] in page.inner_text("#bars")
  page.wait_for_selector("#download[download='your-face-card.png']")
  picture, _ = card_of(page)
  expected = predict_lib.draw_card(local_page.ONE, face, "en")
  assert picture.convert("RGB").tobytes() == expected.tobytes()
  page.click("#another")
  assert page.is_visible("#start") and not page.is_visible("#result")
  assert page.evaluate("document.activeElement.id") == "file"
  assert local_page.files_below(server.temporary) == []


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
    (local_page.ONE[: len(local_page.ONE) // 2], "unreadable"),
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
  upload(page, local_page.ONE)
  page.wait_for_selector("#result")
  assert page.is_hidden("#error")


@pytest.mark.slow
def test_limits_of_the_command_and_a_tflite_file(chromium, export, tmp_path):
  flags = ["--photos_per_minute=1", "--max_megabytes=1", "--language=en"]
  with (
    local_page.started(
      export / "face.tflite", tmp_path, "--port=0", *flags
    ) as narrow,
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
    upload(page, local_page.ONE)
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
    [kind, base64.b64encode(local_page.ONE).decode()],
  )
  page.wait_for_selector("#result")
  assert page.inner_text("#sentence") == said(local_page.ONE)[0].sentence_ko


def test_ctrl_c_ends_it_and_nothing_is_left(chromium, server):
  """The last test of the running commands: it ends them."""
  with opened(chromium, server) as page:
    upload(page, local_page.ONE)
    page.wait_for_selector("#download[href]")
    begin = time.monotonic()
    out, err, code = server.end()
    assert time.monotonic() - begin < 10
    upload(page, local_page.ONE)
    assert error_of(page) == app_texts.plain("no_answer", "ko")
  assert (out, err, code) == ("", "\nEnded; no photo was kept.\n", 130)
  assert list(server.temporary.iterdir()) == []
  # In all of its life it asked nobody.
  assert not server.calls.exists(), server.calls.read_text()
