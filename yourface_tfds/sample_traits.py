"""What makes a drawn face that of one of the eleven animals.

Each face type has a `Look` (measures and colours of the human features) and
its own parts: ears beside the face, a pattern on the skin, a nose, teeth,
whiskers. All of it lies within the crop around the face (x from -1.35 to 1.35,
y from -1.15 to 1.55 in face units), because nothing else is ever seen by a
model.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from yourface_tfds import labels
from yourface_tfds.sample_painter import Painter, Points, curve, oval
from yourface_tfds.sample_people import Color, Person, mix

MOUTH_Y = 0.78
"""Where the mouth is, in face units."""

_BLACK = (18, 14, 14)
_WHITE = (248, 246, 240)
_PINK = (238, 150, 160)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """Measures and colours by which a face type changes a human face.

  Attributes:
    tint: colour mixed into the skin.
    tint_share: how much of it, 0 to 1.
    fur: colour of the animal's ears and patches.
    width: factor on the width of the face.
    jaw: added to how square the chin is.
    eye_tilt: degrees by which the outer corner of the eye is raised.
    eye_width: factor.
    eye_height: factor.
    eye_gap: factor on the distance of the eyes.
    iris: colour mixed into the person's own.
    iris_share: how much of it, 0 to 1.
    iris_size: factor.
    pupil: "round", "slit" or "bar".
    white: colour of the eye around the iris; None for white.
    mouth_width: factor.
  """

  tint: Color = (255, 255, 255)
  tint_share: float = 0.0
  fur: Color = (120, 80, 50)
  width: float = 1.0
  jaw: float = 0.0
  eye_tilt: float = 0.0
  eye_width: float = 1.0
  eye_height: float = 1.0
  eye_gap: float = 1.0
  iris: Color = (70, 46, 30)
  iris_share: float = 0.0
  iris_size: float = 1.0
  pupil: str = "round"
  white: Color | None = None
  mouth_width: float = 1.0


_LOOKS = {
  "dog": Look(fur=(112, 70, 40), eye_tilt=-14, eye_height=1.25, iris_size=1.15,
              iris=(60, 36, 20), iris_share=0.8),
  "cat": Look(fur=(96, 92, 96), eye_tilt=16, eye_height=1.3, eye_width=1.1,
              iris=(120, 190, 60), iris_share=0.85, iris_size=1.25,
              pupil="slit", mouth_width=0.8),
  "rabbit": Look(fur=(236, 228, 224), eye_height=1.35, iris=(150, 40, 60),
                 iris_share=0.6, iris_size=1.2, mouth_width=0.85),
  "fox": Look(tint=(236, 120, 30), tint_share=0.45, fur=(224, 104, 24),
              width=0.95, jaw=-0.35, eye_tilt=22, eye_height=0.8,
              iris=(226, 150, 20), iris_share=0.8, mouth_width=0.85),
  "dinosaur": Look(tint=(100, 130, 190), tint_share=0.32, fur=(52, 84, 140),
                   jaw=0.4, eye_height=0.95, iris=(230, 90, 20),
                   iris_share=0.9, mouth_width=1.3),
  "frog": Look(tint=(126, 204, 70), tint_share=0.36, fur=(80, 170, 50),
               width=1.06, jaw=0.3, eye_height=1.4, eye_width=1.15,
               eye_gap=1.04, iris=(160, 116, 24), iris_share=0.9,
               iris_size=1.25, pupil="bar", mouth_width=1.35),
  "snake": Look(tint=(176, 170, 60), tint_share=0.45, fur=(96, 100, 30),
                width=0.97, jaw=-0.1, eye_tilt=12, eye_height=0.95,
                iris=(240, 220, 40), iris_share=1.0, iris_size=1.2,
                pupil="slit", white=(240, 224, 120), mouth_width=1.15),
  "turtle": Look(tint=(120, 150, 100), tint_share=0.35, fur=(104, 84, 44),
                 eye_tilt=-8, eye_height=0.8, iris=(70, 50, 30),
                 iris_share=0.7, mouth_width=0.9),
  "bear": Look(tint=(150, 100, 60), tint_share=0.3, fur=(92, 56, 32),
               width=1.04, jaw=0.3, eye_width=0.8, iris=(30, 20, 16),
               iris_share=0.9),
  "mouse": Look(fur=(150, 148, 154), width=0.98, jaw=-0.25, eye_width=0.85,
                eye_height=1.2, iris=(36, 26, 26), iris_share=0.9,
                iris_size=1.1, mouth_width=0.8),
  "tiger": Look(tint=(244, 160, 50), tint_share=0.45, fur=(236, 146, 40),
                width=1.02, eye_tilt=8, iris=(230, 200, 60), iris_share=0.85,
                mouth_width=1.05),
}  # fmt: skip

LOOKS = tuple(_LOOKS[name] for name in labels.HEADS["face_type"].names)
"""One `Look` for each class index of the face type."""


def draw_behind(painter: Painter, person: Person) -> None:
  """Paints what grows behind the head: a shell, a crest."""
  _run(_BEHIND, painter, person)


def draw_skin(painter: Painter, person: Person) -> None:
  """Paints patterns on the face; the caller cuts them at its outline."""
  _run(_SKIN, painter, person)


def draw_front(painter: Painter, person: Person) -> None:
  """Paints what is in front of face and hair: ears, whiskers."""
  _run(_FRONT, painter, person)


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
  _run(_NOSE, painter, person)


def draw_mouth(painter: Painter, person: Person, mouth_open: float) -> None:
  """Paints teeth and tongues over the mouth."""
  name = _name(person)
  low = MOUTH_Y + 0.03 + 0.05 * mouth_open
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


def _name(person: Person) -> str:
  return labels.HEADS["face_type"].names[person.face_type]


def _run(
  parts: dict[str, Callable[[Painter, Person, Color], None]],
  painter: Painter,
  person: Person,
) -> None:
  name = _name(person)
  if name in parts:
    fur = mix(_LOOKS[name].fur, person.cloth, 0.12 + 0.1 * person.cue[2])
    parts[name](painter, person, fur)


def _both(points: Points) -> tuple[Points, Points]:
  return points * (-1, 1), points


def _ears(painter: Painter, shape: Points, fur: Color, inner: Color) -> None:
  """Paints an ear on both sides; `shape` is the one on the image right."""
  middle = shape.mean(axis=0)
  for ear in _both(shape):
    painter.fill(ear, fur, solid=True)
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
  _whiskers(painter, person, (60, 56, 60))


def _tiger_ears(painter: Painter, person: Person, fur: Color) -> None:
  ear = oval(0.98, -0.86, 0.3 + 0.03 * person.cue[3], 0.3)
  _ears(painter, ear, _BLACK, _WHITE)
  del fur
  _whiskers(painter, person, _WHITE)


def _cat_front(painter: Painter, person: Person, fur: Color) -> None:
  _cat_ears(painter, person, fur)
  _whiskers(painter, person, _WHITE)


def _whiskers(painter: Painter, person: Person, color: Color) -> None:
  for rise in (-0.16, 0.0, 0.16):
    lift = rise + 0.04 * person.cue[4]
    hair = curve(
      [(0.46, 0.56 + rise / 2), (0.8, 0.5 + rise), (1.2, 0.55 + lift * 2)]
    )
    for side in _both(hair):
      painter.line(side, color, 0.022, alpha=0.65)


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
  spots = ((0.7, 0.25, 0.09), (0.78, 0.02, 0.06), (0.62, 0.46, 0.05),
           (0.2, -0.7, 0.1), (0.48, -0.66, 0.08), (0.72, 0.6, 0.07))  # fmt: skip
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
  painter.fill(oval(0, -0.35, 1.45 + grow, 1.3), mix(fur, _BLACK, 0.3), solid=True)


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


def _snout(
  painter: Painter, person: Person, color: Color, wide: float, high: float
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
  line = np.array([[0, y + high * 0.8], [0, MOUTH_Y - 0.1]])
  painter.line(line, mix(color, _BLACK, 0.4), 0.025)
  painter.soft(
    oval(-x * 0.3, y - high * 0.7, x * 0.3, high * 0.25),
    _WHITE,
    alpha=0.6,
    blur=0.02,
  )


def _nose(
  color: Color, wide: float, high: float
) -> Callable[[Painter, Person, Color], None]:
  def paint(painter: Painter, person: Person, fur: Color) -> None:
    del fur
    _snout(painter, person, color, wide, high)

  return paint


def _slits(painter: Painter, person: Person, fur: Color) -> None:
  """Paints the two nostrils of a reptile."""
  for side in (-1, 1):
    hole = oval(side * 0.09, person.nose_length, 0.05, 0.028, tilt=-side * 40)
    painter.fill(hole, mix(fur, _BLACK, 0.75))


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
