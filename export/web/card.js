// The picture to keep, 1080 x 1350: card.py of the Python project on a canvas.
//
// Its letters are those of the system's fonts; Korean ones, where the system
// has none, those of the site's own font.

import {best, percent, rows, sentence, words} from "./answer.js";

const [WIDTH, HEIGHT] = [1080, 1350];
const MARGIN = 64;
const PANEL_END = 660;
const LEADING = 1.34;
const FONTS =
  '"Apple SD Gothic Neo", "Noto Sans KR", "Noto Sans CJK KR", ' +
  '"Malgun Gothic", NanumGothic, "Your Face", system-ui, sans-serif';

/** Draws the card of one face of `Engine.look`: a canvas. */
export async function draw(site, face, language) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const pen = canvas.getContext("2d");
  // A canvas does not wait for a font. Any Korean letter asks for the file.
  await Promise.all(
    [true, false].map((bold) => document.fonts.load(font(20, bold), "가")));
  pen.textBaseline = "middle";
  pen.imageSmoothingQuality = "high";
  const color = site.palette;
  pen.fillStyle = color.paper;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  rounded(pen, 0, -100, WIDTH, PANEL_END + 100, 72, color.panel);
  await drawFace(pen, face.crop, color);
  await drawAnimal(pen, site, face.probabilities, language);
  write(pen, sentence(site, face.probabilities, language), {
    x: WIDTH / 2, y: 766, size: 60, smallest: 26, bold: true,
    width: WIDTH - 2 * MARGIN, height: 164, color: color.ink,
  });
  drawBars(pen, site, face.probabilities, language);
  write(pen, site.words[language].footer, {
    x: WIDTH / 2, y: 1306, size: 24, smallest: 20,
    width: WIDTH - 2 * MARGIN, height: 30, color: color.soft,
  });
  return canvas;
}

async function drawFace(pen, crop, color) {
  const [left, top, side, frame] = [64, 64, 532, 12];
  rounded(pen, left, top, side, side, 64, color.white);
  const bitmap = await createImageBitmap(crop);
  const inner = side - 2 * frame;
  pen.save();
  pen.beginPath();
  pen.roundRect(left + frame, top + frame, inner, inner, 52);
  pen.clip();
  pen.drawImage(bitmap, left + frame, top + frame, inner, inner);
  pen.restore();
  bitmap.close();
}

async function drawAnimal(pen, site, probabilities, language) {
  const [x, y, side] = [832, 236, 288];
  const color = site.palette;
  const values = probabilities[site.lead];
  const likeliest = best(values);
  pen.fillStyle = color.paper;
  pen.beginPath();
  pen.arc(x, y, side / 2 + 28, 0, 2 * Math.PI);
  pen.fill();
  const animal = new Image(side, side);
  animal.src = site.animals[likeliest];
  await animal.decode();
  pen.drawImage(animal, x - side / 2, y - side / 2, side, side);
  const width = 2 * (WIDTH - 40 - x);
  const word = words(site, site.lead, language)[likeliest];
  const title = site.words[language].heads[site.lead];
  const lines = [
    [title, 444, 30, 20, color.soft, false],
    [word, 505, 72, 24, color.ink, true],
    [percent(values[likeliest]), 573, 46, 46, color.strong, true],
  ];
  for (const [text, middle, size, smallest, ink, bold] of lines) {
    const height = size * LEADING;
    const style = {size, smallest, width, height, color: ink, bold};
    write(pen, text, {x, y: middle, ...style});
  }
}

function drawBars(pen, site, probabilities, language) {
  const [left, top, right, bottom, gutter] = [64, 872, WIDTH - 64, 1262, 64];
  let [columns, pitch] = [[], 0];
  // As large rows as there is room for.
  for (let most = 4; most > 0 && pitch < 44; most--) {
    const blocks = Object.entries(probabilities).map(([head, values]) => ({
      title: site.words[language].heads[head],
      rows: rows(site, head, values, language, most),
    }));
    columns = dealt(blocks);
    pitch = Math.min(62, (bottom - top) / Math.max(...columns.map(units)));
  }
  const width = (right - left + gutter) / columns.length - gutter;
  columns.forEach((blocks, number) => {
    let y = top;
    for (const block of blocks) {
      const x = left + number * (width + gutter);
      drawBlock(pen, site.palette, block, x, y, width, pitch);
      y += units([block]) * pitch;
    }
  });
}

const units = (blocks) =>
  blocks.reduce((sum, block) => sum + block.rows.length + 1, 0);

/** Deals blocks to two columns of about the same height, in their order. */
function dealt(blocks) {
  if (blocks.length === 1) return [blocks];
  const columns = [[], []];
  const order = blocks.map((_, i) => i);
  order.sort((a, b) => blocks[b].rows.length - blocks[a].rows.length);
  for (const i of order) {
    const shorter = units(choose(columns[1])) < units(choose(columns[0]));
    columns[shorter ? 1 : 0].push(i);
  }
  columns.forEach((column) => column.sort((a, b) => a - b));
  if (columns[0][0] > columns[1][0]) columns.reverse();
  return columns.map(choose);

  function choose(column) {
    return column.map((i) => blocks[i]);
  }
}

function drawBlock(pen, color, block, left, y, width, pitch) {
  const right = left + width;
  const size = Math.round(pitch * 0.45);
  // "100.0 %", the widest number, is 4.1 times as wide as its letters high.
  const room = width - 5 * size;
  const fits = block.rows.map(({word}) => {
    const smallest = Math.round(size * 0.7);
    return fit(pen, word, size, smallest, true, room, pitch / 2).size;
  });
  const small = Math.min(...fits);
  const side = {width, height: pitch, smallest: 12};
  write(pen, block.title, {
    ...side, x: left, y: y + pitch * 0.58, size: Math.round(pitch * 0.42),
    color: color.soft, bold: true, align: "left",
  });
  for (const {word, value, kind} of block.rows) {
    y += pitch;
    const middle = y + pitch * 0.3;
    write(pen, percent(value), {
      ...side, x: right, y: middle, size, bold: kind === "bar", align: "right",
      color: kind === "bar" ? color.strong : color.soft,
    });
    write(pen, word, {
      ...side, x: left, y: middle, size: small, width: room,
      bold: kind === "bar", align: "left",
      color: kind === "rest" ? color.soft : color.ink,
    });
    const high = Math.max(4, Math.round(pitch * 0.19));
    const at = Math.round(y + pitch * 0.62);
    rounded(pen, left, at, width, high, high, color.track);
    const long = width * Math.min(value, 1);
    if (kind !== "rest") {
      rounded(pen, left, at, long, high, high, color[kind]);
    } else if (long > 2) {
      // Hollow: the others together, no class of its own.
      rounded(pen, left, at, long, high, high, color.other);
      rounded(pen, left + 2, at + 2, long - 4, high - 4, high, color.paper);
    }
  }
}

function rounded(pen, left, top, width, height, radius, color) {
  if (width <= 0 || height <= 0) return;
  pen.fillStyle = color;
  pen.beginPath();
  const corner = Math.min(radius, width / 2, height / 2);
  pen.roundRect(left, top, width, height, corner);
  pen.fill();
}

function font(size, bold) {
  return `${bold ? 700 : 400} ${size}px ${FONTS}`;
}

/** The text in the largest letters in which it fits: {lines, size}. */
function fit(pen, text, size, smallest, bold, width, height) {
  for (; ; size -= 2) {
    pen.font = font(size, bold);
    const most = Math.max(1, Math.floor(height / (size * LEADING)));
    const lines = even(pen, text, width);
    const wide = Math.max(...lines.map((line) => pen.measureText(line).width));
    const fits = lines.length <= most && wide <= width;
    if (fits || size - 2 < smallest) {
      return {lines: lines.slice(0, most), size};
    }
  }
}

function wrapped(pen, text, width) {
  const lines = [];
  for (const word of text.split(/\s+/)) {
    const joined = `${lines.at(-1)} ${word}`;
    if (lines.length && pen.measureText(joined).width <= width) {
      lines[lines.length - 1] = joined;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

/** Lines about as long as each other: as narrow as their number allows. */
function even(pen, text, width) {
  const count = wrapped(pen, text, width).length;
  let [low, high] = [0, width];
  while (high - low > 1) {
    const middle = (low + high) / 2;
    const lines = wrapped(pen, text, middle);
    const wide = Math.max(...lines.map((line) => pen.measureText(line).width));
    if (lines.length <= count && wide <= middle) high = middle;
    else low = middle;
  }
  return wrapped(pen, text, high);
}

function write(pen, text, style) {
  const {x, y, size, smallest, width, height, color} = style;
  const block = fit(pen, text, size, smallest, style.bold, width, height);
  pen.font = font(block.size, style.bold);
  pen.fillStyle = color;
  pen.textAlign = style.align || "center";
  const leading = block.size * LEADING;
  const top = y - (leading * (block.lines.length - 1)) / 2;
  block.lines.forEach((line, i) => {
    // The last argument squeezes what no size would let fit.
    pen.fillText(line, x, top + i * leading, width);
  });
}
