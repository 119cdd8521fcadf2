// Has the service worker keep the files of the site.

import {supportsFeature} from "./litert/core.js";

/** Ends when the files are kept, or cannot be: the page works online then.
 *
 * The engine is loaded after it, from what was kept: once over the network.
 */
export async function keepOffline(progress) {
  if (!("serviceWorker" in navigator)) return;
  const fast = await supportsFeature("relaxedSimd");
  const engine = fast ? "litert_wasm_internal" : "litert_wasm_compat_internal";
  const heard = ({data}) => progress(data.kept);
  navigator.serviceWorker.addEventListener("message", heard);
  navigator.serviceWorker.startMessages();
  try {
    const where = `sw.js?engine=${engine}`;
    const registration = await navigator.serviceWorker.register(where);
    if (registration.active) return;
    const worker = registration.installing || registration.waiting;
    await new Promise((resolve) => {
      const look = () => {
        if (["activated", "redundant"].includes(worker.state)) resolve();
      };
      worker.addEventListener("statechange", look);
      look();
    });
  } catch {
    // Not allowed here, as over http on another host than this.
  } finally {
    navigator.serviceWorker.removeEventListener("message", heard);
  }
}
