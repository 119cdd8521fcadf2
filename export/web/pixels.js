// Photos as pixels, and shrinking them by area as TensorFlow does.
//
// A source is {height, width, region}: region(top, left, height, width) gives
// RGBA, 4 bytes a pixel; `cost` is how many pixels of the photo each is made
// of. An image is a Float32Array of height * width * 3.

const fround = Math.fround;

// A strip of a large photo: 4 MB of RGBA, so that no canvas ever holds the
// whole photo. Safari on iOS refuses canvases above 16.7 million pixels.
const STRIP_PIXELS = 1 << 20;

/** Rounds halves to the even number; Math.round takes them upwards. */
export function roundEven(x) {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** Pixels of an upright ImageBitmap, transparency on white. */
export class Photo {
  constructor(bitmap) {
    this.height = bitmap.height;
    this.width = bitmap.width;
    this.cost = 1;
    this._bitmap = bitmap;
  }

  region(top, left, height, width) {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    const place = [left, top, width, height, 0, 0, width, height];
    context.drawImage(this._bitmap, ...place);
    return context.getImageData(0, 0, width, height).data;
  }

  close() {
    this._bitmap.close();
  }
}

/** A rectangle of a source as a source of its own. */
export function part(source, top, left, height, width) {
  const region = (y, x, h, w) => source.region(top + y, left + x, h, w);
  return {height, width, region, cost: source.cost};
}

/** A source shrunk by a whole number: the mean of each square of pixels.
 *
 * So, nearly, libjpeg shrinks large JPEGs while it decodes them for training
 * and for the SavedModel. Sides are rounded up.
 */
export function reduced(source, by) {
  if (by === 1) return source;
  const height = Math.ceil(source.height / by);
  const width = Math.ceil(source.width / by);
  const region = (top, left, h, w) => {
    const [y0, x0] = [top * by, left * by];
    const high = Math.min(h * by, source.height - y0);
    const wide = Math.min(w * by, source.width - x0);
    const pixels = source.region(y0, x0, high, wide);
    const sums = new Float32Array(h * w * 4);
    for (let y = 0; y < high; y++) {
      const row = Math.floor(y / by) * w;
      for (let x = 0; x < wide; x++) {
        const to = (row + Math.floor(x / by)) * 4;
        const from = (y * wide + x) * 4;
        for (let c = 0; c < 4; c++) sums[to + c] += pixels[from + c];
      }
    }
    const small = new Uint8ClampedArray(sums.length);
    for (let i = 0; i < sums.length; i += 4) {
      // Alpha counts the pixels: at the edges there are fewer.
      const count = sums[i + 3] / 255;
      for (let c = 0; c < 4; c++) small[i + c] = sums[i + c] / count;
    }
    return small;
  };
  return {height, width, region, cost: source.cost * by * by};
}

/** Where a new row starts and ends in the old ones, and what each counts. */
function shares(step, i, old) {
  const start = fround(i * step);
  const end = fround((i + 1) * step);
  const weights = [];
  const last = Math.min(Math.ceil(end), old);
  for (let k = Math.floor(start); k < last; k++) {
    const share = fround(Math.min(k + 1, end) - Math.max(k, start));
    weights.push([k, fround(share / step)]);
  }
  return weights;
}

/** Averages the area that each new pixel covers: any number of channels. */
function rowsByArea(image, top, old, rowLength, step, first, last) {
  const rows = new Float32Array((last - first) * rowLength);
  for (let i = first; i < last; i++) {
    const to = (i - first) * rowLength;
    for (const [k, weight] of shares(step, i, old)) {
      const from = (k - top) * rowLength;
      for (let j = 0; j < rowLength; j++) {
        rows[to + j] += fround(image[from + j] * weight);
      }
    }
  }
  return rows;
}

function columnsByArea(rows, height, old, width) {
  const step = fround(old / width);
  const image = new Float32Array(height * width * 3);
  for (let i = 0; i < width; i++) {
    for (const [k, weight] of shares(step, i, old)) {
      for (let y = 0; y < height; y++) {
        const to = (y * width + i) * 3;
        const from = (y * old + k) * 3;
        image[to] += fround(rows[from] * weight);
        image[to + 1] += fround(rows[from + 1] * weight);
        image[to + 2] += fround(rows[from + 2] * weight);
      }
    }
  }
  return image;
}

/** Resizes an image by area. */
export function resizeByArea(image, oldHeight, oldWidth, height, width) {
  const step = fround(oldHeight / height);
  const length = oldWidth * 3;
  const rows = rowsByArea(image, 0, oldHeight, length, step, 0, height);
  return columnsByArea(rows, height, oldWidth, width);
}

/** Resizes a source by area, in strips: an image. */
export function shrinkByArea(source, height, width) {
  const step = fround(source.height / height);
  const rowPixels = source.width * step * source.cost;
  const many = Math.max(1, Math.floor(STRIP_PIXELS / rowPixels));
  const image = new Float32Array(height * width * 3);
  for (let first = 0; first < height; first += many) {
    const last = Math.min(first + many, height);
    const top = Math.floor(fround(first * step));
    const bottom = Math.min(Math.ceil(fround(last * step)), source.height);
    const pixels = source.region(top, 0, bottom - top, source.width);
    const rgb = withoutAlpha(pixels);
    const length = source.width * 3;
    const rows = rowsByArea(rgb, top, source.height, length, step, first, last);
    const strip = columnsByArea(rows, last - first, source.width, width);
    image.set(strip, first * width * 3);
  }
  return image;
}

function withoutAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}
