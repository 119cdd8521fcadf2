import os
import pathlib

import pytest

from yourface_tfds import serving


@pytest.fixture
def saved_model(tmp_path):
  folder = tmp_path / "saved_model"
  (folder / "variables").mkdir(parents=True)
  (folder / "saved_model.pb").write_bytes(b"graph")
  (folder / "variables" / "variables.index").write_bytes(b"index")
  return folder


def names(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  )


def test_a_version_holds_the_same_files(saved_model, tmp_path):
  served = serving.publish(saved_model, tmp_path / "serving", 3)
  assert served == tmp_path / "serving" / "your_face" / "3"
  assert names(served) == names(saved_model)
  # Linked: a second copy of a large model costs no space.
  assert pathlib.Path(served / "saved_model.pb").samefile(
    saved_model / "saved_model.pb"
  )


def test_publishing_again_replaces_the_version(saved_model, tmp_path):
  served = serving.publish(saved_model, tmp_path / "serving")
  (served / "old").write_text("old")
  serving.publish(saved_model, tmp_path / "serving")
  assert names(served) == names(saved_model)
  assert list(served.parent.iterdir()) == [served]


def test_where_files_cannot_be_linked_they_are_copied(
  saved_model, tmp_path, monkeypatch
):
  def refuse(*_):
    raise OSError("no links here")

  monkeypatch.setattr(os, "link", refuse)
  served = serving.publish(saved_model, tmp_path / "serving")
  assert (served / "saved_model.pb").read_bytes() == b"graph"
  assert not pathlib.Path(served / "saved_model.pb").samefile(
    saved_model / "saved_model.pb"
  )


def test_the_sample_photo_is_the_same_each_time():
  assert serving.sample_photo() == serving.sample_photo()
  assert serving.sample_photo()[:3] == b"\xff\xd8\xff"
