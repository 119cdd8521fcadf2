// Keeps the files of the site, and only those, so that it works offline.
//
// build_web puts the names and their bytes in. A photo is never fetched, so it
// never comes by here.

const VERSION = "@VERSION@";
const FILES = {}; // @FILES@

// Other sites may stand on the same host, and share its caches.
const OURS = `your-face ${new URL("./", self.location.href).pathname} `;
const CACHE = OURS + VERSION;
// A browser runs one of the two engines; the page says which it needs.
const engine = new URL(self.location.href).searchParams.get("engine");
const wanted = Object.keys(FILES).filter(
  (name) => !name.startsWith("litert/wasm/") ||
    name.startsWith(`litert/wasm/${engine}.`));

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));

async function install() {
  const cache = await caches.open(CACHE);
  const total = wanted.reduce((sum, name) => sum + FILES[name], 0);
  let done = 0;
  for (const name of wanted) {
    // Past the browser's own cache, which may hold the build before.
    const response = await fetch(new Request(name, {cache: "no-cache"}));
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    await cache.put(name, response);
    done += FILES[name];
    const pages = await self.clients.matchAll({includeUncontrolled: true});
    pages.forEach((page) => page.postMessage({kept: done / total}));
  }
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name.startsWith(OURS) && name !== CACHE) {
      await caches.delete(name);
    }
  }
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const scope = new URL("./", self.location.href);
  const isOurs = url.href.startsWith(scope.href);
  if (event.request.method !== "GET" || !isOurs) return;
  const name = url.pathname.slice(scope.pathname.length) || "index.html";
  event.respondWith(answer(event.request, name));
});

async function answer(request, name) {
  const cache = await caches.open(CACHE);
  return (await cache.match(name)) || fetch(request);
}
