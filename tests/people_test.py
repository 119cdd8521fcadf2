"""Tests of people: what a people.csv may look like, and each complaint."""

import pathlib
import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from yourface_tfds import cli, labels, people, photos

_HEADER = "person,gender,job,face_type\n"
_NFD_NAME = unicodedata.normalize("NFD", "김유정")


def _read(folder, text):
  path = folder / "people.csv"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return people.read(path)


def _complaint(folder, text):
  with pytest.raises(cli.UserError) as caught:
    _read(folder, text)
  message = str(caught.value)
  assert "\n" not in message
  return message.replace(f"{folder}/", "")


def _labels(gender=-1, job=-1, face_type=-1):
  return {"gender": gender, "job": job, "face_type": face_type}


def test_english_korean_and_blank(tmp_path):
  text = _HEADER + (
    "김유정,여자,배우,\nIU,F,Singer,rabbit\n박보검,male,,호랑이\nNobody,,,\n"
  )
  assert _read(tmp_path, text) == {
    "김유정": _labels(1, 0),
    "IU": _labels(1, 1, 2),
    "박보검": _labels(0, -1, 10),
    "Nobody": _labels(),
  }


@pytest.mark.parametrize(
  "change",
  [
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    lambda text: text.rstrip("\n").encode(),
    lambda text: text.replace("\n", "\n\n").encode(),
    lambda text: unicodedata.normalize("NFD", text).encode(),
    lambda text: text.replace("김유정,", '"김유정 ",').encode(),
  ],
  ids=["bom", "crlf", "excel", "no end", "blank rows", "nfd", "quoted"],
)
def test_ways_to_save_the_same_table(tmp_path, change):
  text = _HEADER + "김유정,여자,배우,토끼\nIU,f,singer,\n"
  assert _read(tmp_path, change(text)) == {
    "김유정": _labels(1, 0, 2),
    "IU": _labels(1, 1),
  }


def test_quoted_names(tmp_path):
  text = _HEADER + '"Kim, Jr.",m,,\n"The ""Rock""",m,actor,\n" Spaced ",,,\n'
  assert list(_read(tmp_path, text)) == ["Kim, Jr.", 'The "Rock"', "Spaced"]


def test_further_columns_and_another_order(tmp_path):
  text = 'born,face_type,job,gender,person,note\n1999,dog,,f,IU,"a,b"\n'
  assert _read(tmp_path, text) == {"IU": _labels(1, -1, 0)}


def test_missing_file(tmp_path):
  path = tmp_path / "people.csv"
  with pytest.raises(cli.UserError) as caught:
    people.read(path)
  assert str(caught.value) == (
    f"{path}: no such file; write one with the columns "
    "person,gender,job,face_type"
  )


def test_a_folder_in_its_place(tmp_path):
  (tmp_path / "people.csv").mkdir()
  with pytest.raises(cli.UserError) as caught:
    people.read(tmp_path / "people.csv")
  assert str(tmp_path / "people.csv") in str(caught.value)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      "person,gender,job\nA,,\n",
      "people.csv: row 1: no column face_type; needed: "
      "person,gender,job,face_type",
    ),
    (
      "",
      "people.csv: row 1: no column person, gender, job, face_type; needed: "
      "person,gender,job,face_type",
    ),
    (
      "name;gender;job;face_type\n",
      "people.csv: row 1: no column person, gender, job, face_type; needed: "
      "person,gender,job,face_type",
    ),
    (
      _HEADER + "A,m,,\nB,m,\n",
      "people.csv: row 3: got 3 cells, needed: one for each column, "
      "person,gender,job,face_type",
    ),
    (
      _HEADER + "A,m,,\n\nB\n",
      "people.csv: row 4: got 1 cells, needed: one for each column, "
      "person,gender,job,face_type",
    ),
    (
      _HEADER + "A,m,,,,\n",
      "people.csv: row 2: got too many cells, needed: one for each column, "
      "person,gender,job,face_type",
    ),
    (
      _HEADER + "A,m,,\nB,boy,,\n",
      "people.csv: row 3: gender: got 'boy', allowed: man (남자), woman "
      "(여자), or blank for unknown",
    ),
    (
      _HEADER + "A,m,개그맨,\n",
      "people.csv: row 2: job: got '개그맨', allowed: actor (배우), singer "
      "(가수), or blank for unknown",
    ),
    (
      _HEADER + "A,m,,wolf\n",
      "people.csv: row 2: face_type: got 'wolf', allowed: dog (강아지), cat "
      "(고양이), rabbit (토끼), fox (여우), dinosaur (공룡), frog (개구리), "
      "snake (뱀), turtle (꼬북이), bear (곰), mouse (쥐), tiger (호랑이), or "
      "blank for unknown",
    ),
    (
      _HEADER + "A,,,\nB,,,\nA ,m,,\n",
      "people.csv: row 4: 'A' has a row already; keep one",
    ),
    (
      _HEADER + f"김유정,,,\n{_NFD_NAME},,,\n",
      "people.csv: row 3: '김유정' has a row already; keep one",
    ),
    (
      _HEADER + "  ,m,,\n",
      "people.csv: row 2: person is blank; write the folder's name",
    ),
    (_HEADER, "people.csv: no people; add one row a person"),
    (_HEADER + "\n\n", "people.csv: no people; add one row a person"),
    (
      (_HEADER + "김유정,,,\n").encode("cp949"),
      "people.csv: not UTF-8 at byte 28; save it as UTF-8",
    ),
    (
      (_HEADER + "A,,,\n").encode("utf-16"),
      "people.csv: not UTF-8 at byte 0; save it as UTF-8",
    ),
  ],
)
def test_complaint_names_file_row_and_what_is_allowed(tmp_path, text, message):
  assert _complaint(tmp_path, text) == message


@pytest.mark.parametrize("row", ['B,"m,,\nC,,,\n', 'B,"m"x,,\n'])
def test_broken_quotes_name_the_row(tmp_path, row):
  message = _complaint(tmp_path, _HEADER + "A,,,\n" + row)
  assert message.startswith("people.csv: row ")
  assert "not CSV: " in message


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
@hypothesis.given(
  text=st.one_of(
    st.binary(max_size=60),
    st.text(st.sampled_from(list('\r\n",;mf\0 \ufeff김A')), max_size=40).map(
      lambda text: (_HEADER + text).encode()
    ),
  )
)
def test_any_bytes_are_read_or_complained_of(tmp_path_factory, text):
  path = tmp_path_factory.getbasetemp() / "any.csv"
  path.write_bytes(text)
  try:
    result = people.read(path)
  except cli.UserError as error:
    assert str(error).startswith(f"{path}: ")
  else:
    assert result
    assert all(name == labels.normalize(name) != "" for name in result)


def _folders(root, *names):
  for name in names:
    (root / name).mkdir(parents=True)
    (root / name / "1.jpg").write_bytes(b"")
  return photos.scan(root)


def test_folders_and_rows_match_in_nfc(tmp_path):
  files = _folders(tmp_path, _NFD_NAME, "IU")
  (tmp_path / "no photos yet").mkdir()
  (tmp_path / "loose.jpg").write_bytes(b"")
  rows = {"김유정": _labels(), "IU": _labels(), "no photos yet": _labels()}
  people.check_folders(rows, files, "people.csv")


def test_folder_without_a_row(tmp_path):
  files = _folders(tmp_path, "IU", "김유정", "Rain")
  with pytest.raises(cli.UserError) as caught:
    people.check_folders({"IU": _labels()}, files, "M/people.csv")
  assert str(caught.value) == (
    "M/people.csv: no row for the folder photos/Rain; add one (labels may be "
    'blank), or leave such photos out with --config=\'{"strict_people": '
    "false}'"
  )


def test_empty_folder_without_a_row(tmp_path):
  files = _folders(tmp_path, "IU")
  (tmp_path / "Rain").mkdir()
  with pytest.raises(cli.UserError, match=r"no row for the folder photos/Rain"):
    people.check_folders({"IU": _labels()}, files, "people.csv")


def test_row_without_a_folder(tmp_path):
  files = _folders(tmp_path, "IU")
  rows = {"Rain": _labels(), "IU": _labels()}
  with pytest.raises(cli.UserError) as caught:
    people.check_folders(rows, files, pathlib.Path("M", "people.csv"))
  assert str(caught.value) == (
    "M/people.csv: the row of 'Rain' has no folder photos/Rain; add the folder "
    "or remove the row, or go on with --config='{\"strict_people\": false}'"
  )
