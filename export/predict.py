"""Says who a photo looks like, and draws it.

python -m export.predict --model=E/saved_model --output=card.png PHOTO...

PHOTO is a file, a folder with all below it, a quoted pattern such as
'photos/**/*.jpg', or - for one photo on standard input.
"""

import io
import os
import pathlib
import sys

import tqdm
from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import (
  card,
  predict_inputs,
  predict_lib,
  predict_output,
  predict_pictures,
  storage,
)

_MODEL = flags.DEFINE_string(
  "model",
  None,
  "The SavedModel that export.export_saved_model wrote, or a .tflite file of "
  "export.export_tflite.",
  required=True,
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "The card to draw, .png or .jpg. With several photos a number is put before "
  "the ending (card_001.png), with --all_faces two (card_001_2.png). Without "
  "it no card is drawn.",
)
_ANNOTATED = flags.DEFINE_string(
  "annotated",
  None,
  "The whole photo with a box and a label for each face, .png or .jpg; with a "
  "number as for --output. Without it none is drawn.",
)
_LANGUAGE = flags.DEFINE_enum(
  "language", "ko", card.LANGUAGES, "Of sentences and pictures."
)
_ALL_FACES = flags.DEFINE_bool(
  "all_faces",
  False,
  "Answer for every face of a photo, the largest first, not only for the main "
  "one.",
)
_FORMAT = flags.DEFINE_enum(
  "format",
  "text",
  predict_output.FORMATS,
  "What is printed: sentences, one JSON object a photo, or CSV with a row a "
  "face.",
)
_JSON = flags.DEFINE_bool("json", False, "The same as --format=json.")
_TRUST = cli.trust_flag()

_MOST_WITHOUT_BAR = 32
_MOST_NAMED = 20
_CLOSED_PIPE = 141  # 128 + SIGPIPE, as of programs that the signal ends.


def main(argv: list[str]) -> None:
  """Answers each photo and draws the pictures."""
  if _JSON.value and _FORMAT.present and _FORMAT.value != "json":
    raise cli.UserError(
      f"got --json and --format={_FORMAT.value}, allowed: one of them"
    )
  format_name = "json" if _JSON.value else _FORMAT.value
  found = predict_inputs.find(argv[1:])
  several = len(found) > 1
  pictures = predict_pictures.Pictures(
    card=_picture(_OUTPUT),
    annotated=_picture(_ANNOTATED),
    language=_LANGUAGE.value,
    all_faces=_ALL_FACES.value,
    several=several,
  )
  pictures.check(found)
  model = predict_lib.load(_MODEL.value, trust=_TRUST.value)
  layout = predict_output.layout(
    format_name,
    model.heads,
    all_faces=_ALL_FACES.value,
    several=several,
    language=_LANGUAGE.value,
  )
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      # JSON is UTF-8 wherever it is made; a terminal says what it can show.
      encoding = None if format_name == "text" else "utf-8"
      stream.reconfigure(encoding=encoding, errors="backslashreplace")
  try:
    answered = _answer(model, found, layout, pictures, format_name == "text")
  except BrokenPipeError:
    # Whoever reads has enough. Python would complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(_CLOSED_PIPE)
  sys.exit(0 if answered else 1)


def _picture(flag: flags.FlagHolder[str | None]) -> pathlib.Path | None:
  if flag.value is None:
    return None
  return storage.only_local(flag.value, f"--{flag.name}")


def _answer(
  model: predict_lib.Model,
  found: list[predict_inputs.Photo],
  layout: predict_output.Layout,
  pictures: predict_pictures.Pictures,
  is_text: bool,
) -> int:
  """Returns how many photos were answered."""
  every = bool(_ALL_FACES.value or pictures.card or pictures.annotated)
  written: list[pathlib.Path] = []
  answered = 0
  _write(layout.header)
  with tqdm.tqdm(
    total=len(found),
    unit=" photos",
    desc="Predicting",
    disable=len(found) <= _MOST_WITHOUT_BAR,
  ) as bar:
    answers = predict_output.answers(model, found, every=every)
    for number, answer in enumerate(answers, 1):
      _write(layout.lines(answer))
      if is_text and answer.error:
        name = predict_output.escaped(answer.photo.path)
        tqdm.tqdm.write(f"{name}: {answer.error}", file=sys.stderr)
      written += pictures.draw(number, answer)
      answered += not answer.error
      bar.update()
  words = sys.stdout if is_text else sys.stderr
  for path in written[:_MOST_NAMED]:
    print(f"Wrote {predict_output.escaped(str(path))}", file=words)
  if len(written) > _MOST_NAMED:
    print(f"Wrote {len(written) - _MOST_NAMED:,} more", file=words)
  if not is_text and answered < len(found):
    failed = f"{len(found) - answered:,} of {len(found):,}"
    print(f"{failed} photos could not be answered", file=sys.stderr)
  sys.stdout.flush()
  return answered


def _write(lines: str) -> None:
  """Prints whole lines at once, above the bar where both are seen."""
  if sys.stdout.isatty():
    tqdm.tqdm.write(lines, file=sys.stdout, end="")
  else:
    sys.stdout.write(lines)
  sys.stdout.flush()


if __name__ == "__main__":
  cli.run(main)
