// The light table, live: lays each job's state, as the server tells it, on the table. On a job's own page that one alone.

import { HEADERS, ask, read, send, t, toast } from "./common.js";

const table = document.getElementById("table");
const { job: only } = table.dataset; // that job, on its page
const title = document.title;
const jobs = new Map(); // id of each job that was told of -> its state, and as `at` when that was told
const active = new Map(); // id of each unfinished job -> its share done, 0 to 1
let ready = document.getElementById("model").dataset.state === "ready";

const isActive = (job) => job.state === "queued" || job.state === "running";
for (const print of table.querySelectorAll("[data-state=queued], [data-state=running]")) active.set(print.dataset.job, 0);

// -- laying prints

function about(job, seconds, text) {
  const left = seconds - (Date.now() - job.at) / 1000;
  if (!seconds || left < 2) return "";
  return t(text, { time: left < 90 ? `${Math.round(left)} s` : `${Math.round(left / 60)} min` });
}

function progressOf(job, picture) {
  if (picture.error) return picture.error;
  if (picture.id) return "";
  if (job.state === "failed") return job.error;
  if (job.state === "cancelled") return t("Cancelled.");
  if (job.state === "queued" && !ready) return t("Waits for the model");
  if (job.state === "queued") return (job.ahead === 0 ? t("Next in turn") : t("Number {place} in turn", { place: job.ahead + 1 })) + about(job, job.starts, ", begins in about {time}");
  if (picture.step) return t("Step {step} of {steps}", picture) + about(job, job.ends, ", ready in about {time}");
  return picture.ahead ? t("{ahead} before it", picture) : t("About to start");
}

const blank = (job) => `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='${job.width}' height='${job.height}'/%3E`;
const printOf = (job, picture) => document.getElementById(`print-${job.id}-${picture.number}`);

function newPrint(job, picture) {
  const print = document.getElementById("print").content.firstElementChild.cloneNode(true);
  const link = print.querySelector(".prompt a");
  print.id = `print-${job.id}-${picture.number}`;
  print.dataset.job = job.id;
  print.querySelector(".paper").href = link.href = `/jobs/${job.id}`;
  print.querySelector(".cancel").action = `/jobs/${job.id}/cancel`;
  link.textContent = picture.prompt || job.prompt;
  print.querySelector("img").src = blank(job);
  return print;
}

function finish(print, picture, words) {
  const image = print.querySelector("img");
  const source = `/pictures/${picture.id}.webp`;
  if (image.getAttribute("src") !== source) image.src = source;
  image.alt = words;
  print.querySelector(".paper").href = `/pictures/${picture.id}`;
  for (const link of print.querySelectorAll(".actions a")) link.href = link.getAttribute("href").replace(/^\/pictures\/[\w-]+|=[\w-]+$/, (place) => (place[0] === "=" ? "=" : "/pictures/") + picture.id);
}

function layPrint(job, picture, before) {
  let print = printOf(job, picture);
  if (!print) table.insertBefore((print = newPrint(job, picture)), before);
  print.dataset.state = picture.id ? "done" : job.state;
  const words = picture.prompt || job.prompt;
  const image = print.querySelector("img");
  image.width = job.width;
  image.height = job.height;
  if (picture.id) {
    finish(print, picture, words);
  } else {
    image.alt = t("Being drawn: {words}", { words });
    if (picture.preview && image.getAttribute("src") !== picture.preview) image.src = picture.preview;
  }
  const bar = print.querySelector("progress");
  bar.max = picture.steps || 1;
  bar.value = picture.step;
  const cancel = print.querySelector(".cancel");
  const over = Boolean(picture.id) || !isActive(job);
  if (over && cancel.contains(document.activeElement)) print.querySelector(".prompt a").focus(); // what is hidden holds no focus
  bar.hidden = cancel.hidden = over;
  print.querySelector(".actions").hidden = !picture.id;
  const notes = print.querySelector(".notes");
  notes.textContent = picture.notes.join(" ");
  notes.hidden = !picture.notes.length;
  sayProgress(job, picture, print);
}

function sayProgress(job, picture, print = printOf(job, picture)) {
  const said = print?.querySelector(".said");
  const progress = progressOf(job, picture);
  if (said && said.textContent.trim() !== progress) said.textContent = progress;
}

// -- what is said aloud, and in the title

function speak(job, before) {
  const line = document.getElementById("live");
  const words = job.prompt;
  if (job.state === "failed" && before.state !== "failed") line.textContent = t("Failed: {words}", { words });
  else if (job.state === "cancelled" && before.state !== "cancelled") line.textContent = t("Cancelled: {words}", { words });
  else if (job.pictures.some((picture, place) => picture.id && !before.pictures[place]?.id)) {
    const finished = job.pictures.filter((picture) => picture.id).length;
    line.textContent = finished === job.pictures.length ? t("Finished: {words}", { words }) : t("{done} of {whole} finished: {words}", { done: finished, whole: job.pictures.length, words });
  } else if (job.state === "running" && before.state === "queued") line.textContent = t("Started: {words}", { words });
}

function showShare() {
  const share = [...active.values()].reduce((a, b) => a + b, 0) / active.size;
  document.title = active.size ? `${Math.round(share * 100)} % · ${title}` : title;
}

// -- what is known of each job

// Lays a job that the server has told all about; what a stream tells of it knows better, unless it is over.
export function layJob(job) {
  if (!(jobs.has(job.id) && isActive(job))) lay(job);
  letIn(); // the server has just answered
}

function lay(job) {
  if (only && job.id !== only) return;
  if (only && !isActive(job)) return location.reload(); // there is more to tell now
  job.at = Date.now();
  const before = jobs.get(job.id);
  jobs.set(job.id, job);
  if (before && before.pictures.length !== job.pictures.length) {
    for (const gone of before.pictures) if (!job.pictures.some((picture) => picture.number === gone.number)) printOf(job, gone)?.remove();
  }
  const first = job.pictures.map((picture) => printOf(job, picture)).find(Boolean) || table.firstElementChild;
  for (const picture of job.pictures) layPrint(job, picture, first);
  if (!only) document.getElementById("empty").hidden = table.childElementCount > 0;
  if (before) speak(job, before);
  const done = job.pictures.reduce((sum, p) => sum + (p.id ? 1 : p.steps ? p.step / p.steps : 0), 0);
  if (isActive(job)) active.set(job.id, done / job.pictures.length);
  else active.delete(job.id);
  showShare();
}

// A job with what is new of it, as streams tell it after they have told all once.
function renew(news) {
  const job = jobs.get(news.id);
  if (!job) return; // another than the page's own
  const pictures = job.pictures.map((picture) => ({ ...picture, ...news.pictures?.find((new_) => new_.number === picture.number) }));
  const passed = (Date.now() - job.at) / 1000;
  const foreseen = { starts: job.starts && job.starts - passed, ends: job.ends && job.ends - passed };
  lay({ ...job, ...foreseen, ...news, pictures });
}

function showModel(model) {
  const line = document.getElementById("model");
  line.dataset.state = model.state;
  line.querySelector("b").textContent = model.name;
  line.querySelector("span").textContent = model.sentence;
  ready = model.state === "ready";
  if (!only) showStarting(model);
  document.dispatchEvent(new CustomEvent("model", { detail: model }));
}

function showStarting(model) {
  const starting = document.getElementById("starting");
  starting.hidden = ready;
  starting.dataset.state = model.state;
  starting.querySelector(".sentence").textContent = model.sentence;
  const bar = starting.querySelector("progress");
  bar.hidden = !model.total;
  bar.max = model.total || 1;
  bar.value = model.done;
  const other = starting.querySelector("form");
  if (other) other.hidden = model.name === "builtin";
}

table.addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = await ask(event.target.action, { method: "POST" });
  if (told.ok) layJob(told);
  else toast(told.error);
});

document.querySelector("#starting form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = await send(event.target.action, { name: "builtin" });
  if (told.ok) showModel(told);
  else toast(told.error);
});

// -- what the server tells

const FIRST = 10_000; // milliseconds in which a stream that passes says something,
const SILENCE = 40_000; // and those between two signs of life; the server gives one every 15 s
const HUSH = 10_000; // after which a hidden page is told less
const SHUT = [401, 403, 503]; // who is answered so is not to ask on: the host let nobody in, or the link is another now
const SHORTEST = 60; // seconds until they ask again, twice as many each time,
const LONGEST = 960; // up to these
const tab = Math.random().toString(36).slice(2);
let after = active.size && !only ? "" : table.dataset.after; // the moment up to which all is known here
let quiet = false; // no previews
let heard = Date.now();
let open = null; // ends the stream in progress
let wake = () => {}; // ends the pause in progress
let again = false; // somebody wants a new stream at once
let shut = null; // what the server said when it let this page in no more
let patience = SHORTEST;
let letIn = () => {}; // ends the wait of a page that was kept out

async function* messages(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
  }
}

function hear({ event, data, id }) {
  if (event === "model") showModel(JSON.parse(data));
  if (event === "job") {
    const job = JSON.parse(data);
    if ("created" in job) lay(job);
    else renew(job);
  }
  if (id) after = id;
  if (quiet && !active.size) restart();
}

// Whether the server was heard at all.
async function stream() {
  const control = (open = new AbortController());
  let timer;
  let told = false;
  const within = (time) => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(), time);
  };
  within(FIRST);
  try {
    const answer = await fetch(`/events?after=${after}&tab=${tab}${quiet ? "&quiet=1" : ""}`, { headers: { ...HEADERS, Accept: "text/event-stream, application/json;q=0.9" }, signal: control.signal });
    if (!answer.ok) look(await read(answer));
    else for await (const message of messages(answer)) {
      within(SILENCE);
      patience = SHORTEST;
      heard = Date.now();
      told = true;
      hear(message);
    }
  } catch {
    // how it ended does not matter
  }
  clearTimeout(timer);
  control.abort();
  return told;
}

// Notes if what the server said, and no proxy before it, keeps this page out.
function look(told) {
  if (SHUT.includes(told.status) && told.own) shut = told;
}

// Tells why this page is kept out, and waits until it may ask again and somebody looks at it.
async function stayOut() {
  const wait = Math.max(shut.wait, patience);
  toast(shut.error, "", null, wait);
  shut = null;
  patience = Math.min(2 * patience, LONGEST);
  await new Promise((resume) => {
    const timer = setTimeout(resume, wait * 1000);
    letIn = () => (clearTimeout(timer), resume());
  });
  while (document.hidden) await shown();
}

// Whether the server answered.
async function poll() {
  const told = await ask(`/jobs?after=${after}`);
  look(told);
  if (!told.ok) return false;
  patience = SHORTEST;
  showModel(told.model);
  told.jobs.reverse().forEach(lay);
  after = told.after;
  return true;
}

const pause = (ms) =>
  new Promise((resume) => {
    const timer = setTimeout(resume, ms);
    wake = () => (clearTimeout(timer), resume());
  });
const shown = () => new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }));

function restart() {
  again = true;
  open?.abort();
  wake();
}

async function live() {
  let failures = 0;
  let blocked = 0; // how often the server answered, but no stream came through
  for (;;) {
    if (shut) await stayOut();
    while (document.hidden && !active.size) await shown();
    quiet = document.hidden;
    again = false;
    if (await stream()) failures = blocked = 0;
    else if (!again) failures += 1;
    if (again || shut) continue;
    if (failures < 2) await pause(failures * 1000);
    else if (!(await poll())) await pause(Math.min(1000 * failures, 8000));
    else if (++blocked >= 2) await pollFor(60_000);
  }
}

async function pollFor(time) {
  const end = Date.now() + time;
  while (Date.now() < end) {
    await pause(active.size ? 2500 : 15_000);
    while (document.hidden && !active.size) await shown();
    if (!(await poll())) return;
  }
}

let hush;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hush);
  if (document.hidden) hush = setTimeout(restart, HUSH);
  else if (quiet || Date.now() - heard > 20_000) restart();
});
addEventListener("online", restart);

let looked = Date.now();
setInterval(() => {
  const slept = Date.now() - looked > 20_000 && !document.hidden; // timers of hidden pages are late anyway
  looked = Date.now();
  if (slept) restart();
  if (document.hidden) return;
  for (const id of active.keys()) if (jobs.has(id)) for (const picture of jobs.get(id).pictures) sayProgress(jobs.get(id), picture);
}, 1000);

live();
