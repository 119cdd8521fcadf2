"""The page in the browser, in a headless Chromium."""

import base64
import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from fontTools import ttLib
from PIL import Image

from tests import browser, drawn, small_export, small_site
from yourface_tfds import (
  card,
  card_bars,
  cli,
  crop,
  export_lib,
  faces,
  labels,
  model_card,
  mtcnn,
  web_site,
)

# A browser, and 20 MB of wasm to fetch and lay out: minutes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two():
  """Two people side by side."""
  picture = Image.new("RGB", (1000, 500))
  picture.paste(small_site.photo(0).resize((500, 500)), (0, 0))
  picture.paste(small_site.photo(1).resize((500, 500)), (500, 0))
  return small_site.encoded(picture)


@pytest.fixture(scope="module")
def model():
  return small_export.model()


@pytest.fixture(scope="module")
def export(model, tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_site.write(model, folder)
  return folder


@pytest.fixture(scope="module")
def said(model, tmp_path_factory):
  """Bytes of a photo -> what the SavedModel says of its faces."""
  path = tmp_path_factory.mktemp("saved") / "saved_model"
  export_lib.save_saved_model(model, small_site.SETTINGS, path)
  loaded = tf.saved_model.load(str(path))
  signature = loaded.signatures["all_faces"]

  def ask(content):
    assert loaded is not None  # Keeps it alive.
    outputs = signature(tf.constant(content))
    return {name: value.numpy() for name, value in outputs.items()}

  ask.path = path
  return ask


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
  if shutil.which("npm") is None:
    pytest.skip("no npm: apt-get install npm")
  try:
    return web_site._install(small_site.SOURCE, tmp_path_factory.mktemp("npm"))
  except cli.UserError as error:
    if os.environ.get("CI") == "1":
      raise
    pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(export, node_modules, tmp_path_factory):
  path = tmp_path_factory.mktemp("web") / "site"
  return web_site.build(
    export, path, source=small_site.SOURCE, node_modules=node_modules
  )


@pytest.fixture(scope="module")
def chromium():
  with browser.chromium() as running:
    yield running


@contextlib.contextmanager
def opened(chromium, url, language="en", **options):
  """Yields the page once it can answer."""
  context = chromium.new_context(
    **{
      "viewport": {"width": 390, "height": 844},
      # Where things are does not change while they scroll.
      "reduced_motion": "reduce",
      **options,
    }
  )
  try:
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"{url}#{language}")
    ready(page)
    yield page
  finally:
    context.close()


def ready(page):
  page.wait_for_selector("#animals img", state="attached")
  page.wait_for_selector("#status p", state="hidden")
  assert page.is_hidden("#error")


@pytest.fixture(scope="module")
def server(site):
  seen = []
  with browser.serve(site, seen) as url:
    yield types.SimpleNamespace(url=url, seen=seen)


@pytest.fixture
def page(chromium, server):
  with opened(chromium, server.url) as page:
    yield page


def upload(page, content, name="a.png"):
  file = {"name": name, "mimeType": "image/png", "buffer": content}
  page.set_input_files("#file", file)
  page.wait_for_selector("#result:not([hidden]), #error:not([hidden])")


def sentence(page):
  return page.inner_text("#sentence").replace("\n", " ")


@pytest.mark.slow
def test_the_answer_is_that_of_the_saved_model(page, said):
  sentences = set()
  for i in range(3):
    content = small_site.encoded(small_site.photo(i))
    upload(page, content)
    expected = said(content)
    assert sentence(page) == expected["sentence_en"][0].decode()
    page.evaluate("location.hash = 'ko'")
    page.wait_for_selector("html[lang=ko]")
    assert sentence(page) == expected["sentence_ko"][0].decode()
    page.evaluate("location.hash = 'en'")
    page.wait_for_selector("html[lang=en]")
    sentences.add(sentence(page))
  assert len(sentences) > 1


@pytest.mark.slow
def test_all_bars_are_those_of_the_saved_model(page, said):
  content = small_site.encoded(small_site.photo(0))
  upload(page, content)
  expected = said(content)
  heads = page.locator(".head").all()
  assert len(heads) == len(labels.HEADS)
  for shown, (head, vocabulary) in zip(
    heads, labels.HEADS.items(), strict=True
  ):
    assert shown.locator("h4").inner_text() == card_bars.title(head, "en")
    values = [
      float(text.strip("<> %"))
      for text in shown.locator(".value").all_inner_texts()
    ]
    assert sum(values) == pytest.approx(100, abs=0.4)
    row = expected[head][0]
    best = int(row.argmax())
    assert shown.locator(".first .word").inner_text() == vocabulary.names[best]
    assert values[0] == pytest.approx(100 * row[best], abs=0.3)
  assert (
    page.inner_text("#animal-word")
    == labels.HEADS["face_type"].names[int(expected["face_type"][0].argmax())]
  )


@pytest.mark.slow
def test_upright_by_exif(page, said):
  turned = small_site.photo(0).transpose(Image.Transpose.ROTATE_90)
  exif = Image.Exif()
  exif[0x0112] = 6  # To be turned clockwise.
  content = small_site.encoded(turned, "JPEG", quality=92, exif=exif)
  upload(page, content)
  expected = said(content)
  assert expected["error"] == b""
  assert sentence(page) == expected["sentence_en"][0].decode()


@pytest.mark.slow
def test_a_large_jpeg_is_shrunk_as_for_the_saved_model(page, said):
  # To a quarter before anything else, while the SavedModel decodes it.
  content = small_site.encoded(
    small_site.photo(0).resize((2400, 1930)), "JPEG", quality=92
  )
  upload(page, content)
  expected = said(content)
  shares = page.locator("#bars .first .value").all_inner_texts()
  for share, head in zip(shares, labels.HEADS, strict=True):
    got = float(share.strip("<> %"))
    assert got == pytest.approx(100 * expected[head][0].max(), abs=1.5)


@pytest.mark.slow
def test_each_of_two_faces_can_be_chosen(page, said, two):
  upload(page, two)
  expected = [text.decode() for text in said(two)["sentence_en"]]
  assert len(set(expected)) == 2
  assert page.locator(".box").count() == 2
  assert page.inner_text("#how-many").startswith("There are 2 faces.")
  assert sentence(page) == expected[0]
  page.get_by_label("Face 2").check()
  assert sentence(page) == expected[1]
  # The box in the photo does the same.
  page.locator(".box").nth(0).click()
  assert sentence(page) == expected[0]
  assert page.get_by_label("Face 1").is_checked()


@pytest.mark.slow
def test_boxes_lie_on_the_faces(page, said, two):
  upload(page, two)
  photo = page.locator("#photo-image").bounding_box()
  for i, expected in enumerate(said(two)["box"]):
    box = page.locator(".box").nth(i).bounding_box()
    got = [
      (box["y"] - photo["y"]) / photo["height"],
      (box["x"] - photo["x"]) / photo["width"],
      (box["y"] - photo["y"] + box["height"]) / photo["height"],
      (box["x"] - photo["x"] + box["width"]) / photo["width"],
    ]
    np.testing.assert_allclose(got, expected, atol=0.01)


def crowd():
  """Sixteen people, one of them at each edge of the photo."""
  picture = Image.new("RGB", (1600, 1600))
  for i in range(16):
    # Cut at the left and at the top, where a number would be outside.
    face = small_site.photo(i % 4).resize((400, 400)).crop((60, 0, 400, 400))
    picture.paste(face.resize((400, 400)), (400 * (i % 4), 400 * (i // 4)))
  return small_site.encoded(picture, "JPEG", quality=92)


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_of_many_faces_the_largest_are_numbered(chromium, server, width):
  size = {"width": width, "height": 844}
  with opened(chromium, server.url, viewport=size) as page:
    upload(page, crowd())
    assert page.locator("#faces .thumb").count() == 12
    words = page.inner_text("#how-many")
    assert re.fullmatch(
      r"There are 1[3-9] faces\. Choose one of the 12 largest\.", words
    )
    shown = browser.plates(page)
    assert [text for text, _, _ in shown] == [str(i + 1) for i in range(12)]
    for text, lines, past in shown:
      assert lines < 1.5 and past < 1, text
    # A number is as good as its box.
    page.locator(".plate").nth(11).click()
    assert page.get_by_label("Face 12").is_checked()
    assert page.locator(".chosen").count() == 2
    assert page.locator(".plate.chosen").inner_text() == "12"


@pytest.mark.slow
@pytest.mark.parametrize("language", card.LANGUAGES)
def test_a_finger_finds_even_buttons(chromium, server, two, language):
  options = {"has_touch": True, "is_mobile": True, "permissions": ["camera"]}
  with opened(chromium, server.url, language, **options) as page:
    assert page.is_hidden(".mouse")
    assert browser.gap(page, "#start .buttons", ".mouse + .hint") >= 12
    assert browser.are_buttons_even(page)
    page.click("#camera")
    page.wait_for_selector("#finder:not([hidden])")
    assert page.is_hidden("#start")
    assert browser.gap(page, "header", "#video") >= 12
    assert browser.are_buttons_even(page)
    page.click("#cancel")
    assert focused(page) == "camera"
    upload(page, two)
    assert browser.are_buttons_even(page)


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("language", card.LANGUAGES)
def test_large_letters_have_room(chromium, server, two, language, width):
  size = {"width": width, "height": 844}
  with opened(chromium, server.url, language, viewport=size) as page:
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert browser.sideways(page) <= 0
    upload(page, two)
    assert browser.sideways(page) <= 0
    assert page.locator("#crop").bounding_box()["width"] >= 96
    link = page.locator("nav a[lang=ko]").bounding_box()
    assert link["height"] < link["width"]


@pytest.mark.slow
def test_a_photo_before_the_engine_is_ready_is_answered(chromium, server, said):
  context = chromium.new_context()
  page = context.new_page()
  page.set_default_timeout(20_000)
  content = small_site.encoded(small_site.photo(0))
  page.goto(f"{server.url}#en")
  upload(page, content)
  assert sentence(page) == said(content)["sentence_en"][0].decode()
  assert page.is_hidden("#error")
  context.close()


BREAKS = {
  # Nothing is caught here: the worker itself tells of it, later.
  "worker": "setTimeout(() => { throw new Error(); }); "
  "return new Promise(() => {});",
  "engine": "throw new Error('out of memory');",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BREAKS)
def test_a_failing_engine_does_not_blame_the_photo(
  chromium, site, tmp_path, kind
):
  broken = tmp_path / "broken"
  shutil.copytree(site, broken)
  text = (broken / "engine.js").read_text(encoding="utf-8")
  head = "  async look(file) {\n"
  assert text.count(head) == 1
  text = text.replace(head, head + BREAKS[kind])
  (broken / "engine.js").write_text(text, encoding="utf-8")
  with browser.serve(broken) as url, opened(chromium, url) as page:
    upload(page, small_site.encoded(small_site.photo(0)))
    words = page.inner_text("#error")
    assert words.startswith("Something went wrong with this photo. Reload")
    assert page.is_hidden("#status p")


@pytest.mark.slow
def test_one_face_has_nothing_to_choose(page):
  upload(page, small_site.encoded(small_site.photo(0)))
  assert page.is_hidden("#faces")
  assert page.is_hidden("#how-many")


@pytest.mark.parametrize(
  ("content", "says"),
  [
    (b"no picture at all", "cannot be opened as a photo"),
    (b"", "cannot be opened as a photo"),
    (
      small_site.encoded(Image.new("RGB", (60, 60)))[:33],
      "is damaged or was not",
    ),
    (
      small_site.encoded(Image.new("RGB", (900, 900)), "JPEG")[:3000],
      "is damaged or",
    ),
    (
      small_site.encoded(Image.new("RGB", (300, 200), "green")),
      "No face was found",
    ),
    # 50.4 megapixels of one bit: a few kB.
    (
      small_site.encoded(Image.new("1", (8000, 6300))),
      "too large. Shrink it to 50",
    ),
  ],
  ids=["text", "empty", "truncated", "half", "no face", "too large"],
)
def test_a_bad_photo_gets_a_sentence_that_helps(page, content, says):
  upload(page, content)
  assert says in page.inner_text("#error")
  assert page.get_attribute("#error", "role") == "alert"
  assert page.is_visible("label[for=file]")
  assert not browser.low_contrast(page)
  page.evaluate("location.hash = 'ko'")
  page.wait_for_selector("html[lang=ko]")
  assert says not in page.inner_text("#error")
  assert page.is_visible("#error")
  # And the next one is answered.
  upload_after_error(page)


def upload_after_error(page):
  upload(page, small_site.encoded(small_site.photo(0)))
  page.wait_for_selector("#result:not([hidden])")
  assert page.is_hidden("#error")


FILE_EVENT = """
([kind, name, text]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "a.png", {type: "image/png"}));
  const event = kind === "paste" ?
    new ClipboardEvent(kind, {clipboardData: data, bubbles: true}) :
    new DragEvent(kind, {dataTransfer: data, bubbles: true});
  document.querySelector(name).dispatchEvent(event);
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_can_be_pasted_and_dropped(page, kind, said):
  content = small_site.encoded(small_site.photo(1))
  text = base64.b64encode(content).decode()
  page.evaluate(FILE_EVENT, [kind, "main", text])
  page.wait_for_selector("#result:not([hidden])")
  assert sentence(page) == said(content)["sentence_en"][0].decode()


@pytest.mark.slow
def test_the_camera_takes_a_photo(chromium, server):
  with opened(chromium, server.url, permissions=["camera"]) as page:
    page.click("#camera")
    page.wait_for_selector("#finder:not([hidden])")
    page.wait_for_selector("#shoot:focus")
    page.click("#shoot")
    # Chromium's test picture shows no face.
    page.wait_for_selector("#error:not([hidden])")
    assert "No face was found" in page.inner_text("#error")
    assert page.is_hidden("#finder")
    assert page.evaluate("document.querySelector('#video').srcObject") is None


@pytest.mark.slow
def test_a_camera_that_is_not_allowed(page):
  page.click("#camera")
  page.wait_for_selector("#error:not([hidden])")
  assert "camera cannot be used" in page.inner_text("#error")


@pytest.mark.slow
@pytest.mark.parametrize("language", card.LANGUAGES)
def test_it_reads_well_on_a_phone_and_a_screen(chromium, server, two, language):
  with opened(chromium, server.url, language) as page:
    for state in ("start", "answer"):
      if state == "answer":
        upload(page, two)
        assert page.is_visible("#result")
      assert not browser.low_contrast(page)
      for width in (1280, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert browser.sideways(page) <= 0, (state, width)
    assert page.get_attribute("html", "lang") == language
    shown = page.inner_text("footer")
    uses = {"en": model_card.OUT_OF_SCOPE, "ko": web_site.OUT_OF_SCOPE_KO}
    for use in uses[language]:
      assert use in shown


@pytest.mark.slow
@pytest.mark.parametrize(
  ("locale", "language"), [("ko-KR", "ko"), ("en-GB", "en"), ("de-DE", "en")]
)
def test_the_language_is_that_of_the_browser(
  chromium, server, locale, language
):
  with opened(chromium, server.url, "", locale=locale) as page:
    assert page.get_attribute("html", "lang") == language
    other = "en" if language == "ko" else "ko"
    page.click(f"#languages a[lang={other}]")
    page.wait_for_selector(f"html[lang={other}]")
    assert page.url.endswith(f"#{other}")
    assert (
      page.locator("#languages [aria-current]").inner_text()
      == ({"ko": "한국어", "en": "English"}[other])
    )


def focused(page):
  return page.evaluate("document.activeElement.id")


def tab_to(page, name):
  for _ in range(12):
    page.keyboard.press("Tab")
    if focused(page) == name:
      # What has the focus shows it, itself or by its label.
      assert page.evaluate(
        "() => [document.activeElement, document.activeElement."
        "nextElementSibling].some((x) => x && "
        "getComputedStyle(x).outlineStyle === 'solid')"
      )
      return
  raise AssertionError(f"{name} is not reached by Tab")


def choose_by_key(page):
  """Presses Enter until a file is asked for, at most three times."""
  choosers = []
  page.on("filechooser", lambda chooser: choosers.append(chooser))
  for _ in range(3):
    page.keyboard.press("Enter")
    # Chromium beside other busy processes swallowed the first one once.
    for _ in range(50):
      page.wait_for_timeout(200)
      if choosers:
        return choosers[0]
  raise AssertionError("Enter opens nothing")


@pytest.mark.slow
def test_the_keyboard_is_enough(page, said, two, tmp_path):
  (tmp_path / "two.png").write_bytes(two)
  expected = [text.decode() for text in said(two)["sentence_en"]]
  tab_to(page, "file")
  choose_by_key(page).set_files(tmp_path / "two.png")
  page.wait_for_selector("#result:focus")
  assert sentence(page) == expected[0]
  tab_to(page, "download")
  with page.expect_download() as download:
    page.keyboard.press("Enter")
  assert download.value.suggested_filename == "your-face-card.png"
  tab_to(page, "face-0")
  page.keyboard.press("ArrowRight")
  assert focused(page) == "face-1"
  assert sentence(page) == expected[1]
  page.keyboard.press("Shift+Tab")
  assert focused(page) == "another"
  page.keyboard.press("Space")
  assert focused(page) == "file"
  assert page.is_hidden("#result")


def cards(page, said, two, language):
  """Returns the card of the second face, and Python's."""
  upload(page, two)
  page.locator("#face-1").check()
  with page.expect_download() as download:
    page.click("#download")
  with Image.open(download.value.path()) as got:
    assert (got.format, got.size) == ("PNG", card.SIZE)
    got = np.asarray(got.convert("RGB"), int)
  outputs = said(two)
  answer = card.Answer(
    sentence_ko=outputs["sentence_ko"][1].decode(),
    sentence_en=outputs["sentence_en"][1].decode(),
    probabilities={head: outputs[head][1].tolist() for head in labels.HEADS},
  )
  pixels = np.asarray(Image.open(io.BytesIO(two)))
  sides = np.array(pixels.shape[:2], np.float32)
  face = crop.crop_face(
    tf.constant(pixels),
    tf.constant(outputs["box"][1] * np.tile(sides, 2)),
    tf.constant(outputs["landmarks"][1] * sides),
    crop.CropSettings(
      image_size=small_site.SIZE, margin=small_site.SETTINGS.margin
    ),
  )
  expected = card.draw(face.numpy(), answer, language)
  return got, np.asarray(expected, int)


@pytest.mark.slow
def test_the_card_is_a_picture_to_share(page, said, two):
  got, expected = cards(page, said, two, "en")
  difference = np.abs(got - expected)
  # The same layout in the same font; edges of letters fall elsewhere.
  assert difference.mean() < 4
  face = difference[100:560, 100:560]
  assert face.mean() < 4


@pytest.mark.slow
def test_korean_needs_no_font_of_the_system(server, said, two):
  with (
    browser.chromium(korean=False) as chromium,
    opened(chromium, server.url, "ko") as page,
  ):
    for _ in range(2):
      # Before anything else could have asked for the font.
      got, expected = cards(page, said, two, "ko")
      assert np.abs(got - expected).mean() < 4
      # The word, in Korean alone. The system's font says where its middle is.
      word = got[470:545, 700:1000]
      assert np.ptp(word) > 100
      assert (
        min(
          np.abs(word - expected[470 + y : 545 + y, 700 + x : 1000 + x]).mean()
          for y in range(-12, 13)
          for x in range(-2, 3)
        )
        < 10
      )
      assert browser.kinds_of_letters(page, "강아지상", "body") == 4
      # What no text has is drawn by the system, which cannot.
      assert browser.kinds_of_letters(page, "쀍뛟", "body") == 1
      # And again without the server.
      page.context.set_offline(True)
      page.reload()
      ready(page)


def test_the_site_s_font_has_the_letters_of_its_words(site):
  names = ("index.html", "texts.js", "site.json")
  words = "".join((site / name).read_text(encoding="utf-8") for name in names)
  wanted = set(re.findall("[가-힣]", words))
  assert len(wanted) > 150
  for name in ("regular", "bold"):
    with ttLib.TTFont(str(site / f"font/{name}.woff")) as font:
      assert wanted == {chr(letter) for letter in font.getBestCmap() or ()}
      # The license keeps the name for the whole.
      assert font["name"].getDebugName(1) == "Your Face"
      copied = font["name"].getDebugName(0)
    assert (site / f"font/{name}.woff").stat().st_size < 50_000
  said = (site / "font/LICENSE.txt").read_text(encoding="utf-8")
  assert copied in said and "SIL Open Font License" in said


@pytest.mark.slow
def test_after_the_first_load_nothing_is_sent(chromium, site, said):
  content = small_site.encoded(small_site.photo(2))
  expected = said(content)["sentence_en"][0].decode()
  seen, requests = [], []
  with browser.serve(site, seen) as url, opened(chromium, url) as page:
    context = page.context
    # The large files came once, from the network to what is kept.
    for name in ("litert_wasm_internal.wasm", "your_face_float32.tflite"):
      assert len([path for path in seen if name in path]) == 1
    assert not [path for path in seen if "compat" in path]
    context.on("request", lambda request: requests.append(request.url))
    before = len(seen)
    upload(page, content)
    assert sentence(page) == expected
    with page.expect_download():
      page.click("#download")
    assert len(seen) == before
    assert all(address.startswith((url, "blob:" + url)) for address in requests)
    context.set_offline(True)
    page.reload()
    ready(page)
    upload(page, content)
    assert sentence(page) == expected
    # But for the browser's own look whether there is a new build: it comes at a
    # reload, and Playwright's offline does not hold it back.
    assert [path for path in seen[before:] if "/sw.js" not in path] == []
    stored = page.evaluate("""async () => {
      const found = [];
      for (const name of await caches.keys()) {
        const cache = await caches.open(name);
        for (const {url} of await cache.keys()) found.push(url);
      }
      const bases = await indexedDB.databases();
      const other = [localStorage.length, sessionStorage.length, bases.length];
      return {found, other, cookie: document.cookie};
    }""")
    assert stored["other"] == [0, 0, 0]
    assert stored["cookie"] == ""
    names = {path.removeprefix(url) for path in stored["found"]}
    assert {"index.html", "site.json", "app.js"} <= names
    assert all((site / name).is_file() for name in names)


@pytest.mark.slow
def test_a_new_build_takes_the_place_of_the_old(
  chromium, export, node_modules, tmp_path
):
  source, path = tmp_path / "source", tmp_path / "site"
  shutil.copytree(small_site.SOURCE, source)
  build = {"source": source, "node_modules": node_modules}
  web_site.build(export, path, **build)
  with browser.serve(path) as url, opened(chromium, url) as page:
    before = page.evaluate("caches.keys()")
    text = (source / "texts.js").read_text(encoding="utf-8")
    text = text.replace("Which animal is in your face?", "Built again?")
    (source / "texts.js").write_text(text, encoding="utf-8")
    web_site.build(export, path, **build)
    # The old one answers until no page of it is open any more.
    page.reload()
    ready(page)
    page.wait_for_function(
      "navigator.serviceWorker.getRegistration().then((one) => one.waiting)"
    )
    context = page.context
    for pause in (0.5, 1, 2, 4, 8):
      page.close()
      # The old one may be busy with the page that goes; then it keeps the next.
      time.sleep(pause)
      page = context.new_page()
      page.goto(f"{url}#en")
      ready(page)
      if page.title() == "Your Face · Built again?":
        break
    assert page.inner_text("#start h2") == "Built again?"
    after = page.evaluate("caches.keys()")
    assert len(before) == len(after) == 1 and before != after


@pytest.mark.slow
def test_what_is_shown_meanwhile_can_be_read(chromium, server):
  options: dict[str, Any] = {"permissions": ["camera"]}
  with opened(chromium, server.url, **options) as page:
    page.click("#camera")
    page.wait_for_selector("#finder:not([hidden])")
    assert page.is_visible("#shoot") and not browser.low_contrast(page)
    page.click("#cancel")
    page.evaluate("document.querySelector('#status p').hidden = false")
    page.evaluate("document.querySelector('#status p').textContent = 'Looking'")
    assert not browser.low_contrast(page)


def test_nothing_can_be_sent_elsewhere(page, tmp_path):
  seen = []
  with browser.serve(tmp_path, seen) as elsewhere:
    code = f"""async () => {{
      try {{ await fetch({elsewhere!r}, {{mode: "no-cors"}}); return "sent"; }}
      catch {{ return "refused"; }}
    }}"""
    assert page.evaluate(code) == "refused"
    # What holds the photo too.
    (worker,) = [w for w in page.workers if w.url.startswith("blob:")]
    assert worker.evaluate(code) == "refused"
  assert seen == []


FIND = """
async ([text]) => {
  const [{Engine}, {detect, inPhoto}, {Photo}, {cropFace}] = await Promise.all(
    ["engine", "detector", "pixels", "crop"].map(
      (name) => import(`./${name}.js`)));
  window.site ||= await (await fetch("site.json")).json();
  window.engine ||= await Engine.load(window.site);
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const photo = new Photo(await createImageBitmap(new Blob([bytes])));
  const run = (...inputs) => window.engine._run(...inputs);
  const found = await detect(photo, window.site.detector, run);
  return found.faces.map((face) => {
    const {box, landmarks} = inPhoto(face, found.size, photo);
    const pixels = cropFace(photo, box, landmarks, window.site.labels.crop);
    return {box, score: face.score, landmarks, crop: [...pixels]};
  });
}
"""


def test_faces_and_crops_are_those_of_python(page):
  finder = faces.FaceFinder(
    crop.CropSettings(
      image_size=small_site.SIZE, margin=small_site.SETTINGS.margin
    )
  )
  photos = [small_site.photo(i) for i in range(4)]
  photos.append(photos[0].resize((1500, 1200)))
  photos.append(photos[1].rotate(25))
  for image in photos:
    pixels = tf.constant(np.asarray(image))
    fitted, size = mtcnn.fit_photo(pixels, 480)
    expected = finder.detector.detect(fitted[tf.newaxis], size[tf.newaxis])
    text = base64.b64encode(small_site.encoded(image)).decode()
    found = page.evaluate(FIND, [text])
    assert len(found) == len(expected.boxes) >= 1
    for i, got in enumerate(found):
      face, box, landmarks = finder.cut(
        pixels, size, expected.boxes[i], expected.landmarks[i]
      )
      scale = max(image.size) / 480
      np.testing.assert_allclose(got["box"], box, atol=scale / 8)
      np.testing.assert_allclose(got["landmarks"], landmarks, atol=scale / 8)
      assert got["score"] == pytest.approx(float(expected.scores[i]), abs=2e-4)
      crops = (
        np.array(got["crop"]).reshape(small_site.SIZE, small_site.SIZE, 3),
        np.asarray(face),
      )
      assert np.abs(crops[0].astype(int) - crops[1]).mean() < 0.5


@pytest.mark.slow
def test_int8_answers_too(chromium, export, node_modules, said, tmp_path):
  path = web_site.build(
    export, tmp_path / "s", source=small_site.SOURCE, kind="int8",
    node_modules=node_modules,
  )  # fmt: skip
  content = small_site.encoded(small_site.photo(0))
  expected = said(content)
  with (
    browser.serve(pathlib.Path(path)) as url,
    opened(chromium, url) as page,
  ):
    upload(page, content)
    words = page.locator("#bars .first .word").all_inner_texts()
    shares = page.locator("#bars .first .value").all_inner_texts()
    for word, share, (head, vocabulary) in zip(
      words, shares, labels.HEADS.items(), strict=True
    ):
      value = expected[head][0][vocabulary.names.index(word)]
      assert float(share.strip("<> %")) == pytest.approx(100 * value, abs=6)


@pytest.mark.slow
def test_without_the_files_it_says_so(chromium, site, tmp_path):
  broken = tmp_path / "broken"
  shutil.copytree(site, broken)
  (broken / "your_face_float32.tflite").write_bytes(b"no model")
  with browser.serve(broken) as url:
    page = chromium.new_page()
    page.goto(f"{url}#en")
    page.wait_for_selector("#error:not([hidden])")
    assert "could not run the model" in page.inner_text("#error")
    page.close()


def test_the_example_classifies_a_face(
  chromium, model, export, node_modules, tmp_path
):
  text = (drawn.ROOT / "examples/browser.html").read_text(encoding="utf-8")
  assert text.count("\n") < 60
  (tmp_path / "index.html").write_text(text, encoding="utf-8")
  (tmp_path / "node_modules").symlink_to(node_modules)
  for name in ("your_face_float32.tflite", "labels.json"):
    shutil.copy(export / name, tmp_path)
  face = small_site.photo(0).resize((small_site.SIZE, small_site.SIZE))
  outputs = model(np.asarray(face, np.float32)[np.newaxis])
  best = {head: int(np.argmax(outputs[head][0])) for head in labels.HEADS}
  with browser.serve(tmp_path) as url:
    page = chromium.new_page()
    page.goto(url)
    page.get_by_text("Choose a face.").wait_for()
    file = {
      "name": "a.png",
      "mimeType": "image/png",
      "buffer": small_site.encoded(face),
    }
    page.set_input_files("input", file)
    page.get_by_text(labels.sentence_en(**best)).wait_for()
    page.set_input_files("input", file | {"name": "b", "buffer": b"<html>"})
    page.get_by_text("No answer: ").wait_for()
    assert len(page.inner_text("output")) > len("No answer: ")
    page.set_input_files("input", file)  # It goes on.
    page.get_by_text(labels.sentence_en(**best)).wait_for()
    page.close()


@pytest.fixture
def compare(site, said, tmp_path):
  """Runs export.compare_web on three drawn photos."""
  for number in range(3):
    small_site.photo(number).save(tmp_path / f"{number}.jpg", quality=92)

  def run(*flags, prelude="pass"):
    command = [
      f"--site={site}",
      f"--model={said.path}",
      f"--photos_dir={tmp_path}",
      f"--chromium={browser.find()}",
      *flags,
    ]
    program = (
      f"import runpy, sys; {prelude}; sys.argv = ['x', *{command!r}]; "
      "runpy.run_module('export.compare_web', run_name='__main__')"
    )
    return subprocess.run(
      [sys.executable, "-c", program],
      capture_output=True,
      text=True,
      cwd=drawn.ROOT,
      check=False,
    )

  return run


def test_compare_web_says_how_often_they_agree(compare):
  result = compare("--photos=2")
  assert result.returncode == 0, result.stderr
  figures = json.loads(result.stdout)
  assert figures["photos"] == 2
  assert figures["agreement"] == dict.fromkeys(labels.HEADS, 1.0)
  assert figures["median_ms"] > 0


@pytest.mark.parametrize(
  ("flags", "prelude", "message"),
  [
    (
      [],
      "sys.modules['playwright'] = None",
      "error: comparing needs Playwright, which cannot be imported (",
    ),
    (
      ["--chromium=no_browser"],
      "pass",
      "error: --chromium: got 'no_browser', no ",
    ),
    (
      ["--site=nowhere"],
      "pass",
      "error: --site: got 'nowhere' without a page; ",
    ),
  ],
)
def test_compare_web_says_what_is_missing(compare, flags, prelude, message):
  result = compare(*flags, prelude=prelude)
  assert result.returncode == 1
  (line,) = result.stderr.splitlines()
  assert line.startswith(message)
