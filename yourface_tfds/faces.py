"""The main face of each photo, cut out: detection and crop, joined.

The dataset build calls these functions one by one, the exported model holds
them in its graph; a crop at training time and one at answering time cannot
come from different code.

  finder = faces.FaceFinder(crop.CropSettings())
  image, size = finder.fit(photo)
  main = finder.locate(image[tf.newaxis], size[tf.newaxis])
  pixels, box, landmarks = finder.cut(
    photo, size, main.boxes[0], main.landmarks[0]
  )
"""

import tensorflow as tf

from yourface_tfds import crop, mtcnn


class FaceFinder(tf.Module):
  """Finds and cuts out main faces.

  Attributes:
    crop_settings: how crops are made.
    min_score: detections below are no faces, 0..1.
    detector: the in-graph MTCNN.
    fit: what brings a photo to the detector, see `mtcnn.fit_photo`.
    cut: what cuts a face out, from the photo at any resolution that shows it
      well enough, and the size of the fitted photo, the box and the landmarks
      in it; returns crop, box and landmarks in pixels of that photo.
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
      images: uint8[batch, height, width, 3] from `fit`.
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
    shape = tf.shape(photo)[:2]
    box = crop.to_photo_pixels(box, size, shape)
    landmarks = crop.to_photo_pixels(landmarks, size, shape)
    return (
      crop.crop_face(photo, box, landmarks, self.crop_settings),
      box,
      landmarks,
    )
