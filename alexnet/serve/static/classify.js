// Classify: pictures in, the five classes that the net takes each for out.

import { get, patiently, post } from "/static/api.js";
import { clear, count, el, errorText, percent } from "/static/dom.js";
import { imageOf, onPictures, picker, pictures } from "/static/picture.js";
import { model } from "/static/shell.js";

/** Fills the view; called by the shell. */
export async function show(place) {
  const results = el("div", { class: "results" });
  const lead = el("p", { class: "lead" });
  place.append(el("h1", {}, "Classify"), lead, picker(), results);
  const leave = onPictures(() => answerAll(results));
  const about = await get("/api/model", { model: model() });
  lead.textContent = `The net ${about.net} knows ${count(about.classes.length, "class", "classes")}.`;
  await answerAll(results);
  return leave;
}

async function answerAll(results) {
  clear(results);
  for (const file of pictures()) {
    results.append(await answered(file));
  }
}

async function answered(file) {
  try {
    const found = await patiently(() => post("/api/predict", { model: model() }, file));
    const bars = found.pictures[0].labels.map((label) =>
      el("li", {}, label.class, " ", percent(label.probability)),
    );
    return el("figure", {}, imageOf(file), el("ol", {}, bars));
  } catch (error) {
    return errorText(error);
  }
}
