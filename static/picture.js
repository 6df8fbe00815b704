// One picture, large: its neighbours by keys and swipes, the whole screen, and two laid over each other.

import { HEADERS, ask, key, t, toast } from "./common.js";

const main = document.getElementById("main");

// -- from picture to picture, without leaving the whole screen

async function go(address) {
  try {
    const answer = await fetch(address, { headers: { ...HEADERS, Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    main.replaceChildren(...page.getElementById("main").childNodes);
    document.title = page.title;
    history.replaceState(null, "", address); // so that one step back is the gallery
    lay();
  } catch {
    location.assign(address);
  }
}

function turn(rel) {
  const link = main.querySelector(`[rel=${rel}]`);
  if (link) go(link.href);
}

function leave() {
  const cameFrom = document.referrer && new URL(document.referrer);
  const up = main.querySelector("[rel=up]");
  if (cameFrom?.origin === location.origin && cameFrom.pathname === new URL(up.href).pathname && history.length > 1) history.back();
  else location.assign(up.href);
}

main.addEventListener("click", (event) => {
  const link = event.target.closest("[rel=prev], [rel=next]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    const rel = link.rel;
    go(link.href).then(() => main.querySelector(`[rel=${rel}]`)?.focus());
  } else if (event.target.closest("[rel=up]") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    leave();
  } else if (event.target.closest("#whole")) {
    wholeScreen();
  } else if (event.target.closest("#copy")) {
    copy();
  } else if (event.target.closest("#ways button")) {
    layOver(event.target.closest("button").value === "over");
  }
});

function wholeScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else main.requestFullscreen?.().catch(() => {});
}

async function copy() {
  const field = document.getElementById("link");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    toast(t("The link is copied."));
  } catch {
    toast(t("Please copy the link that is marked now."));
  }
}

// A change after which the page stays: sent, then shown anew.
main.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-stay]")) return;
  event.preventDefault();
  const told = await ask(event.target.action, { method: "POST", body: new URLSearchParams(new FormData(event.target, event.submitter)) });
  if (!told.ok) return toast(told.error);
  const focused = document.activeElement?.id;
  await go(location.href.split("#")[0]);
  (document.getElementById(focused) || document.querySelector("#link, #share button"))?.focus();
});

// -- swipes

let start = null;

main.addEventListener("touchstart", (event) => {
  start = event.touches.length === 1 && event.target.closest("#mount") ? event.touches[0] : null;
}, { passive: true });
main.addEventListener("touchend", (event) => {
  if (!start || visualViewport?.scale > 1.05) return; // looking closely, one moves about
  const across = event.changedTouches[0].clientX - start.clientX;
  const down = event.changedTouches[0].clientY - start.clientY;
  start = null;
  if (Math.abs(across) > 60 && Math.abs(across) > 2 * Math.abs(down)) turn(across > 0 ? "prev" : "next");
}, { passive: true });

// -- two over each other

function layOver(on) {
  const wipe = document.getElementById("wipe");
  wipe.classList.toggle("over", on);
  wipe.querySelector("label").hidden = !on;
  for (const button of document.querySelectorAll("#ways button")) button.setAttribute("aria-pressed", String((button.value === "over") === on));
}

function lay() {
  const ways = document.getElementById("ways");
  const wipe = document.getElementById("wipe");
  const whole = document.getElementById("whole");
  const link = document.getElementById("link");
  const time = main.querySelector("[data-time]");
  if (ways) ways.hidden = false;
  if (wipe) {
    const slider = wipe.querySelector("[type=range]");
    const cut = () => wipe.style.setProperty("--at", `${slider.value}%`);
    slider.addEventListener("input", cut);
    slider.addEventListener("keydown", (event) => event.key.startsWith("Arrow") && event.stopPropagation()); // it moves the slider alone
    cut();
    layOver(!ways);
  }
  if (whole) whole.hidden = !document.fullscreenEnabled;
  if (link) {
    // where no address is known to be public, that by which one came
    if (!("public" in link.dataset)) link.value = new URL(new URL(link.value).pathname, location.href).href;
    document.getElementById("copy").hidden = false;
  }
  if (time) time.textContent = new Date(time.dataset.time * 1000).toLocaleString(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" });
}

lay();
if (document.getElementById("mount")) {
  key("ArrowLeft", t("The newer picture"), () => turn("prev"));
  key("ArrowRight", t("The older picture"), () => turn("next"));
  key("w", t("Full screen"), wholeScreen);
  key("f", t("Favourite, or no more"), () => document.getElementById("favourite").click());
  key("s", t("Save"), () => main.querySelector(".act[download]").click());
  key("Delete", t("Delete"), () => document.getElementById("delete").click());
}
key("Escape", t("Back to the gallery"), leave);
