"""Faces, three labels each: from photos on disk to one exported graph.

The way of a photo, one module a step, each importing only those before it:

  labels -> photos -> mtcnn -> crop -> curate -> [TFRecord shards] ->
  input_pipeline -> augment -> models -> train_lib -> metrics ->
  export_lib -> card

`sample_photos` draws people to try it with. Nothing is imported here, so that
`import yourface_tfds.labels` costs no TensorFlow.
"""

__version__ = "0.1.0"
