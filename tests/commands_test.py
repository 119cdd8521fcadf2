"""Every command says one line about a wrong flag, and nothing before it."""

import os
import subprocess
import sys

import pytest

from tests import drawn

_COMMANDS = sorted(
  path.relative_to(drawn.ROOT).with_suffix("").as_posix().replace("/", ".")
  for folder in ("builders", "training", "export")
  for path in (drawn.ROOT / folder).glob("[!_]*.py")
)


@pytest.mark.slow
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_wrong_flag_is_one_line(command):
  # As a user runs it: TensorFlow is not told to be quiet.
  loud = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
  result = subprocess.run(
    [sys.executable, "-m", command, "--no_such_flag"],
    cwd=drawn.ROOT,
    env=loud,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 1
  (line,) = result.stderr.splitlines()
  assert line.startswith("error: ") and "no_such_flag" in line
  assert result.stdout == ""
