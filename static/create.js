// The form: sent without leaving the page, remembered across reloads, read while it is typed; what is wrong is told at its field.
// What only some visits need is loaded when it is needed: options.js as a fold opens, start.js with a picture.

import { ask, key, t, toast } from "./common.js";
import { layJob } from "./live.js";

const form = document.getElementById("form");
const { elements } = form;
const prompt = elements.prompt;
const known = document.getElementById("known"); // the words of the built-in models, whose names it bears
const PICTURES = ["image", "mask", "control_image", "picture"];

const say = (id, text) => {
  const line = document.getElementById(id);
  if (line.textContent !== text) line.textContent = text;
  return line;
};

document.addEventListener("model", ({ detail: { name, state, defaults } }) => {
  known.hidden = !known.dataset.to.split(" ").includes(name);
  if (!defaults) return;
  for (const field of ["width", "height", "steps", "guidance", "strength", "hires_strength"]) elements[field].placeholder = defaults[field];
  elements.model.options[0].text = t("{name}, which is loaded", { name });
  elements.sampler.options[0].text = t("as the model likes ({sampler})", defaults);
  showChoices();
  const now = state === "ready" ? name : ""; // before, it cannot read
  if (now && now !== model) (asked = ""), later(read, 600); // it may know other words
  model = now;
});
let model = ""; // that could read last

// What the folded options say of themselves.
function showChoices() {
  const [width, height] = ["width", "height"].map((name) => elements[name].value || elements[name].placeholder);
  say("size-said", Number(width) && Number(height) ? `${width} × ${height}` : "");
  say("style-said", [...form.querySelectorAll("[name=styles]:checked")].map((box) => box.value).join(", ") || t("none"));
}

// -- what is wrong

// A field that takes several boxes of the form: the first of them.
const boxOf = (name) => form.querySelector(`[name="${{ controls: "control_model", x: "x_values", y: "y_values" }[name] || name}"]`);

function showProblems(fields, general) {
  for (const place of form.querySelectorAll("[data-for]")) {
    const sentence = fields[place.dataset.for];
    place.textContent = sentence || "";
    place.hidden = !sentence;
    const field = boxOf(place.dataset.for);
    if (field) sentence ? field.setAttribute("aria-invalid", "true") : field.removeAttribute("aria-invalid");
  }
  say("error-form", general).hidden = !general;
  const wrong = Object.keys(fields).map(boxOf).filter(Boolean);
  for (const box of wrong) {
    const fold = box.closest("details");
    if (fold) fold.open = true;
  }
  wrong[0]?.focus();
}

// What the server would refuse unread: pictures that are too large together.
function tooLarge() {
  const limit = Number(form.dataset.limit);
  const boxes = [...form.querySelectorAll("[type=file]")].filter((box) => box.files.length);
  const size = boxes.reduce((sum, box) => sum + box.files[0].size, 0);
  if (size <= limit - 100_000) return null; // the rest of the form
  return { [boxes[0].name]: t("More than {size} MB of pictures cannot be sent at once. Please make them smaller.", { size: Math.floor(limit / 2 ** 20) }) };
}

// -- drawing

const newKey = () => crypto.randomUUID?.() ?? String(Math.random());
let wish = newKey(); // sent again after a broken connection it is still one wish,
let wished = ""; // if it is the same that is wished for

form.addEventListener("submit", async (event) => {
  if (event.submitter?.id === "restore") return; // handled by its click
  event.preventDefault();
  const button = form.querySelector(".draw");
  if (button.disabled) return;
  button.disabled = true;
  try {
    await (await start)?.settled(); // the last stroke of the brush is in its box
    const large = tooLarge();
    if (large) showProblems(large, "");
    else await submit();
  } finally {
    button.disabled = false;
  }
});

async function submit() {
  const body = new FormData(form);
  body.delete("picture");
  const now = JSON.stringify([...body].map(([name, value]) => [name, value.size ? [value.name, value.size, value.lastModified] : value]));
  if (wished && wished !== now) wish = newKey();
  wished = now;
  body.set("key", wish);
  const told = await ask(form.action, { method: "POST", body });
  if (told.ok) {
    showProblems({}, "");
    form.dataset.seed = told.pictures?.[0]?.seed ?? "";
    layJob(told);
  } else if (told.own) {
    showProblems(told.fields || {}, told.fields ? "" : told.error);
  } else {
    showProblems({}, t("The server did not answer. Your words are still here; press Draw to try again."));
  }
  if (told.own) [wish, wished] = [newKey(), ""]; // without the server's own answer it may have been taken, and is still the same wish
}

prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
  event.preventDefault();
  form.requestSubmit();
});
key("/", t("Write what you would like to see"), () => prompt.focus());
key("Ctrl+Enter", t("Draw"), () => {});

// -- reading along: length, unknown words, how many pictures

const timers = new Map();
function later(does, ms) {
  clearTimeout(timers.get(does));
  timers.set(does, setTimeout(does, ms));
}

let asked = ""; // the form as it was read last
let asking = null;

async function read() {
  const body = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string" && value));
  const now = body.toString();
  if (document.hidden || now === asked) return;
  asked = now;
  asking?.abort();
  asking = null;
  if (!prompt.value.trim()) return showReading({});
  asking = new AbortController();
  const { signal } = asking;
  const told = await ask(form.dataset.reading, { method: "POST", body, signal });
  if (signal.aborted) return;
  if (!told.ok) asked = "";
  showReading(told.ok ? told : {});
}

function showReading({ tokens, limit, unknown = [], cut = [], pictures, problem = "" }) {
  say("length", tokens === undefined ? "" : t("{tokens} of {limit} tokens", { tokens, limit }));
  const makes = problem || (pictures > 1 ? t("This makes {number} pictures.", { number: pictures }) : "");
  say("makes", makes);
  say("grid-makes", elements.x_field.value || elements.y_field.value ? makes : "");
  const lines = [];
  if (unknown.length) lines.push(t("This model does not know: {words}.", { words: unknown.join(", ") }));
  if (unknown.length && !known.hidden) lines.push(t("Stable Diffusion 2.1 knows this."));
  if (cut.length) lines.push(t("Too long; left out: {words}", { words: cut.join(" ") }));
  say("unknown", lines.join(" "));
  underline(unknown);
}

// The prompt once more, under the words that are typed, with a line under those that the model does not know.
let unknown = [];
const underlay = document.getElementById("underlay");
function underline(words = unknown) {
  unknown = words;
  const escaped = unknown.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = escaped.length ? prompt.value.split(new RegExp(`(?<![\\p{L}\\p{N}])(${escaped.join("|")})(?![\\p{L}\\p{N}])`, "giu")) : [prompt.value];
  underlay.replaceChildren(
    ...parts.map((part, place) => {
      if (place % 2 === 0) return part;
      const mark = document.createElement("mark");
      mark.textContent = part;
      return mark;
    }),
    "\n",
  );
  underlay.scrollTop = prompt.scrollTop;
}
prompt.addEventListener("scroll", () => (underlay.scrollTop = prompt.scrollTop));

// -- the draft: what the form remembers of itself, as {name: [values]}; files and pictures handed in are not among it

const remembered = () => [...elements].filter((box) => box.name && box.type !== "file" && !PICTURES.includes(box.name));

function values() {
  const found = {};
  for (const box of remembered()) if (box.type === "checkbox" ? box.checked : box.value) (found[box.name] ??= []).push(box.value);
  return found;
}

function fill(fields) {
  for (const box of remembered()) {
    const wanted = [fields[box.name] ?? []].flat().map(String);
    if (box.type === "checkbox") box.checked = wanted.includes(box.value);
    else box.value = wanted[0] ?? "";
    if (box.selectedIndex === -1) box.selectedIndex = 0;
  }
  form.dispatchEvent(new Event("input"));
}

function keep() {
  try {
    localStorage.setItem("draft", JSON.stringify(values()));
  } catch {} // no storage: nothing is remembered
}

function restore() {
  try {
    const draft = JSON.parse(localStorage.getItem("draft"));
    if (draft && !("filled" in form.dataset)) fill(draft);
  } catch {}
}

form.addEventListener("input", () => {
  showChoices();
  underline();
  later(keep, 300);
  later(read, 600);
});
addEventListener("pagehide", keep);
document.addEventListener("visibilitychange", () => (document.hidden ? keep() : later(read, 600)));

document.getElementById("clear").addEventListener("click", async (event) => {
  event.preventDefault();
  const before = values();
  fill({});
  untick();
  showProblems({}, "");
  say("told", "").hidden = true;
  (await start)?.remove();
  for (const box of form.querySelectorAll("[type=file]")) box.value = "";
  history.replaceState(null, "", "/");
  prompt.focus();
  toast(t("Cleared."), t("Undo"), () => fill(before));
});

// -- chips

form.addEventListener("click", (event) => {
  const chip = event.target.closest("a.chip, .known a");
  if (!chip) return;
  event.preventDefault();
  const words = chip.textContent.trim();
  const before = prompt.value.trim();
  prompt.value = chip.closest(".known") && before ? `${before} ${words}` : words;
  form.dispatchEvent(new Event("input"));
  prompt.focus();
});

// -- pictures: chosen, dropped, pasted; and the settings that they carry

let start = null; // start.js, once it is needed
let tries = 0;

// start.js, or null when it does not come. Under another name each time: browsers remember what could not be loaded.
function stage() {
  const name = tries ? `./start.js?${tries}` : "./start.js";
  return (start ??= import(name).catch(() => {
    start = null;
    tries += 1;
    toast(t("The server did not answer."));
    return null;
  }));
}

async function take(file) {
  if (!file.type.startsWith("image/")) return toast(t("That is not a picture."));
  (await stage())?.take(file, useSettings);
}

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.target.matches?.("[type=file]");
addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.target.matches?.("input, textarea") && event.clipboardData.types.includes("text/plain")) return; // words, and a picture of them
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  take(file);
});
form.querySelector("[type=file][name=image]").addEventListener("change", async ({ target }) => {
  if (target.files.length) (await stage())?.show(target.files[0], useSettings);
  else (await start)?.remove();
});
form.querySelector("[type=file][name=mask]").addEventListener("change", async () => (await start)?.forget());

const untick = (name = "") => form.querySelectorAll(name ? `[type=checkbox][name=${name}]` : PICTURES.map((each) => `[type=checkbox][name=${each}]`).join()).forEach((box) => box.closest("label").remove());

// A tick for a picture that was handed in before, as the server writes it.
function tick(name, hash) {
  untick(name);
  const label = document.createElement("label");
  label.className = "tick";
  label.append(Object.assign(document.createElement("input"), { type: "checkbox", name, value: hash, checked: true }), " ", t("Keep the picture handed in before"));
  form.querySelector(`[type=file][name=${name}]`)?.closest("label").after(label);
}

function useSettings({ fields, notes }) {
  fill(fields);
  for (const name of PICTURES) fields[name] ? tick(name, fields[name]) : untick(name);
  say("told", [t("The form is filled in as that picture was made."), ...notes].join(" ")).hidden = false;
  prompt.focus();
}

const asksSettings = async (file) => {
  const told = await (await stage())?.settingsOf(file);
  if (!told) return;
  if (told.ok) useSettings(told);
  showProblems(told.ok ? {} : { picture: told.error }, "");
  if (told.ok) prompt.focus();
};
const pictureBox = form.querySelector("[type=file][name=picture]");
pictureBox.addEventListener("change", () => pictureBox.files.length && asksSettings(pictureBox.files[0]));
document.getElementById("restore").addEventListener("click", (event) => {
  if (!pictureBox.files.length) return;
  event.preventDefault();
  asksSettings(pictureBox.files[0]);
});

// -- folds

const options = () => import("./options.js");
for (const fold of form.querySelectorAll("details")) fold.addEventListener("toggle", () => fold.open && options());
const closeTrays = (except) => form.querySelectorAll(".pick[open]").forEach((fold) => fold !== except && !fold.querySelector("[aria-invalid=true]") && (fold.open = false));
document.addEventListener("click", ({ target }) => closeTrays(target.closest?.(".pick")));
form.addEventListener("keydown", (event) => {
  const fold = event.key === "Escape" && event.target.closest(".pick[open]");
  if (!fold) return;
  fold.open = false;
  fold.querySelector("summary").focus();
});

restore();
showChoices();
later(read, 600);
if (form.dataset.start) {
  const opened = await stage();
  const shown = opened?.show(form.dataset.start, useSettings);
  form.querySelector(".more").open = !opened;
  if (location.hash === "#mask") shown?.then(() => opened.paint(true));
}
if (form.querySelector("details[open]")) options();
