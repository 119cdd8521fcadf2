"""Tests of predict_inputs: which photos are meant, and how they are read."""

import io
import os
import re
import tracemalloc
import unicodedata

import pytest

from yourface_tfds import (
  cli,
  photos,
  predict_inputs,
)


def _paths(*arguments):
  return [
    photo.path for photo in predict_inputs.find(list(map(str, arguments)))
  ]


def _touch(folder, *names):
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _below(folder, *names):
  return [str(folder / name) for name in names]


def test_a_folder_is_every_file_in_it_but_the_hidden(tmp_path):
  _touch(tmp_path, "b/2.jpg", "b/1.png", "a.txt", "c/d/e", ".hid", ".git/x.jpg")
  assert _paths(tmp_path) == _below(
    tmp_path, "a.txt", "b/1.png", "b/2.jpg", "c/d/e"
  )
  # What is named is meant.
  assert _paths(tmp_path / ".hid", tmp_path / "a.txt", tmp_path / "a.txt") == (
    _below(tmp_path, ".hid", "a.txt", "a.txt")
  )


def test_links(tmp_path):
  _touch(tmp_path, "a/1.jpg")
  (tmp_path / "a/loop").symlink_to(tmp_path / "a")
  (tmp_path / "a/self").symlink_to("self")
  (tmp_path / "to").symlink_to("a")
  found = predict_inputs.find([str(tmp_path / "to")])
  assert [photo.path for photo in found] == _below(
    tmp_path / "to", "1.jpg", "loop", "self"
  )
  assert [predict_inputs.read(photo).error for photo in found] == [
    "",
    "unreadable: a link to a folder; name it as an argument",
    "unreadable: Too many levels of symbolic links",
  ]
  # Each level of a** would find all of it again, without end.
  assert _paths(tmp_path / "**" / "*.jpg") == _below(tmp_path, "a/1.jpg")


@pytest.mark.parametrize(
  ("pattern", "names"),
  [
    ("*.jpg", ["0.jpg", "10.jpg"]),
    ("**/*.jpg", ["0.jpg", "10.jpg", "a/1.jpg", "a/b/2.jpg"]),
    ("**/**/?.jpg", ["0.jpg", "a/1.jpg", "a/b/2.jpg"]),
    ("a/**", ["a/1.jpg", "a/b/2.jpg", "a/x.png"]),
    ("[ab]/*", ["a/1.jpg", "a/b/2.jpg", "a/x.png"]),
    ("[1]/[!3].jpg", ["[1]/4.jpg"]),
    (".h/*", [".h/5.jpg"]),
    # One file, by its first name.
    ("*/../0.*", ["[1]/../0.jpg"]),
  ],
)
def test_patterns(tmp_path, pattern, names):
  _touch(tmp_path, "0.jpg", "10.jpg", "a/1.jpg", "a/b/2.jpg", "a/x.png")
  _touch(tmp_path, "[1]/3.jpg", "[1]/4.jpg", ".h/5.jpg", "a/.6.jpg")
  if pattern.startswith("**"):
    names = [*names, "[1]/3.jpg", "[1]/4.jpg"]
  assert _paths(tmp_path / pattern) == sorted(_below(tmp_path, *names))


def test_patterns_are_relative_to_where_one_is(tmp_path, monkeypatch):
  _touch(tmp_path, "a/1.jpg")
  monkeypatch.chdir(tmp_path)
  assert _paths("*/*.jpg") == ["a/1.jpg"]
  assert _paths("a") == ["a/1.jpg"]


def test_names_of_macos_are_found(tmp_path):
  names = [unicodedata.normalize("NFD", f"각/{i}각.jpg") for i in range(2)]
  _touch(tmp_path, *names)
  assert _paths(f"{tmp_path}/각/0각.jpg") == _below(tmp_path, names[0])
  assert _paths(f"{tmp_path}/각/?각*") == _below(tmp_path, *names)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "got no photo; write the paths of photos behind the flags"),
    (
      ["-", "a", "-"],
      "got - twice, allowed: once, as standard input holds one photo; give the "
      "others as files",
    ),
    (
      ["a", "no\n.jpg"],
      r"got 'no\n.jpg', a path that does not exist, allowed: files, folders, "
      "patterns, - for standard input; mend it, or leave it out",
    ),
    (
      ["*.png"],
      "got '*.png', a pattern that matches nothing, allowed: files, folders, "
      "patterns, - for standard input; mend it, or leave it out",
    ),
    (
      ["empty"],
      "got 'empty', which holds no file (hidden ones do not count); name a "
      "folder with photos",
    ),
  ],
)
def test_arguments_that_mean_nothing(tmp_path, monkeypatch, arguments, message):
  _touch(tmp_path, "a", "empty/.hidden")
  monkeypatch.chdir(tmp_path)
  with pytest.raises(cli.UserError, match=f"^{re.escape(message)}$"):
    predict_inputs.find(arguments)


def _error_of(path):
  (photo,) = predict_inputs.find([str(path)])
  return predict_inputs.read(photo).error


def test_what_cannot_be_read_is_said_at_once(tmp_path, monkeypatch):
  os.mkfifo(tmp_path / "pipe")
  assert _error_of(tmp_path / "pipe") == (
    "unreadable: neither a file nor a link to one"
  )
  (tmp_path / "gone").symlink_to("nowhere")
  assert _error_of(tmp_path / "gone") == "unreadable: No such file or directory"
  _touch(tmp_path, "closed/1.jpg")
  scandir = os.scandir

  def refuse(path):
    if str(path).endswith("closed"):
      raise PermissionError(13, "Permission denied", str(path))
    return scandir(path)

  monkeypatch.setattr(os, "scandir", refuse)
  assert _error_of(tmp_path / "closed") == "unreadable: Permission denied"


def test_a_huge_file_is_not_read(tmp_path):
  huge, limit = tmp_path / "huge.jpg", predict_inputs.MAX_BYTES
  huge.touch()
  os.truncate(huge, limit + 1)
  tracemalloc.start()
  error = _error_of(huge)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert error == "too_large: more than 100,000,000 bytes"
  assert peak < 1_000_000


def test_a_file_that_grows_is_cut_off(tmp_path, monkeypatch):
  monkeypatch.setattr(predict_inputs, "MAX_BYTES", 10)
  with pytest.raises(photos.RejectedError, match="more than 10 bytes"):
    predict_inputs._at_most(io.BytesIO(b"x" * 11))
  assert predict_inputs._at_most(io.BytesIO(b"x" * 10)) == b"x" * 10


def test_batches_are_bounded_in_number_and_bytes(tmp_path, monkeypatch):
  _touch(tmp_path, *(f"{i:02d}" for i in range(20)))
  found = [*predict_inputs.find([str(tmp_path)])]
  found.insert(3, predict_inputs.Photo(path="x", error="unreadable: no"))
  batches = list(predict_inputs.batches(found))
  assert [len(batch) for batch in batches] == [16, 5]
  joined = [photo for batch in batches for photo in batch]
  assert [photo.path for photo in joined] == [photo.path for photo in found]
  assert [photo.content for photo in joined[2:5]] == [b"x", b"", b"x"]
  monkeypatch.setattr(predict_inputs, "BATCH_BYTES", 6)
  assert [len(b) for b in predict_inputs.batches(found)] == [7, 6, 6, 2]
