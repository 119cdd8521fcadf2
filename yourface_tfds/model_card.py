"""model_card.md: what a model is, how good it is, what it must not be used for.

Written from the run's own figures after Mitchell et al. 2019, "Model Cards for
Model Reporting". A figure that is missing is said to be missing. It names no
person and no place on disk.

  text = model_card.text(report)
  model_card.write("W", report)
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from yourface_tfds import labels, markdown, report_text, storage, weights_terms

NAME = "model_card.md"

USE = (
  "Entertainment: a sentence about a photo of somebody who agreed to it, such "
  'as "{ko}" or "{en}"'
)

OUT_OF_SCOPE = (
  "Identifying people.",
  "Hiring, admission, credit, policing, or any other decision about a person.",
  "Telling what somebody is. Job and animal face are entertainment and no "
  "properties one can see in a face. The gender label is what somebody wrote "
  "into a table, two classes of that annotation and no one's identity.",
  "Emotion, origin, orientation, health, age: it has not learned them.",
)

PRIVACY = (
  "It was trained on photos of people. Photos of real people need their "
  "consent, for training and for every photo it is shown. A trained model can "
  "tell something about the photos it learned from; whoever passes it on needs "
  "the same permission as for the photos. Who withdraws consent must be "
  "removed from the dataset, and the model trained again."
)

_SHOWN_GAPS = 5


def text(report: Mapping[str, Any], *, beside_report: bool = True) -> str:
  """Returns the card in Markdown.

  Args:
    report: as from `report.make`, or report.json read back.
    beside_report: whether report.json and report.html lie in the same folder.
  """
  splits = report["splits"]
  parts = [
    f"# Model card: {markdown.escaped(str(_setting(report, 'model')))} on "
    f"{markdown.escaped(report['dataset'])}",
    "Written from the figures of the run beside it, [report.json]"
    "(report.json); [report.html](report.html) shows them."
    if beside_report
    else "Written from the figures of the run that was exported.",
    "## What it is",
    markdown.bullets(_description(report)),
    "## Data",
    _data(report["data"]),
    "## Training",
    *_training(report),
    "## How good it is",
    "In brackets the 95 % interval, a percentile bootstrap over people. The "
    "baseline always answers train's most frequent class. Balanced accuracy is "
    "the mean recall of the classes that occur; macro F1 is over the classes "
    "that occur in labels or answers.",
    *(_figures(figures) for figures in splits.values()),
    *_not_evaluated(report),
    "## How sure it is",
    *_calibration(report),
    "## Where it is better and worse",
    *(_gaps(split, report["gaps"][split]) for split in splits),
    "## Intended use",
    markdown.escaped(_use()),
    "## Out of scope",
    markdown.bullets(OUT_OF_SCOPE),
    "## Limits",
    markdown.bullets(_limits(report)),
    "## Privacy",
    markdown.escaped(PRIVACY),
    "## Licences of the weights",
    markdown.bullets(
      [weights_terms.of(report["settings"]), weights_terms.MTCNN]
    ),
  ]
  return "\n\n".join(parts) + "\n"


def write(
  folder: str | os.PathLike[str], report: Mapping[str, Any]
) -> storage.Path:
  """Writes the card into a folder and returns its path."""
  path = storage.path(folder) / NAME
  storage.write_text(path, text(report))
  return path


def _setting(report: Mapping[str, Any], name: str) -> Any:
  value = report["settings"].get(name)
  return "missing" if value is None else value


def _description(report: Mapping[str, Any]) -> list[str]:
  size = _setting(report, "image_size")
  heads = ", ".join(
    f"{head} ({len(vocabulary.names)} classes)"
    for head, vocabulary in labels.HEADS.items()
  )
  return [
    f"Architecture: {_setting(report, 'model')}, "
    f"{report['parameters']:,} parameters.",
    f"In: a face of {size}x{size} pixels, RGB 0 to 255.",
    f"Out: probabilities of {heads}.",
    f"Trained in: {_setting(report, 'policy')}; evaluated in float32.",
    f"Weights at the start: {_weights_name(report)}.",
    f"Dataset: {report['dataset']}.",
  ]


def _weights_name(report: Mapping[str, Any]) -> str:
  return weights_terms.name(str(_setting(report, "weights")))


def _data(data: Mapping[str, Mapping[str, int | None]]) -> str:
  if not data:
    return "Missing: the run was not evaluated."
  rows = [["split", "photos", "people"]]
  for split, one in data.items():
    people = one["people"]
    shown = "missing" if people is None else f"{people:,}"
    rows.append([split, f"{one['photos']:,}", shown])
  return markdown.table(rows)


def _training(report: Mapping[str, Any]) -> list[str]:
  settings = {**report["settings"], "weights": _weights_name(report)}
  rows = [["setting", "value"]]
  rows += [[name, str(value)] for name, value in settings.items()]
  parts = [markdown.table(rows)]
  trained = report["training"]
  if not trained:
    return [*parts, "How the training went is missing: there is no train.json."]
  best, judged = trained.get("best_epoch"), trained.get("judged_by")
  epochs = len(trained.get("history") or ())
  value = (trained.get("best") or {}).get(judged)
  if best is None or value is None:
    return [*parts, "The best epoch is missing in train.json."]
  line = f"The weights are those of epoch {best} of {epochs}, with {judged} "
  parts.append(markdown.escaped(f"{line}{value:.3f}."))
  blank = trained.get("unlabelled_heads")
  if blank:
    parts.append(
      markdown.escaped(f"No label to learn from: {', '.join(blank)}.")
    )
  return parts


def _figures(figures: Mapping[str, Any]) -> str:
  rows = [
    ["head", "accuracy", "balanced accuracy", "macro F1", "photos", "people"]
  ]
  for head, values in figures["heads"].items():
    counts = [f"{values['examples']:,}", f"{values['people']:,}"]
    if "accuracy" not in values:
      rows.append([head, "no known label", "-", "-", *counts])
      continue
    cells = [
      report_text.with_interval(values["accuracy"], values["interval_95"])
    ]
    for key in ("balanced_accuracy", "macro_f1"):
      interval = values[f"{key}_interval_95"]
      cells.append(report_text.with_interval(values[key], interval))
    rows.append([head, *cells, *counts])
    base = values["majority"]
    below = [f"{base[key]:.3f}" for key in _KEYS] if base else ["missing"] * 3
    name = f"always {base['class']}" if base else "baseline"
    rows.append([name, *below, "", ""])
  return (
    f"`{figures['split']}`, {figures['examples']:,} photos of "
    f"{figures['people']:,} people:\n\n{markdown.table(rows)}"
  )


_KEYS = ("accuracy", "balanced_accuracy", "macro_f1")


def _not_evaluated(report: Mapping[str, Any]) -> list[str]:
  missing = [
    f"`{split}`"
    for split in ("test", "unseen")
    if split not in report["splits"]
  ]
  return [f"Missing, not evaluated: {', '.join(missing)}."] if missing else []


def _calibration(report: Mapping[str, Any]) -> list[str]:
  fitted = report["calibration"]
  if not fitted["heads"]:
    return [markdown.escaped(f"Not calibrated: {fitted['note']}.")]
  rows = [
    ["split", "head", "ECE", "ECE calibrated", "right of the surest half"]
  ]
  for split, figures in report["splits"].items():
    for head, values in figures["heads"].items():
      if "accuracy" in values:
        after = report_text.number(values["ece_calibrated"])
        half = values["coverage"]["at"]["50"]["accuracy"]
        cells = [f"{values['ece']:.3f}", after, f"{half:.3f}"]
        rows.append([split, head, *cells])
  return [
    "Expected calibration error over 15 bins of confidence, before and after "
    "one temperature a head, fitted on `validation`. Exported models answer "
    "with the probabilities after.",
    markdown.bullets(
      f"{head}: {one['text']}." for head, one in fitted["heads"].items()
    ),
    markdown.table(rows),
  ]


def _gaps(split: str, gaps: Sequence[Mapping[str, Any]]) -> str:
  if not gaps:
    return markdown.escaped(
      f"{split}: missing, no two parts have ten photos of several people each."
    )
  rows = [["head", "parts by", "worst", "best", "gap"]]
  for one in gaps[:_SHOWN_GAPS]:
    cells = []
    for part in (one["worst"], one["best"]):
      values = part["heads"][one["head"]]
      shown = report_text.with_interval(
        values["accuracy"], values["interval_95"]
      )
      cells.append(f"{part['value']}: {shown}, {values['examples']:,} photos")
    rows.append([one["head"], one["by"], *cells, f"{one['gap']:.3f}"])
  return (
    f"`{split}`, accuracy, widest gaps first; where intervals overlap it may "
    f"be chance:\n\n{markdown.table(rows)}"
  )


def _use() -> str:
  first = dict.fromkeys(labels.HEADS, 0)
  return USE.format(
    ko=labels.sentence_ko(**first), en=labels.sentence_en(**first)
  )


def _limits(report: Mapping[str, Any]) -> list[str]:
  result = [
    "It knows no answer but its classes: every face gets a gender, a job and "
    "an animal.",
    "It sees only faces that the detector finds; covered, turned away and "
    "small ones are left out of training and of these figures.",
    "The labels are what somebody wrote about a person, the same for all "
    "photos of that person; an animal face has no right answer.",
  ]
  for split, figures in report["splits"].items():
    if figures["people"] < 30:
      result.append(
        f"Few people in {split}: {figures['people']:,}. The interval of a "
        "percentile bootstrap over so few tends to be too narrow."
      )
    result += report_text.without_mistake(figures)
    result += [
      f"{split}: {note}." for note in report_text.calibration_notes(figures)
    ]
    if figures["left_out"]:
      result.append(f"Left out of {split}: {figures['left_out']}.")
  return result
