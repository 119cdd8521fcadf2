"""The page that answers in the browser, as static files.

  web_site.build("E", "SITE", source="export/web", kind="float32")

`export/web` holds the page; here the exported files, the words, the palette and
the drawings come beside it, and LiteRT.js, which runs the files. Nothing is
compiled or bundled: SITE is what a browser loads, from any static server.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from typing import Any

from yourface_tfds import (
  animals,
  card,
  card_bars,
  cli,
  model_card,
  paint,
  storage,
  tflite_classifier,
  tflite_detector,
  tflite_lib,
  web_font,
)

KINDS = ("float32", "float16", "int8")
"""The files that LiteRT.js was seen to run (2.5.3, Chromium 156)."""

OUT_OF_SCOPE_KO = (
  "사람이 누구인지 알아내기.",
  "채용, 입학, 대출, 수사처럼 사람에 대한 모든 결정.",
  "그 사람이 어떤 사람인지 말하기. 직업과 동물상은 재미일 뿐, 얼굴에서 볼 수 "
  "있는 성질이 아니에요. 성별은 누군가가 표에 적은 두 가지 표시일 뿐, 그 "
  "사람의 정체성이 아니에요.",
  "감정, 출신, 성적 지향, 건강, 나이. 이 모델은 그런 것을 배우지 않았어요.",
)
"""`model_card.OUT_OF_SCOPE` in Korean."""

_WORKER = "sw.js"
_CORE = "@litertjs/core"
_UTILS = "@litertjs/wasm-utils"
# One for browsers with relaxed SIMD, one for the others. Those with threads or
# JSPI ask for headers that a plain static server does not send.
_ENGINES = ("litert_wasm_internal", "litert_wasm_compat_internal")
_WITH_WORDS = ("index.html", "texts.js", "site.json")
_NOT_SERVED = ("package.json", "package-lock.json", "node_modules")
_LANGUAGES = card.LANGUAGES


def build(
  export_dir: str | os.PathLike[str],
  output_dir: str | os.PathLike[str],
  *,
  source: str | os.PathLike[str],
  kind: str = "float32",
  node_modules: str | os.PathLike[str] | None = None,
) -> storage.Path:
  """Writes the site, whole or not at all.

  Args:
    export_dir: what `export.export_tflite` wrote to.
    output_dir: the folder to write; an older site is replaced.
    source: the folder of the page, `export/web`.
    kind: one of `KINDS`, the file that answers.
    node_modules: where npm has installed `source`'s package.json; None installs
      it, with the hashes of package-lock.json.

  Returns:
    `output_dir`.

  Raises:
    UserError: a file of the export is missing or none of ours, `output_dir`
      holds something else, or npm is missing or fails.
  """
  if kind not in KINDS:
    raise cli.UserError(
      f"--kind: got {kind!r}, allowed: {', '.join(KINDS)}; give one of them"
    )
  source, target = pathlib.Path(source), storage.path(output_dir)
  model = storage.path(export_dir) / tflite_lib.file_name(kind)
  detector = storage.path(export_dir) / tflite_detector.FILE_NAME
  facts = _facts(model, detector)
  _check_target(target)
  with (
    storage.replaced_dir(target) as site,
    tempfile.TemporaryDirectory(prefix="your_face_web.") as scratch,
  ):
    if node_modules is None:
      node_modules = _install(source, pathlib.Path(scratch))
    shutil.copytree(
      source,
      site,
      ignore=shutil.ignore_patterns(*_NOT_SERVED),
      dirs_exist_ok=True,
    )
    for path in (model, detector):
      storage.copy(path, site / path.name)
    _copy_litert(pathlib.Path(node_modules), site / "litert")
    _write_drawings(site, facts)
    _write_facts(site, facts)
    _write_style(site / "style.css", _write_fonts(site))
    _write_worker(site)
  return target


def _facts(model: storage.Path, detector: storage.Path) -> dict[str, Any]:
  """Returns site.json: all that the page knows beside its own words."""
  classifier = tflite_classifier.Classifier(model)
  numbers = _detector_numbers(detector)
  heads = classifier.labels["heads"]
  lead = "face_type" if "face_type" in heads else [*heads][-1]
  uses = {"ko": OUT_OF_SCOPE_KO, "en": model_card.OUT_OF_SCOPE}
  return {
    "model_file": model.name,
    "detector_file": detector.name,
    "input": "uint8" if "int8" in model.name else "float32",
    "labels": classifier.labels,
    "detector": numbers,
    "lead": lead,
    "animals": [f"animals/{i}.svg" for i in range(len(heads[lead]["names"]))],
    "palette": paint.PALETTE,
    "words": {
      language: {
        "heads": {head: card_bars.title(head, language) for head in heads},
        "rest": card_bars.REST[language],
        "footer": card.FOOTER[language],
        "out_of_scope": uses[language],
      }
      for language in _LANGUAGES
    },
  }


def _detector_numbers(path: storage.Path) -> dict[str, Any]:
  again = (
    "export one with: python -m export.export_tflite --workdir=W --data_dir=D "
    "--output_dir=E"
  )
  if not path.is_file():
    raise cli.UserError(f"got {str(path)!r}, no such file; {again}")
  try:
    with storage.local_file(path) as file, zipfile.ZipFile(file) as archive:
      return json.loads(archive.read(tflite_detector.CONSTANTS))
  except (zipfile.BadZipFile, KeyError, ValueError) as error:
    raise cli.UserError(
      f"got {str(path)!r}, which is no face detector of ours; {again}"
    ) from error


def _check_target(target: storage.Path) -> None:
  """Refuses to replace a folder that is no site of ours."""
  if target.is_dir() and any(target.iterdir()):
    if (target / _WORKER).is_file() and (target / "site.json").is_file():
      return
  elif not target.exists() or target.is_dir():
    return
  raise cli.UserError(
    f"--output_dir: got {str(target)!r}, which holds something else, allowed: "
    "a new folder, an empty one, or a site to replace; give another"
  )


def _install(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  """Has npm install what package-lock.json says; returns node_modules."""
  npm = shutil.which("npm")
  instead = (
    "--node_modules=DIR, where npm has installed export/web/package.json"
  )
  if npm is None:
    raise cli.UserError(
      "got no npm, which fetches LiteRT.js; install Node.js (on Debian: "
      f"apt-get install npm), or give {instead}"
    )
  for name in ("package.json", "package-lock.json"):
    shutil.copyfile(source / name, folder / name)
  quietly = ["--no-audit", "--no-fund", "--loglevel=error"]
  # No package's own scripts run, and what npm has already is not fetched again.
  done = subprocess.run(
    [npm, "ci", "--ignore-scripts", "--prefer-offline", *quietly],
    cwd=folder,
    capture_output=True,
    encoding="utf-8",
    errors="replace",
  )
  if done.returncode:
    said = done.stderr.strip().splitlines() or ["nothing was said"]
    raise cli.UserError(
      f"npm ci: got exit code {done.returncode} ({said[0]}); see to the "
      f"network and run this again, or give {instead}"
    )
  return folder / "node_modules"


def _copy_litert(node_modules: pathlib.Path, target: pathlib.Path) -> None:
  """Copies what of LiteRT.js a browser needs: 19 of its 38 MB."""
  core, utils = node_modules / _CORE, node_modules / _UTILS
  scripts = {
    target / "core.js": core / "dist/index.js",
    target / "wasm_utils.js": utils / "dist/index.js",
  }
  engines = [
    core / f"wasm/{name}.{end}" for name in _ENGINES for end in ("js", "wasm")
  ]
  for path in (*scripts.values(), *engines):
    if not path.is_file():
      raise cli.UserError(
        f"--node_modules: got {str(node_modules)!r} without "
        f"{path.relative_to(node_modules)}; run npm ci in a copy of export/web"
      )
  (target / "wasm").mkdir(parents=True)
  for path in engines:
    shutil.copyfile(path, target / "wasm" / path.name)
  for to, path in scripts.items():
    text = path.read_text(encoding="utf-8")
    # A worker knows no import map, and source maps are left out.
    text = text.replace(f'"{_UTILS}"', '"./wasm_utils.js"')
    text = re.sub(r"\n//# sourceMappingURL=.*", "\n", text)
    to.write_text(text, encoding="utf-8")


def _write_drawings(site: pathlib.Path, facts: dict[str, Any]) -> None:
  (site / "animals").mkdir()
  names = facts["labels"]["heads"][facts["lead"]]["names"]
  for name, path in zip(names, facts["animals"], strict=True):
    (site / path).write_text(animals.svg(name, 64), encoding="utf-8")
  (site / "icon.svg").write_text(animals.svg("fox", 64), encoding="utf-8")


def _write_facts(site: pathlib.Path, facts: dict[str, Any]) -> None:
  labels_text = json.dumps(facts["labels"], ensure_ascii=False, indent=2)
  (site / "labels.json").write_text(labels_text + "\n", encoding="utf-8")
  (site / "site.json").write_text(
    json.dumps(facts, ensure_ascii=False), encoding="utf-8"
  )


def _write_fonts(site: pathlib.Path) -> str:
  """Writes the letters of all words that the site has; returns the CSS."""
  words = "".join(
    (site / name).read_text(encoding="utf-8") for name in _WITH_WORDS
  )
  names = ["font/regular.woff", "font/bold.woff"]
  (site / "font").mkdir()
  for name, bold in zip(names, (False, True), strict=True):
    (site / name).write_bytes(web_font.woff(words, bold=bold))
  (site / "font/LICENSE.txt").write_text(web_font.notice(), encoding="utf-8")
  return web_font.rules(names)


def _write_style(path: pathlib.Path, fonts: str) -> None:
  palette = "".join(
    f"  --{name}: {color};\n" for name, color in paint.PALETTE.items()
  )
  text = path.read_text(encoding="utf-8")
  path.write_text(f":root {{\n{palette}}}\n\n{fonts}\n{text}", encoding="utf-8")


def _write_worker(site: pathlib.Path) -> None:
  """Tells the service worker which files there are, and which build it is."""
  worker = site / _WORKER
  text = worker.read_text(encoding="utf-8")
  version, sizes = hashlib.sha256(text.encode()), {}
  for path in sorted(site.rglob("*")):
    name = path.relative_to(site).as_posix()
    if path.is_file() and name != _WORKER:
      content = path.read_bytes()
      sizes[name] = len(content)
      version.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
  marks = {
    "@VERSION@": version.hexdigest()[:16],
    "{}; // @FILES@": f"{json.dumps(sizes, indent=2)};",
  }
  for mark, value in marks.items():
    if text.count(mark) != 1:
      raise ValueError(f"Got {_WORKER} without {mark!r}, which is filled in.")
    text = text.replace(mark, value)
  worker.write_text(text, encoding="utf-8")
