"""Any people.csv is read, or one line says what is wrong with it."""

import csv
import io
import os
import re

import hypothesis
import hypothesis.strategies as st
import pytest

from tests import hostile
from yourface_tfds import (
  cli,
  labels,
  people,
)

_LETTERS = st.text(
  st.sampled_from(list('\r\n",;mf\0 \ufeff\x1b\u202e\u0301=@김A')), max_size=30
)
_CELLS = st.one_of(
  st.sampled_from(
    [*hostile.HEADER.split(","), "김", "man", "배우", "", *hostile.NAMES]
  ),
  _LETTERS,
  st.text(max_size=12),
  st.integers(100, 140_000).map(lambda length: "\u0301\u0316" * (length // 2)),
)
_TABLES = st.lists(st.lists(_CELLS, max_size=6), max_size=5).map(
  lambda rows: "\n".join(",".join(row) for row in rows)
)


@st.composite
def _quoted_tables(draw):
  out = io.StringIO()
  writer = csv.writer(out, quoting=csv.QUOTE_ALL)
  extra = draw(st.lists(_CELLS, max_size=2))
  writer.writerow([*hostile.HEADER.split(","), *extra])
  writer.writerows(draw(st.lists(st.lists(_CELLS, max_size=6), max_size=4)))
  return out.getvalue()


_CONTENTS = st.one_of(
  st.binary(max_size=200),
  st.one_of(
    _TABLES,
    _TABLES.map(lambda text: f"{hostile.HEADER}\n{text}"),
    _LETTERS.map(lambda text: f"{hostile.HEADER}\n{text}"),
    _quoted_tables(),
  ).map(lambda text: text.encode("utf-8", "surrogateescape")),
)


def check_people(folder, content):
  path = folder / "any.csv"
  path.write_bytes(content)
  try:
    result = people.read(path)
  except cli.UserError as error:
    text = str(error)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert len(text) < 800
    if "not UTF-8" not in text and "no people" not in text:
      assert re.match(r": row \d+: ", text.removeprefix(str(path)))
    return
  assert result
  for name, indices in result.items():
    assert name == labels.normalize(name) != ""
    assert list(indices) == list(labels.HEADS)
    for head, index in indices.items():
      assert -1 <= index < len(labels.HEADS[head].names)


@hostile.fuzz(300)
@hypothesis.given(content=_CONTENTS)
def test_any_people_csv_is_read_or_complained_of(tmp_path_factory, content):
  check_people(tmp_path_factory.getbasetemp(), content)


@pytest.mark.slow
@hostile.fuzz(5_000)
@hypothesis.given(content=_CONTENTS)
def test_any_people_csv_at_length(tmp_path_factory, content):
  check_people(tmp_path_factory.getbasetemp(), content)


def test_a_table_that_is_no_file_is_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "endless").symlink_to("/dev/zero")
  (tmp_path / "loop").symlink_to("loop")
  with (tmp_path / "sparse").open("wb") as file:
    file.truncate(10**12)
  for name, message in {
    "pipe": "neither a file nor a link to one; needed: a CSV file",
    "endless": "neither a file nor a link to one; needed: a CSV file",
    "loop": "cannot be read (Too many levels of symbolic links); needed: a C",
    "sparse": "got 1,000,000,000,000 bytes, allowed: 32,000,000; needed: a C",
  }.items():
    with pytest.raises(cli.UserError, match=f": {re.escape(message)}"):
      people.read(tmp_path / name)


def test_a_long_cell_is_refused_before_it_is_normalized(tmp_path):
  path = tmp_path / "people.csv"
  path.write_text(f"{hostile.HEADER}\nA,,,\n{'̖́' * 60_000},m,,\n")
  with pytest.raises(cli.UserError) as caught:
    people.read(path)
  assert str(caught.value) == (
    f"{path}: row 3: person: got 120,000 letters, allowed: 255; mend the "
    "quotes or shorten it"
  )


def test_columns_of_any_name_do_not_steer_the_message(tmp_path):
  path = tmp_path / "people.csv"
  path.write_text(f'{hostile.HEADER},"\x1b[31m\n{"x " * 400}"\nA\n')
  with pytest.raises(cli.UserError) as caught:
    people.read(path)
  text = str(caught.value)
  assert text.startswith(
    f"{path}: row 3: got 1 cells, needed: one for each column, "
    rf"{hostile.HEADER},\x1b[31m\nx x"
  )
  assert text.endswith(" x...")
