"""Tests of croissant: mlcroissant validates and reads what is written."""

import dataclasses
import hashlib
import json
import logging
import pathlib
import re
import shutil
import socket
from typing import Any

import mlcroissant
import numpy as np
import pytest

from builders.your_face import your_face_dataset_builder
from yourface_tfds import build_facts, build_settings, croissant, curate, labels

# rdflib 7.6 warns of its own class when it parses JSON-LD.
pytestmark = pytest.mark.filterwarnings(
  "ignore:ConjunctiveGraph is deprecated:DeprecationWarning:rdflib"
)

SETTINGS = build_settings.BuildSettings()
PEOPLE = {
  "김하나": {"gender": 1, "job": 0, "face_type": -1},
  "Lee Dul": {"gender": 0, "job": 1, "face_type": 2},
}
BOX = (0.1, 0.25, 0.5, 0.75)
ROWS = [
  curate.PhotoRow(
    path='김하나/a, "b".jpg',
    person="김하나",
    status="accepted",
    split="train",
    group="00ff",
    faces=2,
    area_ratio=0.25,
    score=0.9975,
    box=BOX,
    source_side=149.5,
  ),
  curate.PhotoRow(
    path="Lee Dul/1.jpg",
    person="Lee Dul",
    status="accepted",
    split="test",
    group="01ff",
    faces=1,
    score=0.95,
    box=BOX,
    source_side=300.0,
  ),
  curate.PhotoRow(
    path="Lee Dul/Icon\r",
    person="Lee Dul",
    status="not_an_image",
    detail="none of JPEG, PNG",
  ),
  curate.PhotoRow(path="note.txt", person="", status="unknown_person"),
]
FILES = {
  "your_face-train.tfrecord-00000-of-00002": b"one",
  "your_face-train.tfrecord-00001-of-00002": b"two",
  "your_face-test.tfrecord-00000-of-00001": b"three",
  "features.json": b"{}",
  "gender.labels.txt": b"man\nwoman\n",
  "DATASET_CARD.md": b"# card",
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
  def refuse(*args, **kwargs):
    raise AssertionError("the network was touched")

  monkeypatch.setattr(socket, "getaddrinfo", refuse)
  monkeypatch.setattr(socket.socket, "connect", refuse)


def _text(folder, rows=ROWS, settings=SETTINGS, files=None, **values):
  facts = build_facts.count(rows, PEOPLE, settings)
  values = {"config_name": "jpeg", "version": "1.0.0", **values}
  names = [*(FILES if files is None else files), "photos.csv"]
  return croissant.text(
    facts, settings, folder=folder, file_names=names, **values
  )


def _write(folder, rows=ROWS, files=None, **values):
  folder.mkdir(parents=True, exist_ok=True)
  for name, data in FILES.items():
    (folder / name).write_bytes(data)
  (folder / "photos.csv").write_bytes(curate.csv_text(rows).encode())
  path = folder / "croissant.json"
  path.write_text(_text(folder, rows, files=files, **values), "utf-8")
  return path


def _issues(path, caplog):
  """Returns the validated dataset and every word of complaint about it."""
  caplog.clear()
  with caplog.at_level(logging.WARNING):
    dataset = mlcroissant.Dataset(path)
  issues = dataset.metadata.ctx.issues
  logged = {record.getMessage() for record in caplog.records}
  return dataset, issues.errors | issues.warnings | logged


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("split", ["train", ""])
def test_mlcroissant_has_no_complaint(tmp_path, caplog, encoding, split):
  settings = build_settings.BuildSettings(encoding=encoding)
  rows = ROWS
  if not split:
    rows = [
      dataclasses.replace(row, status="no_face", split="") for row in ROWS
    ]
  path = _write(tmp_path, rows, settings=settings)
  dataset, complaints = _issues(path, caplog)
  assert complaints == set()
  assert dataset.metadata.ctx.is_v1_1()
  assert sorted(dataset.metadata.conforms_to) == [
    "http://mlcommons.org/croissant/1.1",
    "http://mlcommons.org/croissant/RAI/1.0",
  ]
  ids = {record_set.id for record_set in dataset.metadata.record_sets}
  expected = {"photos", *(f"{head}_labels" for head in labels.HEADS)}
  assert ids == expected | ({"splits", "examples"} if split else set())


@pytest.mark.parametrize(
  "lost", ["license", "datePublished", "citeAs", "version"]
)
def test_mlcroissant_would_complain(tmp_path, caplog, lost):
  """Whatever is not there for its own sake silences a warning."""
  path = _write(tmp_path)
  document = json.loads(path.read_text("utf-8"))
  del document[lost]
  path.write_text(json.dumps(document), "utf-8")
  assert _issues(path, caplog)[1]
  document = json.loads(_text(tmp_path))
  del document["@context"]["arrayShape"], document["@context"]["citeAs"]
  path.write_text(json.dumps(document), "utf-8")
  assert any("@context" in complaint for complaint in _issues(path, caplog)[1])


def test_context_is_the_one_mlcroissant_writes(tmp_path):
  path = _write(tmp_path)
  written = mlcroissant.Dataset(path).metadata.to_json()["@context"]
  ours = json.loads(path.read_text("utf-8"))["@context"]
  assert written == ours


def _records(path, name):
  return [
    {
      key.removeprefix(f"{name}/"): value.decode("utf-8")
      if isinstance(value, bytes)
      else value
      for key, value in record.items()
    }
    for record in mlcroissant.Dataset(path).records(name)
  ]


def test_photos_are_read_back(tmp_path):
  records = _records(_write(tmp_path), "photos")
  assert len(records) == len(ROWS)
  for record, row in zip(records, ROWS, strict=True):
    for name, value in dataclasses.asdict(row).items():
      if name == "box":
        assert record[name] == (pytest.approx(list(value)) if value else None)
      else:
        # An empty cell is a missing value.
        assert record[name] == (None if value == "" else value), name
  assert records[0]["path"] == '김하나/a, "b".jpg'
  assert isinstance(records[0]["score"], float)


def test_a_changed_table_is_refused(tmp_path):
  path = _write(tmp_path)
  table = tmp_path / "photos.csv"
  table.write_bytes(table.read_bytes().replace(b"Lee", b"Kim"))
  with pytest.raises(mlcroissant.GenerationError) as caught:
    _records(path, "photos")
  assert "not identical" in str(caught.value.__cause__)


def test_splits_and_vocabularies_are_read(tmp_path):
  path = _write(tmp_path)
  assert _records(path, "splits") == [
    {"name": "train", "photos": 1, "people": 1},
    {"name": "test", "photos": 1, "people": 1},
  ]
  for head, vocabulary in labels.HEADS.items():
    words = zip(vocabulary.names, vocabulary.korean, strict=True)
    assert _records(path, f"{head}_labels") == [
      *(
        {"index": index, "name": name, "korean": korean}
        for index, (name, korean) in enumerate(words)
      ),
      {"index": -1, "name": "unknown", "korean": ""},
    ]
  assert "강아지" in path.read_text("utf-8")


def test_every_column_is_described(tmp_path):
  document = json.loads(_write(tmp_path).read_text("utf-8"))
  photos = document["recordSet"][0]
  header = curate.csv_text([]).strip().split(",")
  assert [field["name"] for field in photos["field"]] == header
  assert all(field["description"] for field in photos["field"])


def _by_id(nodes):
  return {node["@id"]: node for node in nodes}


def test_files_have_size_and_hash(tmp_path):
  path = _write(tmp_path)
  document = json.loads(path.read_text("utf-8"))
  files = _by_id(document["distribution"])
  assert set(files) == {*FILES, "photos.csv", "shards"}
  for name in (*FILES, "photos.csv"):
    data = (tmp_path / name).read_bytes()
    assert files[name]["contentUrl"] == name
    assert files[name]["contentSize"] == f"{len(data)} B"
    assert files[name]["sha256"] == hashlib.sha256(data).hexdigest()
  assert files["features.json"]["encodingFormat"] == "application/json"
  assert files["gender.labels.txt"]["encodingFormat"] == "text/plain"
  assert files["shards"]["includes"] == [
    "your_face-test.tfrecord-*",
    "your_face-train.tfrecord-*",
  ]
  # More than one chunk.
  (tmp_path / "features.json").write_bytes(b"ab" * 2**20)
  document = json.loads(_text(tmp_path))
  file = _by_id(document["distribution"])["features.json"]
  assert file["contentSize"] == "2097152 B"
  assert file["sha256"] == hashlib.sha256(b"ab" * 2**20).hexdigest()


def test_missing_files_are_errors(tmp_path):
  _write(tmp_path)
  with pytest.raises(FileNotFoundError):
    _text(tmp_path, files=["gone.json"])
  facts = build_facts.count(ROWS, PEOPLE, SETTINGS)
  with pytest.raises(ValueError, match="must be one"):
    croissant.text(
      facts,
      SETTINGS,
      config_name="jpeg",
      version="1.0.0",
      folder=tmp_path,
      file_names=list(FILES),
    )


def test_same_bytes_wherever_and_whenever(tmp_path):
  first = _write(tmp_path / "here").read_bytes()
  second = _write(tmp_path / "there", files=list(FILES)[::-1]).read_bytes()
  assert first == second
  text = first.decode("utf-8")
  assert str(tmp_path) not in text
  assert "\\u" not in text
  days = set(re.findall(r"\d{4}-\d\d-\d\d", text))
  assert days == {croissant.PUBLISHED}
  changes = pathlib.Path(__file__).parents[1] / "CHANGELOG.md"
  assert f" - {croissant.PUBLISHED}\n" in changes.read_text("utf-8")


def test_figures_follow_the_rows(tmp_path):
  document = json.loads(_write(tmp_path).read_text("utf-8"))
  assert document["description"].startswith("2 faces of 2 people, cropped fr")
  limits = " ".join(document["rai:dataLimitations"])
  assert "more than one face: 1 of 2 (50.0 %)" in limits
  assert "validation, unseen" in limits
  assert "of nobody: dog, cat, fox" in " ".join(document["rai:dataBiases"])
  rows = [dataclasses.replace(row, faces=1) for row in ROWS[1:]]
  other = json.loads(_write(tmp_path, rows).read_text("utf-8"))
  assert other["description"].startswith("1 faces of 1 people")
  assert "face: 0 of 1" in " ".join(other["rai:dataLimitations"])
  assert [key for key in document if key.startswith("rai:")] == [
    key for key in other if key.startswith("rai:")
  ]


def test_rai_terms_are_known_to_mlcroissant(tmp_path):
  metadata = mlcroissant.Dataset(_write(tmp_path)).metadata
  assert metadata.extra_properties == {}
  assert "EXIF" in " ".join(metadata.personal_sensitive_information or [])
  assert len(metadata.data_biases or []) == len(labels.HEADS)
  assert "entertainment" in (metadata.data_social_impact or "")
  assert "--overwrite" in (metadata.data_release_maintenance_plan or "")
  assert metadata.license is not None
  assert "belongs to whoever took it" in str(metadata.license[0])


_DTYPES = {
  "sc:Text": "object",
  "cr:Int64": "int64",
  "cr:Float32": "float32",
  "cr:UInt8": "uint8",
  "sc:ImageObject": "uint8",
}


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_examples_are_the_features_of_the_builder(tmp_path, encoding):
  config = your_face_dataset_builder.YourFaceConfig(
    encoding=encoding, image_size=48
  )
  builder = your_face_dataset_builder.Builder(data_dir=tmp_path, config=config)
  path = _write(tmp_path, settings=config.settings)
  document = json.loads(path.read_text("utf-8"))
  examples = _by_id(document["recordSet"])["examples"]
  fields = {field["name"]: field for field in examples["field"]}
  assert fields.pop("split")["references"] == {"field": {"@id": "splits/name"}}
  is_image = fields["image"]["dataType"] == "sc:ImageObject"
  assert is_image == (encoding == "jpeg")
  features: Any = builder.info.features
  assert list(fields) == list(features)
  for name, feature in features.items():
    dtype = np.dtype(feature.np_dtype).name
    assert _DTYPES[fields[name]["dataType"]] == dtype, name
    shape = ",".join(str(side) for side in feature.shape)
    if fields[name]["dataType"] == "sc:ImageObject":
      assert shape == "48,48,3"
      assert "[48, 48, 3]" in fields[name]["description"]
    else:
      assert fields[name].get("arrayShape", "") == shape, name
    assert fields[name]["source"]["extract"] == {"column": name}


def test_shards_of_a_real_build(tmp_path, caplog, tiny_data_dir):
  source = tiny_data_dir / "your_face" / "jpeg-image_size_32" / "1.0.0"
  # Another test may have left the folder of an index there.
  names = [file.name for file in source.iterdir() if file.is_file()]
  for name in names:
    shutil.copy(source / name, tmp_path)
  path = _write(tmp_path, files=names)
  dataset, complaints = _issues(path, caplog)
  assert complaints == set()
  examples = next(
    record_set
    for record_set in dataset.metadata.record_sets
    if record_set.id == "examples"
  )
  split = next(field for field in examples.fields if field.name == "split")
  regex = split.source.transforms[0].regex or ""
  shards = [name for name in names if ".tfrecord-" in name]
  found = [re.fullmatch(regex, shard) for shard in shards]
  assert {match and match[1] for match in found} == set(curate.SPLITS)
  document = json.loads(path.read_text("utf-8"))
  files = _by_id(document["distribution"])
  patterns = files["shards"]["includes"]
  assert len(patterns) == 4
  for shard in shards:
    assert files[shard]["encodingFormat"].endswith("/tfrecord")
    assert sum(pathlib.PurePath(shard).match(each) for each in patterns) == 1
