// The form: sent without leaving the page; what is wrong is told at its field, and nothing that was typed is lost.

import { ask, t } from "./common.js";
import { layJob } from "./live.js";

const form = document.getElementById("form");

document.addEventListener("model", ({ detail: { defaults } }) => {
  if (!defaults) return;
  for (const name of ["width", "height", "steps", "guidance", "strength", "hires_strength"]) form.elements[name].placeholder = defaults[name];
  form.elements.sampler.options[0].text = t("as the model likes ({sampler})", defaults);
});

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
  return { [boxes[0].name]: t("More than {size} MB of pictures cannot be sent at once. Please make them smaller.", { size: Math.floor(limit / 2 ** 20) }) };
}

const newKey = () => crypto.randomUUID?.() ?? String(Math.random());
let key = newKey(); // one wish; sent again after a broken connection it is still one wish

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const large = tooLarge();
  if (large) return showProblems(large, "");
  const button = form.querySelector(".draw");
  button.disabled = true;
  const body = new FormData(form);
  body.set("key", key);
  const told = await ask(form.action, { method: "POST", body });
  if (told.ok) {
    showProblems({}, "");
    layJob(told);
  } else if (told.status) {
    showProblems(told.fields || {}, told.fields ? "" : told.error);
  } else {
    showProblems({}, t("The server did not answer. Your words are still here; press Draw to try again."));
  }
  if (told.status) key = newKey(); // without an answer it is still the same wish
  button.disabled = false;
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
