// Photo in, faces and probabilities out: LiteRT runs the exported files.
//
//   const engine = await Engine.load(site);        // site.json
//   const faces = await engine.look(file);

import {cropFace} from "./crop.js";
import {detect, inPhoto} from "./detector.js";
import {loadAndCompile, loadLiteRt, Tensor} from "./litert/core.js";
import {Photo, reduced} from "./pixels.js";

const here = (path) => new URL(path, import.meta.url).href;
const OPTIONS = {accelerator: "wasm"};

export class Engine {
  static async load(site) {
    const engine = new Engine();
    engine._site = site;
    // In a worker made from a blob, the glue cannot tell where its wasm is.
    const locateFile = (name) => here(`litert/wasm/${name}`);
    globalThis.Module = {locateFile};
    await loadLiteRt(here("litert/wasm/"));
    engine._detector = await loadAndCompile(here(site.detector_file), OPTIONS);
    engine._model = await loadAndCompile(here(site.model_file), OPTIONS);
    return engine;
  }

  /** Every face of an image file, the largest first.
   *
   * Returns [{box, score, crop, probabilities}]: box is y_min x_min y_max x_max
   * in 0..1 of the upright photo; crop an ImageData; probabilities by head.
   * Rejects with an error named Unreadable where the browser cannot decode the
   * file.
   */
  async look(file) {
    // Training saw the numbers in the file, whatever profile came with them.
    const options = {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "default",
    };
    const decoded = createImageBitmap(file, options);
    const photo = new Photo(await decoded.catch(() => {
      throw Object.assign(new Error(), {name: "Unreadable"});
    }));
    try {
      const start = await file.slice(0, 2).arrayBuffer();
      const [first, second] = new Uint8Array(start);
      return await this._lookAt(photo, first === 0xff && second === 0xd8);
    } finally {
      photo.close();
    }
  }

  async _lookAt(photo, isJpeg) {
    const {detector, labels} = this._site;
    const longest = Math.max(photo.height, photo.width);
    const shrink = isJpeg ? shrinking(longest, detector.input_size) : 1;
    const small = reduced(photo, shrink);
    const run = (name, input, shape) => this._run(name, input, shape);
    const {faces, size} = await detect(small, detector, run);
    const found = [];
    for (const face of faces) {
      if (face.score < labels.min_score) continue;
      // A small face of a large photo needs more pixels than the detector.
      const {box} = inPhoto(face, size, photo);
      const longer = Math.max(box[2] - box[0], box[3] - box[1]);
      const side = Math.max(labels.crop.margin * longer, 1);
      const wanted = Math.ceil((longest * labels.crop.image_size) / side);
      const enough = Math.ceil(longest / shrink) >= wanted;
      const source = reduced(
        photo, enough ? shrink : shrinking(longest, wanted));
      const there = inPhoto(face, size, source);
      const crop = cropFace(source, there.box, there.landmarks, labels.crop);
      found.push({
        box: face.box.map((x, k) => x / size[k % 2]),
        score: face.score,
        crop: asImage(crop, labels.crop.image_size),
        probabilities: await this.classify(crop),
      });
    }
    return found;
  }

  /** Probabilities by head of one crop, Uint8ClampedArray RGB. */
  async classify(crop) {
    const size = this._site.labels.crop.image_size;
    // An int8 file takes pixels as they are too, as uint8.
    const bytes = this._site.input === "uint8";
    const input = bytes ? new Uint8Array(crop) : Float32Array.from(crop);
    const shape = [1, size, size, 3];
    const answer = await ask(
      this._model, "serving_default", {faces: new Tensor(input, shape)});
    const heads = Object.keys(this._site.labels.heads);
    return Object.fromEntries(heads.map((head) => [head, [...answer[head]]]));
  }

  async _run(name, input, shape) {
    const source = name === "propose" ? "pixels" : "faces";
    const tensor = new Tensor(input, shape);
    const answer = await ask(this._detector, name, {[source]: tensor});
    return Object.values(answer)[0];
  }
}

/** Runs a signature by its name; gives back the memory outside JavaScript. */
async function ask(model, signature, inputs) {
  const outputs = await model.run(signature, inputs);
  const answer = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    answer[name] = tensor.toTypedArray().slice();
    tensor.delete();
  }
  Object.values(inputs).forEach((tensor) => tensor.delete());
  return answer;
}

/** By how much training and SavedModel shrink a JPEG while decoding it. */
function shrinking(longest, wanted) {
  return [8, 4, 2].find((step) => longest >= step * wanted) || 1;
}

function asImage(crop, size) {
  const image = new ImageData(size, size);
  image.data.fill(255);
  for (let from = 0, to = 0; from < crop.length; from += 3, to += 4) {
    image.data.set(crop.subarray(from, from + 3), to);
  }
  return image;
}
