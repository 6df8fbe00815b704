// The host's page: its figures follow while somebody looks, and links are copied with one press.

import { HEADERS, t, toast } from "./common.js";

const now = document.getElementById("now");
const PAUSE = now.dataset.seconds * 1000; // milliseconds

// Reads the figures anew, unless nobody sees them, or they are just being used.
async function refresh() {
  if (!document.hidden && !now.contains(document.activeElement)) {
    const answer = await fetch(now.dataset.from, { headers: { ...HEADERS, Accept: "text/html" } }).catch(() => null);
    const figures = answer?.ok && (await answer.text().catch(() => ""));
    if (figures) now.innerHTML = figures;
  }
  setTimeout(refresh, PAUSE);
}

setTimeout(refresh, PAUSE);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value);
    toast(t("Copied."));
  });
}
