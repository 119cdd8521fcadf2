"""Says who a photo looks like, and draws it.

python -m export.predict --model=E/saved_model --output=card.png PHOTO...
"""

import json
import pathlib
import sys

from absl import flags

from yourface_tfds import cli, predict_lib

_MODEL = flags.DEFINE_string(
  "model",
  None,
  "The SavedModel that export.export_saved_model wrote.",
  required=True,
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "The picture to write, .png or .jpg. With several photos a number is put "
  "before the ending. Without it nothing is drawn.",
)
_JSON = flags.DEFINE_bool(
  "json", False, "Print one JSON object a photo instead of sentences."
)


def main(argv: list[str]) -> None:
  """Answers each photo on a line of its own and draws the cards."""
  paths = argv[1:]
  if not paths:
    raise cli.UserError(
      "got no photo; write the paths of photos behind the flags"
    )
  output = _output_path()
  signature = predict_lib.load(_MODEL.value)
  written, failed = [], 0
  for number, prediction in enumerate(predict_lib.predict(signature, paths), 1):
    if _JSON.value:
      print(json.dumps(prediction.as_json(), ensure_ascii=False))
    if prediction.error:
      failed += 1
      print(f"{prediction.path}: {prediction.error}", file=sys.stderr)
      continue
    if not _JSON.value:
      name = f"{prediction.path}: " if len(paths) > 1 else ""
      print(f"{name}{prediction.sentence_ko}")
    if output:
      path = output
      if len(paths) > 1:
        path = output.with_name(f"{output.stem}_{number:03d}{output.suffix}")
      with cli.replaced_file(path) as temporary:
        predict_lib.draw_card(prediction).save(temporary)
      written.append(path)
  for path in written:
    print(f"Wrote {path}", file=sys.stderr if _JSON.value else sys.stdout)
  if failed == len(paths):
    sys.exit(1)


def _output_path() -> pathlib.Path | None:
  if _OUTPUT.value is None:
    return None
  path = pathlib.Path(_OUTPUT.value)
  if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
    raise cli.UserError(
      f"--output: got {_OUTPUT.value!r}, allowed: a name ending in .png or .jpg"
    )
  return path


if __name__ == "__main__":
  cli.run(main)
