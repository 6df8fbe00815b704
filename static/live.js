// The light table, live: lays each job's state, as the server tells it, on the table.

import { HEADERS, ask, t } from "./common.js";

const table = document.getElementById("table");
const blueprint = document.getElementById("print").content.firstElementChild;
const title = document.title;
const active = new Map(); // id of each unfinished job -> its share done, 0 to 1

const isActive = (job) => job.state === "queued" || job.state === "running";

function about(seconds, text) {
  if (!seconds || seconds < 2) return "";
  return t(text, { time: seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min` });
}

function progressOf(job, picture) {
  if (picture.error) return picture.error;
  if (picture.id) return "";
  if (job.state === "failed") return job.error;
  if (job.state === "cancelled") return t("Cancelled.");
  if (job.state === "queued") return (job.ahead === 0 ? t("Next in turn") : t("Number {place} in turn", { place: job.ahead + 1 })) + about(job.starts, ", begins in about {time}");
  if (picture.step) return t("Step {step} of {steps}", picture) + about(job.ends, ", ready in about {time}");
  return picture.ahead ? t("{ahead} before it", picture) : t("About to start");
}

function blank(job) {
  return `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='${job.width}' height='${job.height}'/%3E`;
}

function newPrint(job, picture) {
  const print = blueprint.cloneNode(true);
  print.id = `print-${job.id}-${picture.number}`;
  print.dataset.job = job.id;
  print.querySelector(".paper").href = `/jobs/${job.id}`;
  print.querySelector(".cancel").action = `/jobs/${job.id}/cancel`;
  print.querySelector(".prompt").textContent = picture.prompt || job.prompt;
  print.querySelector("img").src = blank(job);
  return print;
}

function layPrint(job, picture, before) {
  let print = document.getElementById(`print-${job.id}-${picture.number}`);
  if (!print) table.insertBefore((print = newPrint(job, picture)), before);
  const wasDone = print.dataset.state === "done";
  print.dataset.state = picture.id ? "done" : job.state;
  const words = picture.prompt || job.prompt;
  const image = print.querySelector("img");
  image.width = job.width;
  image.height = job.height;
  if (picture.id) {
    const source = `/pictures/${picture.id}.webp`;
    if (image.getAttribute("src") !== source) image.src = source;
    image.alt = words;
    const save = print.querySelector(".save");
    save.href = `/pictures/${picture.id}.png`;
    save.hidden = false;
    if (!wasDone) document.getElementById("live").textContent = t("Finished: {words}", { words });
  } else {
    image.alt = t("Being drawn: {words}", { words });
    if (picture.preview) image.src = picture.preview;
  }
  const bar = print.querySelector("progress");
  bar.max = picture.steps || 1;
  bar.value = picture.step;
  bar.hidden = print.querySelector(".cancel").hidden = Boolean(picture.id) || !isActive(job);
  const notes = print.querySelector(".notes");
  notes.textContent = picture.notes.join(" ");
  notes.hidden = !picture.notes.length;
  const said = print.querySelector(".said");
  const progress = progressOf(job, picture);
  if (said.textContent.trim() !== progress) said.textContent = progress;
  return print;
}

export function layJob(job) {
  document.getElementById("empty").hidden = true;
  const known = document.getElementById(`print-${job.id}-0`);
  const first = known || table.firstElementChild;
  job.pictures.forEach((picture) => layPrint(job, picture, first));
  const done = job.pictures.reduce((sum, p) => sum + (p.id ? 1 : p.steps ? p.step / p.steps : 0), 0);
  if (isActive(job)) active.set(job.id, done / job.pictures.length);
  else active.delete(job.id);
  const share = [...active.values()].reduce((a, b) => a + b, 0) / active.size;
  document.title = active.size ? `${Math.round(share * 100)} % · ${title}` : title;
}

function showModel(model) {
  const line = document.getElementById("model");
  line.dataset.state = model.state;
  line.querySelector("b").textContent = model.name;
  line.querySelector("span").textContent = model.sentence;
  document.dispatchEvent(new CustomEvent("model", { detail: model }));
}

table.addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = await ask(event.target.action, { method: "POST" });
  if (told.ok) layJob(told);
});

// -- what the server tells

async function* messages(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(part);
      yield found ? { kind: found[1], facts: JSON.parse(found[2]) } : null;
    }
  }
}

async function stream() {
  const control = new AbortController();
  let timer;
  const patience = () => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(), 40_000); // the server gives a sign of life every 15 s
  };
  patience();
  try {
    const answer = await fetch("/events", { headers: { ...HEADERS, Accept: "text/event-stream" }, signal: control.signal });
    if (!answer.ok) throw new Error(answer.statusText);
    let told = false;
    for await (const message of messages(answer)) {
      patience();
      told = true;
      if (message?.kind === "job") layJob(message.facts);
      if (message?.kind === "model") showModel(message.facts);
    }
    return told;
  } finally {
    clearTimeout(timer);
    control.abort();
  }
}

async function poll() {
  const answer = await fetch("/jobs", { headers: HEADERS });
  const told = await answer.json();
  showModel(told.model);
  told.jobs.reverse().forEach(layJob);
}

const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));
const seen = () =>
  document.hidden && new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }));

async function live() {
  for (let failures = 0; ; ) {
    try {
      failures = (await stream()) ? 0 : failures + 1;
    } catch {
      failures += 1;
    }
    await pause(Math.min(1000 * failures, 3000));
    if (failures >= 2) {
      await seen(); // nobody looks: nothing is asked
      await poll().catch(() => {});
    }
  }
}

live();
