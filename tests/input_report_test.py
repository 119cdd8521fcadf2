"""The table and the picture of the input benchmark."""

import pytest

from yourface_tfds import input_report


def row(name, encoding, speed, **facts):
  return {
    "name": name,
    "title": name.title(),
    "encoding": encoding,
    "shuffle": "global",
    "ours": name.startswith("own"),
    "note": "",
    "reason": "",
    "images_per_second": speed,
    "ratio_to_stock": speed and speed / 100,
    "ratio_to_memcpy": speed and speed / 200_000,
    "ratio_to_ffcv": None,
    "ratio_to_fastest_peer": None,
    "first_batch_ms": 3.25,
    "first_start_ms": 412.3,
    "peak_anonymous_mb": 120.4,
    "waited_share": None,
    **facts,
  }


@pytest.fixture
def made():
  return {
    "examples": 58200,
    "image_size": 150,
    "batch_size": 256,
    "rounds": 5,
    "step_ms": 0,
    "mind": "",
    "fastest_peer": {"raw": "ffcv", "jpeg": None},
    "machine": {
      "cores": 2,
      "cpu": "CPU",
      "memory_gb": 25.2,
      "python": "3.11.7",
      "tensorflow": "2.21.0",
      "date": "2026-01-02",
    },
    "ways": [
      row("slow", "raw", 1234.5),
      row("memcpy", "raw", 200_000.0),
      row("own_raw", "raw", 123456.7, ratio_to_fastest_peer=1.1),
      row("ffcv", "raw", 112233.4),
      row("own_jpeg", "jpeg", 9876.0),
      row("gone", "jpeg", None, reason="no module gone"),
    ],
  }


def test_the_table(made):
  made["ways"][0]["note"] = "cached in memory by TFDS: below 250 MiB; tfds"
  assert input_report.table(made).split("\n") == [
    "58,200 faces of 150x150, batches of 256, median of 5 interleaved epochs",
    "CPU, 2 cores, 25 GB, Python 3.11.7, TensorFlow 2.21.0, 2026-01-02",
    "",
    "raw      images/s  x stock  x memcpy   MB  first ms  start ms  shuffle",
    "Memcpy    200,000  2000.00     1.000  120       3.2       412  global",
    "Own_Raw   123,457  1234.57     0.617  120       3.2       412  global",
    "Ffcv      112,233  1122.33     0.561  120       3.2       412  global",
    "Slow        1,234    12.35     0.006  120       3.2       412  global",
    "",
    "jpeg      images/s  x stock  x memcpy   MB  first ms  start ms  shuffle",
    "Own_Jpeg     9,876    98.76     0.049  120       3.2       412  global",
    "",
    "MB: peak of anonymous memory above the imported process. first ms: to "
    "the first",
    "batch of a new epoch; start ms: after opening the dataset.",
    "Fastest peer of raw: ffcv; ours are 1.10 times as fast",
    "Slow: cached in memory by TFDS: below 250 MiB",
    "No figure of Gone: no module gone",
  ]


def test_columns_of_what_was_measured(made):
  made["step_ms"] = 20
  made["ways"][2] |= {"waited_share": 0.125, "ratio_to_ffcv": 1.1}
  text = input_report.table(made)
  assert "x FFCV" in text and "12.5%" in text and "works 20 ms" in text


def test_the_picture_shows_ours(made):
  image = input_report.picture(made)
  assert image.size == (input_report.WIDTH, 170 + 5 * 38 + 2 * 54 + 120)
  found = image.getcolors(maxcolors=1 << 20)
  assert found is not None
  colors = {color: count for count, color in found}
  assert colors[input_report._OURS] > colors[input_report._OTHERS] / 2
  # Only raw, and only one that ran.
  made["ways"] = [made["ways"][2]]
  assert input_report.picture(made).height < image.height
