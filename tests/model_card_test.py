"""Tests of model_card, weights_terms and markdown."""

import copy

import pytest

from yourface_tfds import labels, markdown, model_card, weights_terms


def _part(by, value, accuracy):
  values = {
    "examples": 50,
    "people": 9,
    "accuracy": accuracy,
    "interval_95": [accuracy - 0.1, accuracy],
  }
  return {
    "by": by,
    "value": value,
    "heads": dict.fromkeys(labels.HEADS, values),
  }


_MAJORITY = {
  "class": "woman",
  "accuracy": 0.543,
  "balanced_accuracy": 0.5,
  "macro_f1": 0.352,
}
_VALUES = {
  "examples": 1046,
  "people": 36,
  "accuracy": 0.935,
  "interval_95": [0.86, 0.99],
  "balanced_accuracy": 0.937,
  "balanced_accuracy_interval_95": [0.858, 0.991],
  "macro_f1": 0.934,
  "macro_f1_interval_95": [0.852, 0.992],
  "majority": _MAJORITY,
  "ece": 0.077,
  "ece_calibrated": 0.067,
  "temperature_status": "fitted",
  "coverage": {"at": {"50": {"accuracy": 0.987}}},
}
_REPORT = {
  "dataset": "your_face/jpeg/1.0.0",
  "parameters": 389111,
  "settings": {
    "dataset": "your_face/jpeg/1.0.0",
    "model": "small_cnn",
    "weights": "none",
    "image_size": 150,
    "policy": "mixed_bfloat16",
    "learning_rate": 0.002,
  },
  "data": {
    "train": {"photos": 5392, "people": 81},
    "test": {"photos": 1046, "people": 36},
  },
  "training": {
    "best_epoch": 7,
    "judged_by": "validation_loss",
    "best": {"validation_loss": 0.3321},
    "history": [{}] * 20,
    "unlabelled_heads": ["face_type"],
  },
  "calibration": {
    "split": "validation",
    "note": None,
    "heads": {"gender": {"text": "1.234, fitted on 45 photos"}},
  },
  "splits": {
    "test": {
      "split": "test",
      "examples": 1046,
      "people": 36,
      "left_out": None,
      "heads": {
        "gender": _VALUES,
        "face_type": {"examples": 0, "people": 0},
      },
    }
  },
  "gaps": {
    "test": [
      {
        "head": "gender",
        "by": "job",
        "gap": 0.2,
        "worst": _part("job", "singer", 0.7),
        "best": _part("job", "actor", 0.9),
      }
    ]
  },
}


def _report(**changes):
  return {**copy.deepcopy(_REPORT), **changes}


def _settings(**changes):
  return {**_REPORT["settings"], **changes}


def _section(text, title):
  return text.partition(f"## {title}\n")[2].partition("\n## ")[0].strip()


def test_sections_and_figures():
  text = model_card.text(_report())
  titles = [line[3:] for line in text.split("\n") if line.startswith("## ")]
  assert titles == [
    "What it is",
    "Data",
    "Training",
    "How good it is",
    "How sure it is",
    "Where it is better and worse",
    "Intended use",
    "Out of scope",
    "Limits",
    "Privacy",
    "Licences of the weights",
  ]
  what = _section(text, "What it is")
  assert "* Architecture: small_cnn, 389,111 parameters." in what
  assert "* Trained in: mixed_bfloat16; evaluated in float32." in what
  assert "| train | 5,392 | 81 |" in _section(text, "Data")
  training = _section(text, "Training")
  assert "| learning_rate | 0.002 |" in training
  assert "epoch 7 of 20, with validation_loss 0.332." in training
  assert "No label to learn from: face_type." in training
  good = _section(text, "How good it is")
  assert (
    "| gender | 0.935 (0.860 to 0.990) | 0.937 (0.858 to 0.991) | 0.934 (0.852 "
    "to 0.992) | 1,046 | 36 |\n| always woman | 0.543 | 0.500 | 0.352 |  |  |"
  ) in good
  assert "| face_type | no known label | - | - | 0 | 0 |" in good
  assert "Missing, not evaluated: `unseen`." in good
  sure = _section(text, "How sure it is")
  assert "* gender: 1.234, fitted on 45 photos." in sure
  assert "| test | gender | 0.077 | 0.067 | 0.987 |" in sure
  assert (
    "| gender | job | singer: 0.700 (0.600 to 0.700), 50 photos | actor: 0.900 "
    "(0.800 to 0.900), 50 photos | 0.200 |"
  ) in _section(text, "Where it is better and worse")


def test_uses():
  text = model_card.text(_report())
  use = _section(text, "Intended use")
  assert "당신은 강아지상의 남자 배우 같아요!" in use
  assert "You look like a man actor with a dog face!" in use
  assert "{" not in use
  out = _section(text, "Out of scope")
  for word in ("Identifying", "Hiring", "decision about a person"):
    assert word in out
  assert "consent" in _section(text, "Privacy")


def test_what_is_missing_is_said():
  values = _VALUES | {
    "majority": None,
    "ece_calibrated": None,
    "temperature_status": None,
    "interval_95": None,
  }
  splits = copy.deepcopy(_REPORT["splits"])
  splits["test"]["heads"]["gender"] = values
  splits["test"] |= {"people": 1, "left_out": "face size: there is no table"}
  text = model_card.text(
    _report(
      settings={},
      training=None,
      data={"test": {"photos": 3, "people": None}},
      calibration={"split": None, "note": "there is no split", "heads": {}},
      splits=splits,
      gaps={"test": []},
    )
  )
  assert "# Model card: missing on" in text
  assert "* Weights at the start: missing." in text
  assert "| test | 3 | missing |" in text
  assert "How the training went is missing: there is no train.json." in text
  assert "| gender | 0.935 (one person) |" in text
  assert "| baseline | missing | missing | missing |  |  |" in text
  assert "Not calibrated: there is no split." in text
  assert "test: missing, no two parts have ten photos" in text
  assert "* Few people in test: 1." in text
  assert "* test: not calibrated: gender; there is no validation" in text
  assert "* Left out of test: face size: there is no table." in text
  assert "What the weights started from is missing in settings.json." in text


@pytest.mark.parametrize("trained", [{"history": []}, {"best_epoch": 3}])
def test_unfinished_training(trained):
  text = model_card.text(_report(training=trained))
  assert "The best epoch is missing in train.json." in text


def test_no_mistake_is_explained():
  splits = copy.deepcopy(_REPORT["splits"])
  splits["test"]["heads"]["gender"] = _VALUES | {"accuracy": 1.0}
  text = model_card.text(_report(splits=splits))
  assert "wrong on up to 8.0 % of people is not ruled out" in text


def test_paths_and_markup_do_not_get_in():
  settings = _settings(
    model="MobileNetV2", weights="/home/kim/secret/mobile|net.weights.h5"
  )
  text = model_card.text(_report(settings=settings))
  assert "kim" not in text
  assert "secret" not in text
  assert r"| weights | mobile\|net.weights.h5 |" in text
  assert "started from the file" not in text
  assert "whose origin this run does not know" in text


@pytest.mark.parametrize(
  ("changes", "has", "lacks"),
  [
    ({}, "None: the classifier was trained from random weights.", "ImageNet"),
    (
      {"model": "MobileNetV2", "weights": "imagenet"},
      "MobileNetV2: from Keras Applications (code Apache-2.0), trained on "
      "ImageNet, whose images may be used for non-commercial research and "
      "education only.",
      "VGG19",
    ),
    (
      {"model": "transfer_ensemble", "weights": "imagenet"},
      "University of Oxford (CC BY 4.0)",
      "transfer_ensemble",
    ),
    (
      {"model": "ResNet50V2", "weights": "C:\\kim\\r.h5"},
      "ResNet50V2: started from r.h5, whose origin this run does not know.",
      "kim",
    ),
    (
      {"model": "transfer_ensemble", "weights": "/home/kim/nets/"},
      "ResNet50V2, VGG19 and InceptionResNetV2: started from nets, whose",
      "kim",
    ),
  ],
)
def test_licences(changes, has, lacks):
  got = weights_terms.of(_settings(**changes))
  assert has in got
  assert lacks not in got


def test_mtcnn_is_always_named():
  section = _section(model_card.text(_report()), "Licences of the weights")
  assert "weights from the mtcnn package (MIT)" in section


def test_write(tmp_path):
  path = model_card.write(tmp_path, _report())
  assert path == tmp_path / "model_card.md"
  assert path.read_text(encoding="utf-8") == model_card.text(_report())


def test_markdown():
  table = markdown.table([["a", "b"], ["1|2", "x_y _z_"]])
  assert table == "| a | b |\n|---|---|\n| 1\\|2 | x_y \\_z\\_ |"
  assert markdown.bullets(["one", "<b>\ntwo"]) == "* one\n* \\<b\\> two"
