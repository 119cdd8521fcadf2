"""The drawings of the animals, as lists of shapes. `animals` shows them.

  animal_shapes.fox()    # list[vector_shapes.Shape], first to last

At 96 pixels they are told apart by ears, then colour, then the mouth.
"""

from collections.abc import Sequence

from yourface_tfds import vector_shapes
from yourface_tfds.vector_shapes import (
  Point,
  Shape,
  both,
  curve,
  dot,
  ellipse,
  limb,
  lines,
  polygon,
  smooth,
)

_INK = vector_shapes.INK
_CREAM, _WHITE, _PINK, _BLUSH = "#fff3e2", "#ffffff", "#f79aa2", "#f7a39a"


def _round(half: Sequence[Point]) -> list[Point]:
  """The knots of an outline from those of its left half, ends in the middle."""
  return [*half, *((100 - x, y) for x, y in half[-2:0:-1])]


def _eyes(x: float, y: float, radius: float = 5.2) -> list[Shape]:
  """Two round eyes with a light in each, the left one at x."""
  return [*_eye(x, y, radius), *_eye(100 - x, y, radius)]


def _eye(x: float, y: float, radius: float) -> list[Shape]:
  return [
    dot(x, y, radius * 0.9, radius, fill=_INK),
    dot(x + radius * 0.28, y - radius * 0.36, radius * 0.34, fill=_WHITE),
  ]


def _nose(y: float, width: float) -> list[Shape]:
  """A black nose with a light on it."""
  return [
    dot(50, y, width, width * 0.72, fill=_INK),
    dot(50 - width * 0.3, y - width * 0.22, width * 0.28, fill=_WHITE),
  ]


def _mouth(y: float, reach: float = 8, drop: float = 5) -> list[Shape]:
  """The w under a nose, which ends at y."""
  knots = [(0, 0), (0.12, 0.6), (0.45, 1), (0.82, 0.8), (1, 0.3)]
  line = curve([(50 - dx * reach, y + dy * drop) for dx, dy in knots])
  return both(line)


def _cheeks(x: float, y: float) -> list[Shape]:
  return both(dot(x, y, 5.5, 3.8, fill=_BLUSH))


def _whiskers(x: float, y: float, reach: float = 17) -> list[Shape]:
  hairs = [[(x, y + 0.6 * d), (x - reach, y + 1.5 * d)] for d in (-4, 1, 6)]
  return both(*(lines(hair, width=1.8) for hair in hairs))


def _legs(skin: str, left: float, right: float, y: float) -> list[Shape]:
  leg = [(1, y - 18), (-1, y - 5), (1, y), (15, y), (16, y - 5), (14, y - 18)]
  return [
    smooth([(x + dx, dy) for dx, dy in leg], fill=skin) for x in (left, right)
  ]


def dog() -> list[Shape]:
  """Returns a brown dog: hanging ears, a patch, the tongue out."""
  fur, ear = "#ecbd7e", "#96582f"
  half = [(50, 13), (30, 17), (18, 34), (15, 57), (26, 80), (50, 91)]
  flap = [
    (32, 15), (20, 17), (9, 32), (5, 54), (11, 70), (22, 66), (27, 46),
    (33, 28),
  ]  # fmt: skip
  tongue = [(43, 74), (43, 85), (50, 92), (57, 85), (57, 74)]
  return [
    smooth(_round(half), fill=fur), dot(64, 43, 11, 13, turn=12, fill=ear),
    dot(50, 71, 21, 15.5, fill=_CREAM), *_eyes(36, 45),
    smooth(tongue, fill=_PINK), lines([(50, 78), (50, 84)], width=1.6),
    *_nose(61, 8), *_mouth(66, 15, 10), *both(smooth(flap, fill=ear)),
  ]  # fmt: skip


def cat() -> list[Shape]:
  """Returns a grey cat: pointed ears, slit eyes, whiskers."""
  fur = "#9aa3b8"
  ear = [(14, 50), (14, 9), (46, 28)]
  inside = [(20, 35), (20, 18), (34, 27)]
  slit = dot(32, 53, 2, 5.6, fill=_INK)
  return [
    *both(polygon(ear, fill=fur)),
    *both(polygon(inside, fill=_PINK, line=_PINK)),
    ellipse(50, 58, 40, 32, fill=fur), dot(50, 73, 18, 13, fill=_CREAM),
    *both(ellipse(32, 53, 7.6, 7, fill="#d8e86c", width=2.2), slit),
    polygon([(45, 64), (55, 64), (50, 69)], fill=_PINK, line=_PINK),
    *_mouth(71, 11, 8), *_whiskers(22, 68, 20),
  ]  # fmt: skip


def rabbit() -> list[Shape]:
  """Returns a white rabbit: long ears, two teeth."""
  fur = "#fdf8f4"
  return [
    *both(
      ellipse(35, 28, 10, 24, turn=-9, fill=fur),
      dot(35, 30, 5, 17, turn=-9, fill=_PINK),
    ),
    ellipse(50, 67, 32, 28, fill=fur), *_cheeks(28, 74), *_eyes(36, 62),
    polygon([(44, 79), (56, 79), (56, 89), (44, 89)], fill=_WHITE, width=2),
    lines([(50, 79), (50, 89)], width=1.6),
    ellipse(50, 70, 4.2, 3, fill=_PINK, width=1.6), *_mouth(73, 12, 7),
  ]  # fmt: skip


def fox() -> list[Shape]:
  """Returns an orange fox: a pointed face, white below, black tips."""
  fur = "#f0843a"
  half = [(50, 22), (28, 26), (6, 54), (6, 54), (24, 74), (50, 92)]
  head = _round([*half, (50, 92)])
  ear = [(14, 52), (10, 6), (44, 26)]
  tip = [(11.1, 19), (10, 6), (20, 12)]
  inside = [(20, 38), (18, 22), (32, 28)]
  cheek = [
    (6, 54), (6, 54), (24, 74), (50, 92), (50, 92), (47, 78), (36, 66),
    (22, 58),
  ]  # fmt: skip
  return [
    *both(
      polygon(ear, fill=fur),
      polygon(tip, fill=_INK),
      polygon(inside, fill=_CREAM, line=_CREAM),
    ),
    smooth(head, fill=fur, line=None),
    *both(smooth(cheek, fill=_WHITE, line=None)), smooth(head),
    *_eyes(34, 54, 4.6), *_nose(87, 6.4),
  ]  # fmt: skip


def dinosaur() -> list[Shape]:
  """Returns a dinosaur from the side: spikes, teeth, small arms."""
  skin, belly, spike = "#3fa7a0", "#c9ecd9", "#f6b13f"
  body = [
    (52, 14), (62, 8), (76, 9), (90, 17), (95, 28), (91, 37), (76, 41),
    (68, 45), (70, 58), (70, 72), (66, 82), (50, 86), (36, 82), (22, 78),
    (5, 62), (5, 62), (20, 64), (34, 56), (44, 40), (46, 24),
  ]  # fmt: skip
  front = [(67, 47), (69, 58), (69, 72), (63, 81), (54, 78), (54, 62)]
  teeth = [(76, 33), (79, 38), (82, 33), (85, 38), (88, 33)]
  spikes = [
    [(53, 16), (41, 11), (46, 28)], [(46, 26), (34, 23), (44, 39)],
    [(44, 37), (29, 36), (38, 51)], [(38, 49), (22, 47), (30, 60)],
  ]  # fmt: skip
  return [
    *(polygon(corners, fill=spike) for corners in spikes),
    smooth(body, fill=skin, line=None), smooth(front, fill=belly, line=None),
    smooth(body), *_legs(skin, 35, 56, 91.5),
    *limb([(59, 55), (70, 55), (76, 61)], skin, 7.5),
    polygon(teeth, fill=_WHITE, width=1.6),
    curve([(72, 31), (80, 33), (92, 31)]), *_eye(69, 21, 5.2),
    dot(88, 21, 1.4, fill=_INK),
  ]  # fmt: skip


def frog() -> list[Shape]:
  """Returns a green frog: eyes on top, a wide mouth."""
  skin = "#84c94f"
  return [
    *both(ellipse(27, 30, 16, fill=skin)), ellipse(50, 60, 43, 31, fill=skin),
    *both(dot(27, 31, 13, fill=skin)), dot(50, 76, 26, 12, fill="#d9efae"),
    *both(ellipse(27, 29, 9.5, fill=_WHITE, width=2)), *_eyes(28, 30, 5.6),
    *both(dot(46, 54, 1.5, fill=_INK)), *_cheeks(17, 62),
    curve([(22, 62), (34, 71), (50, 74), (66, 71), (78, 62)]),
  ]  # fmt: skip


def snake() -> list[Shape]:
  """Returns a coiled snake, its head up and its tongue out."""
  skin, spot, tongue = "#b9c93f", "#6f7f22", "#d8403a"
  spots = [(18, 84), (34, 87.5), (50, 88.5), (66, 87.5), (82, 84)]
  return [
    *limb([(80, 82), (94, 79), (95, 66)], skin, 10),
    ellipse(50, 70, 33, 12, fill=skin),
    *limb([(44, 78), (47, 64), (64, 57), (64, 44), (48, 28)], skin, 22),
    *(
      dot(x, y, 3.2, 2.4, turn=turn, fill=spot)
      for x, y, turn in ((47, 67, -60), (57, 60, -30), (65, 50, -80))
    ),
    ellipse(50, 83, 43, 12, fill=skin),
    *(dot(x, y, 4.6, 3, fill=spot) for x, y in spots),
    lines([(42, 37), (40, 46)], line=tongue, width=2.6),
    lines([(35, 50), (40, 46), (43, 52)], line=tongue, width=2.6),
    ellipse(46, 22.5, 24, 15.5, fill=skin), *_eye(35, 20, 5), *_eye(57, 20, 5),
    *(dot(x, 27, 1.1, fill=_INK) for x in (43, 49)),
    curve([(34, 30), (46, 34), (58, 30)], width=2.2),
  ]  # fmt: skip


def turtle() -> list[Shape]:
  """Returns a turtle from the side, with its shell."""
  skin, shell, plate = "#8fcf7a", "#a4682f", "#d99c4f"
  neck = [
    (58, 74), (70, 76), (86, 71), (98, 58), (96, 42), (84, 35), (72, 41),
    (70, 54), (62, 60),
  ]  # fmt: skip
  dome = [
    (5, 71), (5, 71), (7, 46), (22, 24), (41, 17), (59, 25), (71, 46),
    (73, 71), (73, 71),
  ]  # fmt: skip
  plates = [(31, 32), (48, 32), (56, 47), (48, 61), (31, 61), (23, 47)]
  seams = [
    [(31, 32), (25, 23)], [(48, 32), (54, 22)], [(56, 47), (69, 45)],
    [(48, 61), (53, 69)], [(31, 61), (26, 69)], [(23, 47), (9, 45)],
  ]  # fmt: skip
  return [
    polygon([(10, 70), (1, 79), (16, 79)], fill=skin), *_legs(skin, 13, 48, 90),
    smooth(neck, fill=skin), smooth(dome, fill=shell),
    *(lines(seam, width=2) for seam in seams),
    polygon(plates, fill=plate, width=2), *limb([(5, 71), (74, 71)], plate, 9),
    *_eye(86, 49, 4.8), curve([(82, 60), (88, 62), (93, 58)], width=2.2),
    dot(78, 58, 3.4, 2.3, fill=_BLUSH),
  ]  # fmt: skip


def bear() -> list[Shape]:
  """Returns a brown bear: small round ears, a light muzzle."""
  fur, light = "#8d5a3b", "#e3bd94"
  return [
    *both(ellipse(22, 25, 14, fill=fur), dot(22, 26, 7, fill=light)),
    ellipse(50, 56, 41, 36, fill=fur), dot(50, 70, 20, 15, fill=light),
    *_eyes(33, 51, 4.6), *_nose(63, 7.4), *_mouth(68, 11, 8),
  ]  # fmt: skip


def mouse() -> list[Shape]:
  """Returns a grey mouse: large round ears, a pointed face, whiskers."""
  fur = "#c3bcc6"
  half = [(50, 32), (30, 38), (22, 56), (30, 74), (42, 86), (50, 89)]
  return [
    *both(ellipse(23, 30, 20, fill=fur), dot(23, 31, 12.5, fill=_PINK)),
    smooth(_round(half), fill=fur), *_eyes(38, 57, 5), *_cheeks(32, 70),
    *_whiskers(38, 76, 20),
    polygon([(46, 86), (54, 86), (54, 94), (46, 94)], fill=_WHITE, width=1.8),
    lines([(50, 86), (50, 94)], width=1.4),
    ellipse(50, 78, 5.6, 4.6, fill=_PINK, width=2), *_mouth(82, 7, 4.5),
  ]  # fmt: skip


def tiger() -> list[Shape]:
  """Returns an orange tiger: black stripes, round ears."""
  fur = "#f7ac3d"
  stripes = [
    [(36, 21), (44, 21), (41, 36)], [(8, 50), (24, 55), (9, 60)],
    [(11, 68), (26, 69), (15, 77)],
  ]  # fmt: skip
  return [
    *both(
      ellipse(21, 25, 14, fill=fur),
      dot(21, 26, 7.5, fill=_INK),
      dot(22, 28, 4.6, fill=_WHITE),
    ),
    dot(50, 56, 42, 36, fill=fur),
    polygon([(47, 20), (53, 20), (50, 40)], fill=_INK, line=_INK, width=1.5),
    *both(*(polygon(one, fill=_INK, line=_INK, width=1.5) for one in stripes)),
    *both(dot(41, 73, 13, 11.5, fill=_CREAM)), ellipse(50, 56, 42, 36),
    *_eyes(33, 52, 5),
    polygon([(43, 61), (57, 61), (50, 68)], fill=_PINK, width=2),
    *_mouth(69, 13, 9),
  ]  # fmt: skip


def anybody() -> list[Shape]:
  """Returns a smiling face."""
  return [
    ellipse(50, 50, 42, fill="#f6cf6a"), *_eyes(35, 43, 5.6), *_cheeks(24, 58),
    curve([(32, 60), (40, 70), (50, 73), (60, 70), (68, 60)]),
  ]  # fmt: skip
