// The light table, live: sends the form without leaving the page, and lays each job's state, as the server tells it, on the table.

const form = document.getElementById("form");
const table = document.getElementById("table");
const blueprint = document.getElementById("print").content.firstElementChild;
const HEADERS = { Accept: "application/json", "ngrok-skip-browser-warning": "1" };
const title = document.title;
const active = new Map(); // id of each unfinished job -> its share done, 0 to 1

const isActive = (job) => job.state === "queued" || job.state === "running";

function ordinal(n) {
  const ending = n % 100 >= 11 && n % 100 <= 13 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] || "th";
  return n + ending;
}

function about(seconds, words) {
  if (!seconds || seconds < 2) return "";
  return seconds < 90 ? `${words} ${Math.round(seconds)} s` : `${words} ${Math.round(seconds / 60)} min`;
}

function progressOf(job, picture) {
  if (picture.error) return picture.error;
  if (picture.id) return "";
  if (job.state === "failed") return job.error;
  if (job.state === "cancelled") return "Cancelled.";
  if (job.state === "queued") return (job.ahead === 0 ? "Next in turn" : `${ordinal(job.ahead + 1)} in turn`) + about(job.starts, ", begins in about");
  if (picture.step) return `Step ${picture.step} of ${picture.steps}` + about(job.ends, ", ready in about");
  return picture.ahead ? `${picture.ahead} before it` : "About to start";
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
    if (!wasDone) document.getElementById("live").textContent = `Finished: ${words}`;
  } else {
    image.alt = `Being drawn: ${words}`;
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

function layJob(job) {
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
  if (!model.defaults) return;
  for (const name of ["width", "height", "steps", "guidance", "strength", "hires_strength"]) form.elements[name].placeholder = model.defaults[name];
  form.elements.sampler.options[0].text = `as the model likes (${model.defaults.sampler})`;
}

// -- the form

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
  const line = document.getElementById("error-form");
  line.textContent = general;
  line.hidden = !general;
  const wrong = Object.keys(fields);
  if (wrong.some((name) => name !== "prompt")) form.querySelector("details").open = true;
  if (wrong.length) boxOf(wrong[0])?.focus();
}

// What the server would refuse unread: pictures that are too large together.
function tooLarge() {
  const limit = Number(form.dataset.limit);
  const boxes = [...form.querySelectorAll("[type=file]")].filter((box) => box.files.length);
  const size = boxes.reduce((sum, box) => sum + box.files[0].size, 0);
  if (size <= limit - 100_000) return null; // the rest of the form
  return { [boxes[0].name]: `More than ${Math.floor(limit / 2 ** 20)} MB of pictures cannot be sent at once. Please make them smaller.` };
}

let key = crypto.randomUUID?.() ?? String(Math.random()); // one wish; sent again after a broken connection it is still one wish

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const large = tooLarge();
  if (large) return showProblems(large, "");
  const button = form.querySelector(".draw");
  button.disabled = true;
  try {
    const body = new FormData(form);
    body.set("key", key);
    const answer = await fetch(form.action, { method: "POST", headers: HEADERS, body });
    const told = await answer.json();
    if (answer.ok) {
      showProblems({}, "");
      layJob(told);
    } else {
      showProblems(told.fields || {}, told.fields ? "" : told.error);
    }
    key = crypto.randomUUID?.() ?? String(Math.random());
  } catch {
    showProblems({}, "The server did not answer. Your words are still here; press Draw to try again.");
  } finally {
    button.disabled = false;
  }
});

form.elements.prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

form.querySelector(".try").addEventListener("click", (event) => {
  if (!event.target.matches(".chip")) return;
  event.preventDefault();
  form.elements.prompt.value = event.target.textContent;
  form.elements.prompt.focus();
});

table.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(event.target.action, { method: "POST", headers: HEADERS }).catch(() => null);
  if (answer?.ok) layJob(await answer.json());
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
