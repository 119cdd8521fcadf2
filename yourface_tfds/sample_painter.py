"""A canvas in face units, on which a head is painted.

The origin is between eyes and nose, x goes right, y down; the face reaches from
about -0.9 to 0.9 in x and from -1.3 (skull) to 1.25 (chin) in y. Every point is
moved by the turn of the head before it is painted, so that callers draw a head
that looks straight ahead.
"""

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from yourface_tfds import sample_people

Color = sample_people.Color
Points = np.ndarray
"""float [N,2]: x and y in face units."""

UNIT = 96
"""Pixels of the canvas per face unit."""
HALF = 2.4
"""Half the side of the canvas in face units."""
SIZE = round(2 * HALF * UNIT)
"""Side of the canvas in pixels."""
_COARSE = 4  # Soft things are painted this much smaller, for speed.


def oval(
  x: float,
  y: float,
  width: float,
  height: float,
  *,
  tilt: float = 0.0,
  power: float = 2.0,
  steps: int = 40,
) -> Points:
  """Returns a (super-)ellipse.

  Args:
    x: centre.
    y: centre.
    width: half the width.
    height: half the height.
    tilt: clockwise turn in degrees.
    power: 2 is an ellipse, more is squarer, less is more pointed.
    steps: number of points.
  """
  turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
  cos, sin = np.cos(turn), np.sin(turn)
  points = np.stack(
    [
      width * np.sign(cos) * np.abs(cos) ** (2 / power),
      height * np.sign(sin) * np.abs(sin) ** (2 / power),
    ],
    axis=1,
  )
  return rotate(points, tilt) + np.array([x, y])


def rotate(points: Points, degrees: float) -> Points:
  """Returns points turned clockwise about the origin."""
  angle = np.deg2rad(degrees)
  cos, sin = np.cos(angle), np.sin(angle)
  return points @ np.array([[cos, sin], [-sin, cos]])


def curve(points: Iterable[tuple[float, float]], steps: int = 24) -> Points:
  """Returns a smooth (Bezier) line led by the given points."""
  rest = np.asarray(list(points), dtype=float)[None]
  share = np.linspace(0, 1, steps)[:, None, None]
  while rest.shape[1] > 1:
    rest = rest[:, :-1] * (1 - share) + rest[:, 1:] * share
  return rest[:, 0]


class Painter:
  """Paints a head; `image` is what to see, `mask` is where it is solid.

  Attributes:
    image: RGB, SIZE x SIZE.
    mask: L, SIZE x SIZE; 255 where something solid was painted.
  """

  def __init__(self, *, yaw: float = 0.0, pitch: float = 0.0) -> None:
    self.image = Image.new("RGB", (SIZE, SIZE), (40, 34, 32))
    self.mask = Image.new("L", (SIZE, SIZE), 0)
    self._yaw = yaw
    self._pitch = pitch
    self._draw = ImageDraw.Draw(self.image, "RGBA")
    self._mask_draw = ImageDraw.Draw(self.mask)
    side = SIZE // _COARSE
    self._axis = (np.arange(side) + 0.5) * _COARSE / UNIT - HALF
    self._light = np.ones((side, side), np.float32)

  def move(self, points: Points) -> Points:
    """Returns where the turn of the head takes points, in face units."""
    x, y = points[:, 0], points[:, 1]
    # Near parts move most; the outline stays (1.3: just outside of it).
    near = np.clip(1 - (x / 1.3) ** 2, 0, 1) * np.clip(1 - (y / 1.6) ** 2, 0, 1)
    return np.stack(
      [x + 0.22 * self._yaw * near, y + 0.16 * self._pitch * near], axis=1
    )

  def fill(
    self, points: Points, color: Color, *, alpha: float = 1, solid: bool = False
  ) -> None:
    """Fills a polygon; `solid` makes it part of the outline of the head."""
    pixels = self._pixels(points)
    self._draw.polygon(pixels, fill=(*color, round(255 * alpha)))
    if solid:
      self._mask_draw.polygon(pixels, fill=255)

  def line(
    self,
    points: Points,
    color: Color,
    width: float,
    *,
    alpha: float = 1,
    solid: bool = False,
  ) -> None:
    """Draws a line of a width in face units, with round joints."""
    pixels = self._pixels(points)
    thick = max(1, round(width * UNIT))
    self._draw.line(
      pixels, fill=(*color, round(255 * alpha)), width=thick, joint="curve"
    )
    if solid:
      self._mask_draw.line(pixels, fill=255, width=thick, joint="curve")

  def soft(
    self, points: Points, color: Color, *, alpha: float, blur: float
  ) -> None:
    """Fills a polygon with a soft edge; `blur` is in face units."""
    pixels = self._pixels(points)
    left, top, right, bottom = _bounds(pixels, margin=2.5 * blur * UNIT)
    coarse = _COARSE if blur > 0.04 else 1
    wide, high = -(-(right - left) // coarse), -(-(bottom - top) // coarse)
    small = Image.new("L", (wide, high), 0)
    near = [((x - left) / coarse, (y - top) / coarse) for x, y in pixels]
    ImageDraw.Draw(small).polygon(near, fill=round(255 * alpha))
    small = small.filter(ImageFilter.GaussianBlur(blur * UNIT / coarse))
    large = small.resize(
      (wide * coarse, high * coarse), Image.Resampling.BILINEAR
    )
    self.image.paste(
      color, (left, top, left + large.width, top + large.height), large
    )

  @contextlib.contextmanager
  def inside(self, points: Points) -> Iterator[None]:
    """Keeps what is painted in this context within a polygon."""
    pixels = self._pixels(points)
    box = _bounds(pixels, margin=1)
    before = self.image.copy()
    yield
    part = self.image.crop(box)
    cut = Image.new("L", part.size, 0)
    near = [(x - box[0], y - box[1]) for x, y in pixels]
    ImageDraw.Draw(cut).polygon(near, fill=255)
    before.paste(part, box, cut)
    self.image.paste(before)

  def shade(
    self, x: float, y: float, width: float, height: float, amount: float
  ) -> None:
    """Notes a soft spot: darker where `amount` is below 0, brighter above."""
    (center,) = self.move(np.array([[x, y]]))
    across = np.exp(-(((self._axis - center[0]) / width) ** 2))
    down = np.exp(-(((self._axis - center[1]) / height) ** 2))
    self._light += amount * np.outer(down, across).astype(np.float32)

  def light(self, direction: float, strength: float) -> None:
    """Notes the light: from where (degrees, 0 right, 90 below), how strong."""
    angle = np.deg2rad(direction)
    side = self._axis[None] * np.cos(angle) + self._axis[:, None] * np.sin(
      angle
    )
    self._light *= (1 + strength * np.clip(side / 1.2, -1, 1)).astype(
      np.float32
    )

  def apply_light(self) -> None:
    """Darkens and brightens the image by all that was noted."""
    light = Image.fromarray(np.clip(self._light, 0.25, 1.6)).resize(
      (SIZE, SIZE), Image.Resampling.BILINEAR
    )
    lit = np.asarray(self.image, np.float32) * np.asarray(light)[..., None]
    self.image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    self._draw = ImageDraw.Draw(self.image, "RGBA")
    self._light = np.ones_like(self._light)

  def _pixels(self, points: Points) -> list[tuple[float, float]]:
    moved = (self.move(np.asarray(points, dtype=float)) + HALF) * UNIT
    return [(x, y) for x, y in moved.tolist()]


def _bounds(
  pixels: list[tuple[float, float]], *, margin: float
) -> tuple[int, int, int, int]:
  """Returns left, top, right, bottom around points, within the canvas."""
  x, y = zip(*pixels, strict=True)
  return (
    max(0, int(min(x) - margin)),
    max(0, int(min(y) - margin)),
    min(SIZE, int(max(x) + margin) + 2),
    min(SIZE, int(max(y) + margin) + 2),
  )
