"""The aligned square crop of a face, in TensorFlow ops.

The dataset build and the exported model call the same `crop_face`, so that a
model sees in use what it saw in training.

  image = crop.crop_face(photo, box, landmarks)    # uint8 [150, 150, 3]

The crop is a square around the box, `margin` times its longer side, turned
until the eyes are level. It is read from the photo at full resolution, shrunk
by area first where the face is larger than the crop, and then sampled once,
bilinearly. Beyond the edges of the photo the edge pixels repeat: bars of black
would be something to learn.

Contract:
  * photo: uint8 [h, w, 3] RGB, upright, h and w >= 1.
  * box: float32 [4], y_min x_min y_max x_max; landmarks: float32 [5, 2], y x,
    the two eyes first, the one on the left of the image before the other.
  * Coordinates are continuous pixels of the photo: the first pixel covers 0..1,
    its centre is at 0.5. They may lie outside of it.
"""

import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropSettings:
  """How faces are cut out.

  A margin of 1 cuts chin, hair and ears off; 1.3 shows the whole head. Of the
  faces in photos from the web 95 % are rolled by less than 21 degrees, and
  beyond 60 it is more often the landmarks that are wrong. Eyes closer together
  than a fifth of the box are those of a profile, and their line says nothing.

  Attributes:
    image_size: side of the crop, pixels.
    margin: side of the crop over the longer side of the box.
    max_roll_degrees: faces rolled by more are not turned, 0..180.
    min_eye_distance: faces with closer eyes are not turned; a fraction of the
      longer side of the box.

  Raises:
    ValueError: a value is out of its range.
  """

  image_size: int = 150
  margin: float = 1.3
  max_roll_degrees: float = 60.0
  min_eye_distance: float = 0.2

  def __post_init__(self) -> None:
    if self.image_size < 1:
      raise ValueError(
        f"Got image_size {self.image_size}; it must be at least 1 pixel."
      )
    if not 0 < self.margin < math.inf:
      raise ValueError(
        f"Got margin {self.margin}; it must be above 0, 1.3 is usual."
      )
    if not 0 <= self.max_roll_degrees <= 180:
      raise ValueError(
        f"Got max_roll_degrees {self.max_roll_degrees}; allowed: 0 (never turn "
        "a face) to 180 (always)."
      )
    if not self.min_eye_distance >= 0:
      raise ValueError(
        f"Got min_eye_distance {self.min_eye_distance}; it must be at least 0."
      )


_DEFAULT = CropSettings()


def source_side(box: tf.Tensor, margin: float = _DEFAULT.margin) -> tf.Tensor:
  """Returns how many pixels of the photo the side of a crop covers.

  Where it is below the size of the crop, the crop is an enlargement; users
  filter examples by it.

  Args:
    box: float32 [..., 4].
    margin: side of the crop over the longer side of the box.

  Returns:
    float32 [...], at least 1.
  """
  corner, end = tf.split(box, 2, axis=-1)
  longer = tf.reduce_max(end - corner, -1)
  # A row without a face holds a box of zeros, and must not divide by it.
  return tf.maximum(margin * longer, 1.0)


def roll(
  box: tf.Tensor, landmarks: tf.Tensor, settings: CropSettings = _DEFAULT
) -> tf.Tensor:
  """Returns the angle to turn a face by: float32 [], radians, clockwise.

  0 where the guards of the settings say that the eyes cannot be trusted.
  """
  dy, dx = tf.unstack(landmarks[1] - landmarks[0])
  angle = tf.atan2(dy, dx)
  eyes = settings.min_eye_distance * source_side(box, 1.0)
  trusted = tf.sqrt(dy * dy + dx * dx) >= eyes
  level = tf.abs(angle) <= math.radians(settings.max_roll_degrees)
  return tf.where(trusted & level, angle, 0.0)


def crop_face(
  photo: tf.Tensor,
  box: tf.Tensor,
  landmarks: tf.Tensor,
  settings: CropSettings = _DEFAULT,
) -> tf.Tensor:
  """Cuts one face out of its photo, upright and square.

  Args:
    photo: uint8 [h, w, 3], full resolution.
    box: float32 [4], pixels of the photo.
    landmarks: float32 [5, 2], pixels of the photo.
    settings: how.

  Returns:
    uint8 [image_size, image_size, 3].
  """
  size = settings.image_size
  side = source_side(box, settings.margin)
  angle = roll(box, landmarks, settings)
  centre = (box[:2] + box[2:]) / 2
  scale = tf.minimum(1.0, size / side)

  region, corner = _region(photo, centre, side, angle, scale)
  shape = tf.cast(tf.shape(region)[:2], tf.float32)
  small = tf.cast(tf.maximum(tf.round(shape * scale), 1.0), tf.int32)
  region = tf.image.resize(region, small, tf.image.ResizeMethod.AREA)
  # The sides were rounded: what was really shrunk by, y and x apart.
  scales = tf.cast(small, tf.float32) / shape
  crop = tf.raw_ops.ImageProjectiveTransformV3(
    images=region[tf.newaxis],
    transforms=_transform(centre - corner, side, angle, scales, size),
    output_shape=[size, size],
    fill_value=0.0,
    interpolation="BILINEAR",
    fill_mode="NEAREST",
  )[0]
  crop = tf.clip_by_value(tf.round(crop), 0.0, 255.0)
  return tf.ensure_shape(tf.cast(crop, tf.uint8), [size, size, 3])


def _transform(
  centre: tf.Tensor,
  side: tf.Tensor,
  angle: tf.Tensor,
  scales: tf.Tensor,
  size: int,
) -> tf.Tensor:
  """Returns the affine map from pixels of the crop to those of the region.

  Args:
    centre: float32 [2], y x of the face before the region was shrunk.
    side: float32 [], pixels that the crop covers before the region was shrunk.
    angle: float32 [], radians.
    scales: float32 [2], what the region was shrunk by, y x.
    size: side of the crop, pixels.

  Returns:
    float32 [1, 8] for ImageProjectiveTransformV3, which counts from the centre
    of the first pixel, 0.5 in continuous pixels.
  """
  # Not side / size: TensorFlow turns that into this, one rounding off, in some
  # graphs and not in others (eagerly, inside tf.data).
  step = side * (1 / size)
  sine, cosine = tf.sin(angle) * step, tf.cos(angle) * step
  half = (size - 1) / 2
  y, x = tf.unstack(centre)
  y_scale, x_scale = tf.unstack(scales)
  rows = [
    x_scale * cosine,
    -x_scale * sine,
    x_scale * (x - cosine * half + sine * half) - 0.5,
    y_scale * sine,
    y_scale * cosine,
    y_scale * (y - sine * half - cosine * half) - 0.5,
    0.0,
    0.0,
  ]
  return tf.stack(rows)[tf.newaxis]


def _region(
  photo: tf.Tensor,
  centre: tf.Tensor,
  side: tf.Tensor,
  angle: tf.Tensor,
  scale: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Cuts out what the crop can see: a tenth of a photo, mostly.

  Returns:
    uint8 [h, w, 3], at least one pixel, and its corner in the photo, float32
    [2], whole pixels.
  """
  reach = side / 2 * (tf.abs(tf.cos(angle)) + tf.abs(tf.sin(angle)))
  # Two pixels more on each side, after shrinking, for the bilinear neighbours.
  reach += 2 / scale
  shape = tf.cast(tf.shape(photo)[:2], tf.float32)
  # At least one pixel of the photo, where the face is wholly outside.
  start = tf.clip_by_value(tf.floor(centre - reach), 0.0, shape - 1)
  end = tf.clip_by_value(tf.math.ceil(centre + reach), start + 1, shape)
  begin = tf.cast(start, tf.int32)
  extent = tf.cast(end, tf.int32) - begin
  region = tf.slice(
    photo, tf.concat([begin, [0]], 0), tf.concat([extent, [3]], 0)
  )
  return region, start


def to_photo_pixels(
  points: tf.Tensor, fitted: tf.Tensor, photo: tf.Tensor
) -> tf.Tensor:
  """Brings coordinates of the detector's input back to the photo.

  Each axis by its own factor, as `mtcnn.fit_photo` rounds each side.

  Args:
    points: float32 [..., 4] boxes or [..., 5, 2] landmarks, y before x, pixels
      of the fitted photo.
    fitted: int32 [2], height and width of the fitted photo.
    photo: int32 [2], height and width of the photo.

  Returns:
    float32 as `points`, pixels of the photo.
  """
  factors = tf.cast(photo, tf.float32) / tf.cast(fitted, tf.float32)
  pairs = int(points.shape[-1]) // 2  # pyright: ignore[reportArgumentType]
  return points * tf.tile(factors, [pairs])
