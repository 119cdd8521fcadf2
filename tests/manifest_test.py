import json

import pytest

from yourface_tfds import cli, manifest


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / "saved_model"
  (folder / "variables").mkdir(parents=True)
  (folder / "saved_model.pb").write_bytes(b"graph")
  (folder / "variables" / "variables.index").write_bytes(b"\0" * 3_000_000)
  (folder / "얼굴.txt").write_text("x", encoding="utf-8")
  manifest.write(folder)
  return folder


def test_lists_every_file_with_its_sha256(folder):
  listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
  assert listed["format"] == 1
  assert sorted(listed["sha256"]) == [
    *("saved_model.pb", "variables/variables.index", "얼굴.txt")
  ]
  # printf graph | sha256sum
  assert listed["sha256"]["saved_model.pb"].startswith("eef93e1d14482804")


def test_what_was_exported_is_fine(folder):
  manifest.check(folder)
  manifest.write(folder)  # Again, over the old one.
  manifest.check(folder)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (
      lambda f: (f / "manifest.json").unlink(),
      "has no manifest.json; a SavedModel is a program that can read and write "
      "your files; if you know where it comes from, add --trust",
    ),
    (
      lambda f: (f / "saved_model.pb").write_bytes(b"Graph"),
      "saved_model.pb is not the file that was exported, its SHA-256 differs "
      "from manifest.json; export again, or: a SavedModel is a program",
    ),
    (
      lambda f: (f / "variables" / "more.so").write_bytes(b""),
      "more.so is not in its manifest.json; a SavedModel is a program",
    ),
    (
      lambda f: (f / "variables" / "link").symlink_to("/etc"),
      "link is not in its manifest.json",
    ),
    (
      lambda f: (f / "saved_model.pb").unlink(),
      "saved_model.pb is missing, but in its manifest.json",
    ),
    (
      lambda f: (f / "manifest.json").write_text("[1]"),
      "manifest.json is not as export wrote it; a SavedModel is a program",
    ),
    (
      lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"),
      "manifest.json is not as export wrote it",
    ),
    (
      lambda f: (f / "manifest.json").write_text('{"sha256": {}}'),
      "manifest.json is not as export wrote it",
    ),
    (
      lambda f: (f / "manifest.json").write_text('{"format": 2, "sha256": {}}'),
      "manifest.json is of format 2, allowed: 1; load it with the version that "
      "wrote it, or export again",
    ),
  ],
  ids=[
    *("none", "changed", "added", "link", "missing", "list", "bytes"),
    *("no format", "format"),
  ],
)
def test_a_changed_folder_is_refused_unless_trusted(folder, change, words):
  change(folder)
  with pytest.raises(cli.UserError) as error:
    manifest.check(folder)
  assert words in str(error.value)
  assert str(error.value).startswith("--model: ")
  manifest.check(folder, trust=True)


def test_no_folder(tmp_path):
  with pytest.raises(cli.UserError, match="x is no folder, allowed: one that"):
    manifest.check(tmp_path / "x")


def test_the_line_names_the_flag_that_was_given(folder):
  (folder / "more").touch()
  with pytest.raises(cli.UserError, match=r"^--export_dir: .*more is not in"):
    manifest.check(folder, flag="--export_dir")
