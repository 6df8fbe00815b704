// The gallery, live: older pictures come while one scrolls, many are chosen at once, and what is deleted can be brought back.

import { HEADERS, key, send, t, toast } from "./common.js";

const cells = document.getElementById("cells");
const form = document.getElementById("chosen");
const search = document.getElementById("q");
let here = cells?.firstElementChild; // the print that Tab comes to
let last = here; // where a range of chosen ones begins

const link = (cell) => cell.firstElementChild;
const box = (cell) => cell.querySelector("input");
const mark = (cell) => cell.querySelector(".mark");
const shown = () => [...cells.children].filter((cell) => !cell.hidden);
const chosen = () => [...cells.querySelectorAll("input:checked")].map((each) => each.parentElement);

// -- older pictures

async function page(address) {
  const answer = await fetch(address, { headers: { ...HEADERS, Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.statusText);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

let loading = null;

// Whether they came.
function loadOlder() {
  const older = document.getElementById("older");
  if (!older) return false;
  loading ||= page(older.href)
    .then((next) => {
      const rest = next.getElementById("older");
      const prints = next.getElementById("cells");
      const before = cells.lastElementChild;
      if (prints) cells.append(...prints.children);
      for (let cell = before.nextElementSibling; cell; cell = cell.nextElementSibling) reach(cell, false);
      if (rest) {
        older.href = rest.href;
        watcher.unobserve(older); // seen anew, if it is still near
        watcher.observe(older);
      } else older.parentElement.remove();
      return true;
    })
    .catch(() => {
      toast(t("The server did not answer.")); // the link is still there to be pressed
      return false;
    })
    .finally(() => (loading = null));
  return loading;
}

const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && loadOlder(), { rootMargin: "1500px" });

// Coming back from a picture, the gallery lies as it was left.
const PLACE = "gallery-place";

async function comeBack() {
  const [visit] = performance.getEntriesByType("navigation");
  let place = null;
  try {
    place = visit?.type === "back_forward" && JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    // nothing is remembered
  }
  if (!place || place.address !== location.href) return;
  while (cells.children.length < place.count && (await loadOlder()));
  scrollTo(0, place.top);
  const left = document.getElementById(place.id)?.closest("li");
  if (left) focus(left, true);
}

addEventListener("pagehide", () => {
  const place = { address: location.href, count: cells?.children.length, top: scrollY, id: here && link(here).firstElementChild.id };
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(place));
  } catch {
    // then it begins at the top
  }
});

// -- one print has the focus; arrows move it

function reach(cell, on) {
  link(cell).tabIndex = box(cell).tabIndex = on ? 0 : -1;
}

function focus(cell, still = false) {
  if (!cell) return;
  reach(here, false);
  here = cell;
  reach(cell, true);
  link(cell).focus({ preventScroll: still });
}

const width = (all) => all.findIndex((cell) => cell.offsetTop > all[0].offsetTop);

// Moves by so many prints, or rows; from nowhere to the first one in sight.
function move(by, rows = false) {
  const all = shown();
  const from = all.indexOf(document.activeElement?.closest?.("#cells > li"));
  if (from < 0) return focus(all.find((cell) => cell.getBoundingClientRect().bottom > 0));
  const to = from + by * (rows ? Math.max(1, width(all)) : 1);
  if (to >= all.length) loadOlder();
  focus(all[to]);
}

// -- choosing

function choose(all, on = true) {
  for (const cell of all) box(cell).checked = on;
  tell();
}

// From the print chosen last to this one, both with it.
function chooseTo(cell, on = true) {
  const all = shown();
  const [from, to] = [all.indexOf(last), all.indexOf(cell)].sort((a, b) => a - b);
  choose(from < 0 ? [cell] : all.slice(from, to + 1), on);
}

function tell() {
  const number = chosen().length;
  form.dataset.chosen = number || "";
  form.querySelector(".said").textContent = number === 1 ? t("One chosen") : t("{number} chosen", { number });
  form.querySelector("[formaction$=compare]").disabled = number !== 2;
}

// What a key is about: the chosen ones, or else the one that has the focus.
function meant() {
  const all = chosen();
  const one = document.activeElement?.closest?.("#cells > li");
  return all.length ? all : one ? [one] : [];
}

// -- changing

async function change(all, fields) {
  const told = await send(form.action, { id: all.map((cell) => box(cell).value), ...fields });
  if (!told.ok) toast(told.error);
  return told;
}

async function favour(all, on) {
  if (!all.length || !(await change(all, { do: on ? "favourite" : "unfavourite" })).ok) return;
  for (const cell of all) mark(cell).hidden = !on;
  choose(all, false);
  toast(on ? t("Marked as favourite.") : t("No favourite any more."), "", null, 3);
}

async function remove(all) {
  if (!all.length) return;
  const told = await change(all, { do: "delete" });
  if (!told.ok) return;
  const following = shown().slice(shown().indexOf(all.at(-1)) + 1).find((cell) => !all.includes(cell));
  const lay = (there) => {
    for (const cell of all) cell.hidden = !there;
    document.getElementById("empty").hidden = shown().length > 0;
  };
  choose(all, false);
  lay(false);
  if (all.includes(here)) focus(following || shown().at(-1));
  const text = told.changed === 1 ? t("One picture was deleted.") : t("{number} pictures were deleted.", { number: told.changed });
  toast(text, t("Undo"), async () => {
    if ((await change(all.slice(0, 1), { do: "restore", id: told.undo })).ok) {
      lay(true);
      focus(all[0]);
    }
  }, 15);
}

const DOES = {
  favourite: () => favour(chosen(), true),
  unfavourite: () => favour(chosen(), false),
  delete: () => remove(chosen()),
  all: () => choose(shown()),
  none: () => choose(shown(), false),
};

if (cells) {
  form.classList.add("live");
  for (const button of form.querySelectorAll("[data-do]")) button.hidden = false;
  for (const cell of cells.children) reach(cell, cell === here);
  tell();
  comeBack().then(() => document.getElementById("older") && watcher.observe(document.getElementById("older")));

  form.addEventListener("submit", (event) => {
    const does = event.submitter?.name === "do" && DOES[event.submitter.value];
    if (!does) return; // a download, or another page
    event.preventDefault();
    does();
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) DOES[button.dataset.do]();
    const cell = event.target.type === "checkbox" && event.target.closest("li");
    if (!cell) return;
    if (event.shiftKey) chooseTo(cell, event.target.checked);
    last = cell;
    tell();
  });
  cells.addEventListener("focusin", (event) => {
    const cell = event.target.closest("li");
    if (cell === here) return;
    reach(here, false);
    reach((here = cell), true);
  });
  cells.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const does = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => move(-1, true), ArrowDown: () => move(1, true), Home: () => focus(shown()[0]), End: () => focus(shown().at(-1)) }[event.key];
    if (event.key === " " && event.target.matches("a")) toggle(event);
    else if (does) does();
    else return;
    event.preventDefault();
  });

  const toggle = (event) => {
    const cell = document.activeElement?.closest?.("#cells > li");
    if (!cell) return;
    const on = !box(cell).checked;
    if (event.shiftKey) chooseTo(cell, on);
    else choose([cell], on);
    last = cell;
  };
  key("ArrowLeft", t("The print before"), () => move(-1));
  key("ArrowRight", t("The print after"), () => move(1));
  key("x", t("Choose it, or no more; with Shift all up to it"), toggle);
  key("X", t("Choose all up to it"), toggle);
  key("a", t("Choose all shown"), () => choose(shown()));
  key("f", t("Favourite, or no more"), () => {
    const all = meant();
    favour(all, all.some((cell) => mark(cell).hidden));
  });
  key("Delete", t("Delete"), () => remove(meant()));
  key("Escape", t("Choose none"), () => choose(shown(), false));
}

key("/", t("Search"), () => search.select());
search.form.querySelector("button").hidden = true;
search.form.querySelector("[type=checkbox]").addEventListener("change", () => search.form.requestSubmit());
search.form.addEventListener("formdata", ({ formData }) => formData.get("q") || formData.delete("q")); // no empty words in the address
