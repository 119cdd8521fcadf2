"""What a drawn person has on: hair, collar, glasses, a microphone."""

import numpy as np

from yourface_tfds import sample_looks
from yourface_tfds.sample_painter import Painter, curve, oval
from yourface_tfds.sample_people import Color, Person, mix

_BLACK = (18, 14, 14)
_WHITE = (248, 246, 240)


def draw_back_hair(painter: Painter, person: Person) -> None:
  """Paints the hair behind the head."""
  full = 0.08 * person.hair_volume
  dark = mix(person.hair, _BLACK, 0.35)
  if person.gender == sample_looks.WOMAN:
    painter.fill(oval(0, -0.35, 1.14 + full, 1.3 + full), dark, solid=True)
    painter.fill(oval(0, 0.6, 1.2 + full, 1.5, power=3.5), dark, solid=True)
  else:
    top = oval(0, -0.55, 0.97 + full / 2, 1.0 + full)
    painter.fill(top, dark, solid=True)


def draw_neck(painter: Painter, person: Person, skin: Color) -> None:
  """Paints the neck; an actor wears a collar and a bow tie."""
  wide = 0.44 if person.gender == sample_looks.WOMAN else 0.5
  neck = np.array([[-wide, 0.6], [wide, 0.6], [wide, 2.1], [-wide, 2.1]])
  painter.fill(neck, mix(skin, _BLACK, 0.22), solid=True)
  painter.soft(
    oval(0, 1.15, 0.7, 0.3), mix(skin, _BLACK, 0.6), alpha=0.6, blur=0.12
  )
  if person.job != sample_looks.SINGER:
    for side in (-1, 1):
      collar = np.array([[0.06, 1.62], [0.62, 1.3], [0.9, 1.75], [0.3, 2.1]])
      painter.fill(collar * (side, 1), (238, 238, 242), solid=True)
      bow = np.array([[0.06, 1.56], [0.46, 1.4], [0.5, 1.84], [0.06, 1.68]])
      painter.fill(bow * (side, 1), person.accent, solid=True)
    knot = oval(0, 1.62, 0.1, 0.1, power=4)
    painter.fill(knot, mix(person.accent, _BLACK, 0.4), solid=True)


def draw_front_hair(painter: Painter, person: Person) -> None:
  """Paints the hair above the face and beside it."""
  full = 0.08 * person.hair_volume
  part = 0.35 * person.hair_part
  woman = person.gender == sample_looks.WOMAN
  reach = 1.14 + full if woman else 0.98 + full / 2
  top = oval(0, -0.35, reach, 1.3 + full, steps=60)[30:]
  low = -0.3 if woman else -0.62
  edge = np.concatenate(
    [
      curve([(reach, -0.35), (0.78, low - 0.2), (0.5, -0.9), (part, -1.02)]),
      curve([(part, -1.02), (-0.5, -0.9), (-0.78, low - 0.2), (-reach, -0.35)]),
    ]
  )
  dark = mix(person.hair, _BLACK, 0.4)
  painter.fill(np.concatenate([top, edge]), dark, solid=True)
  for side in (-1, 1):
    if woman:
      strand = np.concatenate(
        [
          curve([(0.7, -0.75), (0.93, -0.2), (0.72, 0.6), (0.86, 2.0)]),
          curve([(1.25, 2.05), (1.45, 0.9), (1.2 + full, 0), (1.05, -0.75)]),
        ]
      )
      painter.fill(strand * (side, 1), person.hair, solid=True)
    else:
      burn = np.array([[0.78, -0.6], [1.0, -0.6], [0.96, 0.3], [0.82, 0.22]])
      painter.fill(burn * (side, 1), person.hair, solid=True)
  light = mix(person.hair, _WHITE, 0.25)
  for end in (-0.8, -0.5, -0.25, 0.25, 0.5, 0.8):
    gloss = curve([(part, -1.1), (part + end / 2, -1.6), (end, -1.0)])
    painter.line(gloss, light, 0.025, alpha=0.25)
  if woman:
    for x in (-1.15, -1.0, 1.0, 1.15):
      gloss = curve([(x * 0.9, -0.6), (x * 1.1, 0.3), (x * 0.95, 1.8)])
      painter.line(gloss, light, 0.03, alpha=0.35)


def draw_glasses(painter: Painter, person: Person) -> None:
  """Paints glasses."""
  rim = mix(person.accent, _BLACK, 0.6)
  x = person.eye_gap + 0.02
  for side in (-1, 1):
    lens = oval(side * x, -0.05, 0.28, 0.22, power=2.8)
    painter.line(np.concatenate([lens, lens[:2]]), rim, 0.03)
    arm = np.array([[x + 0.28, -0.08], [0.93, -0.12]]) * (side, 1)
    painter.line(arm, rim, 0.03)
  painter.line(
    curve([(0.28 - x, -0.08), (0, -0.14), (x - 0.28, -0.08)]), rim, 0.03
  )


def draw_microphone(
  painter: Painter, person: Person, *, side: int, reach: float
) -> None:
  """Paints a ball of metal mesh below a corner of the mouth, and its grip.

  Args:
    painter: where to paint.
    person: whose microphone.
    side: -1 (image left) or 1, the hand that holds it.
    reach: -1 to 1, how far out it is held.
  """
  x = side * (0.7 + 0.06 * reach)
  y = 1.15 + 0.05 * reach
  size = 0.25
  end = np.array([x + side * 0.5, 2.3])
  across = np.array([0.13, 0.05])
  center = np.array([x, y])
  grip = np.array(
    [center - across, center + across, end + across, end - across]
  )
  painter.fill(grip, mix((36, 36, 40), person.accent, 0.25), solid=True)
  painter.fill(oval(x, y, size, size), (116, 118, 124), solid=True)
  painter.soft(
    oval(x - 0.08, y - 0.09, 0.1, 0.1), (236, 238, 240), alpha=0.9, blur=0.05
  )
  for step in np.linspace(-0.8, 0.8, 7):
    half = size * np.sqrt(1 - step**2)
    bar = np.array([[step * size, -half], [step * size, half]])
    for turn in (bar, bar[:, ::-1]):
      painter.line(turn + center, (40, 40, 46), 0.02, alpha=0.8)
  ring = oval(x, y, size, size)
  painter.line(np.concatenate([ring, ring[:2]]), (30, 30, 34), 0.035)
