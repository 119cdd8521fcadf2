"""Tests of build_settings: what --config may hold, and each complaint."""

import dataclasses

import pytest

from yourface_tfds import build_settings, cli, crop, curate

_Settings = build_settings.BuildSettings


def _complaint(options):
  with pytest.raises(cli.UserError) as caught:
    _Settings.from_options(options)
  return str(caught.value)


def test_defaults():
  settings = _Settings()
  assert dataclasses.asdict(settings) == {
    "encoding": "jpeg",
    "image_size": 150,
    "margin": 1.3,
    "min_score": 0.9,
    "min_face_size": 40,
    "validation": 0.1,
    "test": 0.1,
    "unseen": 0.1,
    "seed": 0,
    "strict_people": True,
    "hash_names": False,
  }
  assert _Settings.from_options({}) == settings


@pytest.mark.parametrize(
  "options",
  [
    {"image_size": 16},
    {"image_size": 1024},
    {"margin": 1},
    {"margin": 3.0},
    {"min_score": 0},
    {"min_score": 1},
    {"min_face_size": 1},
    {"min_face_size": 10_000},
    {"validation": 0, "test": 0, "unseen": 0},
    {"validation": 0.49, "test": 0.5},
    {"strict_people": False},
    {"hash_names": True},
    {"encoding": "raw", "seed": 7},
  ],
)
def test_allowed(options):
  settings = _Settings.from_options(options)
  for name, value in options.items():
    assert getattr(settings, name) == value


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"encoding": "png"}, "encoding: got 'png', allowed: jpeg, raw"),
    ({"encoding": None}, "encoding: got None, allowed: jpeg, raw"),
    ({"image_size": 15}, "image_size: got 15, allowed: 16 to 1024"),
    ({"image_size": 1025}, "image_size: got 1025, allowed: 16 to 1024"),
    ({"image_size": "150"}, "image_size: got '150', allowed: a number"),
    ({"image_size": True}, "image_size: got True, allowed: a number"),
    ({"image_size": None}, "image_size: got None, allowed: a number"),
    ({"margin": 0.99}, "margin: got 0.99, allowed: 1 to 3"),
    ({"margin": 3.1}, "margin: got 3.1, allowed: 1 to 3"),
    ({"margin": float("nan")}, "margin: got nan, allowed: 1 to 3"),
    ({"min_score": -0.1}, "min_score: got -0.1, allowed: 0 to 1"),
    ({"min_score": 90}, "min_score: got 90, allowed: 0 to 1"),
    ({"min_face_size": 0}, "min_face_size: got 0, allowed: 1 to 10000"),
    ({"validation": 1}, "validation: got 1, allowed: 0 to below 1"),
    ({"test": -0.1}, "test: got -0.1, allowed: 0 to below 1"),
    ({"unseen": 1.5}, "unseen: got 1.5, allowed: 0 to below 1"),
    (
      {"validation": 0.5, "test": 0.5},
      "validation + test: got 1, allowed: below 1, so that photos are left to "
      "train on",
    ),
  ],
)
def test_complaint_says_what_is_allowed(options, message):
  assert _complaint(options) == message


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("image_size", 100.5),
    ("validation", "0.1"),
    ("test", None),
    ("unseen", "none"),
    ("unseen", False),
    ("seed", "a/b"),
    ("seed", 1.5),
    ("seed", None),
    ("strict_people", "false"),
    ("strict_people", 0),
    ("hash_names", "true"),
    ("hash_names", 1),
    ("hash_names", None),
  ],
)
def test_values_of_another_type_are_named(name, value):
  assert _complaint({name: value}).startswith(f"{name}: got {value!r}, allowed")


def test_unknown_option():
  assert _complaint({"seed": 1, "size": 100}) == (
    "--config: got the option 'size', allowed: encoding, image_size, margin, "
    "min_score, min_face_size, validation, test, unseen, seed, strict_people, "
    "hash_names"
  )


@pytest.mark.parametrize(
  ("options", "name"),
  [
    ({}, "jpeg"),
    ({"encoding": "raw"}, "raw"),
    ({"image_size": 150, "margin": 1.3}, "jpeg"),
    ({"seed": 3, "image_size": 100}, "jpeg-image_size_100-seed_3"),
    ({"encoding": "raw", "margin": 1.5}, "raw-margin_1.5"),
    ({"strict_people": False}, "jpeg-strict_people_False"),
    ({"hash_names": True}, "jpeg-hash_names_True"),
    ({"hash_names": False}, "jpeg"),
  ],
)
def test_config_name(options, name):
  assert _Settings.from_options(options).config_name() == name


def test_parts():
  settings = _Settings(
    image_size=64, margin=2, validation=0.2, test=0.3, unseen=0.4, seed=5
  )
  assert settings.split_settings() == curate.SplitSettings(
    validation=0.2, test=0.3, unseen=0.4, seed=5
  )
  assert settings.crop_settings() == crop.CropSettings(image_size=64, margin=2)
