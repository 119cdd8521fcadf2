"""The files that pictures of answers are written to.

pictures = predict_pictures.Pictures(card=pathlib.Path("card.png"))
pictures.check(found)
for number, answer in enumerate(predict_output.answers(...), 1):
  pictures.draw(number, answer)
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from PIL import Image

from yourface_tfds import (
  cli,
  photos,
  predict_inputs,
  predict_lib,
  predict_output,
  storage,
)

_ENDINGS = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
  """The pictures that are drawn, and their names.

  With several photos their number is put before the ending, and with all faces
  that of the face too: card_001.png, card_001_2.png.

  Attributes:
    card: the name for cards; None: none are drawn.
    annotated: the name for photos with boxes; None: none are drawn.
    language: "ko" or "en".
    all_faces: whether every face gets a card, or the main one.
    several: whether there are several photos.
  """

  card: pathlib.Path | None = None
  annotated: pathlib.Path | None = None
  language: str = "ko"
  all_faces: bool = False
  several: bool = False

  def check(self, found: Sequence[predict_inputs.Photo]) -> None:
    """Raises `UserError` for a name of no picture, or that of a photo."""
    given = {os.path.realpath(photo.path) for photo in found}
    for flag, name in (("output", self.card), ("annotated", self.annotated)):
      if name is None:
        continue
      if name.suffix.lower() not in _ENDINGS:
        raise cli.UserError(
          f"--{flag}: got {str(name)!r}, allowed: a name ending in .png or .jpg"
        )
      for number in range(1, len(found) + 1):
        face = 1 if flag == "output" and self.all_faces else None
        path = self._named(name, number, face)
        if os.path.realpath(path) in given:
          raise cli.UserError(
            f"--{flag}: got {str(name)!r}, and {str(path)!r} is one of the "
            "photos, allowed: a name of its own; nothing was written"
          )
    if self.card is not None and self.card == self.annotated:
      raise cli.UserError(
        f"got {str(self.card)!r} for both --output and --annotated, allowed: a "
        "name for each"
      )

  def draw(
    self, number: int, answer: predict_output.Answer
  ) -> list[pathlib.Path]:
    """Draws and writes the pictures of a photo, each whole or not at all.

    Args:
      number: of the photo, from 1.
      answer: for every face of it.

    Returns:
      The files that were written.
    """
    written: list[pathlib.Path] = []
    if not answer.faces or not (self.card or self.annotated):
      return written
    pixels = predict_lib.decode(answer.photo.content)
    if self.card:
      shown = answer.faces if self.all_faces else answer.faces[:1]
      for place, face in enumerate(shown, 1):
        path = self._named(self.card, number, place if self.all_faces else None)
        _save(predict_lib.draw_card(pixels, face, self.language), path)
        written.append(path)
    if self.annotated:
      picture = predict_lib.draw_annotated(pixels, answer.faces, self.language)
      path = self._named(self.annotated, number)
      _save(picture, path)
      written.append(path)
    return written

  def _named(
    self, name: pathlib.Path, number: int, face: int | None = None
  ) -> pathlib.Path:
    ending = ""
    if self.several or face is not None:
      ending = f"_{number:03d}"
    if face is not None:
      ending += f"_{face}"
    return name.with_name(f"{name.stem}{ending}{name.suffix}")


def _save(picture: Image.Image, path: pathlib.Path) -> None:
  with storage.replaced_file(path) as temporary:
    # Of JPEG; PNG has none.
    picture.save(temporary, quality=photos.JPEG_QUALITY)
