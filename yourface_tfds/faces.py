"""The main face of each photo, cut out: detection and crop, joined.

The dataset build calls it photo by photo, the exported model holds the same
functions in its graph; a crop at training time and one at answering time
cannot come from different code.

  finder = faces.FaceFinder(crop.CropSettings())
  for face in finder.find([photo]):   # photos of any sizes
    face.found, face.box, face.crop
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from yourface_tfds import crop, mtcnn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
  """What was found in one photo.

  Attributes:
    found: whether there is a face at all; if not, the rest is zeros.
    box: float32[4], y_min, x_min, y_max, x_max, pixels of the photo.
    landmarks: float32[5, 2], y and x, pixels of the photo.
    score: the detector's confidence, 0..1.
    count: how many faces the photo shows.
    area_ratio: second largest face to this one, 0 for a single face.
    crop: uint8[size, size, 3], 0..255.
  """

  found: bool
  box: np.ndarray
  landmarks: np.ndarray
  score: float
  count: int
  area_ratio: float
  crop: np.ndarray


class FaceFinder(tf.Module):
  """Finds and cuts out main faces.

  Attributes:
    crop_settings: how crops are made.
    min_score: detections below are no faces, 0..1.
    detector: the in-graph MTCNN.
  """

  def __init__(
    self,
    crop_settings: crop.CropSettings,
    *,
    min_score: float = mtcnn.MIN_SCORE,
    detector: mtcnn.Detector | None = None,
  ) -> None:
    super().__init__(name="face_finder")
    self.crop_settings = crop_settings
    self.min_score = min_score
    self.detector = detector or mtcnn.Detector()
    photo = tf.TensorSpec([None, None, 3], tf.uint8)
    box = tf.TensorSpec([4], tf.float32)
    landmarks = tf.TensorSpec([5, 2], tf.float32)
    size = tf.TensorSpec([2], tf.int32)
    self.fit = tf.function(self._fit, input_signature=[photo])
    self.cut = tf.function(
      self._cut, input_signature=[photo, size, box, landmarks]
    )

  def _fit(self, photo: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return mtcnn.fit_photo(photo, self.detector.settings.input_size)

  def locate(self, images: tf.Tensor, sizes: tf.Tensor) -> mtcnn.MainFaces:
    """Returns the main face of each fitted photo.

    Args:
      images: uint8[batch, side, side, 3] from `fit`.
      sizes: int32[batch, 2] from `fit`.

    Returns:
      One row a photo, in pixels of the fitted photos.
    """
    found = self.detector.detect(images, sizes)
    return mtcnn.main_faces(found, tf.shape(images)[0], self.min_score)

  def _cut(
    self,
    photo: tf.Tensor,
    size: tf.Tensor,
    box: tf.Tensor,
    landmarks: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns crop, box and landmarks of a face, in pixels of the photo."""
    shape = tf.shape(photo)[:2]
    box = crop.to_photo_pixels(box, size, shape)
    landmarks = crop.to_photo_pixels(landmarks, size, shape)
    return (
      crop.crop_face(photo, box, landmarks, self.crop_settings),
      box,
      landmarks,
    )

  def find(self, photos: Sequence[np.ndarray]) -> list[Face]:
    """Finds the main face of each photo.

    Args:
      photos: uint8[height, width, 3] each, upright RGB, one detection batch.
    """
    fitted = [self.fit(photo) for photo in photos]
    sizes = tf.stack([size for _, size in fitted])
    main = self.locate(tf.stack([image for image, _ in fitted]), sizes)
    found, count = main.found.numpy(), main.count.numpy()
    result = []
    for i, photo in enumerate(photos):
      pixels, box, landmarks = self.cut(
        photo, sizes[i], main.boxes[i], main.landmarks[i]
      )
      result.append(
        Face(
          found=bool(found[i]),
          box=box.numpy(),
          landmarks=landmarks.numpy(),
          score=float(main.scores[i]),
          count=int(count[i]),
          area_ratio=float(main.area_ratio[i]),
          crop=pixels.numpy(),
        )
      )
    return result
