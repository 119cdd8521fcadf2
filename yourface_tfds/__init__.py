"""Faces, three labels each: from photos on disk to one exported graph.

The way of a photo, one module a step, each importing only those before it:

  labels -> photos, people -> mtcnn_graph, mtcnn -> crop -> faces ->
  duplicates, curate -> build_settings, prepare -> shards -> [TFRecord shards]
  -> record_index, batch_reader, built_dataset -> fast_input, stock_input,
  input_pipeline -> warp, augment, mixing -> backbones, ensembles, models ->
  losses -> train_settings, trainer, train_state -> workdir, train_lib ->
  metrics, calibrated -> report, model_card -> photo_header, photo_decode,
  photo_graph, export_lib, tflite_lib -> parity, gate -> card, predict_lib

The README has all of them.

`quiet` and `cli` serve the commands. `sample_photos` draws people to try it
with, `demo` walks the whole road. Nothing is imported here, so that `import
yourface_tfds.labels` costs no TensorFlow.
"""

__version__ = "0.1.0"
