// Options that want more than a box: size by shape and slider, the seed's lock, a grid's values. Loaded as a fold of the form opens.

import { t } from "./common.js";

const form = document.getElementById("form");
const { elements } = form;
const part = (id) => document.getElementById(id);

function set(name, value) {
  elements[name].value = value;
  elements[name].dispatchEvent(new Event("input", { bubbles: true }));
}

function button(text, does) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "chip";
  made.textContent = text;
  made.addEventListener("click", does);
  return made;
}

// -- size: a shape and its longer side

const SHAPES = [[1, 1], [3, 2], [2, 3], [4, 3], [3, 4], [16, 9], [9, 16]];
const slider = part("side");
const own = (name) => Number(elements[name].placeholder) || 512; // the model's own
const now = (name) => Number(elements[name].value) || own(name);

// The nearest side that models like: a multiple of 64 where that changes the shape little, else of 8.
function nice(pixels) {
  const coarse = Math.round(pixels / 64) * 64;
  return Math.max(64, Math.abs(coarse - pixels) <= 0.03 * pixels ? coarse : Math.round(pixels / 8) * 8);
}

const sized = ([across, down], longer) => [across, down].map((side) => nice((longer * side) / Math.max(across, down)));

function resize(shape, longer) {
  const [width, height] = sized(shape, longer);
  elements.width.value = width;
  set("height", height);
}

const shapes = SHAPES.map((shape) => {
  const made = button(shape.join(":"), () => resize(shape, Math.max(now("width"), now("height"))));
  const outline = document.createElement("span");
  outline.style.aspectRatio = shape.join("/");
  outline.style[shape[0] < shape[1] ? "height" : "width"] = "1rem";
  made.prepend(outline);
  return [shape, made];
});
part("shapes").replaceChildren(...shapes.map(([, made]) => made));

const shapeNow = () => SHAPES.find((shape) => `${sized(shape, Math.max(now("width"), now("height")))}` === `${[now("width"), now("height")]}`);

slider.addEventListener("input", (event) => {
  event.stopPropagation();
  resize(shapeNow() ?? [now("width"), now("height")], Number(slider.value));
});

function showSize() {
  const native = Math.max(own("width"), own("height"));
  slider.min = Math.min(256, Math.ceil(native / 64) * 64);
  part("native").replaceChildren(Object.assign(document.createElement("option"), { value: native, label: t("native") }));
  part("native-said").textContent = Number(elements.width.placeholder) ? t("{size} is the model's native size: it draws best there.", { size: native }) : ""; // not known before a model was read
  slider.value = Math.max(now("width"), now("height"));
  part("side-said").textContent = `${Math.max(now("width"), now("height"))}`;
  for (const [shape, made] of shapes) made.setAttribute("aria-pressed", shape === shapeNow());
}
part("sizer").hidden = false;

// -- the seed's lock: the seed of the last picture is kept, or chance comes back

const lock = part("lock");
lock.hidden = false;
lock.addEventListener("click", () => {
  set("seed", elements.seed.value ? "" : form.dataset.seed || Math.floor(Math.random() * 2 ** 32));
});

function showLock() {
  lock.textContent = elements.seed.value ? t("Any seed again") : form.dataset.seed ? t("Keep the last seed") : t("Choose a seed and keep it");
}
new MutationObserver(showLock).observe(form, { attributeFilter: ["data-seed"] });

// -- a grid's values: what makes sense for the field that is chosen

const NUMBERS = {
  steps: [10, 20, 30], seed: [1, 2, 3, 4], subseed: [1, 2, 3, 4], subseed_strength: [0, 0.2, 0.4], guidance_rescale: [0, 0.5, 0.7], eta: [0, 0.5, 1], clip_skip: [1, 2, 3],
  strength: [0.25, 0.5, 0.75, 1], mask_blur: [0, 4, 16], padding: [0, 32, 64], outpaint_left: [0, 64, 128], outpaint_right: [0, 64, 128], outpaint_up: [0, 64, 128],
  outpaint_down: [0, 64, 128], hires_scale: [1, 1.5, 2], hires_strength: [0.3, 0.5, 0.7], hires_steps: [10, 20, 30], upscale: [1, 2, 4], only_masked: [true, false],
};

function suggested(name) {
  if (name === "width" || name === "height") return [0.75, 1, 1.5, 2].map((factor) => nice(own(name) * factor));
  if (name === "guidance") return [0.4, 1, 2, 3].map((factor) => (Number(elements.guidance.placeholder) || 7.5) * factor);
  if (name === "prompt_replace") return [...new Set(elements.prompt.value.match(/[\p{L}\p{N}]+/gu))].slice(0, 16);
  if (name === "styles") return [...form.querySelectorAll("[name=styles]")].map((box) => box.value);
  const box = elements[name];
  return NUMBERS[name] ?? (box?.options ? [...box.options].filter((option) => option.value).map((option) => option.value) : []);
}

// Values with commas between, as the server reads them: quotes around one that has commas or quotes itself.
const written = (values) => values.map((value) => (/[",]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(", ");
const readValues = (line) => [...line.matchAll(/\s*("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, value]) => value.trim().replace(/^"(.*)"$/s, (whole, inner) => inner.replaceAll('""', '"'))).filter(Boolean);

const placeholders = { x: elements.x_values.placeholder, y: elements.y_values.placeholder };
const filledBy = { x: "", y: "" }; // what was suggested and not touched since

function suggest(side, fresh) {
  const name = elements[`${side}_field`].value;
  const box = elements[`${side}_values`];
  const place = part(`${side}-suggested`);
  const all = name ? suggested(name).map(String) : [];
  box.placeholder = name === "prompt_replace" ? t("red, blue, green: the first is in the prompt") : placeholders[side];
  if (fresh && (!box.value || box.value === filledBy[side])) {
    filledBy[side] = name === "prompt_replace" || !name ? "" : written(all.slice(0, name in NUMBERS || all.length < 5 ? 4 : 3));
    set(`${side}_values`, filledBy[side]);
  }
  const chosen = readValues(box.value);
  place.hidden = !all.length;
  place.replaceChildren(
    ...all.map((value) => {
      const made = button(value, () => {
        const values = readValues(box.value);
        set(box.name, written(values.includes(value) ? values.filter((each) => each !== value) : [...values, value]));
        [...place.children].find((each) => each.textContent === value)?.focus();
      });
      made.setAttribute("aria-pressed", chosen.includes(value));
      return made;
    }),
  );
}
for (const side of ["x", "y"]) elements[`${side}_field`].addEventListener("change", () => suggest(side, true));

function showAll() {
  showSize();
  showLock();
  suggest("x");
  suggest("y");
}
form.addEventListener("input", showAll);
document.addEventListener("model", showAll);
showAll();
