"""Exports the best model of a run as float32 TFLite.

python -m export.export_tflite --workdir=W --data_dir=D --output_dir=E
"""

from yourface_tfds import (
  built_dataset,
  cli,
  export_lib,
  input_pipeline,
  workdir,
)

_WORKDIR = cli.workdir_flag()
_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_OUTPUT_DIR = cli.output_dir_flag("your_face_float32.tflite and labels.json")


def main(argv: list[str]) -> None:
  """Writes E/your_face_float32.tflite and E/labels.json."""
  cli.no_arguments(argv)
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  model, _ = workdir.load_model(_WORKDIR.value, dataset.image_size)
  path = f"{_OUTPUT_DIR.value}/your_face_float32.tflite"
  faces = input_pipeline.sample_faces(dataset, "train", 16)
  difference = export_lib.save_tflite(model, faces, path)
  cli.write_text(f"{_OUTPUT_DIR.value}/labels.json", export_lib.labels_json())
  print(
    f"Wrote {path} and labels.json; largest probability difference from Keras "
    f"on {len(faces)} faces: {difference:.1e}"
  )
  print(
    f"Next: python -m export.export_saved_model --workdir={_WORKDIR.value} "
    f"--output_dir={_OUTPUT_DIR.value}"
  )


if __name__ == "__main__":
  cli.run(main)
