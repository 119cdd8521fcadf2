"""Commands that load a SavedModel: none runs one whose files it cannot vouch
for, and each takes --trust for an answer.
"""

import sys

import pytest

from tests import faults

# Processes that import TensorFlow anew, each.
pytestmark = pytest.mark.slow

_LOADED = "error: --model: '{folder}/saved_model' cannot be loaded ("
"""What comes after the manifest: the file is no SavedModel."""


@pytest.mark.parametrize(
  ("module", "flag", "others", "then"),
  [
    ("export.predict", "--model", ["{folder}/a.jpg"], _LOADED),
    ("export.app", "--model", ["--port=0"], _LOADED),
    (
      "export.compare_web",
      "--model",
      [
        *("--site={folder}", "--photos_dir={folder}"),
        f"--chromium={sys.executable}",
      ],
      _LOADED,
    ),
    (
      "export.benchmark_photos",
      "--model",
      ["--workdir={folder}/no", "--photos_dir={folder}"],
      "error: --workdir: no best.weights.h5 in '{folder}/no'",
    ),
    (
      "export.verify",
      "--export_dir",
      ["--workdir={folder}/no", "--data_dir={folder}/no"],
      "error: --data_dir: no dataset your_face/jpeg in '{folder}/no'",
    ),
  ],
)
def test_no_manifest(tmp_path, module, flag, others, then):
  model = tmp_path / "saved_model"
  model.mkdir()
  (model / "saved_model.pb").write_bytes(b"graph")
  for name in ("a.jpg", "site.json"):
    (tmp_path / name).touch()
  given = tmp_path if flag == "--export_dir" else model
  words = [sys.executable, "-m", module, f"{flag}={given}"]
  words += [text.format(folder=tmp_path) for text in others]
  # One after the other: a folder belongs to one command at a time.
  refused = faults.finish(faults.start(words))
  trusted = faults.finish(faults.start([*words, "--trust"]))
  for done, line in (
    (
      refused,
      f"error: {flag}: {model} has no manifest.json; a SavedModel is a program "
      "that can read and write your files; if you know where it comes from, "
      "add --trust",
    ),
    (trusted, then.format(folder=tmp_path)),
  ):
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(line), done.stderr
  assert not (tmp_path / "verify.json").exists()
