"""Says how often the page answers as the SavedModel does, on the same photos.

python -m export.compare_web --site=SITE --model=E/saved_model --photos_dir=P

Needs Playwright (pip install playwright) and Chromium. Prints JSON: for each
head how often the likeliest class is the same, and the median time in ms from
a photo's choice to its answer.
"""

import functools
import http.server
import os
import pathlib
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import tqdm
from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import predict_lib, storage

_SITE = flags.DEFINE_string(
  "site", None, "What export.build_web wrote.", required=True
)
_MODEL = flags.DEFINE_string(
  "model", None, "The SavedModel of the same export.", required=True
)
_TRUST = cli.trust_flag()
_PHOTOS_DIR = flags.DEFINE_string(
  "photos_dir", None, "A folder with photos, searched deeply.", required=True
)
_PHOTOS = flags.DEFINE_integer(
  "photos", 50, "How many photos with a face to look at.", lower_bound=1
)
_CHROMIUM = flags.DEFINE_string(
  "chromium", "chromium", "The browser, a name or a path."
)

_ANSWERED = "#result:not([hidden]), #error:not([hidden])"


def _with_a_face(
  model: predict_lib.Model, paths: list[pathlib.Path]
) -> Iterator[tuple[pathlib.Path, dict[str, str]]]:
  """Yields photos with the SavedModel's class of each head."""
  for path in paths:
    (prediction,) = model.predict([path.read_bytes()])
    if not prediction.error:
      yield path, prediction.best("en")


def _said_by_page(
  page: Any, path: pathlib.Path, heads: list[str]
) -> dict[str, str]:
  """Returns the page's class of each head; none where it shows an error."""
  # What is shown of the photo before is hidden at once. One that comes before
  # the page is ready is waited for.
  page.set_input_files("#file", path)
  page.wait_for_selector(_ANSWERED)
  if page.is_visible("#error"):
    return {}
  words = page.locator("#bars .first .word").all_inner_texts()
  return dict(zip(heads, words, strict=True))


class _Quiet(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *_: Any) -> None:
    """Prints nothing."""


def _compare(url: str, chromium: str) -> dict[str, Any]:
  try:
    from playwright import sync_api
  except ImportError as error:
    raise cli.UserError(
      f"comparing needs Playwright, which cannot be imported "
      f"({cli.one_line(error)}); install it with: pip install -c "
      "constraints.txt playwright"
    ) from error
  files = storage.only_local(_PHOTOS_DIR.value, "--photos_dir").rglob("*")
  paths = sorted(path for path in files if path.is_file())
  model = predict_lib.load(_MODEL.value, trust=_TRUST.value)
  photos = _with_a_face(model, paths)
  same, times = dict.fromkeys(model.heads, 0), []
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=chromium,
      # Chromium's sandbox refuses root.
      chromium_sandbox=os.geteuid() != 0,
    )
    page = browser.new_page()
    page.goto(f"{url}#en")
    for _ in tqdm.trange(_PHOTOS.value, unit="photo"):
      path, expected = next(photos, (None, {}))
      if path is None:
        break
      start = time.perf_counter()
      said = _said_by_page(page, path, [*model.heads])
      times.append(1000 * (time.perf_counter() - start))
      for head, word in expected.items():
        same[head] += said.get(head) == word
    browser.close()
  if not times:
    raise cli.UserError(
      f"--photos_dir: got {_PHOTOS_DIR.value!r} without a photo that shows a "
      "face; give another"
    )
  return {
    "photos": len(times),
    "agreement": {head: count / len(times) for head, count in same.items()},
    "median_ms": round(statistics.median(times)),
  }


def main(argv: list[str]) -> None:
  """Serves the site, asks both and prints the figures."""
  cli.no_arguments(argv)
  chromium = shutil.which(_CHROMIUM.value)
  if chromium is None:
    raise cli.UserError(
      f"--chromium: got {_CHROMIUM.value!r}, no program; install it (on "
      "Debian: apt-get install chromium), or give its path"
    )
  site = storage.only_local(_SITE.value, "--site")
  if not (site / "site.json").is_file():
    raise cli.UserError(
      f"--site: got {_SITE.value!r} without a page; build one with: python -m "
      "export.build_web --export_dir=E --output_dir=SITE"
    )
  handler = functools.partial(_Quiet, directory=_SITE.value)
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
      figures = _compare(f"http://127.0.0.1:{server.server_port}/", chromium)
    finally:
      server.shutdown()
  print(cli.dump_json(figures))


if __name__ == "__main__":
  cli.run(main)
