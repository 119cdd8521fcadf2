"""Tests of build_errors: one line for whatever a disk refuses."""

import errno

import pytest
import tensorflow as tf

from yourface_tfds import build_errors, cli

_GOES_ON = "the same command goes on with the faces found so far"
_ROOM = f"; make room on that disk, or give another --data_dir; {_GOES_ON}"
_WRITABLE = "; needed: a --data_dir that can be written"


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (OSError(errno.ENOSPC, "x"), "D: No space left on device" + _ROOM),
    (
      OSError(errno.EFBIG, "x", "D/photos.csv"),
      "D/photos.csv: File too large" + _ROOM,
    ),
    (
      OSError("D/a.sqlite3: database or disk is full"),
      "D/a.sqlite3: database or disk is full" + _ROOM,
    ),
    (
      tf.errors.ResourceExhaustedError(
        None, None, "D/shard; No space left on device"
      ),
      "D/shard: No space left on device" + _ROOM,
    ),
    (
      PermissionError(errno.EACCES, "x", "D/x"),
      "D/x: Permission denied" + _WRITABLE,
    ),
    (
      OSError("D/a.sqlite3: attempt to write a readonly database"),
      "D/a.sqlite3: attempt to write a readonly database" + _WRITABLE,
    ),
    (
      PermissionError(errno.EACCES, "x", "/M/photos"),
      f"/M/photos: Permission denied; mend it, {_GOES_ON}",
    ),
    (
      FileNotFoundError(errno.ENOENT, "x", "/M/a"),
      f"/M/a: No such file or directory; mend it, {_GOES_ON}",
    ),
  ],
)
def test_the_line(error, line):
  with pytest.raises(cli.UserError) as caught, build_errors.plain("D"):
    raise error
  assert str(caught.value) == line
  assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", [KeyError, ValueError, KeyboardInterrupt])
def test_others_are_left_alone(kind):
  with pytest.raises(kind, match="x"), build_errors.plain("D"):
    raise kind("x")
