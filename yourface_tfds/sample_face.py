"""A drawn head: its own face, and in which order everything is painted.

All functions paint on a `sample_painter.Painter` what a `sample_people.Person`
looks like in one photo (`Pose`).
"""

import dataclasses

import numpy as np

from yourface_tfds import (
  sample_looks,
  sample_muzzle,
  sample_traits,
  sample_wear,
)
from yourface_tfds.sample_painter import Painter, Points, curve, oval
from yourface_tfds.sample_people import Person, mix

_BLACK = (18, 14, 14)
_WHITE = (248, 246, 240)
_SCLERA = (222, 212, 206)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pose:
  """What changes from photo to photo on a head.

  Attributes:
    yaw: turn to the side, -1 to 1 (about 25 degrees).
    pitch: nod, -1 (up) to 1 (down).
    smile: height of the corners of the mouth, -0.3 to 1.
    mouth_open: 0 to 1.
    gaze: where the eyes look, -1 (image left) to 1.
    lids: how far the eyes are closed, 0 to 0.3.
    light_direction: degrees; 0 is light from the right, 90 from below.
    light_strength: 0 to 0.35.
    side: -1 or 1, the hand that holds the microphone.
    reach: -1 to 1, how the microphone is held.
  """

  yaw: float
  pitch: float
  smile: float
  mouth_open: float
  gaze: float
  lids: float
  light_direction: float
  light_strength: float
  side: int
  reach: float


def draw_head(person: Person, pose: Pose) -> Painter:
  """Returns a painter with the whole head of a person on it."""
  painter = Painter(yaw=pose.yaw, pitch=pose.pitch)
  look = sample_looks.LOOKS[person.face_type]
  outline = _outline(person, look)
  skin = mix(person.skin, look.tint, look.tint_share)
  sample_traits.draw_behind(painter, person)
  sample_wear.draw_back_hair(painter, person)
  sample_wear.draw_neck(painter, person, skin)
  for side in (-1, 1):
    ear = oval(side * (person.face_width + 0.03), 0.05, 0.13, 0.25)
    painter.fill(ear, mix(skin, (150, 70, 50), 0.15), solid=True)
  painter.fill(outline, skin, solid=True)
  with painter.inside(outline):
    sample_traits.draw_skin(painter, person)
    _cheeks(painter, person)
  _shade(painter, person, pose)
  painter.apply_light()
  for side in (-1, 1):
    _eye(painter, person, pose, side)
    _brow(painter, person, side)
  sample_muzzle.draw_nose(painter, person, skin)
  _mouth(painter, person, pose)
  sample_muzzle.draw_mouth(painter, person, pose.mouth_open)
  sample_wear.draw_front_hair(painter, person)
  sample_traits.draw_front(painter, person)
  if person.glasses:
    sample_wear.draw_glasses(painter, person)
  if person.job == sample_looks.SINGER:
    sample_wear.draw_microphone(
      painter, person, side=pose.side, reach=pose.reach
    )
  painter.light(pose.light_direction, pose.light_strength)
  painter.apply_light()
  return painter


def _outline(person: Person, look: sample_looks.Look) -> Points:
  """Returns the edge of the face: round above, its own jaw below."""
  width = person.face_width * look.width
  jaw = 1.9 + 0.5 * person.jaw + look.jaw
  if person.gender != sample_looks.WOMAN:
    jaw += 0.35
  lower = oval(0, 0.05, width, 1.2, power=jaw, steps=60)[:31]
  upper = oval(0, 0.05, width, 1.4, power=2.1, steps=60)[30:]
  return np.concatenate([lower, upper])


def _cheeks(painter: Painter, person: Person) -> None:
  """Paints blush or beard, and the mole."""
  if person.gender == sample_looks.WOMAN:
    for side in (-1, 1):
      painter.soft(
        oval(side * 0.52, 0.38, 0.17, 0.12), (226, 92, 96), alpha=0.5, blur=0.1
      )
  else:
    shadow = mix(person.hair, _BLACK, 0.4)
    beard = np.concatenate(
      [
        curve([(-1, 0.25), (-0.75, 0.5), (-0.5, 1.05), (0, 1.0)]),
        curve([(0, 1.0), (0.5, 1.05), (0.75, 0.5), (1, 0.25)]),
        [[1, 1.4], [-1, 1.4]],
      ]
    )
    painter.soft(beard, shadow, alpha=0.58 + 0.25 * person.jaw, blur=0.06)
    lip = curve([(-0.36, 0.74), (-0.2, 0.58), (0.2, 0.58), (0.36, 0.74)])
    painter.soft(lip, shadow, alpha=0.3 + 0.3 * person.jaw, blur=0.03)
  painter.fill(oval(*person.mole, 0.02, 0.02), (70, 40, 34), alpha=0.8)


def _shade(painter: Painter, person: Person, pose: Pose) -> None:
  """Notes the soft shadows that make a face of a flat oval."""
  gap, tip = person.eye_gap, person.nose_length
  away = -np.cos(np.deg2rad(pose.light_direction))
  for side in (-1, 1):
    painter.shade(side * gap, -0.12, 0.26, 0.17, -0.43)
    painter.shade(side * 0.12, -0.12, 0.07, 0.16, -0.18)
    painter.shade(side * 0.48, 0.2, 0.22, 0.15, 0.24)
    painter.shade(side * 0.38, 0.06, 0.16, 0.05, -0.25)
    painter.shade(side * 0.38, -0.45, 0.25, 0.08, 0.15)
    painter.shade(side * 0.95, 0.2, 0.26, 0.9, -0.38)
    painter.shade(side * 0.19, tip, 0.07, 0.1, -0.25)
    painter.shade(side * 0.13, 0.15, 0.05, 0.2, -0.15)
  painter.shade(away * 0.12, 0.15, 0.08, 0.25, -0.22)
  painter.shade(0, 0.1, 0.06, 0.28, 0.2)
  painter.shade(0, tip + 0.13, 0.2, 0.07, -0.35)
  painter.shade(0, 0.97, 0.2, 0.06, -0.28)
  painter.shade(0, 1.1, 0.2, 0.1, 0.1)
  painter.shade(0, -0.22, 0.2, 0.08, -0.19)
  painter.shade(0, -0.78, 0.9, 0.2, -0.19)
  painter.shade(0, 1.27, 0.7, 0.15, -0.38)


def _eye(painter: Painter, person: Person, pose: Pose, side: int) -> None:
  look = sample_looks.LOOKS[person.face_type]
  wide = 0.175 * person.eye_size * look.eye_width
  high = 0.095 * person.eye_size * look.eye_height * (1 - pose.lids)
  middle, y = side * person.eye_gap * look.eye_gap, -0.08
  center = np.array([middle, y])
  tilt = -side * (look.eye_tilt + 3 * person.cue[0])
  eye = oval(middle, y, wide, high, tilt=tilt, power=1.6)
  painter.soft(
    oval(middle, y, wide * 1.15, high * 1.3, tilt=tilt),
    (70, 40, 34),
    alpha=0.7,
    blur=0.03,
  )
  painter.fill(eye, _SCLERA if look.white is None else look.white)
  iris = mix(person.iris, look.iris, look.iris_share)
  x = middle + 0.05 * pose.gaze
  size = 0.096 * person.eye_size * look.iris_size
  shapes = {"round": (0.45, 0.45), "slit": (0.16, 0.95), "bar": (0.8, 0.25)}
  pupil = np.array(shapes[look.pupil]) * size
  with painter.inside(eye):
    painter.fill(oval(x, y, size, size), mix(iris, _BLACK, 0.55))
    painter.fill(oval(x, y, size * 0.84, size * 0.84), iris)
    painter.fill(oval(x, y, *pupil.tolist()), _BLACK)
  painter.fill(oval(x - 0.03, y - 0.03, 0.018, 0.018), _WHITE)
  lid = eye[20:]  # The upper half, from one corner to the other.
  woman = person.gender == sample_looks.WOMAN
  painter.line(lid, _BLACK, 0.058 if woman else 0.052)
  painter.line(eye[:21], (60, 34, 30), 0.016, alpha=0.8)
  crease = (lid - center) * (1.12, 1.3) + center - (0, 0.035)
  painter.line(crease[2:-1], (60, 34, 30), 0.02, alpha=0.6)
  if woman:
    outer = eye[20] if side < 0 else eye[0]
    for lash in (0.35, 0.7, 1.05):
      end = outer + np.array([side * 0.1 * np.cos(lash), -0.1 * np.sin(lash)])
      painter.line(np.array([outer, end]), _BLACK, 0.022)


def _brow(painter: Painter, person: Person, side: int) -> None:
  look = sample_looks.LOOKS[person.face_type]
  woman = person.gender == sample_looks.WOMAN
  thick = (0.032 if woman else 0.062) + 0.02 * person.brow
  x = person.eye_gap * look.eye_gap
  y = -0.27 - 0.09 * max(0, look.eye_height - 1)
  lift = 0.004 * look.eye_tilt
  arch = curve([(x - 0.2, y + lift / 2), (x, y - 0.1), (x + 0.24, y - lift)])
  edge = np.linspace(1, 0.4, len(arch))[:, None] * (0, thick)
  brow = np.concatenate([arch - edge, (arch + edge)[::-1]]) * (side, 1)
  painter.soft(brow, mix(person.hair, _BLACK, 0.7), alpha=1, blur=0.014)


def _mouth(painter: Painter, person: Person, pose: Pose) -> None:
  look = sample_looks.LOOKS[person.face_type]
  wide = person.mouth_width * look.mouth_width * (1 + 0.12 * pose.smile)
  open_by = 0.02 + 0.12 * pose.mouth_open
  woman = person.gender == sample_looks.WOMAN
  lip = mix(person.skin, (170, 48, 58), 0.65)
  if woman:
    lip = mix((196, 26, 56), person.accent, 0.12)
  thick = 0.078 if woman else 0.058
  y = sample_looks.MOUTH_Y
  corner = y - 0.07 * pose.smile
  upper = curve(
    [(-wide, corner), (-wide / 2, y), (wide / 2, y), (wide, corner)]
  )
  peak = [(-wide, corner), (-wide / 3, y - 2.6 * thick), (0, y - thick),
          (wide / 3, y - 2.6 * thick), (wide, corner)]  # fmt: skip
  low = y + 2 * open_by
  lower = curve(
    [(-wide, corner), (-wide / 2, low), (wide / 2, low), (wide, corner)]
  )
  bottom = curve(
    [(-wide, corner), (-wide / 2, low + 2.4 * thick),
     (wide / 2, low + 2.4 * thick), (wide, corner)]
  )  # fmt: skip
  painter.fill(
    np.concatenate([curve(peak), upper[::-1]]), mix(lip, _BLACK, 0.15)
  )
  painter.fill(np.concatenate([lower, bottom[::-1]]), lip)
  painter.fill(np.concatenate([upper, lower[::-1]]), (70, 18, 22))
  if pose.mouth_open > 0.35:
    teeth = np.concatenate([upper, (upper * 0.5 + lower * 0.5)[::-1]])
    painter.fill(teeth, _WHITE)
  painter.line(upper, (60, 20, 22), 0.022)
