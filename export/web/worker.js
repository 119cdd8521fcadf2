// Does the heavy work beside the page: it never stands still meanwhile.
//
// A classic worker, as LiteRT loads its wasm glue by importScripts. In:
// {site} once, then {id, file}. Out: {ready} or {failed}, then {id, faces},
// {id, unreadable}, which the file is to blame for, or {id, failed}.

let engine;

self.addEventListener("message", async ({data}) => {
  if (data.site) {
    try {
      const {Engine} = await import("./engine.js");
      engine = await Engine.load(data.site);
      self.postMessage({ready: true});
    } catch (error) {
      self.postMessage({failed: String(error)});
    }
    return;
  }
  try {
    self.postMessage({id: data.id, faces: await engine.look(data.file)});
  } catch (error) {
    const unreadable = error?.name === "Unreadable";
    self.postMessage({id: data.id, unreadable, failed: !unreadable});
  }
});

self.postMessage({listening: true});
