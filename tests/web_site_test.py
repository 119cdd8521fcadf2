"""Tests of web_site: the page is built, without npm and browser."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import drawn, small_export, small_site
from yourface_tfds import (
  cli,
  labels,
  model_card,
  tflite_detector,
  web_site,
)

# An export: half a minute.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def export(tmp_path_factory):
  folder = tmp_path_factory.mktemp("export")
  small_site.write(small_export.model(), folder)
  return folder


@pytest.fixture
def installed(tmp_path):
  """What npm would install, with nothing in it."""
  folder = tmp_path / "node_modules"
  for name in small_site.FILES:
    path = folder / "@litertjs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
      'import { createWasmLib } from "@litertjs/wasm-utils";\n'
      "//# sourceMappingURL=index.js.map"
    )
  return folder


def test_the_site_has_all_it_needs(export, installed, tmp_path):
  path = tmp_path / "site"
  web_site.build(export, path, source=small_site.SOURCE, node_modules=installed)
  files = {
    file.relative_to(path).as_posix()
    for file in path.rglob("*")
    if file.is_file()
  }
  assert not {name for name in files if "package" in name or "map" in name}
  text = (path / "sw.js").read_text(encoding="utf-8")
  start = text.index("const FILES = ") + len("const FILES = ")
  kept = json.loads(text[start : text.index(";", start)])
  assert set(kept) == files - {"sw.js"}
  assert all((path / name).stat().st_size == kept[name] for name in kept)
  core = (path / "litert/core.js").read_text(encoding="utf-8")
  assert '"./wasm_utils.js"' in core
  assert "sourceMappingURL" not in core
  facts = json.loads((path / "site.json").read_text(encoding="utf-8"))
  assert facts["labels"] == json.loads(
    (path / "labels.json").read_text(encoding="utf-8")
  )
  assert facts["labels"]["crop"]["margin"] == small_site.SETTINGS.margin
  assert len(facts["animals"]) == len(labels.HEADS["face_type"].names)
  assert "--strong: #b0342a;" in (path / "style.css").read_text()
  # Built again it takes its own place, the same; another kind is another build.
  web_site.build(export, path, source=small_site.SOURCE, node_modules=installed)
  assert (path / "sw.js").read_text(encoding="utf-8") == text
  web_site.build(
    export, path, source=small_site.SOURCE, kind="int8", node_modules=installed
  )
  assert (path / "sw.js").read_text(encoding="utf-8")[:400] != text[:400]
  assert not (path / "your_face_float32.tflite").exists()


def test_every_use_it_is_not_for_is_said_in_korean_too():
  assert len(web_site.OUT_OF_SCOPE_KO) == len(model_card.OUT_OF_SCOPE)


def test_what_npm_brings_is_pinned():
  names = json.loads((small_site.SOURCE / "package.json").read_text())[
    "dependencies"
  ]
  lock = json.loads((small_site.SOURCE / "package-lock.json").read_text())[
    "packages"
  ]
  assert set(lock) == {"", *(f"node_modules/{name}" for name in names)}
  for name, version in names.items():
    assert lock[f"node_modules/{name}"]["version"] == version
    assert lock[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_texts_have_both_languages():
  text = (small_site.SOURCE / "texts.js").read_text(encoding="utf-8")
  korean, english = text.split("\n  en: {")
  keys = [
    [line.split(":")[0].strip() for line in part.splitlines() if is_key(line)]
    for part in (korean, english)
  ]
  assert len(keys[0]) > 20
  assert keys[0] == keys[1]


def is_key(line):
  return line.startswith("    ") and line[4:5].isalpha()


@pytest.mark.parametrize(
  ("spoil", "says"),
  [
    (
      {"kind": "float64"},
      "--kind: got 'float64', allowed: float32, float16, int8; give one of "
      "them",
    ),
    ({"kind": "float16"}, "your_face_float16.tflite', no such file; export "),
    ({"node_modules": "nowhere"}, "'nowhere' without @litertjs/core/dist/"),
  ],
)
def test_errors_say_what_to_do(export, installed, tmp_path, spoil, says):
  options = {"source": small_site.SOURCE, "node_modules": installed, **spoil}
  with pytest.raises(cli.UserError, match="got") as caught:
    web_site.build(export, tmp_path / "site", **options)
  assert says in str(caught.value)
  assert not (tmp_path / "site").exists()


def test_a_missing_or_foreign_detector(export, installed, tmp_path):
  name = "your_face_float32.tflite"
  shutil.copy(export / name, tmp_path)
  build = {"source": small_site.SOURCE, "node_modules": installed}
  with pytest.raises(cli.UserError, match=r"detector.tflite', no such file"):
    web_site.build(tmp_path, tmp_path / "site", **build)
  shutil.copy(export / name, tmp_path / tflite_detector.FILE_NAME)
  with pytest.raises(cli.UserError, match="no face detector of ours; export"):
    web_site.build(tmp_path, tmp_path / "site", **build)


def test_a_folder_with_something_else_is_left_alone(
  export, installed, tmp_path
):
  target = tmp_path / "photos"
  target.mkdir()
  (target / "a.jpg").write_bytes(b"dear")
  with pytest.raises(cli.UserError, match="holds something else, allowed"):
    web_site.build(
      export, target, source=small_site.SOURCE, node_modules=installed
    )
  assert (target / "a.jpg").read_bytes() == b"dear"


def test_without_npm(export, tmp_path, monkeypatch):
  monkeypatch.setenv("PATH", str(tmp_path))
  with pytest.raises(cli.UserError, match=r"got no npm.*--node_modules=DIR"):
    web_site.build(export, tmp_path / "site", source=small_site.SOURCE)


def test_npm_that_fails(export, tmp_path, monkeypatch):
  npm = tmp_path / "npm"
  npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 7\n")
  npm.chmod(0o755)
  monkeypatch.setenv("PATH", str(tmp_path))
  with pytest.raises(
    cli.UserError, match=r"exit code 7 \(npm error network\); see to"
  ):
    web_site.build(export, tmp_path / "site", source=small_site.SOURCE)


def test_the_command(export, installed, tmp_path):
  target = pathlib.Path(tmp_path, "site")
  done = subprocess.run(
    [
      *(sys.executable, "-m", "export.build_web", f"--export_dir={export}"),
      *(f"--output_dir={target}", f"--node_modules={installed}"),
    ],
    capture_output=True,
    encoding="utf-8",
    cwd=drawn.ROOT,
    env=drawn.environment(),
  )
  assert done.returncode == 0, done.stderr
  assert f"Wrote {target}, " in done.stdout
  assert done.stdout.endswith(f"Next: python -m http.server -d {target}\n")
  assert (target / "index.html").is_file()
