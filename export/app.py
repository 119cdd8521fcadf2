"""Serves a page on this machine that says who a photo looks like.

python -m export.app --model=E/saved_model
"""

import pathlib
import signal
import sys
import types

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import app_answer, app_desk, app_place, card, predict_lib

_MODEL = flags.DEFINE_string(
  "model",
  None,
  "The SavedModel that export.export_saved_model wrote, or a .tflite file of "
  "export.export_tflite.",
  required=True,
)
_TRUST = cli.trust_flag()
_HOST = flags.DEFINE_string(
  "host",
  "127.0.0.1",
  "The address to listen on. 0.0.0.0 lets everybody in your network use the "
  "page, and their photos travel unencrypted.",
)
_PORT = flags.DEFINE_integer(
  "port",
  7860,
  "The port to listen on. Where it is taken the next free one is used; 0 "
  "leaves it to the system.",
  lower_bound=0,
  upper_bound=65535,
)
_MAX_MEGABYTES = flags.DEFINE_integer(
  "max_megabytes",
  20,
  "The largest photo file, millions of bytes.",
  lower_bound=1,
  upper_bound=100,
)
_PHOTOS_PER_MINUTE = flags.DEFINE_integer(
  "photos_per_minute",
  30,
  "Photos that are answered for one client's address.",
  lower_bound=1,
)
_LANGUAGE = flags.DEFINE_enum(
  "language", "ko", card.LANGUAGES, "Of the page until somebody changes it."
)

_HERE = pathlib.Path(__file__).parent

_TERMINATED = 128 + signal.SIGTERM
"""The exit code of programs that the signal ends."""


def main(argv: list[str]) -> None:
  """Serves the page until Ctrl-C."""
  cli.no_arguments(argv)
  # Python's own way with SIGTERM leaves the folders of the program behind.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
  if sys.stderr.isatty():
    # Gradio, the model and its first answer take 5 to 20 seconds.
    print("Starting; the address comes in some seconds", file=sys.stderr)
  host, wanted = _HOST.value, _PORT.value
  settings = app_desk.Settings(
    language=_LANGUAGE.value,
    max_megabytes=_MAX_MEGABYTES.value,
    photos_per_minute=_PHOTOS_PER_MINUTE.value,
  )
  with (
    app_place.private_folder(),
    app_place.listen(host, wanted) as listening,
  ):
    # Gradio makes its folder when it is imported.
    app_page = _gradio()
    model = predict_lib.load(_MODEL.value, trust=_TRUST.value)
    answers = app_answer.Answers(model)
    answers.warm_up()

    def ready() -> None:
      port = listening.getsockname()[1]
      taken = f"port {wanted} is taken; " if wanted not in (0, port) else ""
      address = app_place.address(host, port)
      print(f"Your Face: {address} ({taken}Ctrl-C ends it)", flush=True)

    try:
      app_page.serve(
        app_page.blocks(
          answers, model.heads, settings, _HERE / "page", _style()
        ),
        app_page.head(),
        listening,
        max_body=settings.max_body,
        ready=ready,
      )
    except KeyboardInterrupt:
      print("\nEnded; no photo was kept.", file=sys.stderr)
      sys.exit(130)  # 128 + SIGINT, as of programs that the signal ends.


def _style() -> str:
  """The page looks as the one that answers in the browser."""
  shared = (_HERE / "web/style.css").read_text(encoding="utf-8")
  own = (_HERE / "page/page.css").read_text(encoding="utf-8")
  # Nested: Gradio resets margins and fonts by rules with a class.
  return f"#your-face {{\n{shared}}}\n{own}"


def _gradio() -> types.ModuleType:
  """Imports what needs Gradio, which takes seconds: not for --help."""
  try:
    from yourface_tfds import app_page
  except ImportError as error:
    raise cli.UserError(
      f"the page needs Gradio, which cannot be imported ({cli.one_line(error)})"
      "; install it with: pip install -c constraints.txt gradio"
    ) from error
  return app_page


if __name__ == "__main__":
  cli.run(main)
