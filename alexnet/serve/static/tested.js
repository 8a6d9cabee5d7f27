// Tested: what the net makes of labelled pictures, and where it errs.

import { ApiError, addressOf, get, waitFor } from "/static/api.js";
import { announce, clear, count, el, errorText, percent } from "/static/dom.js";
import { MOST_CLASSES, confusionTable, pairTable } from "/static/confusion.js";
import { lookAt } from "/static/picture.js";
import { go, hashOf, model, note } from "/static/shell.js";

const A_SHEET = 24;
const MOST = 1000; // mistakes that the server tells of, at most

/** Fills the view; called by the shell. */
export async function show(place, parameters) {
  const control = new AbortController();
  place.append(el("h1", {}, "Tested"));
  fill(place, parameters, control.signal).catch((error) => {
    if (!control.signal.aborted) {
      place.append(errorText(error), wayOut(error));
    }
  });
  return () => control.abort();
}

async function fill(place, parameters, signal) {
  const name = model();
  const waiting = waitingText();
  place.append(waiting.element);
  let found;
  try {
    found = await waitFor("/api/confusion", { model: name }, waiting.tell, { signal });
  } finally {
    waiting.element.remove();
  }
  place.append(summary(name, found));
  const behind = el("section", { class: "behind", "aria-label": "Pictures behind the cell" });
  const choose = (truth, answer) => {
    note({ truth, answer });
    return showCell(behind, { name, found, truth, answer, signal });
  };
  const start = readCell(parameters, found.classes.length);
  const isSmall = found.classes.length <= MOST_CLASSES;
  place.append(
    el("h2", {}, isSmall ? "Which class is taken for which" : "Classes most often mixed up"),
    isSmall ? confusionTable(found, choose, start) : pairTable(found, choose),
    behind,
  );
  if (start) {
    await choose(...start);
  }
  const shown = await get("/api/mistakes", { model: name, count: A_SHEET }, { signal });
  place.append(mistakeSection(name, found, shown.mistakes, signal), classSection(found));
}

/** What is said while the server still looks through the pictures. */
function waitingText() {
  const words = el("p", { class: "lead", role: "status" }, "The net begins to look at pictures.");
  const progress = el("progress", { max: 1, "aria-label": "Pictures looked through" });
  const tell = ({ done, of }) => {
    progress.max = of;
    progress.value = done;
    words.textContent = `The net has looked at ${count(done)} of ${count(of, "picture")} so far.`;
  };
  return { element: el("div", { class: "progress" }, words, progress), tell };
}

function wayOut(error) {
  if (!(error instanceof ApiError) || !["no-data", "data"].includes(error.code)) {
    return "";
  }
  return el("div", {},
    el("p", {}, "What is needed is a folder with a folder of pictures for each class:"),
    el("pre", {}, "alexnet serve RUNS --data PICTURES"));
}

function summary(name, found) {
  const skipped = found.skipped ? `; ${count(found.skipped)} could not be read` : "";
  const five = found.classes.length > 5
    ? `, and the right one is not among its first five for ${percent(found.top5_error)}`
    : "";
  return el("div", {},
    el("p", { class: "lead" },
      `${name} was shown ${count(found.pictures, "labelled picture")}${skipped}. Its first answer `,
      `is wrong for ${count(found.top1_errors)} of them, ${percent(found.top1_error)}${five}.`),
  );
}

function readCell({ truth, answer }, classes) {
  const cell = [truth, answer].map((text) => (/^\d{1,6}$/.test(text ?? "") ? Number(text) : -1));
  return cell.every((number) => number >= 0 && number < classes) ? cell : null;
}

/** Shows the pictures behind a cell of the matrix. */
async function showCell(place, { name, found, truth, answer, signal }) {
  const [from, to] = [found.classes[truth], found.classes[answer]];
  const head = truth === answer ? `${from}, known as such` : `${from}, taken for ${to}`;
  const title = el("h3", {}, head);
  try {
    const query = { model: name, truth, answer };
    const { pictures } = await get("/api/confusion", query, { signal });
    const all = found.confusion[truth][answer];
    const rest = all > pictures.length ? ` of ${count(all)}` : "";
    const many = `${count(pictures.length)}${rest} ${all === 1 ? "picture" : "pictures"}`;
    announce(`${head}: ${many} below.`);
    clear(place).append(
      title,
      el("p", { class: "quiet small" }, `${many}${all > 1 ? ", the surest first" : ""}.`),
      el("ul", { class: "sheet" }, pictures.map((each) =>
        el("li", {}, labelled(name, each, [`${percent(each.probability)} sure`])))),
    );
  } catch (error) {
    if (!signal.aborted) {
      clear(place).append(title, errorText(error));
    }
  }
}

/** A labelled picture with words below it; choosing it looks inside the net with it. */
function labelled(name, { picture, name: file }, words) {
  const address = (size) => addressOf(`/api/pictures/${picture}`, { model: name, size });
  const look = el("a", { href: hashOf("inside"), title: file },
    el("img", { src: address(256), alt: `Look inside with ${file}`, loading: "lazy" }));
  look.addEventListener("click", async (event) => {
    event.preventDefault();
    const query = { model: name, size: 1024 };
    try {
      const blob = await get(`/api/pictures/${picture}`, query);
      lookAt(new File([blob], file.split("/").at(-1), { type: blob.type }));
      go("inside");
    } catch (error) {
      look.replaceWith(errorText(error));
    }
  });
  return el("figure", {}, look,
    el("figcaption", {}, words.map((text) => el("span", { class: "line" }, text))));
}

/** The wrong answers that the net was surest of, a sheet at a time. */
function mistakeSection(name, found, first, signal) {
  const sheet = el("ul", { class: "sheet" });
  const more = el("button", { type: "button" }, "Show more");
  const error = el("div");
  const all = Math.min(found.top1_errors, MOST);
  const draw = (mistakes) => {
    const fresh = mistakes.slice(sheet.children.length).map((each) =>
      el("li", {}, labelled(name, each, [
        `${each.answer} ${percent(each.probability)}`,
        `truly ${each.class} ${percent(each.class_probability)}`,
      ])),
    );
    sheet.append(...fresh);
    more.hidden = sheet.children.length >= all;
    return fresh;
  };
  more.addEventListener("click", async () => {
    const query = { model: name, count: Math.min(sheet.children.length + A_SHEET, MOST) };
    try {
      const fresh = draw((await get("/api/mistakes", query, { signal })).mistakes);
      fresh[0]?.querySelector("a").focus();
    } catch (refused) {
      clear(error).append(errorText(refused));
    }
  });
  draw(first);
  const words = all === 0
    ? "There is none."
    : "What it said, and what is shown truly. Choose a picture to look inside the net.";
  return el("section", {}, el("h2", {}, "Its surest mistakes"),
    el("p", { class: "quiet" }, words), sheet, more, error);
}

/** Errors by class, the class with the largest share first. */
function classSection(found) {
  const rows = Object.entries(found.per_class)
    .filter(([, each]) => each.pictures > 0)
    .map(([name, each]) => ({ name, ...each, share: each.top1_errors / each.pictures }))
    .sort((one, other) => other.share - one.share || one.name.localeCompare(other.name));
  const heads = ["Class", "Pictures", "Wrong", "Share", ""];
  return el("section", {}, el("h2", {}, "Errors by class"),
    el("div", { class: "scroll" },
      el("table", { class: "by-class" },
        el("caption", {}, "First answers that are wrong, the largest share first."),
        el("thead", {}, el("tr", {}, heads.map((text) => (text
          ? el("th", { scope: "col", class: text === "Class" ? null : "number" }, text)
          : el("td", { "aria-hidden": "true" }))))),
        el("tbody", {}, rows.map(classRow)))));
}

function classRow({ name, pictures, top1_errors: wrong, share }) {
  return el("tr", {},
    el("th", { scope: "row" }, name),
    el("td", { class: "number" }, count(pictures)),
    el("td", { class: "number" }, count(wrong)),
    el("td", { class: "number" }, percent(share)),
    el("td", { class: "length", "aria-hidden": "true" },
      el("span", { class: "track" }, el("span", { class: "bar", style: { "--share": share } }))));
}
