// Tested: what the net makes of labelled pictures, and where it errs.

import { waitFor } from "/static/api.js";
import { el, percent } from "/static/dom.js";
import { model } from "/static/shell.js";

/** Fills the view; called by the shell. */
export async function show(place) {
  const state = el("p", { class: "lead", role: "status" });
  place.append(el("h1", {}, "Tested"), state);
  const found = await waitFor("/api/confusion", { model: model() }, ({ done, of }) => {
    state.textContent = `${done} of ${of} pictures looked through.`;
  });
  state.textContent = `Its first answer is wrong for ${percent(found.top1_error)}.`;
}
