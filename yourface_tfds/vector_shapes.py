"""Vector shapes: one list of curves, drawn as pixels and written as SVG.

  shapes = [vector_shapes.ellipse(50, 50, 40, fill="#f6cf6a")]
  vector_shapes.pixels(shapes, side=96)    # PIL.Image, RGBA
  vector_shapes.svg(shapes, side=96)       # str

A picture is 100 units wide and high, x to the right and y down. A shape is a
chain of cubic Bezier curves, whatever it was made of, so that the two ways of
drawing share every number.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]

UNITS = 100
"""Width and height of a picture in the units of the shapes."""

INK = "#3a2d38"
"""The colour of every outline."""
WIDTH = 2.8
"""The usual width of an outline, units."""

# (4/3) tan(pi/8): four Bezier curves that leave a circle by .03 % at most.
_ARC = 0.5522847498
# Pixels drawn for each side of a pixel shown: 16 shades at an edge. A small
# picture is drawn on more, as lines have whole pixels.
_FINER, _SMALLEST_DRAWN = 4, 256
# Straight pieces of a curve.
_STEPS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
  """One filled, outlined or filled and outlined chain of Bezier curves.

  Attributes:
    points: the start, then two controls and an end for each curve.
    fill: colour "#rrggbb" of the inside, or None.
    line: colour of the outline, or None.
    width: of the outline, units; its ends and corners are round.
    closed: whether the outline goes back to the start.
  """

  points: tuple[Point, ...]
  fill: str | None = None
  line: str | None = INK
  width: float = WIDTH
  closed: bool = True


def ellipse(
  x: float,
  y: float,
  x_radius: float,
  y_radius: float | None = None,
  *,
  turn: float = 0,
  fill: str | None = None,
  line: str | None = INK,
  width: float = WIDTH,
) -> Shape:
  """Returns an ellipse, or a circle where `y_radius` is None.

  Args:
    x: centre.
    y: centre.
    x_radius: half its width before it is turned.
    y_radius: half its height.
    turn: degrees, clockwise.
    fill: as of `Shape`, like `line` and `width`.
    line: see `fill`.
    width: see `fill`.
  """
  a, c = x_radius, x_radius if y_radius is None else y_radius
  b, d = a * _ARC, c * _ARC
  flat = (
    (a, 0), (a, d), (b, c), (0, c), (-b, c), (-a, d), (-a, 0),
    (-a, -d), (-b, -c), (0, -c), (b, -c), (a, -d), (a, 0),
  )  # fmt: skip
  sine, cosine = math.sin(math.radians(turn)), math.cos(math.radians(turn))
  points = tuple(
    (x + px * cosine - py * sine, y + px * sine + py * cosine)
    for px, py in flat
  )
  return Shape(points=points, fill=fill, line=line, width=width)


def dot(
  x: float,
  y: float,
  x_radius: float,
  y_radius: float | None = None,
  *,
  turn: float = 0,
  fill: str,
) -> Shape:
  """Returns an `ellipse` without an outline."""
  return ellipse(x, y, x_radius, y_radius, turn=turn, fill=fill, line=None)


def polygon(
  corners: Sequence[Point],
  *,
  fill: str | None = None,
  line: str | None = INK,
  width: float = WIDTH,
) -> Shape:
  """Returns straight lines around an area; for the rest see `Shape`."""
  return Shape(
    points=_straight([*corners, corners[0]]), fill=fill, line=line, width=width
  )


def lines(
  ends: Sequence[Point], *, line: str = INK, width: float = WIDTH
) -> Shape:
  """Returns straight lines from one end to the other."""
  return Shape(points=_straight(ends), line=line, width=width, closed=False)


def smooth(
  knots: Sequence[Point],
  *,
  fill: str | None = None,
  line: str | None = INK,
  width: float = WIDTH,
) -> Shape:
  """Returns the uniform Catmull-Rom curve around an area.

  Each control stands a sixth of the way between the neighbours of a knot away
  from it (Catmull and Rom, 1974, in Bezier form). A knot given twice in a row
  is a corner.
  """
  points = _round([knots[-1], *knots, knots[0], knots[1]])
  return Shape(points=points, fill=fill, line=line, width=width)


def curve(
  knots: Sequence[Point], *, line: str = INK, width: float = WIDTH
) -> Shape:
  """Returns the uniform Catmull-Rom curve from one knot to another."""
  points = _round([knots[0], *knots, knots[-1]])
  return Shape(points=points, line=line, width=width, closed=False)


def limb(knots: Sequence[Point], color: str, width: float) -> list[Shape]:
  """Returns an outlined band along the knots, `width` with its outline."""
  return [
    curve(knots, width=width),
    curve(knots, line=color, width=width - 2 * WIDTH),
  ]


def both(*shapes: Shape) -> list[Shape]:
  """Returns each shape and its mirror image, left to right."""
  mirrored = [
    dataclasses.replace(
      shape, points=tuple((UNITS - x, y) for x, y in shape.points)
    )
    for shape in shapes
  ]
  return [one for pair in zip(shapes, mirrored, strict=True) for one in pair]


def pixels(shapes: Iterable[Shape], side: int) -> Image.Image:
  """Draws the shapes, first to last, on nothing.

  Args:
    shapes: the picture.
    side: width and height, pixels, 1 or more.

  Returns:
    RGBA, smooth at the edges.

  Raises:
    ValueError: `side` is below 1.
  """
  if side < 1:
    raise ValueError(f"Got side {side}; a picture has at least 1 pixel.")
  drawn = side * max(_FINER, math.ceil(_SMALLEST_DRAWN / side))
  scale = drawn / UNITS
  image = Image.new("RGBA", (drawn, drawn))
  pen = ImageDraw.Draw(image)
  for shape in shapes:
    path = [(x * scale, y * scale) for x, y in _flat(shape.points)]
    if shape.fill:
      pen.polygon(path, fill=shape.fill)
    if shape.line:
      _stroke(pen, path, shape, scale)
  return image.resize((side, side), Image.Resampling.BOX)


def svg(shapes: Iterable[Shape], side: int) -> str:
  """Returns the shapes as an SVG document without a declaration or text.

  It can stand in a page as it is: it has no identifiers that could collide.

  Args:
    shapes: the picture.
    side: width and height it asks for, CSS pixels.

  Raises:
    ValueError: `side` is below 1.
  """
  if side < 1:
    raise ValueError(f"Got side {side}; a picture has at least 1 pixel.")
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" '
    f'viewBox="0 0 {UNITS} {UNITS}" aria-hidden="true" '
    'stroke-linecap="round" stroke-linejoin="round">'
  ]
  for shape in shapes:
    start, *rest = shape.points
    curves = " ".join(f"{_number(x)} {_number(y)}" for x, y in rest)
    end = "Z" if shape.closed else ""
    line = f' stroke="{shape.line}" stroke-width="{_number(shape.width)}"'
    parts.append(
      f'<path d="M{_number(start[0])} {_number(start[1])}C{curves}{end}" '
      f'fill="{shape.fill or "none"}"{line if shape.line else ""}/>'
    )
  return "".join([*parts, "</svg>"])


def _number(value: float) -> str:
  return f"{value:.2f}".rstrip("0").rstrip(".")


def _straight(ends: Sequence[Point]) -> tuple[Point, ...]:
  points = [ends[0]]
  for (ax, ay), (bx, by) in itertools.pairwise(ends):
    dx, dy = (bx - ax) / 3, (by - ay) / 3
    points += [(ax + dx, ay + dy), (bx - dx, by - dy), (bx, by)]
  return tuple(points)


def _round(knots: Sequence[Point]) -> tuple[Point, ...]:
  """Returns the curves between all knots but the first and the last."""
  points = [knots[1]]
  for i in range(1, len(knots) - 2):
    before, start, end, after = knots[i - 1 : i + 3]
    if start == end:
      continue
    leave = (0, 0) if before == start else _sixth(before, end)
    reach = (0, 0) if after == end else _sixth(start, after)
    points += [
      (start[0] + leave[0], start[1] + leave[1]),
      (end[0] - reach[0], end[1] - reach[1]),
      end,
    ]
  return tuple(points)


def _sixth(start: Point, end: Point) -> Point:
  return (end[0] - start[0]) / 6, (end[1] - start[1]) / 6


def _flat(points: Sequence[Point]) -> list[Point]:
  """Returns points along the curves, `_STEPS` to each."""
  t = np.linspace(0, 1, _STEPS + 1)[1:, None]
  chain = np.asarray(points, np.float64)
  path = [chain[:1]]
  for i in range(0, len(chain) - 1, 3):
    a, b, c, d = chain[i : i + 4]
    s = 1 - t
    path.append(a * s**3 + 3 * b * s * s * t + 3 * c * s * t * t + d * t**3)
  return [(x, y) for x, y in np.concatenate(path).tolist()]


def _stroke(
  pen: ImageDraw.ImageDraw, path: list[Point], shape: Shape, scale: float
) -> None:
  """Draws an outline; the discs make its ends and corners round."""
  width = max(1, round(shape.width * scale))
  line = [*path, path[0]] if shape.closed else path
  pen.line(line, fill=shape.line, width=width)
  radius = (width - 1) / 2
  for x, y in line:
    pen.ellipse(
      (x - radius, y - radius, x + radius, y + radius), fill=shape.line
    )
