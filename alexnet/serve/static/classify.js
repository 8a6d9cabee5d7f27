// Classify: pictures in, the five classes that the net takes each for out.

import { answerOf, askAll } from "/static/answers.js";
import { ApiError, get, isAborted } from "/static/api.js";
import { toCsv } from "/static/csv.js";
import { announce, clear, count, el, errorText, percent, save } from "/static/dom.js";
import { imageOf, lookAt, onPictures, picker, pictures, setPictures } from "/static/picture.js";
import { hashOf, model } from "/static/shell.js";

const SIDE_BY_SIDE = 2; // more than these make a table
const HEADS = [
  ["Picture"],
  ["First answer"],
  ["Probability", "number"],
  ["Then", "more"],
  ["Inside"],
];
let order = []; // as they came, whichever of them is looked at now

/** Fills the view; called by the shell. */
export async function show(place) {
  place.append(el("h1", {}, "Classify"));
  const about = await describe(place);
  if (!about) {
    return null;
  }
  const keep = el("input", { type: "checkbox" });
  const keeping = el("label", { class: "keep", hidden: true }, keep, " Keep those that are there");
  const take = (files) => setPictures(keep.checked ? [...order, ...files] : files);
  const entry = picker(take);
  entry.append(keeping);
  const results = el("section", { "aria-label": "Answers" });
  place.append(entry, results);
  let stop = () => {};
  const begin = () => {
    stop();
    keeping.hidden = order.length === 0;
    stop = answerAll(results, about);
  };
  const takeOrder = () => {
    const isNew = !isSame(order, pictures()); // or only another of them is looked at
    order = isNew ? [...pictures()] : order;
    return isNew;
  };
  const forget = onPictures(() => takeOrder() && begin());
  takeOrder();
  begin();
  return () => {
    forget();
    stop();
  };
}

/** Says what to do and what there is to do it with; without a model, where one comes from. */
async function describe(place) {
  let about;
  try {
    about = await get("/api/model", { model: model() });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "no-model") {
      throw error;
    }
    const link = el("a", { href: hashOf("runs") }, "Train a net");
    place.append(errorText(error), el("p", {}, link, " on pictures of your own first."));
    return null;
  }
  const classes = count(about.classes.length, "class", "classes");
  const weights = about.weights === "same" ? "" : `, large layers in ${about.weights}`;
  place.append(
    el("p", { class: "lead" }, `Give it a picture, and ${about.name} says which of its `,
      `${classes} it most likely shows.`),
    el("p", { class: "quiet small" },
      `Net ${about.net}, ${count(about.parameters, "parameter")}; the server computes in `,
      `${about.arithmetic} on ${about.device}${weights}.`),
    el("details", { class: "small" }, el("summary", {}, `Its ${classes}`),
      el("ul", { class: "columns" }, about.classes.map((name) => el("li", {}, name)))),
  );
  return { ...about, version: `${about.name} ${about.written_at}` };
}

/** Shows the pictures' answers as they come; returns what ends that. */
function answerAll(results, about) {
  const files = order;
  clear(results);
  if (files.length === 0) {
    return () => {};
  }
  const control = new AbortController();
  const isTable = files.length > SIDE_BY_SIDE;
  const body = isTable ? answerTable(files, about) : answerPair(files, about);
  const bar = progressBar(files, about, control);
  results.append(bar.element, body.element);
  const update = () => {
    body.update();
    bar.update();
  };
  update();
  const { name, version } = about;
  askAll(files, { model: name, version, signal: control.signal, onAnswer: update })
    .then(() => bar.end())
    .catch((error) => bar.end(error));
  return () => control.abort();
}

/** The line above the answers: how many there are, what can be done with them. */
function progressBar(files, about, control) {
  const isMany = files.length > SIDE_BY_SIDE;
  const words = el("p", { class: "progress-words" });
  const progress = el("progress", { max: files.length, "aria-label": "Pictures answered" });
  const stop = el("button", { type: "button", onclick: () => control.abort() }, "Stop");
  const csv = el("button", { type: "button", onclick: () => saveAll(files, about) }, "Save as CSV");
  const empty = el("button", { type: "button", onclick: () => setPictures([]) }, "Clear");
  const row = el("div", { class: "row" }, stop, csv, empty);
  const element = el("div", { class: "progress" }, words, progress, row);
  const told = () => {
    const answers = files.map((file) => answerOf(file, about.version)).filter(Boolean);
    const refused = answers.filter((answer) => answer.error).length;
    const shown = `${count(answers.length)} of ${count(files.length, "picture")} answered`;
    progress.value = answers.length;
    csv.disabled = answers.length === 0;
    return refused ? `${shown}, ${count(refused)} of them refused` : shown;
  };
  const update = () => {
    words.textContent = `${told()}.`;
  };
  const end = (error) => {
    stop.hidden = true;
    progress.hidden = true;
    words.hidden = !isMany && !error;
    const isStopped = error && isAborted(error);
    words.textContent = isStopped ? `${told()}; stopped.` : `${told()}.`;
    if (element.isConnected && (isMany || isStopped)) {
      announce(words.textContent);
    }
    if (error && !isStopped) {
      element.prepend(errorText(error));
    }
  };
  return { element, update, end };
}

/** One picture with its answers, or two side by side. */
function answerPair(files, about) {
  const element = el("div", { class: "pair" });
  const known = new Map();
  const update = () => {
    for (const file of files) {
      const answer = answerOf(file, about.version);
      if (known.get(file) === answer && element.children.length === files.length) {
        continue;
      }
      known.set(file, answer);
      if (answer?.labels) {
        announce(`${nameOf(file)}: ${answer.labels[0].class}, ${percent(
          answer.labels[0].probability,
        )}`);
      }
      const index = files.indexOf(file);
      const figure = answerFigure(file, answer);
      if (element.children[index]) {
        element.children[index].replaceWith(figure);
      } else {
        element.append(figure);
      }
    }
  };
  return { element, update };
}

function answerFigure(file, answer) {
  const name = nameOf(file);
  const words = el("div", { class: "answer" }, el("h2", {}, name));
  if (!answer) {
    words.append(el("p", { class: "quiet" }, "The net looks at it..."));
  } else if (answer.error) {
    words.append(errorText({ message: answer.error }));
  } else {
    words.append(barsOf(answer.labels, `Answers for ${name}`), lookLink(file));
  }
  return el("div", { class: "answered" }, imageOf(file), words);
}

/** Draws probabilities as bars, the first answer first. */
function barsOf(labels, title) {
  return el("ol", { class: "bars", "aria-label": title },
    labels.map((label) =>
      el("li", {},
        el("span", {}, label.class),
        el("span", { class: "track", "aria-hidden": "true" },
          el("span", { class: "bar", style: { "--share": label.probability } })),
        el("span", { class: "number" }, percent(label.probability)),
      ),
    ),
  );
}

function lookLink(file) {
  return el("a", { href: hashOf("inside"), onclick: () => lookAt(file) }, "Look inside",
    el("span", { class: "unseen" }, ` the net for ${nameOf(file)}`));
}

/** Many pictures: a row each, in the order in which they were given; two can be shown large. */
function answerTable(files, about) {
  const rows = el("tbody");
  const large = el("div", { class: "pair", "aria-live": "polite" });
  const pressed = [];
  const press = (file, button) => {
    const at = pressed.findIndex((each) => each.file === file);
    const out = at >= 0 ? pressed.splice(at, 1) : pressed.splice(0, pressed.length - 1);
    out.forEach((each) => each.button.setAttribute("aria-pressed", "false"));
    if (at < 0) {
      pressed.push({ file, button });
      button.setAttribute("aria-pressed", "true");
    }
    clear(large).append(
      ...pressed.map((each) => answerFigure(each.file, answerOf(each.file, about.version))),
    );
  };
  const heads = HEADS.map(([text, name]) => el("th", { scope: "col", class: name }, text));
  const words = "Choose one or two names to see the pictures side by side.";
  const element = el("div", {}, large, el("p", { class: "quiet small" }, words),
    el("div", { class: "scroll" },
      el("table", { class: "answers" },
        el("caption", { class: "unseen" }, "Pictures and their answers"),
        el("thead", {}, el("tr", {}, heads)),
        rows)));
  const update = () => {
    for (let next = rows.children.length; next < files.length; next += 1) {
      const answer = answerOf(files[next], about.version);
      if (!answer) {
        return;
      }
      rows.append(answerRow(files[next], answer, press));
    }
  };
  return { element, update };
}

function answerRow(file, answer, press) {
  const name = el("button", { type: "button", class: "plain", "aria-pressed": "false" },
    nameOf(file));
  name.addEventListener("click", () => press(file, name));
  const head = el("th", { scope: "row" },
    el("span", { class: "thumb" }, imageOf(file, ""), name));
  if (answer.error) {
    return el("tr", {}, head, el("td", { colspan: 4, class: "bad" }, answer.error));
  }
  const [first, ...others] = answer.labels;
  const then = others.slice(0, 2).map((each) => `${each.class} ${percent(each.probability)}`);
  return el("tr", {}, head,
    el("td", {}, first.class),
    el("td", { class: "number" }, percent(first.probability)),
    el("td", { class: "quiet small more" }, then.join(", ")),
    el("td", {}, lookLink(file)));
}

function saveAll(files, about) {
  const most = Math.min(5, about.classes.length);
  const numbers = Array.from({ length: most }, (_, index) => index + 1);
  const head = ["picture", "model", "error", ...numbers.flatMap((n) => [
    `answer_${n}`,
    `probability_${n}`,
  ])];
  const rows = files
    .map((file) => [file, answerOf(file, about.version)])
    .filter(([, answer]) => answer)
    .map(([file, answer]) => [
      ...[nameOf(file), about.name, answer.error ?? ""],
      ...(answer.labels?.flatMap((each) => [each.class, each.probability]) ??
        numbers.flatMap(() => ["", ""])),
    ]);
  save(`${about.name}-answers.csv`, "text/csv;charset=utf-8", toCsv([head, ...rows]));
}

function nameOf(file) {
  return file.webkitRelativePath || file.name;
}

function isSame(some, others) {
  const known = new Set(some);
  return some.length === others.length && others.every((file) => known.has(file));
}
