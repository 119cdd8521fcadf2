"""Tests of report: what is gathered, and the page as a browser reads it."""

import base64
import copy
import html.parser
import io
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from yourface_tfds import (
  built_dataset,
  card,
  cli,
  curate,
  labels,
  metrics,
  models,
  report,
  report_page,
  report_sections,
  storage,
)

_HISTORY = [
  {
    "loss": 3.0 - epoch,
    "gender": 0.5,
    "validation_loss": 2.5 - epoch,
    "validation_gender": 0.25,
    "learning_rate": 0.001,
  }
  for epoch in range(3)
]
_VOID = ("br", "meta", "img")


class _Page(html.parser.HTMLParser):
  """Reads a page; complains where an end is missing or too much."""

  def __init__(self, page):
    super().__init__()
    self.open, self.tags, self.words = [], [], []
    self.feed(page)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in _VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  def count(self, tag):
    return sum(name == tag for name, _ in self.tags)


def _save_run(folder, train=None):
  folder.mkdir(exist_ok=True)
  settings = {"model": "small_cnn", "weights": "none", "image_size": 32}
  (folder / "settings.json").write_text(json.dumps(settings))
  if train is not None:
    (folder / "train.json").write_text(json.dumps(train))


def _write_photos_csv(dataset, examples):
  rows = [
    curate.PhotoRow(
      path=example["photo"],
      person=example["person"],
      status="accepted",
      split=split,
      source_side=100 + 7 * number,
    )
    for split, members in examples.items()
    for number, example in enumerate(members)
  ]
  path = f"{dataset.info.data_dir}/photos.csv"
  storage.write_text(path, curate.csv_text(rows))


@pytest.fixture(scope="module")
def evil_examples(tiny_examples):
  """People and photos whose names are HTML."""
  renamed = {}
  for split, examples in tiny_examples.items():
    renamed[split] = [
      example
      | {
        "person": f"<b>{example['person']}",
        "photo": f"<script>alert('{i}')</script>&\"{split}.jpg",
      }
      for i, example in enumerate(examples)
    ]
  return renamed


@pytest.fixture(scope="module")
def dataset(write_dataset, evil_examples, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("evil")
  config = write_dataset(data_dir, evil_examples)
  dataset = built_dataset.open_dataset(data_dir, config)
  _write_photos_csv(dataset, evil_examples)
  return dataset


@pytest.fixture(scope="module")
def model():
  keras.utils.set_random_seed(0)
  return models.build_model(models.ModelSettings(image_size=32))


@pytest.fixture(scope="module")
def results(model, dataset):
  temperatures = metrics.fit_temperatures(model, dataset)
  return temperatures, {
    split: metrics.evaluate(model, dataset, split, temperatures)
    for split in ("test", "unseen")
  }


@pytest.fixture(scope="module")
def whole(model, dataset, results, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  _save_run(folder, {"best_epoch": 3, "history": _HISTORY})
  temperatures, figures = results
  return report.make(model, dataset, folder, figures, temperatures)


@pytest.fixture(scope="module")
def faces(dataset, results):
  return report.mistaken_faces(dataset, results[1])


@pytest.fixture(scope="module")
def page(whole, faces):
  return report_page.text(whole, faces)


def test_what_is_gathered(whole, model, evil_examples):
  assert json.loads(json.dumps(whole, allow_nan=False)) == whole
  assert whole["parameters"] == model.count_params()
  assert whole["settings"]["model"] == "small_cnn"
  for split, examples in evil_examples.items():
    people = {example["person"] for example in examples}
    assert whole["data"][split] == {
      "photos": len(examples),
      "people": len(people),
    }
  assert list(whole["splits"]) == ["test", "unseen"]
  assert whole["training"]["history"] == _HISTORY
  assert whole["calibration"]["split"] == "validation"
  for head in labels.HEADS:
    one = whole["calibration"]["heads"][head]
    assert one["value"] == whole["splits"]["test"]["heads"][head]["temperature"]
    assert "photos of validation" in one["text"]
  sizes = {part["by"] for part in whole["splits"]["test"]["slices"]}
  assert sizes == {*labels.HEADS, "face_size"}


def test_page_is_well_formed_and_needs_nothing_else(page):
  parsed = _Page(page)
  assert ("html", {"lang": "en"}) in parsed.tags
  assert any(
    attributes.get("name") == "viewport" for _, attributes in parsed.tags
  )
  for tag, attributes in parsed.tags:
    assert tag not in ("script", "link", "iframe", "object", "b")
    for name in ("src", "href", "srcset", "xlink:href"):
      assert attributes.get(name, "data:").startswith("data:")
  assert not re.search(r"https?:|url\(|@import", page)


def test_page_shows_everything(page, whole):
  parsed = _Page(page)
  words = " ".join(parsed.words)
  for split, figures in whole["splits"].items():
    assert f"{split}: {figures['examples']} photos" in words
    for values in figures["heads"].values():
      assert f"{values['accuracy']:.3f} (" in words
      assert f"always {values['majority']['class']}:" in words
      assert f"calibrated, ECE {values['ece_calibrated']:.3f}" in words
  for vocabulary in labels.HEADS.values():
    for word in (*vocabulary.names, *vocabulary.korean):
      assert word in words
  # Loss and gender were recorded; of three heads and two splits three plots.
  assert parsed.count("svg") == 2 + 3 * 3 * 2
  assert "smallest" in words


def test_names_of_people_and_photos_are_escaped(page, whole):
  assert "<script" not in page
  assert "<b>" not in page
  mistakes = [
    one
    for figures in whole["splits"].values()
    for values in figures["heads"].values()
    for one in values["mistakes"]
  ]
  shown = "".join(_Page(page).words)
  assert mistakes
  for one in mistakes:
    assert one["photo"].startswith("<script>")
    assert one["photo"] in shown


def test_pictures_are_the_faces(page, whole, evil_examples):
  pictures = [
    attributes for tag, attributes in _Page(page).tags if tag == "img"
  ]
  mistakes = [
    (split, one)
    for split, figures in whole["splits"].items()
    for values in figures["heads"].values()
    for one in values["mistakes"]
  ]
  assert len(pictures) == len(mistakes)
  for (split, one), attributes in zip(mistakes, pictures, strict=True):
    content = base64.b64decode(attributes["src"].partition(",")[2])
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == ("JPEG", (32, 32))
    (example,) = [e for e in evil_examples[split] if e["photo"] == one["photo"]]
    got = np.asarray(image).astype(int)
    assert np.abs(got - example["image"]).mean() < 15
    assert f"{one['confidence']:.3f}" in attributes["alt"]


def test_large_faces_are_made_small(whole):
  rng = np.random.default_rng(0)
  face = rng.integers(0, 256, (300, 300, 3), np.uint8)
  faces = {
    split: {
      one["index"]: face
      for values in figures["heads"].values()
      for one in values["mistakes"]
    }
    for split, figures in whole["splits"].items()
  }
  parsed = _Page(report_page.text(whole, faces))
  source = next(a["src"] for tag, a in parsed.tags if tag == "img")
  content = base64.b64decode(source.partition(",")[2])
  assert Image.open(io.BytesIO(content)).size == (120, 120)


def test_files(whole, faces, page, tmp_path):
  paths = report.write(tmp_path, whole, faces)
  assert [path.name for path in paths] == [
    "report.json",
    "report.html",
    "model_card.md",
  ]
  assert sorted(tmp_path.iterdir()) == sorted(paths)
  assert json.loads(paths[0].read_text(encoding="utf-8")) == whole
  assert paths[1].read_text(encoding="utf-8") == page
  assert paths[2].read_text(encoding="utf-8").startswith("# Model card")


def test_a_right_answer_has_its_card(model, dataset, results, whole, tmp_path):
  temperatures, figures = results
  cards = report.cards(model, dataset, figures, temperatures)
  assert set(cards) <= set(figures) and cards
  assert {one.size for one in cards.values()} == {card.SIZE}
  _, page, _ = report.write(tmp_path, whole, {}, cards)
  found = re.findall(
    r'<figure class="card"><img alt="[^"]+" src="data:image/jpeg;base64,'
    r'([^"]+)">',
    page.read_text(encoding="utf-8"),
  )
  assert len(found) == len(cards)
  for encoded in found:
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.size[0] * 5 == picture.size[1] * 4


def test_without_training_figures_validation_or_photos_csv(
  model, write_dataset, tiny_examples, tmp_path
):
  unlabelled = [example | {"job": -1} for example in tiny_examples["test"]]
  config = write_dataset(
    tmp_path, {"train": tiny_examples["train"], "test": unlabelled}
  )
  dataset = built_dataset.open_dataset(tmp_path, config)
  figures = {"test": metrics.evaluate(model, dataset, "test", {})}
  _save_run(tmp_path / "W")
  whole = report.make(model, dataset, tmp_path / "W", figures, {})
  assert whole["training"] is None
  assert whole["data"]["train"] == {"photos": 60, "people": None}
  assert whole["calibration"] == {
    "split": None,
    "note": "there is no validation split to fit a temperature on",
    "heads": {},
  }
  words = " ".join(_Page(report_page.text(whole, {})).words)
  for text in (
    "None: there is no validation split to fit a temperature on.",
    "No figures of the training: train.json is missing.",
    "Left out: face size: there is no photos.csv beside the shards.",
    "No known label here, so no figure.",
    "no known label",
  ):
    assert text in words


def test_an_unfitted_temperature_shows_no_second_plot(whole):
  changed = copy.deepcopy(whole)
  for figures in changed["splits"].values():
    figures["heads"]["gender"]["temperature_status"] = "separated"
  page = report_page.text(changed, {})
  assert "gender: calibrated, ECE" not in page
  assert "job: calibrated, ECE" in page
  assert _Page(page).count("svg") == 2 + 3 * 3 * 2 - 2
  assert page.count("not calibrated: gender; all answers on") == 2


def test_numbers_that_json_lacks_become_null(model, dataset, results, tmp_path):
  history = [{"loss": float("nan"), "gender": float("inf")}, {"loss": 1.0}]
  _save_run(tmp_path, {"history": history})
  temperatures, figures = results
  whole = report.make(model, dataset, tmp_path, figures, temperatures)
  assert whole["training"]["history"] == [
    {"loss": None, "gender": None},
    {"loss": 1.0},
  ]
  json.dumps(whole, allow_nan=False)
  # Gender has no value at all, loss has one.
  assert report_sections.training(whole["training"]).count("<svg") == 1


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (
      "{'a': 1}",
      "got no JSON (Expecting property name enclosed in double quotes: line 1 "
      "column 2 (char 1)), allowed: what training wrote; remove it and train "
      "again",
    ),
    (
      "[1]",
      "got a JSON list, allowed: an object as training writes it; remove it "
      "and train again",
    ),
  ],
)
def test_damaged_train_json(model, dataset, results, tmp_path, content, words):
  _save_run(tmp_path)
  path = tmp_path / "train.json"
  path.write_text(content)
  with pytest.raises(cli.UserError) as caught:
    report.make(model, dataset, tmp_path, results[1], results[0])
  assert str(caught.value) == f"{path}: {words}"


def test_tables_escape_and_keep_line_breaks():
  got = report_sections.table([["head", "<b>"], ["a\nb", "1 & 2"]])
  assert "<th>a<br>b</th><td>1 &amp; 2</td>" in got
  assert "<th>&lt;b&gt;</th>" in got
  _Page(got)
