"""croissant.json: a build described for machines, as Croissant 1.1 JSON-LD.

Nothing in it depends on the day, the folder or the machine. mlcroissant reads
all record sets but `examples`, which describes the shards: TFDS reads those.

  text = croissant.text(
    facts, settings, config_name="jpeg", version="1.0.0", folder=folder,
    file_names=["photos.csv", "your_face-train.tfrecord-00000-of-00001"],
  )
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from yourface_tfds import (
  build_facts,
  build_settings,
  curate,
  dataset_card,
  labels,
  storage,
)

PUBLISHED = "2026-11-23"
"""Release day of the builder; that of a build would change its bytes."""

_PHOTOS_CSV = "photos.csv"
_CR = "http://mlcommons.org/croissant/"
_TERMS = (
  *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty"),
  *("extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
  *("includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
  *("parentField", "path", "recordSet", "references", "regex", "repeated"),
  *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)
# Croissant 1.1's; mlcroissant warns where one of its keys is missing.
_CONTEXT: dict[str, Any] = {
  "@language": "en",
  "@vocab": "https://schema.org/",
  "conformsTo": "dct:conformsTo",
  "cr": _CR,
  "data": {"@id": "cr:data", "@type": "@json"},
  "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
  "dct": "http://purl.org/dc/terms/",
  "description": {"@container": "@language"},
  "examples": {"@id": "cr:examples", "@type": "@json"},
  "name": {"@container": "@language"},
  "rai": f"{_CR}RAI/",
  "sc": "https://schema.org/",
  **{term: f"cr:{term}" for term in _TERMS},
}
_SHARD = re.compile(r"(.+-[a-z]+\.(tfrecord|array_record)-)\d+-of-\d+")
_SPLIT_OF_SHARD = r".+-([a-z]+)\.(?:tfrecord|array_record)-.+"
_FORMATS = {
  "tfrecord": "https://www.tensorflow.org/tutorials/load_data/tfrecord",
  "array_record": "https://github.com/google/array_record",
  "csv": "text/csv",
  "json": "application/json",
  "md": "text/markdown",
}
_TYPES = {str: "sc:Text", int: "cr:Int64", float: "sc:Float"}
_LANDMARKS = "y, x of eyes, nose, mouth corners, 0..1 of the upright photo."
_COLUMNS = {
  "path": "Relative to photos/.",
  "person": "Folder name, NFC. Read as text: pandas makes 001 a 1, NA empty.",
  "status": "accepted, or why the file was not used.",
  "split": "A name of splits, empty unless accepted.",
  "group": "Shared by near-duplicates, empty if undecoded.",
  "faces": "How many faces were found.",
  "area_ratio": "Second largest face to the largest, 0 for a single one.",
  "score": "The detector's confidence in the main face, 0..1.",
  "box": "y_min, x_min, y_max, x_max of the face, 0..1 of the upright photo.",
  "source_side": "Side of the crop in pixels of the photo.",
  "detail": "The reason in words.",
}


def text(
  facts: build_facts.BuildFacts,
  settings: build_settings.BuildSettings,
  *,
  config_name: str,
  version: str,
  folder: storage.Path,
  file_names: Sequence[str],
) -> str:
  """Returns the JSON-LD of a build, ending in a newline.

  Args:
    facts: of the build.
    settings: of the build.
    config_name: the config's folder name.
    version: of the dataset, MAJOR.MINOR.PATCH.
    folder: where the files lie and croissant.json will.
    file_names: files to describe, photos.csv among them. Each is read once,
      1 MiB at a time.

  Raises:
    FileNotFoundError: a file is not in the folder.
    ValueError: photos.csv is not among the files.
  """
  names = sorted(set(file_names))
  if _PHOTOS_CSV not in names:
    raise ValueError(f"Got the files {names}; {_PHOTOS_CSV} must be one.")
  shards = [match for match in map(_SHARD.fullmatch, names) if match]
  document = {
    "@context": _CONTEXT,
    "@type": "sc:Dataset",
    **_about(facts, f"{dataset_card.NAME}/{config_name}", version),
    **_responsible(facts, settings),
    "distribution": [_file(folder, name) for name in names],
    "recordSet": [_photos(), *map(_vocabulary, labels.HEADS)],
  }
  # Croissant allows no record set without records.
  if facts.filled_splits():
    document["recordSet"].append(_splits(facts))
  if shards and facts.filled_splits():
    document["distribution"].append(_shard_set(shards))
    document["recordSet"].append(_examples(settings))
  return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _about(
  facts: build_facts.BuildFacts, name: str, version: str
) -> dict[str, Any]:
  return {
    "name": name,
    "description": (
      f"{facts.total.photos:,} faces of {facts.total.people:,} people, cropped "
      f"from {facts.files:,} files. DATASET_CARD.md says more. datePublished "
      "is the day the builder was released; the build's own is not recorded."
    ),
    "conformsTo": [f"{_CR}1.1", f"{_CR}RAI/1.0"],
    "citeAs": f"@misc{{{dataset_card.NAME}, title={{{name} {version}}}}}",
    "datePublished": PUBLISHED,
    "keywords": ["faces", "image classification", *labels.HEADS],
    "license": dataset_card.RIGHTS,
    "version": version,
  }


def _responsible(
  facts: build_facts.BuildFacts, settings: build_settings.BuildSettings
) -> dict[str, Any]:
  return {
    "rai:dataCollection": "Supplied by whoever ran the build; not recorded.",
    "rai:dataPreprocessingProtocol": dataset_card.steps(settings),
    "rai:dataAnnotationProtocol": dataset_card.LABELLING,
    "rai:machineAnnotationTools": "MTCNN: boxes, landmarks and scores",
    "rai:dataBiases": dataset_card.biases(facts),
    "rai:dataLimitations": dataset_card.limits(facts),
    "rai:dataUseCases": dataset_card.USES,
    "rai:dataSocialImpact": dataset_card.NOT_FOR,
    "rai:personalSensitiveInformation": dataset_card.PERSONAL_DATA,
    "rai:dataReleaseMaintenancePlan": dataset_card.DELETION,
  }


def _file(folder: storage.Path, name: str) -> dict[str, Any]:
  shard = _SHARD.fullmatch(name)
  suffix = shard[2] if shard else name.rpartition(".")[2]
  return {
    "@type": "cr:FileObject",
    "@id": name,
    "name": name,
    "contentUrl": name,
    "contentSize": f"{storage.size(folder / name)} B",
    "encodingFormat": _FORMATS.get(suffix, "text/plain"),
    "sha256": storage.sha256(folder / name),
  }


def _shard_set(shards: Sequence[re.Match[str]]) -> dict[str, Any]:
  return {
    "@type": "cr:FileSet",
    "@id": "shards",
    "name": "shards",
    "encodingFormat": _FORMATS[shards[0][2]],
    "includes": sorted({f"{match[1]}*" for match in shards}),
  }


def _record_set(
  name: str, description: str, fields: Sequence[dict[str, Any]], **values: Any
) -> dict[str, Any]:
  return {
    "@type": "cr:RecordSet",
    "@id": name,
    "name": name,
    "description": description,
    **values,
    "field": [
      {"@type": "cr:Field", "@id": f"{name}/{field['name']}", **field}
      for field in fields
    ],
  }


def _field(
  name: str, data_type: str, shape: Sequence[int], about: str
) -> dict[str, Any]:
  field = {"name": name, "description": about, "dataType": data_type}
  array = {"isArray": True, "arrayShape": ",".join(map(str, shape))}
  return {**field, **(array if shape else {})}


def _photos() -> dict[str, Any]:
  fields = []
  for column in dataclasses.fields(curate.PhotoRow):
    name = column.name
    source = {"fileObject": {"@id": _PHOTOS_CSV}, "extract": {"column": name}}
    data_type, shape = _TYPES.get(column.type, "sc:Text"), ()
    if name == "box":
      source["transform"] = {"separator": " "}
      data_type, shape = "sc:Float", (4,)
    field = _field(name, data_type, shape, _COLUMNS.get(name, ""))
    fields.append({**field, "source": source})
  about = "One row for every file, used or not."
  return _record_set("photos", about, fields, key={"@id": "photos/path"})


def _inline(
  name: str,
  about: str,
  data_type: str,
  columns: Sequence[str],
  rows: Sequence[Sequence[str | int]],
) -> dict[str, Any]:
  """Returns a record set whose records stand here, the first column its key."""
  ids = [f"{name}/{column}" for column in columns]
  fields = [
    {"name": column, "dataType": _TYPES[type(value)]}
    for column, value in zip(columns, rows[0], strict=True)
  ]
  return _record_set(
    name,
    about,
    fields,
    key={"@id": ids[0]},
    dataType=data_type,
    data=[dict(zip(ids, row, strict=True)) for row in rows],
  )


def _splits(facts: build_facts.BuildFacts) -> dict[str, Any]:
  columns = ("name", "photos", "people")
  rows = [
    (split.name, split.photos, split.people) for split in facts.filled_splits()
  ]
  about = "unseen holds people who are in no other split."
  return _inline("splits", about, "cr:Split", columns, rows)


def _vocabulary(head: str) -> dict[str, Any]:
  words = zip(labels.HEADS[head].names, labels.HEADS[head].korean, strict=True)
  rows = [(index, *pair) for index, pair in enumerate(words)]
  rows.append((labels.UNKNOWN, build_facts.UNKNOWN_NAME, ""))
  name, about = f"{head}_labels", f"What the indices of {head} stand for."
  columns = ("index", "name", "korean")
  return _inline(name, about, "sc:Enumeration", columns, rows)


def _examples(settings: build_settings.BuildSettings) -> dict[str, Any]:
  side = settings.image_size
  raw, jpeg = ("cr:UInt8", (side, side, 3)), ("sc:ImageObject", ())
  image = raw if settings.encoding == "raw" else jpeg
  fields = [
    _field("image", *image, f"A face, uint8 [{side}, {side}, 3]."),
    *(_field(head, "cr:Int64", (), "-1 unknown.") for head in labels.HEADS),
    _field("person", "sc:Text", (), "Folder name, NFC."),
    _field("photo", "sc:Text", (), "Path relative to photos/."),
    _field("box", "cr:Float32", (4,), _COLUMNS["box"]),
    _field("landmarks", "cr:Float32", (5, 2), _LANDMARKS),
    _field("score", "cr:Float32", (), _COLUMNS["score"]),
    _field("faces", "cr:Int64", (), _COLUMNS["faces"]),
  ]
  shards = {"fileSet": {"@id": "shards"}}
  for field in fields:
    field["source"] = {**shards, "extract": {"column": field["name"]}}
    if field["name"] in labels.HEADS:
      vocabulary = {"@id": f"{field['name']}_labels/index"}
      field["references"] = {"field": vocabulary}
  split = _field("split", "sc:Text", (), "By the shard's name.")
  split["references"] = {"field": {"@id": "splits/name"}}
  split["source"] = {
    **shards,
    "extract": {"fileProperty": "filename"},
    "transform": {"regex": _SPLIT_OF_SHARD},
  }
  return _record_set("examples", "TFDS reads them.", [*fields, split])
