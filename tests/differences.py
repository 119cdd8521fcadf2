"""By how much a TFLite file differs from the model it was made of."""

import numpy as np

from yourface_tfds import labels


def largest_difference(model, classifier, faces):
  """Returns by how much any probability differs from Keras at most.

  Args:
    model: what was converted.
    classifier: what became of it.
    faces: uint8[images, S, S, 3].
  """
  expected = model(faces.astype(np.float32), training=False)
  got = classifier(faces)
  return max(
    float(np.abs(got[head] - np.asarray(expected[head])).max())
    for head in labels.HEADS
  )
