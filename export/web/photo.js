// A photo before it is looked at, and the worker that looks at it. What goes
// wrong is thrown as the key of a text.

export const MOST_PIXELS = 50e6;
export const MOST_BYTES = 100e6;

/** Gives back an address for an <img>, to be revoked. */
export async function opened(file) {
  if (file.size > MOST_BYTES) throw "errorTooLarge";
  const source = URL.createObjectURL(file);
  const image = new Image();
  // Reads the head of the file: nothing is decoded before its size is known.
  const loaded = new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = () => reject("errorBadFile");
  });
  try {
    image.src = source;
    await loaded;
    const pixels = image.naturalWidth * image.naturalHeight;
    if (!pixels) throw "errorBadFile";
    if (pixels > MOST_PIXELS) throw "errorTooLarge";
    return source;
  } catch (error) {
    URL.revokeObjectURL(source);
    throw error;
  }
}

/** Starts the worker: resolves to a function from a file to its faces. */
export function connect(site) {
  // A worker with an address of its own would not be under the rules of this
  // page (Content-Security-Policy); one made from a blob is.
  const script = new URL("worker.js", import.meta.url).href;
  const code = `importScripts(${JSON.stringify(script)})`;
  const blob = new Blob([code], {type: "text/javascript"});
  const worker = new Worker(URL.createObjectURL(blob));
  const waiting = new Map();
  let count = 0;
  const ask = (file) => new Promise((resolve, reject) => {
    waiting.set(++count, {resolve, reject});
    worker.postMessage({id: count, file});
  });
  return new Promise((resolve, reject) => {
    worker.onerror = () => reject("errorEngine");
    worker.onmessage = ({data}) => {
      if (data.listening) worker.postMessage({site});
      else if (data.failed) reject("errorEngine");
      else if (data.ready) resolve(ask);
      else {
        const {resolve, reject} = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.faces) resolve(data.faces);
        else reject("errorBadFile");
      }
    };
  });
}
