"""Our face detector as one TFLite file, for the browser.

  tflite_detector.save("E/your_face_detector.tflite")

The three nets of MTCNN (`mtcnn_nets`) are in the file, with their weights and
their normalisation: all of them take raw pixels, float32 in 0..255. What
happens between them is for the caller to do, with the numbers of
`detector.json` (`constants`), which stands in a zip archive behind the model.
`tests/numpy_detector.py` does all of it, step by step, and finds the faces that
`mtcnn.Detector` finds.

Signatures, with fixed shapes and builtin operators only:
  * propose: `pixels` float32[1, height, width, 3], the canvas, 192 x 424 ->
    `maps` float32[1, height / 2 - 5, width / 2 - 5, 5]; row i, column j is the
    window of 12x12 pixels that starts at pixel 2 i, 2 j.
  * refine: `faces` float32[16, 24, 24, 3] -> `answers` float32[16, 5].
  * landmarks: `faces` float32[16, 48, 48, 3] -> `answers` float32[16, 15].
The columns are those of `mtcnn_nets`. The batch of the last two is always
`BATCH`: the caller fills up with anything and ignores those rows.

The canvas holds every level of a photo's pyramid at once, in the places that
`mtcnn_graph` gives them: `columns` stand side by side, the rows of a column
below each other, the levels of a row side by side, all without gaps, from the
top-left corner on. A level smaller than a window is filled up to 12 pixels.
What no level covers is gray. All sides are even, so a window is pooled as if
its level were alone; one that lies across two levels must be ignored. The size
of the canvas is that of the largest photo, a padded square.

Two things decide between candidates of nearly the same score, so ports should
keep them: scores are rounded to float32, where many are exactly 1, and of equal
ones the first counts, row by row over the whole canvas.

A file can have several signatures in LiteRT.js (2.5.3, Chromium 156):
`model.run("refine", {faces: tensor})`.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from yourface_tfds import mtcnn, mtcnn_nets, mtcnn_weights, storage, tflite_lib

FILE_NAME = "your_face_detector.tflite"
"""Its name in the export folder."""

CONSTANTS = "detector.json"
"""The file in the appended zip archive that holds `constants`."""

BATCH = 16
"""Candidates that refine and landmarks take at once."""


def constants(settings: mtcnn.DetectorSettings) -> dict[str, Any]:
  """Returns every number that the cascade around the nets needs, for JSON.

  Returns:
    The fields of `mtcnn.DetectorSettings` except `min_face` and `factor`, and
    scales: of the levels to the fitted photo, see `DetectorSettings.scales`.
    unit, fill: the fitted photo is padded to multiples of `unit` by `fill`.
    canvas: height and width.
    columns: the levels in each row of each column of the canvas.
    gray: of the canvas outside of levels, and of crops outside of photos.
    cell, stride: of P-Net's windows, pixels.
    batch: see `BATCH`.
  """
  scales = settings.scales()
  columns = _columns(len(scales))
  values = dataclasses.asdict(settings)
  del values["min_face"], values["factor"]
  return {
    **values,
    "scales": scales,
    "unit": mtcnn.UNIT,
    "fill": round(mtcnn_nets.GRAY),
    "canvas": _canvas(settings.input_size, scales, columns),
    "columns": columns,
    "gray": mtcnn_nets.GRAY,
    "cell": mtcnn_nets.CELL,
    "stride": mtcnn_nets.STRIDE,
    "batch": BATCH,
  }


def save(
  path: str | os.PathLike[str], settings: mtcnn.DetectorSettings | None = None
) -> None:
  """Writes the detector, whole or not at all.

  Args:
    path: the file to write; an older one is replaced.
    settings: of the cascade; they decide the canvas.
  """
  numbers = constants(settings or mtcnn.DetectorSettings())
  signatures = _signatures(mtcnn_weights.load_weights(), numbers["canvas"])
  with tempfile.TemporaryDirectory(prefix="your_face_detector.") as folder:
    tf.saved_model.save(tf.Module(), folder, signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
      folder, signature_keys=list(signatures)
    )
    content = converter.convert()
  content = tflite_lib.attach(content, {CONSTANTS: json.dumps(numbers)})
  with storage.replaced_file(path) as temporary:
    temporary.write_bytes(content)


def _signatures(
  nets: mtcnn_nets.Weights, canvas: Sequence[int]
) -> dict[str, Any]:
  pnet, rnet, onet = nets

  def signature(
    function: Callable[[tf.Tensor], tf.Tensor],
    source: str,
    shape: Sequence[int],
    answer: str,
  ) -> Any:
    return tf.function(
      lambda **inputs: {answer: function(inputs[source])}, autograph=False
    ).get_concrete_function(
      **{source: tf.TensorSpec(shape, tf.float32, source)}
    )

  return {
    "propose": signature(
      lambda pixels: mtcnn_nets.propose(pixels, pnet),
      *("pixels", (1, *canvas, 3), "maps"),
    ),
    "refine": signature(
      lambda faces: mtcnn_nets.answer(faces, rnet),
      *("faces", (BATCH, 24, 24, 3), "answers"),
    ),
    "landmarks": signature(
      lambda faces: mtcnn_nets.answer(faces, onet),
      *("faces", (BATCH, 48, 48, 3), "answers"),
    ),
  }


def _columns(levels: int) -> list[list[list[int]]]:
  """Returns the levels by column and row, as in `mtcnn_graph`."""
  columns = [[[0]], [[1], [4, 5, 6]], [[2], [3], list(range(7, levels))]]
  found = [
    [[level for level in row if level < levels] for row in rows]
    for rows in columns
  ]
  # Without empty rows and columns.
  return [rows for rows in ([r for r in rows if r] for rows in found) if rows]


def _canvas(
  input_size: int,
  scales: Sequence[float],
  columns: Sequence[Sequence[Sequence[int]]],
) -> list[int]:
  """Returns height and width that hold all levels of any photo.

  The largest is a square of `input_size`: no level of another photo is higher
  or wider, so none lies further down or to the right.
  """
  side = input_size + -input_size % mtcnn.UNIT
  # Even, and a window fits in.
  sides = [max(2 * round(side * s / 2), mtcnn_nets.CELL) for s in scales]
  heights = [sum(sides[row[0]] for row in rows) for rows in columns]
  widths = [max(sum(sides[i] for i in row) for row in rows) for rows in columns]
  return [max(heights), sum(widths)]
