"""Tests of report_text: the table of a split, and figures in words."""

import pytest

from yourface_tfds import calibration, report_text


def _values(**changes):
  return {
    "examples": 1200,
    "people": 50,
    "accuracy": 0.9123,
    "interval_95": (0.85, 0.95),
    "balanced_accuracy": 0.9,
    "macro_f1": 0.8888,
    "ece": 0.2,
    "ece_calibrated": 0.0456,
    "temperature_status": "fitted",
    "majority_baseline": 0.5,
    **changes,
  }


def _figures(**heads):
  return {"split": "unseen", "examples": 1234, "people": 56, "heads": heads}


def test_table():
  figures = _figures(gender=_values(), job={"examples": 0, "people": 0})
  lines = report_text.table(figures).split("\n")
  assert lines[:3] == [
    "unseen: 1,234 photos of 56 people",
    "  head       accuracy  95 % interval  balanced macro F1   ECE majority"
    " photos people",
    "  gender        0.912  0.850 to 0.950    0.900    0.889 0.046    0.500"
    "  1,200     50",
  ]
  assert lines[3].split("  ", 2)[1] == "job"
  assert "no known label here" in lines[3]
  assert lines[3].split()[-2:] == ["0", "0"]
  assert {len(line) for line in lines[1:]} == {len(lines[1])}


def test_table_without_calibration_interval_or_baseline():
  figures = _figures(
    gender=_values(),
    job=_values(
      ece_calibrated=None,
      temperature_status=None,
      interval_95=None,
      majority_baseline=None,
    ),
  )
  lines = report_text.table(figures).split("\n")
  assert lines[3:] == [
    "  job           0.912  one person        0.900    0.889 0.200        -"
    "  1,200     50",
    "  not calibrated: job; there is no validation split with known labels to "
    "fit a temperature on",
  ]


def test_where_calibration_means_little():
  separated = _values(temperature_status="separated")
  figures = _figures(gender=separated, job=_values(), face_type=separated)
  assert report_text.calibration_notes(figures) == [
    "not calibrated: gender, face_type; all answers on validation are right, "
    "so no temperature is the best"
  ]
  assert report_text.calibration_notes(_figures(job=_values())) == []
  for split in ("validation", "validation[:50%]"):
    here = {**_figures(job=_values()), "split": split}
    assert report_text.calibration_notes(here) == [
      "the temperatures were fitted on this split: calibrated figures are too "
      "good here"
    ]


def _temperature(value, status):
  return calibration.Temperature(
    value=value,
    status=status,
    examples=1234,
    log_loss_before=1.0,
    log_loss_after=0.9,
  )


@pytest.mark.parametrize(
  ("fitted", "words"),
  [
    (None, "none: no known label on validation"),
    (
      _temperature(1.2345, "fitted"),
      "1.234, fitted on 1,234 photos of validation",
    ),
    (
      _temperature(0.05, "limit"),
      "0.05, fitted on 1,234 photos of validation; the best one lies beyond "
      "this limit",
    ),
    (
      _temperature(1.0, "separated"),
      "1, not fitted: all answers on 1,234 photos of validation are right, so "
      "no temperature is the best",
    ),
  ],
)
def test_temperature(fitted, words):
  assert report_text.temperature(fitted) == words


def test_an_interval_of_one_is_explained():
  figures = _figures(
    gender=_values(accuracy=1.0, people=7), job=_values(accuracy=0.999)
  )
  # 1 - .05^(1/7) = .348.
  assert report_text.without_mistake(figures) == [
    "No mistake of gender on 7 people of unseen: its interval says nothing; "
    "wrong on up to 34.8 % of people is not ruled out (95 %)."
  ]
  assert (
    report_text.without_mistake(_figures(job={"examples": 0, "people": 0}))
    == []
  )


def test_with_interval():
  got = report_text.with_interval(0.95, [0.9, 1.0])
  assert got == "0.950 (0.900 to 1.000)"
  assert report_text.with_interval(0.5, None) == "0.500 (one person)"
