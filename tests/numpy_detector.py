"""The cascade around the nets of your_face_detector.tflite, in plain NumPy.

  detector = numpy_detector.Detector("E/your_face_detector.tflite")
  faces, size = detector.detect(photo)

A model for ports to other languages: no TensorFlow, small steps, loops where a
loop says more. Each step is a function, named as in `mtcnn_graph` and
`mtcnn_nets`, which say why it is done so. Boxes are y_min x_min y_max x_max,
continuous pixels of the fitted photo.

Rounding is to the nearest, halves to the even number (`Math.round` of
JavaScript takes them upwards).
"""

import dataclasses
import json
import math
import zipfile

import numpy as np
from ai_edge_litert import interpreter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
  """One face, in pixels of the fitted photo."""

  box: np.ndarray  # [4]
  score: float
  landmarks: np.ndarray  # [5, 2], y x


class Detector:
  """Finds faces with the file's three nets."""

  def __init__(self, path):
    with zipfile.ZipFile(path) as archive:
      self.numbers = json.loads(archive.read("detector.json"))
    runtime = interpreter.Interpreter(str(path), num_threads=1)
    self._nets = {
      name: runtime.get_signature_runner(name)
      for name in ("propose", "refine", "landmarks")
    }

  def detect(self, photo):
    """Finds the faces of a photo.

    Args:
      photo: uint8[h, w, 3], upright, any size.

    Returns:
      A list of faces, the largest first, and height and width of the fitted
      photo.
    """
    numbers = self.numbers
    image, size = fit_photo(photo, numbers)
    boxes, scores = self._propose(image, size)
    for net, side in (("refine", 24), ("landmarks", 48)):
      boxes = square(boxes)
      answers = self._judge(net, crops(image, boxes, side, numbers["gray"]))
      step = 1 if net == "refine" else 2
      kept = answers[:, 0] > logit(numbers["thresholds"][step])
      answers, boxes = answers[kept], boxes[kept]
      before = boxes
      boxes, scores = refined(boxes, answers), sigmoid(answers[:, 0])
      if net == "refine":
        same = np.zeros(len(boxes), int)
        kept = suppress(boxes, scores, same, numbers["overlaps"][2])
        boxes, scores = boxes[kept], scores[kept]
    points = landmarks(before, answers[:, 5:])
    kept = suppress_nested(boxes, scores, numbers["overlaps"][3])
    return finish(boxes[kept], scores[kept], points[kept], size), size

  def _propose(self, image, size):
    """Returns the candidates of P-Net: boxes [n, 4] and scores [n]."""
    numbers = self.numbers
    canvas, corners, filled, scales = draw_pyramid(image, numbers)
    maps = self._nets["propose"](pixels=canvas[np.newaxis])["maps"][0]
    cell, stride = numbers["cell"], numbers["stride"]
    boxes, scores, levels = [], [], []
    # Row by row over the whole canvas: of equal scores the first one wins, and
    # many are 1 in float32.
    good = maps[:, :, 0] > logit(numbers["thresholds"][0])
    for row, column in np.argwhere(good):
      level = level_of(row * stride, column * stride, corners, filled, cell)
      if level is None:
        continue
      y = row * stride - corners[level][0]
      x = column * stride - corners[level][1]
      start = np.array([y + 1, x + 1, y + cell, x + cell])
      answer = maps[row, column]
      box = (start + answer[1:] * (cell - 1)) * scales[level]
      if box[0] < size[0] and box[1] < size[1]:
        boxes.append(box)
        scores.append(sigmoid(answer[0]))
        levels.append(level)
    boxes, scores = np.reshape(boxes, (-1, 4)), np.array(scores)
    levels = np.array(levels, int)
    kept = suppress(boxes, scores, levels, numbers["overlaps"][0])
    boxes, scores = boxes[kept], scores[kept]
    same = np.zeros(len(boxes), int)
    kept = suppress(boxes, scores, same, numbers["overlaps"][1])
    return boxes[kept], scores[kept]

  def _judge(self, net, faces):
    """Returns what R-Net or O-Net answers: float32[n, 5] or [n, 15]."""
    batch = self.numbers["batch"]
    answers = []
    for start in range(0, len(faces), batch):
      part = np.zeros((batch, *faces.shape[1:]), np.float32)
      count = len(faces[start : start + batch])
      part[:count] = faces[start : start + batch]
      answers.append(self._nets[net](faces=part)["answers"][:count])
    columns = 5 if net == "refine" else 15
    return np.concatenate([np.zeros((0, columns), np.float32), *answers])


def fit_photo(photo, numbers):
  """Shrinks a photo to the detector's size and pads it below and right."""
  height, width = photo.shape[:2]
  longer = max(height, width)
  if longer > numbers["input_size"]:
    shrunk = numbers["input_size"] / longer
    # Halves go upwards here.
    height = max(math.floor(height * shrunk + 0.5), 1)
    width = max(math.floor(width * shrunk + 0.5), 1)
    photo = np.round(area_resize(photo, height, width))
  unit = numbers["unit"]
  padded = (height + -height % unit, width + -width % unit, 3)
  image = np.full(padded, numbers["fill"], np.float32)
  image[:height, :width] = photo
  return image, (height, width)


def draw_pyramid(image, numbers):
  """Draws all levels of a padded photo onto the canvas.

  Returns:
    The canvas, float32[height, width, 3], and for each level: y and x of its
    first pixel there, height and width that it fills, and what brings a box of
    it to the photo.
  """
  height, width = image.shape[:2]
  cell = numbers["cell"]
  level, levels, filled, scales = image, [], [], []
  for scale in numbers["scales"]:
    own_height = 2 * max(round(height * scale / 2), 1)
    own_width = 2 * max(round(width * scale / 2), 1)
    # From the level before, not from the photo.
    level = area_resize(level, own_height, own_width)
    levels.append(level)
    # Where a level is smaller than a window, gray around it belongs to it.
    filled.append((max(own_height, cell), max(own_width, cell)))
    y, x = height / own_height, width / own_width
    scales.append(np.array([y, x, y, x]))
  corners = places(filled, numbers["columns"])
  canvas = np.full((*numbers["canvas"], 3), numbers["gray"], np.float32)
  for level, (top, left) in zip(levels, corners, strict=True):
    bottom, right = top + level.shape[0], left + level.shape[1]
    canvas[top:bottom, left:right] = level
  return canvas, corners, filled, scales


def places(filled, columns):
  """Returns y and x on the canvas of each level.

  Columns stand side by side; each is a list of rows below each other, each row
  a list of levels side by side. No gaps.
  """
  corners = [(0, 0)] * len(filled)
  left = 0
  for rows in columns:
    top, right = 0, left
    for row in rows:
      x = left
      for level in row:
        corners[level] = (top, x)
        x += filled[level][1]
      top += max(filled[level][0] for level in row)
      right = max(right, x)
    left = right
  return corners


def level_of(y, x, corners, filled, cell):
  """Returns the level that a window lies wholly in, or None."""
  for level, (top, left) in enumerate(corners):
    height, width = filled[level]
    if top <= y <= top + height - cell and left <= x <= left + width - cell:
      return level
  return None


def area_resize(image, height, width):
  """Averages the area of the image that each new pixel covers: float32."""
  rows = area_rows(image.astype(np.float32), height)
  columns = area_rows(rows.swapaxes(0, 1), width)
  return columns.swapaxes(0, 1)


def area_rows(image, count):
  """Averages rows; those that a new row covers in part count in part.

  Where a new row starts and ends is in float32 (`Math.fround` in JavaScript),
  as in TensorFlow: one value in 40,000 of a shrunk photo is rounded to the
  neighbour of TensorFlow's then, in float64 one in 80.
  """
  step = np.float32(image.shape[0] / count)
  rows = np.zeros((count, *image.shape[1:]), np.float32)
  for i in range(count):
    start, end = np.float32(i) * step, np.float32(i + 1) * step
    for k in range(math.floor(start), min(math.ceil(end), image.shape[0])):
      share = min(k + 1, end) - max(k, start)
      rows[i] += image[k] * (share / step)
  return rows


def crops(image, boxes, side, gray):
  """Cuts boxes out as squares, bilinearly: float32[n, side, side, 3].

  The first and last samples lie on the edges of the box, in coordinates that
  are stretched by (pixels - 1) / pixels; samples outside the padded photo are
  gray. So does tf.image.crop_and_resize.
  """
  height, width = image.shape[:2]
  faces = np.full((len(boxes), side, side, 3), gray, np.float32)
  for n, (top, left, bottom, right) in enumerate(boxes):
    for i in range(side):
      y = (top + (bottom - top) * i / (side - 1)) * (height - 1) / height
      if not 0 <= y <= height - 1:
        continue
      above, below = image[math.floor(y)], image[math.ceil(y)]
      row = above + (below - above) * (y - math.floor(y))
      # All pixels of a row at once.
      x = left + (right - left) * np.arange(side) / (side - 1)
      x = x * (width - 1) / width
      inside = (x >= 0) & (x <= width - 1)
      x = x[inside]
      before, after = row[np.floor(x).astype(int)], row[np.ceil(x).astype(int)]
      share = (x - np.floor(x))[:, np.newaxis]
      faces[n, i, inside] = before + (after - before) * share
  return faces


def suppress(boxes, scores, groups, overlap):
  """Returns the rows to keep, best first.

  A row goes if a better one of its group overlaps it by more (intersection over
  union). Coordinates are compared in steps of 1/16 pixel.
  """
  boxes = np.round(boxes * 16) / 16
  areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
  kept = []
  for row in np.argsort(-scores, kind="stable"):
    good = True
    for other in kept:
      if groups[other] != groups[row]:
        continue
      shared = intersection(boxes[row], boxes[other])
      if shared > overlap * (areas[row] + areas[other] - shared):
        good = False
        break
    if good:
      kept.append(row)
  return np.array(kept, int)


def suppress_nested(boxes, scores, overlap):
  """As `suppress`, by share of the smaller box; suppressed ones suppress."""
  areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
  order = np.argsort(-scores, kind="stable")
  kept = []
  for place, row in enumerate(order):
    if not any(
      intersection(boxes[row], boxes[other])
      > overlap * min(areas[row], areas[other])
      for other in order[:place]
    ):
      kept.append(row)
  return np.array(kept, int)


def intersection(one, other):
  """Returns the area that two boxes share."""
  height = min(one[2], other[2]) - max(one[0], other[0])
  width = min(one[3], other[3]) - max(one[1], other[1])
  return max(height, 0) * max(width, 0)


def square(boxes):
  """Grows boxes to squares around their centres."""
  centres = (boxes[:, :2] + boxes[:, 2:]) / 2
  half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
  return np.concatenate([centres - half, centres + half], 1)


def refined(boxes, answers):
  """Moves boxes by fractions of their sides, which are one pixel longer."""
  sides = boxes[:, 2:] - boxes[:, :2] + 1
  return boxes + answers[:, 1:5] * np.tile(sides, 2)


def landmarks(boxes, answers):
  """Returns five points y x of each box as it was before `refined`."""
  corners, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1
  fractions = answers.reshape(-1, 5, 2)
  return corners[:, np.newaxis] - 0.5 + fractions * sides[:, np.newaxis]


def finish(boxes, scores, points, size):
  """Rounds, clips to the photo, drops what is empty then, and sorts."""
  boxes = np.clip(np.round(boxes * 16) / 16, 0, np.tile(size, 2))
  sides = boxes[:, 2:] - boxes[:, :2]
  areas = np.maximum(sides, 0).prod(1)
  return [
    Face(
      box=boxes[row],
      score=round(float(scores[row]), 4),
      landmarks=np.round(points[row] * 16) / 16,
    )
    for row in np.argsort(-areas, kind="stable")
    if areas[row] > 0
  ]


def logit(probability):
  """Returns what the nets answer for a score."""
  return math.log(probability / (1 - probability))


def sigmoid(answer):
  """Returns the score of what a net answers."""
  return 1 / (1 + np.exp(-answer))
