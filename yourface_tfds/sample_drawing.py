"""Draws photos of people who do not exist, for the demo and the tests.

  person = sample_drawing.make_person(seed=1, index=0)
  photo = sample_drawing.draw_photo(person, seed=1, index=0)  # PIL, RGB
  sample_drawing.write_photos("M", people=24, photos=20, seed=1)

Everything follows from the seed: photo k of person p is the same whatever the
number of people and photos asked for. A photo looks like one from the web: its
own size, pose, light, background, noise, blur and JPEG quality.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from yourface_tfds import sample_face, sample_painter, sample_people

Person = sample_people.Person
make_person = sample_people.make_person

# What a face detector boxes: from the middle of the forehead to the chin.
_FACE = (-0.84, -0.88, 0.84, 1.24)
# The head with hair, ears and microphone; must lie within the photo.
_HEAD_TOP, _HEAD_BOTTOM, _HEAD_SIDE = -1.78, 1.65, 1.62


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
  """A drawn photo and where the face is on it.

  Attributes:
    image: RGB.
    face_box: x_min, y_min, x_max, y_max of the face (forehead to chin, without
      hair and ears), upright, in pixels of the photo.
    quality: JPEG quality to save it with, 80 to 95.
  """

  image: Image.Image
  face_box: tuple[float, float, float, float]
  quality: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
  """Where the head is: size of the photo and similarity transform."""

  width: int
  height: int
  x: float
  y: float
  scale: float
  tilt: float

  def to_photo(self, points: np.ndarray) -> np.ndarray:
    """Returns points given in face units in pixels of the photo."""
    turned = sample_painter.rotate(np.asarray(points, float), self.tilt)
    return turned * self.scale + (self.x, self.y)


def draw_photo(person: Person, seed: int, index: int) -> Image.Image:
  """Returns photo `index` of a person: RGB, long side 320 to 800 pixels."""
  return draw(person, seed=seed, index=index).image


def draw(person: Person, *, seed: int, index: int) -> Drawing:
  """Returns photo `index` of a person, with the place of the face."""
  rng = sample_people.photo_rng(seed, person.index, index)
  place = _make_place(rng)
  head = sample_face.draw_head(person, _make_pose(rng))
  photo = _background(rng, place)
  _body(photo, person, place)
  _paste_head(photo, head, place)
  photo = _camera(photo, rng, place)
  corners = np.array([_FACE[:2], _FACE[2:]])
  center = place.to_photo(corners.mean(axis=0, keepdims=True))[0]
  half = (corners[1] - corners[0]) * place.scale / 2
  box = (*(center - half).tolist(), *(center + half).tolist())
  return Drawing(image=photo, face_box=box, quality=int(rng.integers(80, 96)))


def _make_pose(rng: np.random.Generator) -> sample_face.Pose:
  return sample_face.Pose(
    yaw=rng.uniform(-0.5, 0.5),
    pitch=rng.uniform(-0.6, 0.6),
    smile=rng.uniform(-0.2, 0.8),
    mouth_open=rng.uniform(0, 1),
    gaze=rng.uniform(-0.8, 0.8),
    lids=rng.uniform(0, 0.3),
    light_direction=rng.uniform(-190, 10),
    light_strength=rng.uniform(0.05, 0.32),
    side=int(rng.choice([-1, 1])),
    reach=rng.uniform(-1, 1),
  )


def _make_place(rng: np.random.Generator) -> _Place:
  long_side = int(rng.integers(320, 801))
  short_side = round(long_side / rng.uniform(1.0, 1.6))
  size = [short_side, long_side]
  if rng.uniform() < 0.4:
    size.reverse()
  width, height = size
  # The face is 25 to 60 % of the short side, and not below 80 pixels.
  face = short_side * rng.uniform(0.27, 0.58)
  scale = max(face, 80) / (_FACE[3] - _FACE[1])
  tilt = float(np.clip(rng.normal(0, 8), -20, 20))
  corners = np.array(
    [
      [x, y]
      for x in (-_HEAD_SIDE, _HEAD_SIDE)
      for y in (_HEAD_TOP, _HEAD_BOTTOM)
    ]
  )
  # Corners of a head are round: .9 of the box around the turned one.
  reach = sample_painter.rotate(corners, tilt) * 0.9
  low, high = reach.min(axis=0), reach.max(axis=0)
  # .999: where the head just fits, rounding must not turn the range around.
  scale = min(scale, *(0.999 * np.array(size) / (high - low)))
  x = rng.uniform(-low[0] * scale, width - high[0] * scale)
  y = rng.uniform(-low[1] * scale, height - high[1] * scale)
  return _Place(width=width, height=height, x=x, y=y, scale=scale, tilt=tilt)


def _background(rng: np.random.Generator, place: _Place) -> Image.Image:
  """Returns a wall, a gradient or blurred things, at the size of the photo."""
  small = (place.width // 4, place.height // 4)
  image = Image.new("RGB", small)
  colors = rng.integers(20, 236, size=(12, 3))
  down = np.linspace(0, 1, small[1])[:, None, None]
  across = np.linspace(0, 1, small[0])[None, :, None]
  share = np.clip(down * rng.uniform(0, 1) + across * rng.uniform(-1, 1), 0, 1)
  ramp = colors[0] * (1 - share) + colors[1] * share
  image = Image.fromarray(ramp.astype(np.uint8))
  draw = ImageDraw.Draw(image)
  for color in colors[2 : 2 + rng.integers(0, 10)].tolist():
    x, y = rng.uniform(0, 1, size=2) * small
    wide, high = rng.uniform(0.05, 0.3, size=2) * max(small)
    corners = [x - wide, y - high, x + wide, y + high]
    if rng.uniform() < 0.5:
      draw.ellipse(corners, fill=tuple(color))
    else:
      draw.rectangle(corners, fill=tuple(color))
  image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 10)))
  image = image.resize((place.width, place.height), Image.Resampling.BICUBIC)
  if rng.uniform() < 0.3:
    _tiles(image, rng)
  return image


def _tiles(image: Image.Image, rng: np.random.Generator) -> None:
  """Draws the joints of a brick or tile wall."""
  draw = ImageDraw.Draw(image, "RGBA")
  wide, high = rng.integers(24, 90, size=2).tolist()
  ink = (*rng.integers(0, 256, size=3).tolist(), 90)
  for row, y in enumerate(range(0, image.height, high)):
    draw.line([(0, y), (image.width, y)], fill=ink, width=2)
    for x in range(row % 2 * wide // 2, image.width, wide):
      draw.line([(x, y), (x, y + high)], fill=ink, width=2)


def _body(photo: Image.Image, person: Person, place: _Place) -> None:
  """Draws shoulders that stay upright under a tilted head."""
  neck = place.to_photo(np.array([[0.0, 1.5]]))[0]
  below = max(1.5, (place.height - neck[1]) / place.scale + 0.1)
  right = np.concatenate(
    [
      sample_painter.curve([(0.3, 0), (1.0, 0.25), (2.0, 0.3), (2.2, 1.4)]),
      [[2.2, below]],
    ]
  )
  body = np.concatenate([right, (right * (-1, 1))[::-1]]) * place.scale + neck
  mask = Image.new("L", photo.size, 0)
  ImageDraw.Draw(mask).polygon([(x, y) for x, y in body.tolist()], fill=255)
  mask = mask.filter(ImageFilter.BoxBlur(1))
  photo.paste(person.cloth, (0, 0), mask)


def _paste_head(
  photo: Image.Image, head: sample_painter.Painter, place: _Place
) -> None:
  """Turns, scales and pastes the head, with soft edges."""
  image, mask = head.image, head.mask
  unit = float(sample_painter.UNIT)
  shrink = max(1, int(unit / place.scale))
  if shrink > 1:
    image, mask = image.reduce(shrink), mask.reduce(shrink)
    unit /= shrink
  image.putalpha(mask.filter(ImageFilter.GaussianBlur(0.7)))
  half = sample_painter.HALF * np.sqrt(2) * place.scale
  left, top = max(0, int(place.x - half)), max(0, int(place.y - half))
  right = min(photo.width, int(place.x + half) + 1)
  bottom = min(photo.height, int(place.y + half) + 1)
  # Photo pixel -> face units -> pixel of the head. Pillow adds the half pixel.
  turn = np.deg2rad(place.tilt)
  cos, sin = np.array([np.cos(turn), np.sin(turn)]) * unit / place.scale
  x, y = left - place.x, top - place.y
  center = sample_painter.HALF * unit
  matrix = (
    cos, sin, cos * x + sin * y + center,
    -sin, cos, -sin * x + cos * y + center,
  )  # fmt: skip
  turned = image.transform(
    (right - left, bottom - top),
    Image.Transform.AFFINE,
    matrix,
    resample=Image.Resampling.BILINEAR,
  )
  photo.paste(turned, (left, top), turned)


def _camera(
  photo: Image.Image, rng: np.random.Generator, place: _Place
) -> Image.Image:
  """Returns the photo as a camera takes it: tone, blur, noise."""
  # At most 1 % of the face is blurred away.
  photo = photo.filter(
    ImageFilter.GaussianBlur(rng.uniform(0.2, 0.022 * place.scale))
  )
  warm = rng.uniform(-0.12, 0.12)
  gains = rng.uniform(0.82, 1.15) * np.array([[1 + warm], [1], [1 - warm]])
  tone = (np.arange(256) - 120) * rng.uniform(0.8, 1.15) + 120
  table = np.clip(gains * tone, 0, 255).astype(int)
  photo = photo.point(table.ravel().tolist())
  # Gaussian grain by look-up: drawing bytes is 10 x faster than normals.
  grain = np.sort(rng.standard_normal(256)) * rng.uniform(1, 7)
  draws = rng.integers(256, size=(photo.height, photo.width, 1), dtype=np.uint8)
  pixels = np.asarray(photo).astype(np.int16)
  pixels += grain.round().astype(np.int16)[draws]
  return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
