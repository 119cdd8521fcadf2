"""Small drawings of the animals of `face_type`, for the card and the page.

  animals.draw("fox", 96)    # PIL.Image, RGBA, 96 x 96
  animals.svg("fox", 64)     # the same shapes as SVG

Drawn in code, so that nobody's picture has to be licensed. A class without a
drawing, as of a user's own vocabulary, gets a smiling face.
"""

from PIL import Image

from yourface_tfds import animal_shapes, vector_shapes

_DRAWINGS = {
  "dog": animal_shapes.dog,
  "cat": animal_shapes.cat,
  "rabbit": animal_shapes.rabbit,
  "fox": animal_shapes.fox,
  "dinosaur": animal_shapes.dinosaur,
  "frog": animal_shapes.frog,
  "snake": animal_shapes.snake,
  "turtle": animal_shapes.turtle,
  "bear": animal_shapes.bear,
  "mouse": animal_shapes.mouse,
  "tiger": animal_shapes.tiger,
}

NAMES = tuple(_DRAWINGS)
"""The classes that have a drawing of their own."""


def draw(name: str, side: int) -> Image.Image:
  """Returns the drawing of a class, or the smiling face for any other name.

  Args:
    name: as in `labels.HEADS["face_type"].names`.
    side: width and height, pixels.

  Returns:
    RGBA[side, side], transparent around the animal.

  Raises:
    ValueError: `side` is below 1.
  """
  return vector_shapes.pixels(_shapes(name), side)


def svg(name: str, side: int = 64) -> str:
  """Returns the same drawing as an SVG element, for a page.

  It is decoration: a screen reader passes it over, the word stands beside it.

  Args:
    name: as in `draw`.
    side: width and height it asks for, CSS pixels.

  Raises:
    ValueError: `side` is below 1.
  """
  return vector_shapes.svg(_shapes(name), side)


def _shapes(name: str) -> list[vector_shapes.Shape]:
  return _DRAWINGS.get(name, animal_shapes.anybody)()
