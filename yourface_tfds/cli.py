"""What every command shares: one-line errors, common flags, JSON.

_DATA_DIR = cli.data_dir_flag()

def main(argv: list[str]) -> None:
  ...

if __name__ == "__main__":
  cli.run(main)
"""

import json
import pathlib
import signal
import sys
import types
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from absl import app, flags, logging

from yourface_tfds import quiet

quiet.install()
flags.disclaim_key_flags()


class UserError(ValueError):
  """Something the user can mend: what was got, what is allowed, what to do."""


_NO_SCHEME = (
  ", allowed: gs://, a path of this disk, or a scheme that a package registers "
  "with TensorFlow; BUILD.md, Storage elsewhere, says how"
)


def escaped(text: str) -> str:
  r"""Returns text for a terminal: what would steer it becomes \x1b, \n, ...

  Also what cannot be seen, turns the order of letters around, or is no UTF-8.
  """
  if text.isprintable():
    return text
  return "".join(
    letter
    if letter.isprintable() or unicodedata.category(letter) == "Zs"
    else letter.encode("unicode_escape").decode("ascii")
    for letter in text
  )


def one_line(error: BaseException) -> str:
  """Returns the text of an error on one line, without KeyError's quotes.

  It may quote the name of a file, which may hold what steers a terminal:
  that is `escaped`.
  """
  text = error.args[0] if isinstance(error, KeyError) and error.args else error
  line = escaped(" ".join(str(text).split())) or type(error).__name__
  if line.startswith("File system scheme ") and _is_tensorflows(error):
    line += _NO_SCHEME
  return line


def _interrupted(error: KeyboardInterrupt) -> str:
  words = ["interrupted: nothing half-written was kept", *error.args]
  return "\n" + "; ".join(map(str, words))


def _fail(error: BaseException) -> NoReturn:
  if isinstance(error, KeyboardInterrupt):
    print(_interrupted(error), file=sys.stderr)
    sys.exit(128 + signal.SIGINT)
  print(f"error: {one_line(error)}", file=sys.stderr)
  sys.exit(1)


def _is_tensorflows(error: BaseException) -> bool:
  # Not imported for that: whoever raises it has.
  errors = sys.modules.get("tensorflow.python.framework.errors_impl")
  return errors is not None and isinstance(error, errors.OpError)


def _parse_flags(argv: list[str]) -> list[str]:
  flags_only = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
  if {"-h", "-help", "--help"} & set(flags_only):
    # absl's own --help ends with exit code 1.
    app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    _fail(error)


def run(main: Callable[[list[str]], None]) -> None:
  """Parses the flags, runs `main` and ends the process.

  Errors that a user can mend (ValueError, KeyError, OSError, and TensorFlow's,
  which its file systems raise) become one line and exit code 1;
  `--verbosity=1` shows the traceback. Ctrl-C exits with 130.

  Args:
    main: takes what is left of the command line, program name first.
  """

  def guarded(argv: list[str]) -> None:
    if not flags.FLAGS["verbosity"].present:
      # absl shows the INFO lines of every library; -1 are its warnings.
      logging.set_verbosity(logging.WARNING)
    try:
      main(argv)
    except (Exception, KeyboardInterrupt) as error:
      expected = (ValueError, KeyError, OSError, KeyboardInterrupt)
      is_expected = isinstance(error, expected) or _is_tensorflows(error)
      if logging.get_verbosity() >= logging.DEBUG or not is_expected:
        raise
      _fail(error)

  app.run(guarded, flags_parser=_parse_flags)


def is_program(name: str) -> bool:
  """Returns whether the running program has that name, say `tfds`."""
  return pathlib.Path(sys.argv[0]).stem == name


def one_line_errors_under(program: str) -> None:
  """Makes an uncaught `UserError` one line, in a program that is not ours.

  Only where the running program has that name: a notebook or script that
  imports the same code keeps its tracebacks.
  """
  if not is_program(program):
    return
  before = sys.excepthook

  def hook(
    kind: type[BaseException],
    error: BaseException,
    trace: types.TracebackType | None,
  ) -> None:
    verbose = logging.get_verbosity() >= logging.DEBUG
    if isinstance(error, UserError) and not verbose:
      print(f"error: {one_line(error)}", file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt) and not verbose:
      print(_interrupted(error), file=sys.stderr)
    else:
      before(kind, error, trace)

  sys.excepthook = hook


def no_arguments(argv: list[str]) -> None:
  """Raises `UserError` where words are left beside the flags."""
  if len(argv) > 1:
    raise UserError(
      f"got the argument {argv[1]!r}, allowed are flags only; write "
      "--name=value, see --help"
    )


def data_dir_flag() -> flags.FlagHolder[str]:
  """Defines `--data_dir`, required."""
  return _required_string(
    "data_dir", "The folder that `tfds build --data_dir` wrote to."
  )


def config_flag() -> flags.FlagHolder[str]:
  """Defines `--config`."""
  return flags.DEFINE_string(
    "config", "jpeg", "The dataset's config: jpeg, raw, or one of your own."
  )


def workdir_flag() -> flags.FlagHolder[str]:
  """Defines `--workdir`, required."""
  return _required_string(
    "workdir", "The folder of one training run: settings, weights, figures."
  )


def output_dir_flag(what: str) -> flags.FlagHolder[str]:
  """Defines `--output_dir`, required."""
  return _required_string("output_dir", f"The folder to write {what} to.")


def batch_size_flag(default: int) -> flags.FlagHolder[int]:
  """Defines `--batch_size`."""
  return flags.DEFINE_integer(
    "batch_size", default, "Images a batch.", lower_bound=1
  )


def seed_flag(default: int = 0) -> flags.FlagHolder[int]:
  """Defines `--seed`."""
  return flags.DEFINE_integer(
    "seed", default, "Same seed, same result.", lower_bound=0
  )


def trust_flag() -> flags.FlagHolder[bool]:
  """Defines `--trust`, of every command that loads a SavedModel."""
  return flags.DEFINE_bool(
    "trust",
    False,
    "Load a SavedModel whose files are not those of its manifest. It is a "
    "program that can read and write your files.",
  )


def json_flag() -> flags.FlagHolder[bool]:
  """Defines `--json`."""
  return flags.DEFINE_bool(
    "json", False, "Print the result as one JSON object on standard output."
  )


def _required_string(name: str, text: str) -> flags.FlagHolder[str]:
  return flags.DEFINE_string(name, None, text, required=True)


def dump_json(value: Mapping[str, Any]) -> str:
  """Returns `value` as indented JSON with its Unicode readable."""
  return json.dumps(value, ensure_ascii=False, indent=2)
