"""The animal's nose, teeth, tongue and whiskers on a drawn face."""

import functools
from collections.abc import Callable

import numpy as np

from yourface_tfds import sample_looks
from yourface_tfds.sample_painter import Painter, curve, oval
from yourface_tfds.sample_people import Color, Person, mix

_BLACK = (18, 14, 14)
_WHITE = (248, 246, 240)
_PINK = (238, 150, 160)


def draw_nose(painter: Painter, person: Person, skin: Color) -> None:
  """Paints nostrils, and the animal's nose over them."""
  tip, wide = person.nose_length, 0.13 * person.nose_width
  dark = mix(skin, (60, 20, 16), 0.75)
  for side in (-1, 1):
    wing = [(0.55, -0.06), (1.3, -0.02), (1.1, 0.05), (0.6, 0.05)]
    line = curve(wing) * (side * wide, 1) + (0, tip)
    painter.line(line, dark, 0.022, alpha=0.7)
    hole = oval(side * wide * 0.5, tip + 0.045, 0.045, 0.025, tilt=side * 15)
    painter.fill(hole, dark)
  name = sample_looks.name_of(person)
  if name in _NOSE:
    _NOSE[name](painter, person)


def draw_mouth(painter: Painter, person: Person, mouth_open: float) -> None:
  """Paints teeth and tongues over the mouth."""
  name = sample_looks.name_of(person)
  low = sample_looks.MOUTH_Y + 0.03 + 0.05 * mouth_open
  grow = 1 + 0.12 * person.cue[1]
  if name == "rabbit":
    for side in (-1, 1):
      tooth = oval(side * 0.075, low + 0.09 * grow, 0.07, 0.14 * grow, power=5)
      painter.fill(tooth, _WHITE)
      painter.line(np.concatenate([tooth, tooth[:1]]), (120, 90, 90), 0.014)
  elif name == "dog":
    painter.fill(
      oval(0, low + 0.13, 0.13, 0.19 * grow, power=2.6), (236, 96, 116)
    )
    painter.line(np.array([[0, low], [0, low + 0.2]]), (176, 50, 76), 0.02)
  elif name == "snake":
    painter.line(
      np.array([[0, low - 0.02], [0, low + 0.26]]), (214, 20, 44), 0.05
    )
    for side in (-1, 1):
      fork = np.array([[0, low + 0.24], [side * 0.13, low + 0.42 * grow]])
      painter.line(fork, (214, 20, 44), 0.035)
  elif name == "dinosaur":
    for x in np.linspace(-0.32, 0.32, 7):
      tooth = np.array([[x - 0.05, low - 0.06], [x + 0.05, low - 0.06],
                        [x, low + 0.07 * grow]])  # fmt: skip
      painter.fill(tooth, _WHITE)
  elif name == "tiger":
    for side in (-1, 1):
      fang = np.array([[0.14, low - 0.04], [0.24, low - 0.04],
                       [0.18, low + 0.14 * grow]])  # fmt: skip
      painter.fill(fang * (side, 1), _WHITE)


def draw_whiskers(painter: Painter, person: Person, color: Color) -> None:
  """Paints three whiskers on both cheeks."""
  for rise in (-0.16, 0.0, 0.16):
    lift = rise + 0.04 * person.cue[4]
    hair = curve(
      [(0.54, 0.55 + rise / 1.7), (0.85, 0.5 + rise), (1.2, 0.55 + lift * 2)]
    )
    for side in (hair * (-1, 1), hair):
      painter.line(side, color, 0.022, alpha=0.6)


def _snout(
  painter: Painter,
  person: Person,
  *,
  color: Color,
  wide: float,
  high: float,
) -> None:
  """Paints an animal's nose, broad above and narrow below, with a shine."""
  x = wide * (0.95 + 0.08 * person.cue[5])
  y = person.nose_length
  shape = np.concatenate(
    [
      curve([(-x, y - high), (-x / 2, y - high * 1.6), (x / 2, y - high * 1.6),
             (x, y - high)]),
      curve([(x, y - high), (x * 0.9, y + high * 0.6), (0, y + high * 1.3)]),
      curve([(0, y + high * 1.3), (-x * 0.9, y + high * 0.6), (-x, y - high)]),
    ]
  )  # fmt: skip
  painter.soft(shape, color, alpha=1, blur=0.012)
  line = np.array([[0, y + high * 0.8], [0, sample_looks.MOUTH_Y - 0.1]])
  painter.line(line, mix(color, _BLACK, 0.4), 0.025)
  painter.soft(
    oval(-x * 0.3, y - high * 0.7, x * 0.3, high * 0.25),
    _WHITE,
    alpha=0.6,
    blur=0.02,
  )


def _nose(
  color: Color, wide: float, high: float
) -> Callable[[Painter, Person], None]:
  return functools.partial(_snout, color=color, wide=wide, high=high)


def _slits(painter: Painter, person: Person) -> None:
  """Paints the two nostrils of a reptile."""
  fur = sample_looks.LOOKS[person.face_type].fur
  for side in (-1, 1):
    hole = oval(side * 0.09, person.nose_length, 0.05, 0.028, tilt=-side * 40)
    painter.fill(hole, mix(fur, _BLACK, 0.75))


_NOSE = {
  "dog": _nose((24, 20, 22), 0.24, 0.11),
  "cat": _nose(_PINK, 0.13, 0.07),
  "rabbit": _nose((232, 120, 140), 0.11, 0.06),
  "fox": _nose((24, 20, 22), 0.13, 0.08),
  "dinosaur": _slits,
  "frog": _slits,
  "snake": _slits,
  "turtle": _slits,
  "bear": _nose((58, 34, 24), 0.22, 0.12),
  "mouse": _nose((240, 120, 140), 0.09, 0.08),
  "tiger": _nose((196, 90, 90), 0.19, 0.09),
}
