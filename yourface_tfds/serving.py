"""What TensorFlow Serving wants of a SavedModel: a version folder, warm-up.

`warm_up` puts requests into `assets.extra/tf_serving_warmup_requests`, which
the server runs before it takes others (the first call of a graph is the slow
one); `publish` lays the model out as `<folder>/your_face/<version>/`.

  docker run -p 8501:8501 -e MODEL_NAME=your_face
    -v "$PWD/E/serving/your_face:/models/your_face" tensorflow/serving
"""

import io
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from yourface_tfds import sample_drawing, sample_people, storage

MODEL_NAME = "your_face"

_WARM_UP = "assets.extra/tf_serving_warmup_requests"


def sample_photo() -> bytes:
  """Returns a drawn photo with a face, the same each time, as JPEG."""
  person = sample_people.make_person(3, 0)
  out = io.BytesIO()
  sample_drawing.draw_photo(person, 3, 0).save(out, "JPEG", quality=90)
  return out.getvalue()


def warm_up(folder: pathlib.Path, image_size: int) -> None:
  """Writes the warm-up requests: one of each signature.

  Args:
    folder: of the SavedModel.
    image_size: side of the faces that `serving_default` takes, pixels.
  """
  face = np.zeros([1, image_size, image_size, 3], np.uint8)
  photo = sample_photo()
  requests = (
    ("serving_default", "faces", face),
    ("photos", "photos", [photo]),
    ("all_faces", "photo", photo),
  )
  # The classes of generated modules appear at run time; no type checker sees
  # them.
  messages: Any = predict_pb2
  logs: Any = prediction_log_pb2
  path = folder / _WARM_UP
  path.parent.mkdir(parents=True)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for signature, name, value in requests:
      request = messages.PredictRequest()
      request.model_spec.name = MODEL_NAME
      request.model_spec.signature_name = signature
      request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
      log = logs.PredictLog(request=request)
      record = logs.PredictionLog(predict_log=log)
      writer.write(record.SerializeToString())


def publish(
  saved_model: str | os.PathLike[str],
  folder: str | os.PathLike[str],
  version: int = 1,
) -> storage.Path:
  """Lays a SavedModel out for TensorFlow Serving.

  Its files are linked, not copied, where the file system can.

  Args:
    saved_model: the folder that was exported.
    folder: the one that will hold `your_face/<version>/`.
    version: a number; the server takes the highest that it finds.

  Returns:
    The version's folder.
  """
  target = storage.path(folder) / MODEL_NAME / str(version)
  with storage.replaced_dir(target) as temporary:
    if storage.is_local(saved_model):
      shutil.copytree(
        saved_model, temporary, copy_function=_link, dirs_exist_ok=True
      )
    else:
      storage.copy_tree(saved_model, temporary)
  return target


def _link(source: str, target: str) -> None:
  try:
    os.link(source, target)
  except OSError:
    shutil.copy2(source, target)
