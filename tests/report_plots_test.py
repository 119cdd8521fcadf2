"""Tests of report_plots: SVG that is well formed and in the right place."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from yourface_tfds import calibration, report_plots

_AXES = report_plots.Axes(x_name="epoch", y_name="loss", x=(1, 5), y=(0, 2))


def _parsed(figure):
  # Inside HTML, br is the one element without an end.
  return ElementTree.fromstring(figure.replace("<br>", "<br/>"))


def _places(line):
  return [
    tuple(float(number) for number in pair.split(","))
    for pair in line.attrib["points"].split()
  ]


def test_lines_are_where_the_values_are():
  line = report_plots.Line(name="loss", points=[(1, 2.0), (3, 1.0), (5, 0.0)])
  tree = _parsed(report_plots.lines([line], _AXES, title="loss"))
  (polyline,) = tree.iter("polyline")
  (x1, y1), (x2, y2), (x3, y3) = _places(polyline)
  assert (x1 + x3) / 2 == pytest.approx(x2)
  assert (y1 + y3) / 2 == pytest.approx(y2, abs=0.1)
  assert x1 < x3
  assert y1 < y3  # Down is larger in SVG.
  svg = tree.find("svg")
  assert svg is not None
  width, height = map(float, svg.attrib["viewBox"].split()[2:])
  for x, y in _places(polyline):
    assert 0 < x < width
    assert 0 < y < height


def test_a_missing_value_interrupts_the_line():
  points = [(1, 1.0), (2, 0.5), (3, None), (4, 0.4), (5, None)]
  line = report_plots.Line(name="loss", points=points)
  tree = _parsed(report_plots.lines([line], _AXES, title="loss"))
  (polyline,) = tree.iter("polyline")
  assert len(_places(polyline)) == 2
  # A value alone is a dot.
  assert len(list(tree.iter("circle"))) == 1


def test_words_are_escaped():
  line = report_plots.Line(name="<b>&", points=[(1, 1.0), (2, 1.0)])
  axes = report_plots.Axes(x_name="<x>", y_name='"y"')
  figure = report_plots.lines([line], axes, title='<i>"', mark=(1, "<best>"))
  words = "".join(_parsed(figure).itertext())
  for text in ("<b>&", "<x>", '"y"', '<i>"', "<best>"):
    assert text in words


def test_reliability_bars():
  confidence = [0.05, 0.05, 0.95, 0.95, 0.95, 0.95]
  hits = [0, 1, 1, 1, 1, 1]
  bins = calibration.reliability(*map(_array, (confidence, hits)), bins=10)
  tree = _parsed(report_plots.reliability(bins, title="gender"))
  low, high = tree.iter("rect")
  assert float(high.attrib["height"]) == pytest.approx(
    2 * float(low.attrib["height"]), abs=0.2
  )
  assert float(high.attrib["fill-opacity"]) == 1
  assert float(low.attrib["fill-opacity"]) == pytest.approx(0.6)
  titles = [title.text for title in tree.iter("title")]
  assert titles[1] == "4 photos, confidence 0.950, accuracy 1.000"


def _array(values):
  return np.array(values, float)


@pytest.mark.parametrize(
  ("y", "ticks"),
  [
    ((0.0, 1.0), "0 0.2 0.4 0.6 0.8 1"),
    ((0.9, 1.0), "0.9 0.92 0.94 0.96 0.98 1"),
    ((0.0, 3.7), "0 1 2 3"),
    ((2.0, 2.0), "2"),
  ],
)
def test_ticks_are_round(y, ticks):
  axes = report_plots.Axes(x_name="x", y_name="y", x=(0, 0), y=y)
  figure = report_plots.lines([], axes, title="t")
  shown = re.findall(r'text-anchor="end">([^<]*)<', figure)
  assert " ".join(shown) == ticks
