"""What of the animal is around the face and on its skin.

Ears beside the face, a pattern on the skin, a shell, a crest. All that tells
the face type lies within the crop around the face (x from -1.35 to 1.35, y from
-1.15 to 1.55 in face units), because nothing else is ever seen by a model.
"""

from collections.abc import Callable

import numpy as np

from yourface_tfds import sample_looks, sample_muzzle
from yourface_tfds.sample_painter import Painter, Points, curve, oval
from yourface_tfds.sample_people import Color, Person, mix

_BLACK = (18, 14, 14)
_WHITE = (248, 246, 240)
_PINK = (238, 150, 160)


def draw_behind(painter: Painter, person: Person) -> None:
  """Paints what grows behind the head: a shell, a crest."""
  _run(_BEHIND, painter, person)


def draw_skin(painter: Painter, person: Person) -> None:
  """Paints patterns on the face; the caller cuts them at its outline."""
  _run(_SKIN, painter, person)


def draw_front(painter: Painter, person: Person) -> None:
  """Paints what is in front of face and hair: ears, whiskers."""
  _run(_FRONT, painter, person)


def _run(
  parts: dict[str, Callable[[Painter, Person, Color], None]],
  painter: Painter,
  person: Person,
) -> None:
  name = sample_looks.name_of(person)
  if name in parts:
    fur = mix(
      sample_looks.LOOKS[person.face_type].fur,
      person.cloth,
      0.12 + 0.1 * person.cue[2],
    )
    parts[name](painter, person, fur)


def _both(points: Points) -> tuple[Points, Points]:
  return points * (-1, 1), points


def _ears(painter: Painter, shape: Points, fur: Color, inner: Color) -> None:
  """Paints an ear on both sides; `shape` is the one on the image right."""
  middle = shape.mean(axis=0)
  for ear in _both(shape):
    painter.fill(ear, mix(fur, _BLACK, 0.22), solid=True)
    painter.line(np.concatenate([ear, ear[:2]]), mix(fur, _BLACK, 0.5), 0.03)
  for ear in _both((shape - middle) * 0.6 + middle):
    painter.fill(ear, inner)


def _dog_ears(painter: Painter, person: Person, fur: Color) -> None:
  low = 0.55 + 0.1 * person.cue[3]
  ear = np.concatenate(
    [
      curve([(0.72, -0.95), (1.3, -0.95), (1.45, -0.1), (1.3, low)]),
      curve([(1.3, low), (1.1, low + 0.2), (0.85, low - 0.2), (0.86, -0.4)]),
    ]
  )
  _ears(painter, ear, fur, mix(fur, _BLACK, 0.25))


def _cat_ears(painter: Painter, person: Person, fur: Color) -> None:
  top = -1.5 + 0.06 * person.cue[3]
  ear = np.array([[0.42, -1.0], [1.05, top], [1.2, -0.4], [0.9, -0.55]])
  _ears(painter, ear, fur, _PINK)


def _cat_front(painter: Painter, person: Person, fur: Color) -> None:
  _cat_ears(painter, person, fur)
  sample_muzzle.draw_whiskers(painter, person, _WHITE)


def _rabbit_ears(painter: Painter, person: Person, fur: Color) -> None:
  ear = oval(1.12, 0.2 + 0.06 * person.cue[3], 0.24, 1.05, tilt=-6, power=2.2)
  _ears(painter, ear, fur, _PINK)


def _fox_ears(painter: Painter, person: Person, fur: Color) -> None:
  top = -1.55 + 0.06 * person.cue[3]
  ear = np.array([[0.4, -1.0], [1.15, top], [1.25, -0.35], [0.9, -0.5]])
  _ears(painter, ear, fur, _WHITE)
  for tip in _both(np.array([[0.82, -1.3], [1.15, top], [1.2, -0.9]])):
    painter.fill(tip, _BLACK, solid=True)


def _bear_ears(painter: Painter, person: Person, fur: Color) -> None:
  ear = oval(0.98, -0.82, 0.3 + 0.03 * person.cue[3], 0.3)
  _ears(painter, ear, fur, mix(fur, (220, 170, 120), 0.6))


def _mouse_ears(painter: Painter, person: Person, fur: Color) -> None:
  size = 0.46 + 0.03 * person.cue[3]
  _ears(painter, oval(1.14, -0.62, size, size), fur, _PINK)
  sample_muzzle.draw_whiskers(painter, person, (60, 56, 60))


def _tiger_ears(painter: Painter, person: Person, fur: Color) -> None:
  ear = oval(0.98, -0.86, 0.3 + 0.03 * person.cue[3], 0.3)
  _ears(painter, ear, _BLACK, _WHITE)
  del fur
  sample_muzzle.draw_whiskers(painter, person, _WHITE)


def _tiger_stripes(painter: Painter, person: Person, fur: Color) -> None:
  del fur
  _muzzle(painter, _WHITE, 0.5)
  dark = (30, 20, 16)
  for y in np.array([-0.42, -0.05, 0.3, 0.62]) + 0.04 * person.cue[3]:
    reach = 0.58 if y < 0.4 else 0.5
    stripe = np.array([[1.05, y - 0.1], [reach, y + 0.06], [1.05, y + 0.06]])
    for side in _both(stripe):
      painter.fill(side, dark, alpha=0.92)
  for y in (-0.9, -0.74, -0.6):
    width = 0.3 + 0.3 * (-0.4 - y)
    stripe = oval(0, y, width, 0.045, power=1.4)
    painter.fill(stripe, dark, alpha=0.9)


def _muzzle(painter: Painter, color: Color, alpha: float) -> None:
  for side in (-1, 1):
    patch = oval(side * 0.2, 0.64, 0.32, 0.26)
    painter.soft(patch, color, alpha=alpha, blur=0.05)


def _dog_skin(painter: Painter, person: Person, fur: Color) -> None:
  _muzzle(painter, _WHITE, 0.45)
  side = 1 if person.cue[3] > 0 else -1
  patch = oval(side * 0.42, -0.12, 0.36, 0.36)
  painter.soft(patch, fur, alpha=0.6, blur=0.05)


def _fox_skin(painter: Painter, person: Person, fur: Color) -> None:
  del fur
  edge = 0.3 + 0.04 * person.cue[3]
  patch = np.array([[1.1, edge - 0.2], [0.5, edge + 0.1], [0.16, 0.62],
                    [0.1, 1.3], [0.9, 1.3]])  # fmt: skip
  for side in _both(patch):
    painter.soft(side, _WHITE, alpha=0.75, blur=0.05)


def _bear_skin(painter: Painter, person: Person, fur: Color) -> None:
  del person
  painter.soft(oval(0, 0.6, 0.5, 0.4), (226, 188, 140), alpha=0.7, blur=0.04)
  for side in (-1, 1):
    painter.soft(oval(side * 0.8, 0.4, 0.3, 0.8), fur, alpha=0.5, blur=0.15)


def _frog_skin(painter: Painter, person: Person, fur: Color) -> None:
  dark = mix(fur, (20, 70, 20), 0.6)
  spots = (
    (0.7, 0.25, 0.09),
    (0.78, 0.02, 0.06),
    (0.62, 0.46, 0.05),
    (0.2, -0.7, 0.1),
    (0.48, -0.66, 0.08),
    (0.72, 0.6, 0.07),
  )
  for x, y, size in spots:
    for side in (-1, 1):
      spot = oval(side * x + 0.03 * person.cue[4], y, size, size * 0.85)
      painter.fill(spot, dark, alpha=0.6)


def _snake_skin(painter: Painter, person: Person, fur: Color) -> None:
  """Paints a net of diamonds, left out around eyes, nose and mouth."""
  step = 0.17 + 0.01 * person.cue[3]
  for row in range(-6, 8):
    for column in range(-6, 7):
      x, y = (column + row % 2 / 2) * step, row * step
      if abs(x) < 0.5 and -0.3 < y < 1.0:
        continue
      scale = oval(x, y, step * 0.42, step * 0.5, power=1.0, steps=4)
      painter.fill(scale, fur, alpha=0.8)


def _turtle_skin(painter: Painter, person: Person, fur: Color) -> None:
  del fur
  dark = (52, 84, 44)
  size = 0.15 + 0.015 * person.cue[3]
  for x, y in (
    (0.0, -0.66),
    (0.3, -0.6),
    (0.66, 0.3),
    (0.62, 0.6),
    (0.72, 0.0),
  ):
    for side in _both(oval(x, y, size, size, steps=6)):
      painter.fill(side, dark, alpha=0.55)
      painter.line(np.concatenate([side, side[:1]]), (222, 214, 130), 0.025)


def _dinosaur_skin(painter: Painter, person: Person, fur: Color) -> None:
  dark = mix(fur, _BLACK, 0.4)
  for x in (-0.5, -0.25, 0, 0.25, 0.5):
    spike = np.array([[x - 0.1, -0.9], [x + 0.1, -0.9], [x, -0.42]])
    painter.fill(spike, dark, alpha=0.85)
  for y in (0.1, 0.35, 0.6):
    y += 0.04 * person.cue[3]
    for side in _both(np.array([[0.62, y], [1.1, y - 0.14], [1.1, y + 0.1]])):
      painter.fill(side, dark, alpha=0.7)


def _shell(painter: Painter, person: Person, fur: Color) -> None:
  """Paints a shell like a hood, with a rim of plates, around the head."""
  grow = 0.03 * person.cue[4]
  painter.fill(
    oval(0, -0.35, 1.45 + grow, 1.3), mix(fur, _BLACK, 0.3), solid=True
  )


def _shell_rim(painter: Painter, person: Person, fur: Color) -> None:
  for turn in np.arange(-160, -19, 20) + 5 * person.cue[3]:
    _plate(painter, turn, fur)
  for turn in (-4, 184):
    _plate(painter, turn, fur)


def _plate(painter: Painter, turn: float, fur: Color) -> None:
  angle = np.deg2rad(turn)
  x, y = 1.2 * np.cos(angle), 1.3 * np.sin(angle)
  plate = oval(x, y, 0.25, 0.22, tilt=turn, steps=6)
  painter.fill(plate, fur, solid=True)
  painter.line(np.concatenate([plate, plate[:2]]), (60, 44, 24), 0.04)
  painter.fill(oval(x, y, 0.13, 0.11, tilt=turn, steps=6), (156, 134, 76))


def _crest(painter: Painter, person: Person, fur: Color) -> None:
  """Paints a row of spikes down both sides of the head."""
  length = 0.42 + 0.04 * person.cue[4]
  for turn in (-62, -44, -26, -8, 10, 28):
    angle = np.deg2rad(turn)
    out = np.array([np.cos(angle), np.sin(angle)])
    along = np.array([-out[1], out[0]]) * 0.17
    root = out * (0.98, 1.15)
    spike = np.array([root - along, root + out * length, root + along])
    for side in _both(spike):
      painter.fill(side, fur, solid=True)
      painter.line(side, mix(fur, _BLACK, 0.5), 0.03)


_BEHIND = {"turtle": _shell}
_SKIN = {
  "dog": _dog_skin,
  "fox": _fox_skin,
  "dinosaur": _dinosaur_skin,
  "frog": _frog_skin,
  "snake": _snake_skin,
  "turtle": _turtle_skin,
  "bear": _bear_skin,
  "tiger": _tiger_stripes,
}
_FRONT = {
  "dog": _dog_ears,
  "cat": _cat_front,
  "rabbit": _rabbit_ears,
  "fox": _fox_ears,
  "dinosaur": _crest,
  "turtle": _shell_rim,
  "bear": _bear_ears,
  "mouse": _mouse_ears,
  "tiger": _tiger_ears,
}
