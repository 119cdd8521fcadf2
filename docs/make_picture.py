"""Makes docs/your_face.png: two cards of drawn people, and the page on a phone.

python -m docs.make_picture --model=E/saved_model

The model should be of drawn people, such as the demo's. Needs Playwright and
Chromium.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from PIL import Image

from yourface_tfds import predict_lib, sample_drawing, sample_people

_MODEL = flags.DEFINE_string(
  "model", None, "The SavedModel, or a .tflite file.", required=True
)
_OUTPUT = flags.DEFINE_string(
  "output", "docs/your_face.png", "The PNG file to write."
)
_CHROMIUM = flags.DEFINE_string(
  "chromium", "chromium", "The browser, a name or a path."
)
_PEOPLE = flags.DEFINE_list(
  "people",
  "11,5,7",
  "Of which drawn people the Korean card, the English one and the page are.",
)

_SEED = 2
_HEIGHT = 1000
_GAP = 40


def _photo(number: str) -> Image.Image:
  if not number.isdecimal():
    raise cli.UserError(
      f"--people: got {number!r}, allowed: three numbers with commas between"
    )
  person = sample_people.make_person(_SEED, int(number))
  return sample_drawing.draw_photo(person, _SEED, 0)


def _card(
  model: predict_lib.Model, path: pathlib.Path, language: str
) -> Image.Image:
  content = path.read_bytes()
  (face, *_) = model.all_faces(content)
  return predict_lib.draw_card(content, face, language)


def _page(photo: pathlib.Path) -> Image.Image:
  """Shows a photo to the local page and returns what a phone shows then."""
  from playwright import sync_api

  command = [sys.executable, "-m", "export.app", f"--model={_MODEL.value}"]
  with subprocess.Popen(
    [*command, "--port=0"], stdout=subprocess.PIPE, encoding="utf-8"
  ) as server:
    try:
      line = server.stdout.readline() if server.stdout else ""
      found = re.search(r"http://\S+", line)
      if not found:
        raise cli.UserError(f"export.app said {line!r}, allowed: its address")
      with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
          executable_path=shutil.which(_CHROMIUM.value)
        )
        page = browser.new_page(
          viewport={"width": 390, "height": 844}, device_scale_factor=2
        )
        page.goto(found[0])
        page.wait_for_selector("[data-ready]", state="attached")
        page.set_input_files("#your-face input[type=file]", photo)
        page.wait_for_selector("#download[href]")
        page.evaluate(
          "scrollTo(0, document.querySelector('#result').offsetTop)"
        )
        picture = photo.with_name("page.png")
        page.screenshot(path=picture)
        browser.close()
    finally:
      server.terminate()
  return Image.open(picture).convert("RGB")


def main(argv: list[str]) -> None:
  """Draws, asks and puts the three side by side."""
  cli.no_arguments(argv)
  model = predict_lib.load(_MODEL.value)
  with tempfile.TemporaryDirectory() as folder:
    photos = []
    for number in _PEOPLE.value:
      photos.append(pathlib.Path(folder) / f"{number}.jpg")
      _photo(number).save(photos[-1], quality=95)
    parts = [
      _card(model, photos[0], "ko"),
      _card(model, photos[1], "en"),
      _page(photos[2]),
    ]
  parts = [
    part.resize(
      (round(part.width * _HEIGHT / part.height), _HEIGHT),
      Image.Resampling.LANCZOS,
    )
    for part in parts
  ]
  width = sum(part.width for part in parts) + _GAP * (len(parts) - 1)
  whole = Image.new("RGB", (width, _HEIGHT), "white")
  left = 0
  for part in parts:
    whole.paste(part, (left, 0))
    left += part.width + _GAP
  whole.save(_OUTPUT.value, optimize=True)
  print(f"Wrote {_OUTPUT.value}")


if __name__ == "__main__":
  cli.run(main)
