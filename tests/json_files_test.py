import json
import pathlib
import tempfile

import hypothesis
import pytest
from hypothesis import strategies as st

from yourface_tfds import cli, json_files, storage

BAD = {
  b"": "Expecting value: line 1 column 1 (char 0)",
  b"{": "Expecting property name enclosed in double quotes: ",
  b"[]": "got a JSON list, allowed: an object",
  b"5": "got a JSON int, allowed: an object",
  b'"x"': "got a JSON str, allowed: an object",
  b"null": "got a JSON NoneType, allowed: an object",
  b"\xff\xfe": "'utf-8' codec can't decode byte 0xff in position 0",
  b"[" * 100_000: "too deeply nested",
  b'{"x": ' * 100_000: "too deeply nested",
}
"""What is no JSON object -> what is said of it."""


@pytest.mark.parametrize("content", BAD, ids=lambda content: content[:9])
def test_one_line_that_names_the_file(tmp_path, content):
  path = tmp_path / "a.json"
  path.write_bytes(content)
  with pytest.raises(cli.UserError) as error:
    json_files.read(path, "copy it again")
  said = str(error.value)
  assert said.startswith(f"{path}: is damaged ({BAD[content]}"), said
  assert said.endswith("); copy it again")


def test_a_folder_is_no_file(tmp_path):
  with pytest.raises(
    cli.UserError, match=r"is damaged \(\[Errno 21\] Is a dir"
  ):
    json_files.read(tmp_path, "copy it again")


def test_a_missing_one_is_a_matter_of_its_own(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"a\.json"):
    json_files.read(tmp_path / "a.json", "")


def test_what_was_written_is_read(tmp_path):
  storage.write_text(tmp_path / "a.json", cli.dump_json({"직업": [1.5, None]}))
  assert json_files.read(tmp_path / "a.json", "") == {"직업": [1.5, None]}


_VALUES = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@hypothesis.given(
  st.binary(max_size=50)
  | st.builds(lambda value: json.dumps(value).encode(), _VALUES)
)
def test_an_object_or_our_error(content):
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "a.json"
    path.write_bytes(content)
    try:
      assert isinstance(json_files.read(path, "copy it again"), dict)
    except cli.UserError as error:
      assert str(error).startswith(f"{path}: is damaged (")
