// The local page: takes a photo, asks the program, shows the answer.
// Gradio runs this once, with `element`, the page, and `server`, the program.

const root = element.querySelector("#your-face");
const facts = JSON.parse(root.dataset.facts);
const $ = (id) => root.querySelector(`#${id}`);

let photo = null; // base64
let faces = [];
let chosen = 0;
// Which photo, and which card, was asked for last: older answers are dropped.
let asked = 0;
let cards = new Map();

// ---- Words

const language = () => document.documentElement.lang;

function speak(wanted) {
  document.documentElement.lang = wanted;
  document.title = `Your Face · ${facts.titles[wanted]}`;
  for (const link of root.querySelectorAll("#languages a")) {
    if (link.lang === wanted) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  $("languages").setAttribute("aria-label", facts.languages[wanted]);
  if (faces.length) showCard();
}

function showError(html) {
  $("error").innerHTML = html;
  $("error").hidden = !html;
  if (html) $("error").scrollIntoView({block: "nearest"});
}

function showStatus(html) {
  $("status").innerHTML = html && `<p>${html}</p><progress aria-hidden="true"></progress>`;
}

// ---- The photo

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = reject;
    reader.readAsDataURL(blob);
  });
}

async function take(file) {
  reset();
  const turn = asked;
  if (file.size > facts.most_bytes) return showError(facts.said.too_large);
  showStatus(facts.said.looking);
  let answer;
  try {
    const content = await base64(file);
    answer = await server.look({photo: content});
    if (turn !== asked) return;
    photo = content;
  } catch {
    if (turn !== asked) return;
  }
  showStatus("");
  // Nothing comes back where the program has ended.
  if (!answer) return showError(facts.said.no_answer);
  if (answer.error) return showError(answer.error);
  faces = answer.faces;
  $("photo").innerHTML = answer.photo;
  $("how-many").innerHTML = answer.count;
  $("faces").innerHTML = answer.thumbs;
  $("how-many").hidden = $("faces").hidden = faces.length < 2;
  $("start").hidden = true;
  $("result").hidden = false;
  choose(0);
  $("result").scrollIntoView({block: "start"});
  $("result").focus({preventScroll: true});
}

/** Back to the start; nothing of the photo is kept. */
function reset() {
  asked += 1;
  stopCamera();
  showError("");
  showStatus("");
  photo = null;
  faces = [];
  cards = new Map();
  for (const id of ["panel", "sentence", "other-sentence", "bars", "photo", "faces"]) {
    $(id).replaceChildren();
  }
  $("card-image").removeAttribute("src");
  $("download").removeAttribute("href");
  $("file").value = "";
  $("result").hidden = true;
  $("start").hidden = false;
}

// ---- The answer

function choose(number) {
  chosen = number;
  const {panel, sentence, other, bars} = faces[number];
  $("panel").innerHTML = panel;
  $("sentence").innerHTML = sentence;
  $("other-sentence").innerHTML = other;
  $("bars").innerHTML = bars;
  for (const mark of root.querySelectorAll("#photo [data-face]")) {
    mark.classList.toggle("chosen", mark.dataset.face === String(number));
  }
  showCard();
}

async function showCard() {
  const turn = asked;
  const wanted = {face: chosen, language: language()};
  const key = `${wanted.language} ${wanted.face}`;
  const isWanted = () =>
    turn === asked && key === `${language()} ${chosen}` && faces.length;
  $("download").innerHTML = facts.said.drawing;
  $("download").removeAttribute("href");
  if (!cards.has(key)) {
    cards.set(key, server.draw({photo, ...wanted}).catch(() => null));
  }
  const answer = await cards.get(key);
  if (!answer?.card) cards.delete(key);
  if (!isWanted()) return;
  if (!answer?.card) return showError(answer?.error ?? facts.said.no_answer);
  $("card-image").src = answer.card;
  $("download").href = answer.card;
  $("download").download =
    wanted.language === "ko" ? "내-얼굴-카드.png" : "your-face-card.png";
  $("download").innerHTML = facts.said.download;
}

// ---- The camera

let stream = null;
let opening = 0;

async function startCamera() {
  reset();
  const turn = ++opening;
  try {
    const video = {facingMode: "user", width: {ideal: 1280}};
    const got = await navigator.mediaDevices.getUserMedia({video});
    // Stopped or started again while the question was open.
    if (turn !== opening) return got.getTracks().forEach((track) => track.stop());
    stream = got;
    $("video").srcObject = stream;
    $("finder").hidden = false;
    await $("video").play();
    $("shoot").focus();
  } catch {
    if (turn !== opening) return;
    stopCamera();
    showError(facts.said.no_camera);
  }
}

async function shoot() {
  const {videoWidth: width, videoHeight: height} = $("video");
  if (!width) return;
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  take(await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95)));
}

function stopCamera() {
  opening += 1;
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("video").srcObject = null;
  $("finder").hidden = true;
}

// ---- What people do

const on = (id, event, act) => $(id).addEventListener(event, act);
on("file", "change", () => $("file").files.length && take($("file").files[0]));
on("camera", "click", startCamera);
on("shoot", "click", shoot);
on("cancel", "click", () => {
  stopCamera();
  $("camera").focus();
});
on("another", "click", () => {
  reset();
  scrollTo(0, 0);
  $("file").focus();
});
on("faces", "change", (event) => choose(Number(event.target.value)));
on("photo", "click", ({target}) => {
  // The box is a label of its own.
  if (target.matches(".plate")) $(`face-${target.dataset.face}`).click();
});
on("languages", "click", (event) => {
  if (!event.target.lang) return;
  event.preventDefault();
  speak(event.target.lang);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take(event.clipboardData.files[0]);
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    const over = kind === "dragenter" || kind === "dragover";
    root.querySelector(".middle").classList.toggle("over", over);
    const file = kind === "drop" && event.dataTransfer?.files[0];
    if (file) take(file);
  });
}
$("camera").hidden = !navigator.mediaDevices?.getUserMedia;
// Gradio follows the system; the colours here are those of the card.
document.body.classList.remove("dark");
speak(facts.language);
root.dataset.ready = "true";
