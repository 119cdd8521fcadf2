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
    image.onerror = reject;
  });
  try {
    image.src = source;
    await loaded.catch(async () => { throw await unreadable(file); });
    const pixels = image.naturalWidth * image.naturalHeight;
    if (!pixels) throw await unreadable(file);
    if (pixels > MOST_PIXELS) throw "errorTooLarge";
    return source;
  } catch (error) {
    URL.revokeObjectURL(source);
    throw error;
  }
}

// First bytes of JPEG, PNG, GIF and WebP (after its length) files.
const KINDS = [
  [0, "\xff\xd8\xff"], [0, "\x89PNG"], [0, "GIF8"], [8, "WEBP"],
];

/** Which text fits a file that the browser cannot decode. */
async function unreadable(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  const known = KINDS.some(([at, mark]) => text.startsWith(mark, at));
  return known ? "errorDamaged" : "errorBadFile";
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
    waiting.set(++count, {file, resolve, reject});
    worker.postMessage({id: count, file});
  });
  return new Promise((resolve, reject) => {
    worker.onerror = () => {
      reject("errorEngine");
      // Once it has started that says nothing: who waits is told.
      waiting.forEach((one) => one.reject("errorFailed"));
      waiting.clear();
    };
    worker.onmessage = async ({data}) => {
      if (data.listening) worker.postMessage({site});
      else if (data.ready) resolve(ask);
      else if (!data.id) reject("errorEngine");
      else {
        const one = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.faces) one?.resolve(data.faces);
        else if (data.failed) one?.reject("errorFailed");
        else one?.reject(await unreadable(one.file));
      }
    };
  });
}
