// Finds faces: the cascade of tests/numpy_detector.py around three nets.
//
// Boxes are [yMin, xMin, yMax, xMax], continuous pixels of the fitted photo.
// `run(name, input, shape)` runs one net of your_face_detector.tflite and gives
// what it answers as a Float32Array; `numbers` is detector.json of that file.

import {resizeByArea, roundEven, shrinkByArea} from "./pixels.js";

const fround = Math.fround;
const GRID = 16;
const toGrid = (x) => roundEven(x * GRID) / GRID;
const logit = (probability) => Math.log(probability / (1 - probability));

/** Step by step in float32, where many scores are exactly 1. */
function sigmoid(answer) {
  return fround(1 / fround(1 + fround(Math.exp(-answer))));
}

/** Finds the faces of a photo, the largest first, in pixels of the fitted one.
 *
 * Returns {faces: [{box, score, landmarks}], size}: size is height and width of
 * the fitted photo.
 */
export async function detect(photo, numbers, run) {
  const {image, height, width, size} = fitPhoto(photo, numbers);
  const canvas = drawPyramid(image, height, width, numbers);
  let {boxes, scores} = await propose(canvas, size, numbers, run);
  boxes = boxes.map(square);
  const gray = numbers.gray;
  let inputs = crops(image, height, width, boxes, 24, gray);
  let rows = await judge("refine", inputs, boxes, 24, 5, numbers, run);
  rows = rows.filter(({answer}) => answer[0] > logit(numbers.thresholds[1]));
  boxes = rows.map(refined);
  scores = rows.map(({answer}) => sigmoid(answer[0]));
  let kept = suppress(boxes, scores, null, numbers.overlaps[2]);
  boxes = kept.map((i) => square(boxes[i]));

  inputs = crops(image, height, width, boxes, 48, gray);
  rows = await judge("landmarks", inputs, boxes, 48, 15, numbers, run);
  rows = rows.filter(({answer}) => answer[0] > logit(numbers.thresholds[2]));
  boxes = rows.map(refined);
  scores = rows.map(({answer}) => sigmoid(answer[0]));
  kept = suppressNested(boxes, scores, numbers.overlaps[3]);
  const faces = kept.map((i) => {
    const score = roundEven(scores[i] * 1e4) / 1e4;
    return {box: boxes[i], score, landmarks: landmarks(rows[i])};
  });
  return {faces: finish(faces, size), size};
}

/** Brings box and landmarks to the photo, each axis by its own factor. */
export function inPhoto({box, landmarks}, size, photo) {
  const sides = [photo.height, photo.width];
  const factors = size.map((side, axis) => fround(sides[axis] / side));
  const scale = (x, k) => fround(x * factors[k % 2]);
  return {box: box.map(scale), landmarks: landmarks.map((p) => p.map(scale))};
}

/** Shrinks a photo to the detector's size, pads it below and right. */
export function fitPhoto(photo, numbers) {
  const long = Math.max(photo.height, photo.width);
  const fitted = (side) => {
    const shrunk = (2 * numbers.input_size * side + long) / (2 * long);
    return Math.min(side, Math.max(Math.floor(shrunk), 1));
  };
  const size = [fitted(photo.height), fitted(photo.width)];
  const small = shrinkByArea(photo, ...size);
  const unit = numbers.unit;
  const height = Math.ceil(size[0] / unit) * unit;
  const width = Math.ceil(size[1] / unit) * unit;
  const image = new Float32Array(height * width * 3).fill(numbers.fill);
  const length = size[1] * 3;
  for (let y = 0; y < size[0]; y++) {
    for (let j = 0; j < length; j++) {
      image[y * width * 3 + j] = roundEven(small[y * length + j]);
    }
  }
  return {image, height, width, size};
}

/** Draws all levels of a padded photo onto the canvas. */
function drawPyramid(image, height, width, numbers) {
  const cell = numbers.cell;
  const levels = [];
  let pixels = image;
  let [oldHeight, oldWidth] = [height, width];
  for (const scale of numbers.scales) {
    const side = (x) => 2 * Math.max(roundEven(fround(x * scale) / 2), 1);
    const [own, across] = [side(height), side(width)];
    // From the level before, not from the photo.
    pixels = resizeByArea(pixels, oldHeight, oldWidth, own, across);
    levels.push({
      pixels,
      height: own,
      width: across,
      // Where a level is smaller than a window, gray around belongs to it.
      filled: [Math.max(own, cell), Math.max(across, cell)],
      scale: [height / own, width / across],
    });
    [oldHeight, oldWidth] = [own, across];
  }
  place(levels, numbers.columns);
  const [rows, columns] = numbers.canvas;
  const drawn = new Float32Array(rows * columns * 3).fill(numbers.gray);
  for (const level of levels) {
    for (let y = 0; y < level.height; y++) {
      const length = level.width * 3;
      const row = level.pixels.subarray(y * length, (y + 1) * length);
      drawn.set(row, ((level.top + y) * columns + level.left) * 3);
    }
  }
  return {drawn, levels};
}

/** Gives each level its corner: columns of rows of levels, without gaps. */
function place(levels, columns) {
  let left = 0;
  for (const rows of columns) {
    let [top, right] = [0, left];
    for (const row of rows) {
      let x = left;
      for (const i of row) {
        Object.assign(levels[i], {top, left: x});
        x += levels[i].filled[1];
      }
      top += Math.max(...row.map((i) => levels[i].filled[0]));
      right = Math.max(right, x);
    }
    left = right;
  }
}

/** The candidates of P-Net. */
async function propose({drawn, levels}, size, numbers, run) {
  const {cell, stride, canvas, overlaps} = numbers;
  const maps = await run("propose", drawn, [1, ...canvas, 3]);
  const columns = canvas[1] / stride - (cell / stride - 1);
  const limit = logit(numbers.thresholds[0]);
  let [boxes, scores, groups] = [[], [], []];
  // Row by row over the whole canvas: of equal scores the first one wins.
  for (let at = 0; at < maps.length; at += 5) {
    if (!(maps[at] > limit)) continue;
    const window = at / 5;
    const y = Math.floor(window / columns) * stride;
    const x = (window % columns) * stride;
    const inside = (l) =>
      l.top <= y && y <= l.top + l.filled[0] - cell &&
      l.left <= x && x <= l.left + l.filled[1] - cell;
    const i = levels.findIndex(inside);
    if (i < 0) continue;
    const {top, left, scale} = levels[i];
    const start = [y - top + 1, x - left + 1, y - top + cell, x - left + cell];
    const box = start.map((corner, k) => {
      return (corner + fround(maps[at + 1 + k] * (cell - 1))) * scale[k % 2];
    });
    if (box[0] >= size[0] || box[1] >= size[1]) continue;
    boxes.push(box);
    scores.push(sigmoid(maps[at]));
    groups.push(i);
  }
  for (const [group, overlap] of [[groups, overlaps[0]], [null, overlaps[1]]]) {
    const kept = suppress(boxes, scores, group, overlap);
    boxes = kept.map((i) => boxes[i]);
    scores = kept.map((i) => scores[i]);
  }
  return {boxes, scores};
}

/** What R-Net or O-Net answers: {box, answer} of each candidate. */
async function judge(net, inputs, boxes, side, columns, numbers, run) {
  const {batch} = numbers;
  const length = side * side * 3;
  const rows = [];
  for (let first = 0; first < boxes.length; first += batch) {
    const full = new Float32Array(batch * length);
    full.set(inputs.subarray(first * length, (first + batch) * length));
    const answers = await run(net, full, [batch, side, side, 3]);
    const last = Math.min(first + batch, boxes.length);
    for (let i = first; i < last; i++) {
      const from = (i - first) * columns;
      const answer = answers.subarray(from, from + columns);
      rows.push({box: boxes[i], answer});
    }
  }
  return rows;
}

/** Cuts boxes out as squares, as tf.image.crop_and_resize does. */
function crops(image, height, width, boxes, side, gray) {
  const faces = new Float32Array(boxes.length * side * side * 3).fill(gray);
  boxes.forEach(([top, left, bottom, right], n) => {
    for (let i = 0; i < side; i++) {
      const y =
        ((top + ((bottom - top) * i) / (side - 1)) * (height - 1)) / height;
      if (!(y >= 0 && y <= height - 1)) continue;
      const above = Math.floor(y) * width;
      const below = Math.ceil(y) * width;
      const v = y - Math.floor(y);
      for (let j = 0; j < side; j++) {
        const x =
          ((left + ((right - left) * j) / (side - 1)) * (width - 1)) / width;
        if (!(x >= 0 && x <= width - 1)) continue;
        const [before, after] = [Math.floor(x), Math.ceil(x)];
        const u = x - before;
        const to = ((n * side + i) * side + j) * 3;
        for (let c = 0; c < 3; c++) {
          const mixed = (column) => {
            const upper = image[(above + column) * 3 + c];
            return upper + (image[(below + column) * 3 + c] - upper) * v;
          };
          const one = mixed(before);
          faces[to + c] = one + (mixed(after) - one) * u;
        }
      }
    }
  });
  return faces;
}

const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

function shared(one, other) {
  const height = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const width = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(height, 0) * Math.max(width, 0);
}

/** Rows by score, best first; Array.sort keeps the order of equal ones. */
function bestFirst(scores) {
  return scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]);
}

/** The rows to keep: none is overlapped too much by a better one. */
function suppress(boxes, scores, groups, overlap) {
  const rounded = boxes.map((box) => box.map(toGrid));
  const areas = rounded.map(area);
  const kept = [];
  for (const row of bestFirst(scores)) {
    const worse = kept.some((other) => {
      if (groups && groups[other] !== groups[row]) return false;
      const both = shared(rounded[row], rounded[other]);
      return both > overlap * (areas[row] + areas[other] - both);
    });
    if (!worse) kept.push(row);
  }
  return kept;
}

/** The same by share of the smaller box; suppressed ones suppress. */
function suppressNested(boxes, scores, overlap) {
  const order = bestFirst(scores);
  return order.filter((row, rank) => {
    return !order.slice(0, rank).some((other) => {
      const smaller = Math.min(area(boxes[row]), area(boxes[other]));
      return shared(boxes[row], boxes[other]) > overlap * smaller;
    });
  });
}

/** Grows a box to a square around its centre. */
function square([top, left, bottom, right]) {
  const half = Math.max(bottom - top, right - left) / 2;
  const [y, x] = [(top + bottom) / 2, (left + right) / 2];
  return [y - half, x - half, y + half, x + half];
}

const sides = (box) => [box[2] - box[0] + 1, box[3] - box[1] + 1];

/** Moves a box by fractions of its sides, which are one pixel longer. */
function refined({box, answer}) {
  const long = sides(box);
  return box.map((corner, k) => corner + answer[1 + k] * long[k % 2]);
}

/** Five points y x, from fractions of the box as it was before `refined`. */
function landmarks({box, answer}) {
  const long = sides(box);
  const point = (axis, k) =>
    toGrid(box[axis] - 0.5 + answer[5 + 2 * k + axis] * long[axis]);
  return [0, 1, 2, 3, 4].map((k) => [point(0, k), point(1, k)]);
}

/** Clips to the photo, drops what is empty then, and sorts. */
function finish(faces, size) {
  const clip = (x, limit) => Math.min(Math.max(x, 0), limit);
  return faces
    .map((face) => {
      const box = face.box.map((x, k) => clip(toGrid(x), size[k % 2]));
      return {...face, box};
    })
    .filter(({box: [top, left, bottom, right]}) => bottom > top && right > left)
    .sort((one, other) => area(other.box) - area(one.box));
}
