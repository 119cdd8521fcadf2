// The boxes in the photo and, with several faces, the row to choose from.

import {$, element, paint} from "./dom.js";

export const MOST_FACES = 12;

/** Shows which face is chosen; `choose` is called with another's number. */
export function showFaces(faces, chosen, choose) {
  const several = faces.length > 1;
  $("how-many").hidden = $("faces").hidden = !several;
  $("boxes").replaceChildren(...faces.flatMap(
    (face, i) => box(face, i, {several, chosen: i === chosen})));
  // Made once a photo: the one in use keeps the keyboard's focus.
  if ($("faces").photo === faces) return;
  $("faces").photo = faces;
  $("faces").replaceChildren(...faces.flatMap((face, i) => {
    const id = `face-${i}`;
    const input = element(
      "input", {type: "radio", name: "face", id, class: "thumb-input"});
    input.checked = i === chosen;
    input.addEventListener("change", () => choose(i));
    const canvas = element("canvas", {"aria-hidden": "true"});
    paint(canvas, face.crop);
    const label = element("label", {class: "thumb", for: id});
    label.append(canvas, element("span", {}, String(i + 1)));
    return [input, label];
  }));
}

function box(face, i, {several, chosen}) {
  const sides = face.box.map((x) => 100 * Math.min(Math.max(x, 0), 1));
  const [top, left, bottom, right] = sides;
  const kind = chosen ? " chosen" : "";
  const frame = element("label", {class: `box${kind}`, for: `face-${i}`});
  const place = {left, top, width: right - left, height: bottom - top};
  for (const [side, value] of Object.entries(place)) {
    frame.style[side] = `${value}%`;
  }
  if (!several) return [frame];
  const plate = element(
    "span", {class: `plate${kind}`, "aria-hidden": "true"}, String(i + 1));
  // As on the local page; style.css keeps it within the photo.
  plate.style.setProperty("--left", `${left}%`);
  plate.style.setProperty("--top", `${top}%`);
  plate.addEventListener("click", () => $(`face-${i}`).click());
  return [frame, plate];
}
