// The page: takes a photo, asks the worker, shows the answer.

import {best, percent, rows, sentence, words} from "./answer.js";
import {Camera} from "./camera.js";
import {draw} from "./card.js";
import {$, element, paint} from "./dom.js";
import {MOST_FACES, showFaces} from "./faces.js";
import {keepOffline} from "./offline.js";
import {connect, MOST_BYTES, MOST_PIXELS, opened} from "./photo.js";
import {TEXTS} from "./texts.js";

const state = {
  site: null, faces: [], count: 0, chosen: 0, error: null, status: null,
};
// Which photo was asked for last: the answer for an older one is dropped.
let asked = 0;

// ---- Words

function language() {
  const wanted = location.hash.slice(1);
  if (TEXTS[wanted]) return wanted;
  return navigator.language.startsWith("ko") ? "ko" : "en";
}

function say(key, values = {}) {
  const fill = (text, [name, value]) => text.replace(`{${name}}`, value);
  return Object.entries(values).reduce(fill, TEXTS[language()][key]);
}

function showWords() {
  document.documentElement.lang = language();
  document.title = `Your Face · ${say("title")}`;
  document.querySelectorAll("[data-text]").forEach((element) => {
    element.textContent = say(element.dataset.text);
  });
  $("languages").setAttribute("aria-label", say("language"));
  document.querySelectorAll("#languages a").forEach((link) => {
    if (link.lang === language()) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  });
  $("photo-image").alt = say("photo");
  if (state.site) {
    const uses = state.site.words[language()].out_of_scope;
    $("out-of-scope").replaceChildren(
      ...uses.map((use) => element("li", {}, use)));
  }
  showError(state.error);
  showStatus(state.status);
  showAnswer();
}

// ---- What goes on

function showError(key) {
  state.error = key;
  const limits = {most: MOST_PIXELS / 1e6, bytes: MOST_BYTES / 1e6};
  $("error").textContent = key ? say(key, limits) : "";
  const appears = key && $("error").hidden;
  $("error").hidden = !key;
  if (appears) $("error").scrollIntoView({block: "nearest"});
}

/** Shows a text and a bar; a share of null is a bar without an end. */
function showStatus(status) {
  state.status = status;
  const [text, bar] = $("status").children;
  text.hidden = bar.hidden = !status;
  if (!status) return;
  if (status.key === "looking") bar.scrollIntoView({block: "nearest"});
  const line = say(status.key);
  // A screen reader reads the line again at every change.
  if (text.textContent !== line) text.textContent = line;
  bar.setAttribute("aria-label", line);
  if (status.share == null) bar.removeAttribute("value");
  else bar.value = status.share;
}

// ---- The photo

async function take(file) {
  const turn = ++asked;
  reset();
  showStatus(engine.isReady ? {key: "looking"} : state.status);
  let source;
  try {
    source = await opened(file);
    const ask = await engine.promise;
    if (turn === asked) showStatus({key: "looking"});
    const faces = await ask(file);
    if (!faces.length) throw "errorNoFace";
    if (turn !== asked) return;
    state.faces = faces.slice(0, MOST_FACES);
    state.count = faces.length;
    $("photo-image").src = source;
    source = null;
    // Before the answer is scrolled to: it stands above it.
    showStatus(null);
    $("start").hidden = true;
    choose(0);
    $("result").hidden = false;
    $("result").scrollIntoView({block: "start"});
    $("result").focus({preventScroll: true});
  } catch (error) {
    const known = typeof error === "string" && error in TEXTS.en;
    if (turn === asked) showError(known ? error : "errorFailed");
  } finally {
    if (source) URL.revokeObjectURL(source);
    if (turn === asked) showStatus(null);
  }
}

/** Back to the start; nothing of the photo is kept. */
function reset() {
  camera.stop();
  showError(null);
  const image = $("photo-image");
  if (image.src) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  state.faces = [];
  $("file").value = "";
  $("result").hidden = true;
  $("start").hidden = false;
}

// ---- The answer

function choose(number) {
  state.chosen = number;
  showFaces(state.faces, number, choose);
  showAnswer();
}

function showAnswer() {
  const {site, faces, chosen} = state;
  const face = faces[chosen];
  if (!face) return;
  const now = language();
  const likeliest = best(face.probabilities[site.lead]);
  $("sentence").textContent = sentence(site, face.probabilities, now);
  paint($("crop"), face.crop);
  $("crop").setAttribute("aria-label", say("crop"));
  $("animal").src = site.animals[likeliest];
  $("animal-title").textContent = site.words[now].heads[site.lead];
  $("animal-word").textContent = words(site, site.lead, now)[likeliest];
  const share = face.probabilities[site.lead][likeliest];
  $("animal-percent").textContent = percent(share);
  const counted = faces.length < state.count ? "largest" : "faces";
  const counts = {n: state.count, shown: faces.length};
  $("how-many").textContent = say(counted, counts);
  document.querySelectorAll(".thumb-input").forEach((input, i) => {
    input.setAttribute("aria-label", say("face", {n: i + 1}));
  });
  const heads = Object.entries(face.probabilities);
  $("bars").replaceChildren(
    ...heads.map(([head, values]) => bars(head, values, now)));
}

function bars(head, values, now) {
  const list = element("ul");
  for (const {word, value, kind} of rows(state.site, head, values, now)) {
    const bar = element("div");
    bar.style.width = `${100 * Math.min(value, 1)}%`;
    const named = {bar: "first", other: "", rest: "rest"}[kind];
    list.append(element(
      "li", {class: named},
      element("span", {class: "word"}, word),
      element("span", {class: "value"}, percent(value)),
      element("div", {class: "track"}, bar)));
  }
  const title = state.site.words[now].heads[head];
  return element("div", {class: "head"}, element("h4", {}, title), list);
}

async function download() {
  try {
    const face = state.faces[state.chosen];
    const canvas = await draw(state.site, face, language());
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    const href = URL.createObjectURL(blob);
    element("a", {href, download: say("cardName")}).click();
    // The browser reads it after this turn.
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    showError(null);
  } catch {
    showError("errorCard");
  }
}

// ---- The engine

/** Starts the worker: a function from a file to its faces. */
async function start() {
  const response = await fetch("site.json");
  state.site = await response.json();
  $("animals").replaceChildren(...state.site.animals.map(
    (src) => element("img", {src, alt: "", width: 64, height: 64})));
  showWords();
  showStatus({key: "loading"});
  await keepOffline((share) => showStatus({key: "loading", share}));
  showStatus({key: "starting"});
  const ask = await connect(state.site);
  engine.isReady = true;
  showStatus(null);
  return ask;
}

const engine = {isReady: false, promise: null};
const camera = new Camera({
  box: $("finder"), video: $("video"), take,
  fail: () => showError("errorCamera"),
});

// ---- What people do

addEventListener("hashchange", showWords);
$("file").addEventListener("change", ({target}) => {
  if (target.files.length) take(target.files[0]);
});
$("camera").hidden = !Camera.isThere();
$("camera").addEventListener("click", () => {
  showError(null);
  camera.start();
});
$("shoot").addEventListener("click", () => camera.shoot());
$("cancel").addEventListener("click", () => {
  camera.stop();
  $("camera").focus();
});
$("download").addEventListener("click", download);
$("another").addEventListener("click", () => {
  asked++;
  reset();
  scrollTo(0, 0);
  $("file").focus();
});
addEventListener("paste", ({clipboardData}) => {
  const [file] = clipboardData.files;
  if (file) take(file);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({relatedTarget}) => {
  if (!relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) take(file);
});

showWords();
engine.promise = start();
engine.promise.catch(() => {
  showStatus(null);
  showError("errorEngine");
});
