"""The figures of a split as a table for the terminal.

print(report_text.table(figures))
"""

from collections.abc import Mapping
from typing import Any

from yourface_tfds import calibration

NO_VALIDATION = "there is no validation split to fit a temperature on"


def table(figures: Mapping[str, Any]) -> str:
  """Returns the figures of one split as text, a line for each head.

  ECE is that after calibration; a line below says where there is none.

  Args:
    figures: as from `metrics.evaluate`.
  """
  lines = [
    f"{figures['split']}: {figures['examples']:,} photos of "
    f"{figures['people']:,} people",
    f"  {'head':<10} {'accuracy':>8}  {'95 % interval':<14} {'balanced':>8}"
    f" {'macro F1':>8} {'ECE':>5} {'majority':>8} {'photos':>6} {'people':>6}",
  ]
  for head, values in figures["heads"].items():
    if "accuracy" in values:
      middle = _middle(values)
    else:
      middle = f"{'no known label here':<57}"
    lines.append(
      f"  {head:<10} {middle} {values['examples']:>6,} {values['people']:>6,}"
    )
  return "\n".join(
    [*lines, *(f"  {note}" for note in calibration_notes(figures))]
  )


def calibration_notes(figures: Mapping[str, Any]) -> list[str]:
  """Returns where calibrated figures are missing, or mean less than they seem.

  Args:
    figures: as from `metrics.evaluate`.
  """
  heads: dict[str | None, list[str]] = {}
  for head, values in figures["heads"].items():
    if "accuracy" in values:
      heads.setdefault(values["temperature_status"], []).append(head)
  notes = []
  if None in heads:
    notes.append(
      f"not calibrated: {', '.join(heads[None])}; there is no validation split "
      "with known labels to fit a temperature on"
    )
  if "separated" in heads:
    notes.append(
      f"not calibrated: {', '.join(heads['separated'])}; all answers on "
      "validation are right, so no temperature is the best"
    )
  fitted = [head for head in heads if head not in (None, "separated")]
  if fitted and figures["split"].partition("[")[0] == "validation":
    notes.append(
      "the temperatures were fitted on this split: calibrated figures are too "
      "good here"
    )
  return notes


def _middle(values: Mapping[str, Any]) -> str:
  interval = values["interval_95"]
  shown = "{:.3f} to {:.3f}".format(*interval) if interval else "one person"
  ece = values["ece_calibrated"]
  if ece is None:
    ece = values["ece"]
  return (
    f"{values['accuracy']:>8.3f}  {shown:<14}"
    f" {values['balanced_accuracy']:>8.3f} {values['macro_f1']:>8.3f}"
    f" {ece:>5.3f} {number(values['majority_baseline']):>8}"
  )


def number(value: float | None, digits: int = 3) -> str:
  """Returns a figure as text, `-` for one that is missing."""
  return "-" if value is None else f"{value:.{digits}f}"


def with_interval(value: float, interval: list[float] | None) -> str:
  """Returns `.957 (.891 to 1.000)`, or that one person has no interval."""
  if not interval:
    return f"{value:.3f} (one person)"
  return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def temperature(fitted: calibration.Temperature | None) -> str:
  """Returns a temperature in words."""
  if fitted is None:
    return "none: no known label on validation"
  photos = f"fitted on {fitted.examples:,} photos of validation"
  if fitted.status == "separated":
    return (
      f"1, not fitted: all answers on {fitted.examples:,} photos of validation "
      "are right, so no temperature is the best"
    )
  if fitted.status == "limit":
    return f"{fitted.value:g}, {photos}; the best one lies beyond this limit"
  return f"{fitted.value:.3f}, {photos}"


def without_mistake(figures: Mapping[str, Any]) -> list[str]:
  """Returns what an interval of 1 to 1 means, for each head that has one.

  Where all of n people are answered right, a share of up to 1 - .05^(1/n) of
  people answered wrong is still not rejected at 5 %; about 3/n, the rule of
  three (Hanley and Lippman-Hand 1983).

  Args:
    figures: as from `metrics.evaluate`.
  """
  notes = []
  for head, values in figures["heads"].items():
    if values.get("accuracy") == 1:
      share = 100 * (1 - 0.05 ** (1 / values["people"]))
      notes.append(
        f"No mistake of {head} on {values['people']:,} people of "
        f"{figures['split']}: its interval says nothing; wrong on up to "
        f"{share:.1f} % of people is not ruled out (95 %)."
      )
  return notes
