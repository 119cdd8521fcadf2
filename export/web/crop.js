// The aligned square crop of a face: crop.crop_face of the Python project.
//
// The same steps in the same precision, float32: a model sees here what it saw
// in training. Boxes are [yMin, xMin, yMax, xMax], landmarks five [y, x],
// continuous pixels of the photo.

import {part, roundEven, shrinkByArea} from "./pixels.js";

const fround = Math.fround;
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

/** The angle to turn a face by, radians; 0 where its eyes say nothing. */
function roll(box, landmarks, settings) {
  const dy = fround(landmarks[1][0] - landmarks[0][0]);
  const dx = fround(landmarks[1][1] - landmarks[0][1]);
  const angle = fround(Math.atan2(dy, dx));
  const longer = Math.max(1, box[2] - box[0], box[3] - box[1]);
  const trusted = Math.hypot(dy, dx) >= settings.min_eye_distance * longer;
  const limit = (settings.max_roll_degrees * Math.PI) / 180;
  return trusted && Math.abs(angle) <= limit ? angle : 0;
}

/** Cuts one face out: Uint8ClampedArray of size * size * 3, RGB. */
export function cropFace(photo, box, landmarks, settings) {
  const size = settings.image_size;
  const longer = fround(Math.max(box[2] - box[0], box[3] - box[1]));
  const side = Math.max(fround(settings.margin * longer), 1);
  const angle = roll(box, landmarks, settings);
  const centre = [0, 1].map((i) => fround(fround(box[i] + box[i + 2]) / 2));
  const scale = Math.min(1, fround(size / side));

  const [top, left, height, width] = seen(photo, centre, side, angle, scale);
  const smallHeight = Math.max(roundEven(fround(height * scale)), 1);
  const smallWidth = Math.max(roundEven(fround(width * scale)), 1);
  const source = part(photo, top, left, height, width);
  const small = shrinkByArea(source, smallHeight, smallWidth);

  // The sides were rounded: what was really shrunk by, y and x apart.
  const yScale = fround(smallHeight / height);
  const xScale = fround(smallWidth / width);
  const step = side / size;
  const sine = fround(Math.sin(angle) * step);
  const cosine = fround(Math.cos(angle) * step);
  const half = (size - 1) / 2;
  const y0 = centre[0] - top - sine * half - cosine * half;
  const x0 = centre[1] - left - cosine * half + sine * half;
  const crop = new Uint8ClampedArray(size * size * 3);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const y = yScale * (y0 + sine * j + cosine * i) - 0.5;
      const x = xScale * (x0 + cosine * j - sine * i) - 0.5;
      const to = (i * size + j) * 3;
      sample(small, smallHeight, smallWidth, y, x, crop, to);
    }
  }
  return crop;
}

/** The rectangle of the photo that a crop can see, whole pixels. */
function seen(photo, centre, side, angle, scale) {
  const turned = Math.abs(Math.cos(angle)) + Math.abs(Math.sin(angle));
  // Two pixels more on each side, after shrinking, for the neighbours.
  const reach = fround(fround((side / 2) * turned) + fround(2 / scale));
  const range = (middle, length) => {
    const start = clip(Math.floor(fround(middle - reach)), 0, length - 1);
    const end = clip(Math.ceil(fround(middle + reach)), start + 1, length);
    return [start, end - start];
  };
  const [top, height] = range(centre[0], photo.height);
  const [left, width] = range(centre[1], photo.width);
  return [top, left, height, width];
}

/** Writes one bilinear sample; beyond the edges the edge pixels repeat. */
function sample(image, height, width, y, x, out, to) {
  y = clip(y, 0, height - 1);
  x = clip(x, 0, width - 1);
  const above = Math.floor(y);
  const before = Math.floor(x);
  const below = Math.min(above + 1, height - 1);
  const after = Math.min(before + 1, width - 1);
  const v = y - above;
  const u = x - before;
  for (let c = 0; c < 3; c++) {
    const at = (row, column) => image[(row * width + column) * 3 + c];
    const upper = at(above, before) * (1 - u) + at(above, after) * u;
    const lower = at(below, before) * (1 - u) + at(below, after) * u;
    out[to + c] = roundEven(upper * (1 - v) + lower * v);
  }
}
