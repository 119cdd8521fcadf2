"""report.html: the figures of a run on one page that needs nothing else.

No script, no font and no picture comes from elsewhere: plots are inline SVG,
faces are JPEG inside the page.

  page = report_page.text(report, faces)
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from yourface_tfds import labels, report_plots, report_sections, report_text

Faces = Mapping[str, Mapping[int, np.ndarray]]
"""Split -> place in the split -> uint8[S, S, 3]."""

_SIDE = 120  # Shown at 92 pixels; twice that on most phones.
_CARD = (480, 600)  # Shown at 240.

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Apple SD Gothic Neo", "Noto Sans KR",
  "NanumGothic", sans-serif; color: #212529; background: #fff;
  max-width: 960px; margin: 0 auto; padding: 12px; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #dee2e6; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .875rem; }
th, td { border: 1px solid #dee2e6; padding: 3px 8px; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { background: #f1f3f5; font-weight: 600; }
th:first-child { text-align: left; }
small, figcaption, .note { color: #495057; }
.row { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: .5rem 0; width: 340px; max-width: 100%; font-size: .8rem; }
svg { width: 100%; height: auto; }
svg text { font-size: 11px; fill: #495057; }
.key { white-space: nowrap; margin-right: 8px; }
.key i { display: inline-block; width: 10px; height: 10px; }
.card img { width: 240px; border-radius: 12px; border: 1px solid #dee2e6; }
.face { width: 150px; font-size: .75rem; overflow-wrap: anywhere; }
.face img { width: 92px; height: 92px; display: block; }
"""
"""Of pages with `report_plots`."""


def text(
  report: Mapping[str, Any],
  faces: Faces,
  cards: Mapping[str, Image.Image] | None = None,
) -> str:
  """Returns the page.

  Args:
    report: as from `report.make`.
    faces: of the mistakes; one that is missing is left out, its words are not.
    cards: of a right answer, by split.
  """
  name = html.escape(report["dataset"])
  parts = [
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    f"<title>How good the model is: {name}</title>",
    f"<style>{STYLE}</style></head><body>",
    "<h1>How good the model is</h1>",
    f"<p>{html.escape(_subtitle(report))}</p>",
    '<p class="note">In brackets the 95 % interval: a bootstrap over people. '
    "Below each figure, what always answering train's most frequent class "
    "reaches.</p>",
    *(_summary(figures) for figures in report["splits"].values()),
    report_sections.calibration(report["calibration"]),
    "<h2>Training</h2>",
    report_sections.training(report["training"]),
  ]
  for split, figures in report["splits"].items():
    parts.append(f"<h2>{html.escape(split)}</h2>")
    if cards and split in cards:
      parts.append(_card(cards[split]))
    for head, values in figures["heads"].items():
      parts.append(f"<h3>{html.escape(split)}: {html.escape(head)}</h3>")
      parts.append(_head(head, values, faces.get(split, {})))
    parts.append(f"<h3>{html.escape(split)}: parts of it</h3>")
    parts.append(report_sections.slices(figures))
  parts.append("</body></html>\n")
  return "\n".join(parts)


def _subtitle(report: Mapping[str, Any]) -> str:
  settings = report["settings"]
  return (
    f"{settings.get('model', 'model unknown')}, {report['parameters']:,} "
    f"parameters, dataset {report['dataset']}"
  )


def _summary(figures: Mapping[str, Any]) -> str:
  rows = [
    [
      "head",
      "accuracy",
      "balanced accuracy",
      "macro F1",
      "log loss",
      "ECE",
      "photos",
      "people",
    ]
  ]
  for head, values in figures["heads"].items():
    counts = [f"{values['examples']:,}", f"{values['people']:,}"]
    if "accuracy" not in values:
      rows.append([head, "no known label", *"----", *counts])
      continue
    cells = []
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
      interval_key = (
        "interval_95" if key == "accuracy" else f"{key}_interval_95"
      )
      shown = report_text.with_interval(values[key], values[interval_key])
      base = values["majority"]
      beside = (
        f"always {base['class']}: {base[key]:.3f}" if base else "no baseline"
      )
      cells.append(f"{shown}\n{beside}")
    for key in ("log_loss", "ece"):
      after = values[f"{key}_calibrated"]
      shown = f"{values[key]:.3f}"
      cells.append(
        f"{shown}\nnot calibrated"
        if values["temperature_status"] in (None, "separated")
        else f"{shown}\ncalibrated {after:.3f}"
      )
    rows.append([head, *cells, *counts])
  title = (
    f"{figures['split']}: {figures['examples']:,} photos of "
    f"{figures['people']:,} people"
  )
  notes = "".join(
    f'<p class="note">{html.escape(note)}</p>'
    for note in (
      *report_text.calibration_notes(figures),
      *report_text.without_mistake(figures),
    )
  )
  return f"<h2>{html.escape(title)}</h2>{report_sections.table(rows)}{notes}"


def _head(
  head: str, values: Mapping[str, Any], faces: Mapping[int, np.ndarray]
) -> str:
  if "accuracy" not in values:
    return "<p>No known label here, so no figure.</p>"
  plots = [
    report_plots.reliability(
      values["reliability"],
      title=f"{head}: before calibration, ECE {values['ece']:.3f}",
    )
  ]
  if values["temperature_status"] not in (None, "separated"):
    plots.append(
      report_plots.reliability(
        values["reliability_calibrated"],
        title=f"{head}: calibrated, ECE {values['ece_calibrated']:.3f}",
      )
    )
  plots.append(report_sections.coverage(head, values))
  return (
    f'<div class="row">{"".join(plots)}</div>'
    f"{report_sections.confusion(head, values)}"
    f"{_mistakes(head, values['mistakes'], faces)}"
  )


def _mistakes(
  head: str,
  found: Sequence[Mapping[str, Any]],
  faces: Mapping[int, np.ndarray],
) -> str:
  if not found:
    return "<p>No wrong answer.</p>"
  korean = dict(
    zip(labels.HEADS[head].names, labels.HEADS[head].korean, strict=True)
  )
  parts = []
  for one in found:
    words = (
      f"{one['answer']} {korean[one['answer']]} ({one['confidence']:.3f}), "
      f"labelled {one['truth']} {korean[one['truth']]}"
    )
    face = faces.get(one["index"])
    picture = "" if face is None else _picture(face, words)
    parts.append(
      f'<div class="face">{picture}{html.escape(words)}<br>'
      f"<small>{html.escape(one['photo'])}</small></div>"
    )
  return (
    "<p>The wrong answers it was surest of:</p>"
    f'<div class="row">{"".join(parts)}</div>'
  )


def _card(card: Image.Image) -> str:
  words = "The card of the right answer it was surest of"
  picture = _image(card.resize(_CARD, Image.Resampling.LANCZOS), words)
  caption = f"<figcaption>{words}.</figcaption>"
  return f'<figure class="card">{picture}{caption}</figure>'


def _picture(face: np.ndarray, words: str) -> str:
  image = Image.fromarray(face)
  image.thumbnail((_SIDE, _SIDE))
  return _image(image, words)


def _image(image: Image.Image, words: str) -> str:
  buffer = io.BytesIO()
  image.save(buffer, "JPEG", quality=80)
  data = base64.b64encode(buffer.getvalue()).decode("ascii")
  return f'<img alt="{html.escape(words)}" src="data:image/jpeg;base64,{data}">'
