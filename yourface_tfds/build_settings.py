"""Everything that can be chosen about a build, checked."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from yourface_tfds import cli, crop, curate

ENCODINGS = ("jpeg", "raw")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
  """Everything `--config='{...}'` can set.

  Attributes:
    encoding: `jpeg` (quality 95) or `raw` (uint8 as it is).
    image_size: side of the crops in pixels.
    margin: side of the crop as a multiple of the face box's longer side.
    min_score: detections below are no faces, 0..1.
    min_face_size: smaller main faces are rejected, pixels of the photo.
    validation, test, unseen, seed: see `curate.SplitSettings`.
    strict_people: whether a folder without a row in people.csv, or a row
      without a folder, ends the build.
    hash_names: whether people and files are called by salted hashes of their
      names, see `pseudonyms`.
  """

  encoding: str = "jpeg"
  image_size: int = 150
  margin: float = 1.3
  min_score: float = 0.9
  min_face_size: int = 40
  validation: float = 0.1
  test: float = 0.1
  unseen: float = 0.1
  seed: int = 0
  strict_people: bool = True
  hash_names: bool = False

  def __post_init__(self) -> None:
    if self.encoding not in ENCODINGS:
      raise cli.UserError(
        f"encoding: got {self.encoding!r}, allowed: {', '.join(ENCODINGS)}"
      )
    limits: dict[str, tuple[float, float]] = {
      "image_size": (16, 1024),
      "margin": (1, 3),
      "min_score": (0, 1),
      "min_face_size": (1, 10_000),
    }
    for name in (*limits, "validation", "test", "unseen"):
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int | float):
        raise cli.UserError(f"{name}: got {value!r}, allowed: a number")
    for name in ("image_size", "seed"):
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int):
        raise cli.UserError(f"{name}: got {value!r}, allowed: a whole number")
    for name in ("strict_people", "hash_names"):
      value = getattr(self, name)
      if not isinstance(value, bool):
        raise cli.UserError(f"{name}: got {value!r}, allowed: true, false")
    for name, (low, high) in limits.items():
      value = getattr(self, name)
      if not low <= value <= high:
        raise cli.UserError(f"{name}: got {value}, allowed: {low} to {high}")
    self.split_settings()

  @classmethod
  def from_options(cls, options: Mapping[str, Any]) -> "BuildSettings":
    """Returns settings from JSON options; `UserError` names an unknown one."""
    known = [field.name for field in dataclasses.fields(cls)]
    for name in options:
      if name not in known:
        raise cli.UserError(
          f"--config: got the option {name!r}, allowed: {', '.join(known)}"
        )
    return cls(**options)

  def config_name(self) -> str:
    """Returns a name for a config of these settings, a folder name on disk.

    The encoding and every option that is not at its default, for example
    `jpeg-image_size_100-seed_3`.
    """
    changed = [
      f"{field.name}_{getattr(self, field.name)}"
      for field in dataclasses.fields(self)
      if field.name != "encoding" and getattr(self, field.name) != field.default
    ]
    return "-".join([self.encoding, *changed])

  def split_settings(self) -> curate.SplitSettings:
    """Returns the part that concerns the splits."""
    return curate.SplitSettings(
      validation=self.validation,
      test=self.test,
      unseen=self.unseen,
      seed=self.seed,
    )

  def crop_settings(self) -> crop.CropSettings:
    """Returns the part that concerns the crop."""
    return crop.CropSettings(image_size=self.image_size, margin=self.margin)
