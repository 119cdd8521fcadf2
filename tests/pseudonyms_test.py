"""Tests of pseudonyms: nothing that names a person is left."""

import dataclasses
import pathlib
import re
import subprocess
import sys

import pytest

from yourface_tfds import cli, curate, pseudonyms

SALT = b"0123456789abcdef"
PATHS = [
  "김하나/김하나 1.jpg",
  "김하나/deeper/2.jpg",
  "김하나/2.jpg",
  "Lee Dul/1.jpg",
  "Lee Dul/\udcb1\udce8.jpg",
  "\udcb1/3.jpg",
  "stray note.txt",
]


def _row(path, **values):
  person = path.split("/")[0] if "/" in path else ""
  values = {"status": curate.ACCEPTED, **values}
  return curate.PhotoRow(path=path, person=person, **values)


@pytest.fixture
def rows():
  made = [_row(path) for path in sorted(PATHS)]
  made[0] = dataclasses.replace(
    made[0],
    status="duplicate",
    detail=curate.SAME_AS + "김하나/2.jpg",
    group="00ff",
    score=0.95,
  )
  made[1] = dataclasses.replace(
    made[1], status="no_face", detail="nothing scored 0.9 or more"
  )
  return made


def _renamed(rows, salt=SALT):
  return pseudonyms.Names(rows, salt).rows(rows)


def test_no_name_of_the_input_is_left(rows):
  renamed = _renamed(rows)
  assert len({row.path for row in renamed}) == len(rows)
  for row in renamed:
    assert re.fullmatch(r"([0-9a-f]{16}/)?[0-9a-f]{16}", row.path)
    assert re.fullmatch(r"([0-9a-f]{16})?", row.person)
  text = curate.csv_text(renamed)
  for path in PATHS:
    for part in (path, *path.split("/")):
      words = part.encode("utf-8", "backslashreplace").decode()
      # Names of a digit or two are also parts of hashes.
      assert len(words) < 6 or words not in text, part
  for word in ("김하나", "Lee", "deeper", "udcb1", ".jpg", "stray"):
    assert word not in text


def test_the_rest_of_the_rows_stays(rows):
  names = pseudonyms.Names(rows, SALT)
  paths = names.by_path({row.path: row for row in rows})
  for row in names.rows(rows):
    before = paths[row.path]
    for name in ("status", "split", "group", "faces", "score", "box"):
      assert getattr(row, name) == getattr(before, name)
    if before.status != "duplicate":
      assert row.detail == before.detail
    assert bool(row.person) == bool(before.person)


def test_detail_of_a_duplicate_names_the_other_by_its_new_path(rows):
  names = pseudonyms.Names(rows, SALT)
  new = {
    path: key for key, path in names.by_path({p: p for p in PATHS}).items()
  }
  (duplicate,) = [row for row in names.rows(rows) if row.status == "duplicate"]
  assert duplicate.detail == curate.SAME_AS + new["김하나/2.jpg"]


def test_rows_are_sorted_by_the_new_paths(rows):
  paths = [row.path for row in _renamed(rows)]
  assert paths == sorted(paths)
  assert _renamed(rows) == _renamed(rows[::-1])


def test_people_are_one_name_each(rows):
  names = pseudonyms.Names(rows, SALT)
  by_person = names.by_person({"김하나": 1, "Lee Dul": 2, "nobody": 3})
  assert sorted(by_person.values()) == [1, 2, 3]
  new = {row.path: row.person for row in names.rows(rows)}
  for path, person in new.items():
    assert path.split("/")[0] == person or not person
  assert {name for name in new.values() if name} - set(by_person) == {
    *names.by_person({"\udcb1": 0})
  }


def test_names_hang_on_the_salt_alone(rows):
  assert _renamed(rows) == _renamed(rows)
  alone = _renamed(rows[2:3])
  assert alone[0] in _renamed(rows)  # Not on who else is there.
  one, other = _renamed(rows), _renamed(rows, SALT + b"!")
  assert not {row.path for row in one} & {row.path for row in other}
  assert {row.person for row in one} & {row.person for row in other} == {""}


_PROGRAM = """
import sys
from yourface_tfds import curate, pseudonyms
row = curate.PhotoRow(path="a/1.jpg", person="a", status="accepted")
print(pseudonyms.Names([row], sys.argv[1].encode()).rows([row])[0].path)
"""


def test_names_are_the_same_in_another_process():
  row = _row("a/1.jpg")
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, SALT.decode()],
    capture_output=True,
    encoding="utf-8",
    check=True,
    cwd=pathlib.Path(curate.__file__).parents[1],
  )
  assert done.stdout.strip() == _renamed([row])[0].path


def test_no_salt_changes_nothing(rows):
  names = pseudonyms.Names(rows, b"")
  assert names.rows(rows[::-1]) == rows
  assert names.by_path({row.path: 1 for row in rows}) == dict.fromkeys(PATHS, 1)
  assert names.by_person({"김하나": 1, "": 2}) == {"김하나": 1, "": 2}


def test_surrogate_names_differ_from_what_they_look_like():
  rows = [_row("a/\udcb1.jpg"), _row("a/\\udcb1.jpg"), _row("a/\udcb2.jpg")]
  assert len({row.path for row in _renamed(rows)}) == 3


def test_a_long_salt_counts_to_its_end(rows):
  long = bytes(range(256)) * 4
  one, other = _renamed(rows, long), _renamed(rows, long[:-1] + b"x")
  assert one != other


def test_salt_is_read_without_its_line_end(tmp_path):
  (tmp_path / "name_salt").write_bytes(b" " + SALT + b"\r\n")
  assert pseudonyms.read_salt(tmp_path) == SALT


def _advice(path):
  return f"head -c 32 /dev/urandom | base64 > '{path}'"


def test_a_missing_salt_says_how_to_write_one(tmp_path):
  path = tmp_path / "name_salt"
  with pytest.raises(cli.UserError) as caught:
    pseudonyms.read_salt(tmp_path)
  assert str(caught.value) == (
    f"{path}: No such file or directory; hash_names needs a secret in it, "
    f"write one: {_advice(path)}"
  )


@pytest.mark.parametrize("content", [b"", b"0123456789abcde", b" " * 40])
def test_a_short_salt_says_how_to_write_another(tmp_path, content):
  path = tmp_path / "name_salt"
  path.write_bytes(content)
  with pytest.raises(cli.UserError) as caught:
    pseudonyms.read_salt(tmp_path)
  assert str(caught.value) == (
    f"{path}: got {len(content.strip())} bytes, needed: 16 or more; write "
    f"others: {_advice(path)}"
  )


def test_a_salt_that_is_a_folder_is_one_line(tmp_path):
  (tmp_path / "name_salt").mkdir()
  with pytest.raises(cli.UserError, match="name_salt: Is a directory; hash"):
    pseudonyms.read_salt(tmp_path)


def test_the_advice_works(tmp_path):
  folder = tmp_path / "사진 a"
  folder.mkdir()
  with pytest.raises(cli.UserError) as caught:
    pseudonyms.read_salt(folder)
  command = str(caught.value).split("write one: ")[1]
  subprocess.run(command, shell=True, check=True)
  salt = pseudonyms.read_salt(folder)
  assert len(salt) == 44
  subprocess.run(command, shell=True, check=True)
  assert pseudonyms.read_salt(folder) != salt
