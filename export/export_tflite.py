"""Exports the best model of a run, and the face detector, as TFLite.

python -m export.export_tflite --workdir=W --data_dir=D --output_dir=E

Each file is compared with the model before it takes its place; one that differs
is not kept.
"""

import functools
import pathlib
from typing import Any

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  built_dataset,
  calibrated,
  export_lib,
  folder_lock,
  gate,
  input_pipeline,
  parity,
  storage,
  tflite_detector,
  tflite_lib,
)

_WORKDIR = cli.workdir_flag()
_DATA_DIR = cli.data_dir_flag()
_CONFIG = cli.config_flag()
_OUTPUT_DIR = cli.output_dir_flag(
  "your_face_KIND.tflite, your_face_detector.tflite and labels.json"
)
_KINDS = flags.DEFINE_list(
  "kinds",
  ",".join(tflite_lib.KINDS),
  "What to store the classifier's weights in: float32, float16, int8, or "
  "several with commas between.",
)
_VERIFY = flags.DEFINE_bool(
  "verify",
  True,
  "Whether each file is compared with the model and refused where it differs.",
)

# Faces for int8's ranges. From 16 to 512, the number did not tell: the largest
# difference from Keras was .005 to .009, in no order (242 drawn faces).
_REPRESENTATIVE = 128


def _kinds() -> list[str]:
  for kind in _KINDS.value or [""]:
    if kind not in tflite_lib.KINDS:
      raise cli.UserError(
        f"--kinds: got {kind!r}, allowed: {', '.join(tflite_lib.KINDS)}; give "
        "one of them, or several with commas between"
      )
  return list(dict.fromkeys(_KINDS.value))


def _written(path: storage.Path) -> None:
  print(f"Wrote {path}, {storage.size(path) / 1024:,.0f} KB", flush=True)


def main(argv: list[str]) -> None:
  """Writes E/your_face_KIND.tflite, the detector's file and E/labels.json."""
  cli.no_arguments(argv)
  kinds = _kinds()
  with folder_lock.from_to(_WORKDIR.value, _OUTPUT_DIR.value, "--output_dir"):
    _export(kinds)


def _export(kinds: list[str]) -> None:
  dataset = built_dataset.open_dataset(_DATA_DIR.value, _CONFIG.value)
  model, settings = calibrated.load_model(_WORKDIR.value, dataset.image_size)
  output_dir = storage.path(_OUTPUT_DIR.value)
  split = gate.split_of(dataset)
  labels_text = export_lib.labels_json(settings)
  results: dict[str, Any] = {}

  def check(kind: str, path: pathlib.Path) -> None:
    if _VERIFY.value:
      photos = functools.partial(parity.batches, dataset, split)
      results.update(gate.tflite(path, kind, model, photos))
    gate.forget(output_dir, kind)

  refused = []
  for kind in kinds:
    path = output_dir / tflite_lib.file_name(kind)
    try:
      tflite_lib.write(
        model,
        kind,
        dataset.image_size,
        input_pipeline.sample_faces(dataset, "train", _REPRESENTATIVE),
        labels_text,
        path,
        check=functools.partial(check, kind),
      )
    except gate.RefusedError as error:
      # The others may be fine.
      refused.append(str(error))
      continue
    _written(path)
  path = output_dir / tflite_detector.FILE_NAME
  tflite_detector.save(path)
  _written(path)
  path = output_dir / "labels.json"
  storage.write_text(path, labels_text)
  _written(path)
  if results:
    on = {"dataset": dataset.info.full_name, "split": split}
    gate.record(output_dir, results, on, model)
    print(f"Compared with the model, on {split}:")
    print(gate.table(results))
  if others := gate.of_other_models(output_dir):
    print(others)
  if refused:
    raise cli.UserError(" ".join(refused))
  print(f"Next: {_next(output_dir)}")


def _next(output_dir: storage.Path) -> str:
  if (output_dir / "saved_model").is_dir():
    return (
      f"python -m export.verify --workdir={_WORKDIR.value} "
      f"--data_dir={_DATA_DIR.value} --export_dir={output_dir}"
    )
  return (
    f"python -m export.export_saved_model --workdir={_WORKDIR.value} "
    f"--output_dir={output_dir}"
  )


if __name__ == "__main__":
  cli.run(main)
