"""Exports the best model of a run as a SavedModel that takes photos.

python -m export.export_saved_model --workdir=W --output_dir=E
"""

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import export_lib, workdir

_WORKDIR = cli.workdir_flag()
_OUTPUT_DIR = cli.output_dir_flag("saved_model/ and labels.json")


def main(argv: list[str]) -> None:
  """Writes E/saved_model and E/labels.json."""
  cli.no_arguments(argv)
  model, settings = workdir.load_model(_WORKDIR.value)
  path = f"{_OUTPUT_DIR.value}/saved_model"
  export_lib.save_saved_model(model, settings, path)
  cli.write_text(f"{_OUTPUT_DIR.value}/labels.json", export_lib.labels_json(settings))
  print(f"Wrote {path} (signatures serving_default, photos) and labels.json")
  print(
    f"Next: python -m export.predict --model={path} --output=card.png PHOTO"
  )


if __name__ == "__main__":
  cli.run(main)
