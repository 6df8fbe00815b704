// The picture to start from: shown on a small stage, painted over with a brush, pulled at its edges. All of it ends up in the form's
// own boxes: `image`, `mask`, `strength`, `outpaint_*`. Loaded when there is a picture.

import { ask, t } from "./common.js";

const form = document.getElementById("form");
const part = (id) => document.getElementById(id);
const stage = part("stage");
const easel = part("easel");
const shown = part("start-picture");
const sheet = part("start-mask"); // what is painted over, in the accent's colour
const fileBox = (name) => form.querySelector(`[type=file][name=${name}]`);
const LONGEST = 1024; // pixels of the stage's own copy; the server stretches the mask over the picture
const MOST = 1024; // pixels a side may grow

let size = { width: 1, height: 1 }; // of the picture itself, in pixels
let source = null;

// -- coming and going

// Hands `file` in as the picture to start from, and shows it.
export async function take(file, useSettings) {
  hand(fileBox("image"), file);
  await show(file, useSettings);
}

// Shows a picture, a File or the address of one, on the stage; offers its settings if it carries any.
export async function show(picture, useSettings) {
  source = picture;
  part("offer").hidden = true;
  try {
    const file = typeof picture === "string" ? await (await fetch(picture)).blob() : picture;
    const image = await createImageBitmap(file);
    if (source !== picture) return;
    size = { width: image.width, height: image.height };
    const scale = Math.min(1, LONGEST / Math.max(size.width, size.height));
    for (const canvas of [shown, sheet]) {
      canvas.width = Math.round(size.width * scale);
      canvas.height = Math.round(size.height * scale);
    }
    shown.getContext("2d").drawImage(image, 0, 0, shown.width, shown.height);
  } catch {
    stage.hidden = true; // the server says at its box what is wrong with it
    return;
  }
  if (strokes.length) wipe();
  stage.hidden = false;
  layout();
  showChange();
  if (typeof picture !== "string") offer(picture, useSettings);
}

// Takes the picture out of the form, with its mask and borders.
export function remove() {
  source = null;
  stage.hidden = true;
  paint(false);
  if (strokes.length) wipe();
  for (const name of ["image", "mask"]) {
    fileBox(name).value = "";
    form.querySelector(`[type=checkbox][name=${name}]`)?.closest("label").remove();
  }
  for (const side of SIDES) border(side).value = "";
  changed();
}

function hand(box, file) {
  const carrier = new DataTransfer();
  carrier.items.add(file);
  box.files = carrier.files;
}

const changed = () => form.dispatchEvent(new Event("input"));
part("remove").addEventListener("click", () => {
  remove();
  form.elements.prompt.focus();
});

// -- the settings that a picture carries

async function offer(file, useSettings) {
  const line = part("offer");
  const told = (await speaks(file)) && (await settingsOf(file));
  if (!told?.ok || source !== file) return;
  line.hidden = false;
  part("offer-start").onclick = () => {
    line.hidden = true;
    part("brush").focus();
  };
  part("offer-settings").onclick = () => {
    line.hidden = true;
    remove();
    useSettings(told);
  };
}

// The chunks of a PNG that are no pixels: all that is needed to read its settings. Null for other files.
async function wordsOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const view = new DataView(bytes.buffer);
  if (bytes.length < 8 || view.getUint32(0) !== 0x89504e47) return null;
  const kept = [bytes.subarray(0, 8)];
  const names = [];
  for (let place = 8; place + 12 <= bytes.length; ) {
    const end = place + 12 + view.getUint32(place);
    const name = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (name !== "IDAT") kept.push(bytes.subarray(place, end));
    names.push(name);
    place = end;
  }
  return { names, file: new File(kept, "picture.png", { type: "image/png" }) };
}

// Whether it is worth asking the server.
async function speaks(file) {
  const words = await wordsOf(file);
  if (words) return words.names.some((name) => ["tEXt", "zTXt", "iTXt", "eXIf"].includes(name));
  return file.size < 4 << 20 && /S\0?t\0?e\0?p\0?s\0?:/.test(new TextDecoder("latin1").decode(await file.arrayBuffer()));
}

// What the server reads in it: {ok, fields, notes}, or {error}.
export async function settingsOf(file) {
  const body = new FormData();
  body.set("picture", (await wordsOf(file))?.file ?? file);
  return ask(form.dataset.settings, { method: "POST", body });
}

// -- how much changes

const strength = form.elements.strength;
const usual = () => (strokes.length || fileBox("mask").files.length || SIDES.some((side) => grown(side)) ? 1 : Number(strength.placeholder) || 0.75);

function showChange() {
  const now = strength.value === "" ? usual() : Number(strength.value);
  part("change").value = now;
  part("change-said").textContent = `${Math.round(now * 100)} %`;
}
part("change").addEventListener("input", (event) => {
  event.stopPropagation();
  strength.value = part("change").value;
  showChange();
  changed();
});

// -- the brush

let strokes = []; // {points: [[x, y], ..], width, erase}, in the sheet's pixels
let stroke = null;
let handing = Promise.resolve();

// The mask's file is in its box.
export const settled = () => handing;

// The brush is taken up, or laid down.
export function paint(on) {
  part("brush").setAttribute("aria-pressed", on);
  part("brushes").hidden = !on;
  easel.classList.toggle("painting", on);
  if (on) part("brush").focus();
}
part("brush").addEventListener("click", () => paint(part("brush").getAttribute("aria-pressed") !== "true"));
part("erase").addEventListener("click", ({ target }) => target.setAttribute("aria-pressed", target.getAttribute("aria-pressed") !== "true"));
part("undo").addEventListener("click", () => {
  strokes.pop();
  redraw();
});
part("wipe").addEventListener("click", wipe);

function wipe() {
  forget();
  redraw();
}

// What was painted is no longer the mask: another one was chosen in its box.
export function forget() {
  strokes = [];
  sheet.getContext("2d").clearRect(0, 0, sheet.width, sheet.height);
  showChange();
}

function at(event) {
  const box = sheet.getBoundingClientRect();
  return [((event.clientX - box.left) * sheet.width) / box.width, ((event.clientY - box.top) * sheet.height) / box.height];
}

function draw(pen, { points, width }, colour, from = 0) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...points[from]);
  for (const point of points.slice(from)) pen.lineTo(...point);
  pen.stroke();
}

function ink(each, from = 0) {
  const pen = sheet.getContext("2d");
  pen.globalCompositeOperation = each.erase ? "destination-out" : "source-over";
  draw(pen, each, getComputedStyle(sheet).color, from);
}

function redraw() {
  sheet.getContext("2d").clearRect(0, 0, sheet.width, sheet.height);
  for (const each of strokes) ink(each);
  handIn();
}

// The strokes as a mask, white on black, into its box.
function handIn() {
  showChange();
  if (!strokes.length) {
    fileBox("mask").value = "";
    handing = Promise.resolve();
    return;
  }
  const mask = document.createElement("canvas");
  mask.width = sheet.width;
  mask.height = sheet.height;
  const pen = mask.getContext("2d");
  pen.fillRect(0, 0, mask.width, mask.height);
  for (const each of strokes) draw(pen, each, each.erase ? "#000" : "#fff");
  handing = new Promise((done) =>
    mask.toBlob((blob) => {
      if (strokes.length) hand(fileBox("mask"), new File([blob], "mask.png", { type: "image/png" }));
      done();
    }, "image/png"),
  );
}

sheet.addEventListener("pointerdown", (event) => {
  if (!easel.classList.contains("painting") || event.button || stroke) return; // one finger at a time
  event.preventDefault();
  sheet.setPointerCapture(event.pointerId);
  const width = (Number(part("brush-size").value) / 100) * Math.max(sheet.width, sheet.height);
  stroke = { points: [at(event)], width, erase: part("erase").getAttribute("aria-pressed") === "true", finger: event.pointerId };
  ink(stroke);
});
sheet.addEventListener("pointermove", (event) => {
  if (stroke?.finger !== event.pointerId) return;
  const from = stroke.points.length - 1;
  for (const each of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(at(each));
  ink(stroke, from);
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  sheet.addEventListener(end, (event) => {
    if (stroke?.finger !== event.pointerId) return;
    strokes.push(stroke);
    stroke = null;
    handIn();
  });
}

// -- growing: each side's border, in pixels of what is drawn

const SIDES = ["left", "right", "up", "down"];
const border = (side) => form.elements[`outpaint_${side}`];
const grown = (side) => Number(border(side).value) || 0;
let scale = 1; // pixels on the screen for one that is drawn

// What the picture is drawn at: as the form says, or about the model's own area in the picture's shape.
function drawn() {
  const [width, height] = ["width", "height"].map((name) => Number(form.elements[name].value));
  if (width && height) return { width, height };
  const [w, h] = ["width", "height"].map((name) => Number(form.elements[name].placeholder) || 512);
  const factor = Math.sqrt((w * h) / (size.width * size.height));
  return { width: width || size.width * factor, height: height || size.height * factor };
}

function layout(rescale = true) {
  const { width, height } = drawn();
  if (rescale) {
    const room = Math.max(160, Math.min(easel.parentElement.clientWidth - 48, 416));
    const high = Math.max(160, Math.min(innerHeight * 0.5, 352));
    scale = Math.min(room / (grown("left") + width + grown("right")), high / (grown("up") + height + grown("down")));
  }
  for (const canvas of [shown, sheet]) {
    canvas.style.width = `${width * scale}px`;
    canvas.style.height = `${height * scale}px`;
  }
  const [up, right, down, left] = ["up", "right", "down", "left"].map((side) => grown(side) * scale);
  easel.style.padding = `${up}px ${right}px ${down}px ${left}px`;
  easel.style.width = `${width * scale + left + right}px`;
  for (const handle of easel.querySelectorAll(".edge")) {
    const pixels = grown(handle.dataset.side);
    handle.setAttribute("aria-valuenow", pixels);
    handle.setAttribute("aria-valuetext", t("{number} pixels", { number: pixels }));
  }
}

function grow(side, pixels, rescale = true) {
  const to = Math.min(MOST, Math.max(0, Math.round(pixels / 8) * 8));
  border(side).value = to || "";
  layout(rescale);
  showChange();
  changed();
}

const OUTWARD = { left: ["ArrowLeft", -1, 0], right: ["ArrowRight", 1, 0], up: ["ArrowUp", 0, -1], down: ["ArrowDown", 0, 1] };
const INWARD = { left: "ArrowRight", right: "ArrowLeft", up: "ArrowDown", down: "ArrowUp" };

for (const handle of easel.querySelectorAll(".edge")) {
  const { side } = handle.dataset;
  const [out, x, y] = OUTWARD[side];
  handle.addEventListener("keydown", (event) => {
    const step = { [out]: 8, [INWARD[side]]: -8, PageUp: 64, PageDown: -64 }[event.key];
    if (event.key !== "Home" && !step) return;
    event.preventDefault();
    grow(side, step ? grown(side) + step : 0);
  });
  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const before = grown(side);
    const move = (now) => grow(side, before + ((now.clientX - event.clientX) * x + (now.clientY - event.clientY) * y) / scale, false);
    handle.addEventListener("pointermove", move);
    const end = () => {
      handle.removeEventListener("pointermove", move);
      layout();
    };
    handle.addEventListener("pointerup", end, { once: true });
    handle.addEventListener("pointercancel", end, { once: true });
  });
}

form.addEventListener("input", ({ target }) => {
  if (stage.hidden || target === form) return;
  layout();
  showChange();
});
addEventListener("resize", () => stage.hidden || layout());
