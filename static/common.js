// What every page has: the reader's language, asking the server, short notices, and the keys.

const language = document.documentElement.lang;
const words = language === "en" ? {} : await fetch(`/words/${language}.json?v=${document.body.dataset.stamp}`).then((answer) => answer.json()).catch(() => ({}));

// `text`, which is written out where this is called, in the reader's language, its {places} filled.
export function t(text, places = {}) {
  return (words[text] || text).replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
}

export const HEADERS = { Accept: "application/json", "ngrok-skip-browser-warning": "1" };

// What an answer says, as JSON: {ok, status, ...what it told}. `error` is a sentence; `wait` the seconds after which one may ask again;
// `own` whether it is our server's, not that of something before it.
export async function read(answer) {
  const own = Boolean(answer.headers.get("Content-Type")?.startsWith("application/json"));
  const told = own ? await answer.json() : {};
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  return { error: answer.ok ? "" : t("The server did not answer."), ...told, ok: answer.ok, status: answer.status, own, wait };
}

// The same of a request, also when the server did not answer.
export async function ask(path, options = {}) {
  try {
    return await read(await fetch(path, { ...options, headers: { ...HEADERS, ...options.headers } }));
  } catch {
    return { ok: false, status: 0, error: t("The server did not answer.") };
  }
}

// A POST of `fields`; an array is sent as several of one name.
export function send(path, fields = {}) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) for (const each of [value].flat()) body.append(name, each);
  return ask(path, { method: "POST", body });
}

// A short notice that is read aloud and goes by itself; with an action, `does` is called when its button `label` is pressed.
export function toast(text, label = "", does = null, seconds = 8) {
  const line = document.createElement("p");
  line.append(text);
  const close = () => line.remove();
  if (label) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", () => (close(), does()));
    line.append(" ", button);
  }
  document.getElementById("toasts").append(line);
  setTimeout(close, seconds * 1000);
}

// What this browser remembers under a name, "" for nothing; it may be told to remember nothing at all.
export function recall(name) {
  try {
    return localStorage.getItem(name) || "";
  } catch {
    return "";
  }
}

export function remember(name, value) {
  try {
    value ? localStorage.setItem(name, value) : localStorage.removeItem(name);
  } catch {
    // it stays as it was
  }
}

// -- keys

const singleKeys = () => recall("single-keys") !== "off"; // who speaks to the computer sets them off by chance

const keys = new Map([["?", { says: t("Show these keys"), does: () => showKeys() }]]);

// `key`, as KeyboardEvent names it, does something on this page while nothing is typed into a field and no dialog is open.
export function key(name, says, does) {
  keys.set(name, { says, does });
}

const LABELS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", " ": t("Space") };

function showKeys() {
  document.getElementById("key-sheet")?.remove();
  const sheet = document.createElement("dialog");
  sheet.id = "key-sheet";
  sheet.setAttribute("aria-label", t("Keys"));
  const heading = document.createElement("h2");
  heading.textContent = t("Keys");
  const list = document.createElement("dl");
  for (const [name, { says }] of keys) {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const cap = document.createElement("kbd");
    cap.textContent = LABELS[name] || name;
    term.append(cap);
    const meaning = document.createElement("dd");
    meaning.textContent = says;
    row.append(term, meaning);
    list.append(row);
  }
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = singleKeys();
  box.addEventListener("change", () => remember("single-keys", box.checked ? "" : "off"));
  label.append(box, " ", t("Use single keys"));
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = t("Close");
  close.addEventListener("click", () => sheet.close());
  sheet.addEventListener("close", () => sheet.remove());
  sheet.append(heading, list, label, close);
  document.body.append(sheet);
  sheet.showModal();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
  if (typing || !singleKeys() || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const found = keys.get(event.key);
  if (!found) return;
  event.preventDefault();
  found.does(event);
});

const keysButton = document.getElementById("keys");
keysButton.hidden = false;
keysButton.addEventListener("click", showKeys);
for (const link of document.querySelectorAll(".masthead nav a")) {
  const name = new URL(link.href).pathname === "/" ? "d" : new URL(link.href).pathname[1];
  key(name, link.textContent.trim(), () => location.assign(link.href));
}

// -- the look changes at once; another language is another page, so that waits for its button

const look = document.querySelector(".feet [name=theme]");
look.addEventListener("change", async () => {
  if (look.value) document.documentElement.dataset.theme = look.value;
  else delete document.documentElement.dataset.theme;
  const told = await send(look.form.action, { theme: look.value });
  if (!told.ok) toast(told.error);
});
