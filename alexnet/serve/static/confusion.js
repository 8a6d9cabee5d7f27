// The confusion matrix: a table whose cells are buttons; arrow keys go from cell to cell.

import { count, el } from "/static/dom.js";

/** With more classes than these the matrix would be no table to be read. */
export const MOST_CLASSES = 30;
const MOST_PAIRS = 50;
const STEPS = {
  ArrowUp: ([row, column]) => [row - 1, column],
  ArrowDown: ([row, column]) => [row + 1, column],
  ArrowLeft: ([row, column]) => [row, column - 1],
  ArrowRight: ([row, column]) => [row, column + 1],
  Home: ([row]) => [row, 0],
  End: ([row], last) => [row, last],
  PageUp: ([, column]) => [0, column],
  PageDown: ([, column], last) => [last, column],
};

/**
 * Draws the matrix: a row for each true class, a column for each answer.
 *
 * @param {{classes: string[], confusion: number[][]}} found
 * @param {function(number, number): any} choose called with the cell that is opened
 * @param {number[]|null} start the cell that is open at first
 * @returns {HTMLElement}
 */
export function confusionTable({ classes, confusion }, choose, start) {
  const shares = confusion.map((row) => {
    const all = row.reduce((sum, each) => sum + each, 0) || 1;
    return row.map((number) => number / all);
  });
  const mistakes = shares.flatMap((row, truth) => row.filter((_, answer) => answer !== truth));
  const most = Math.max(...mistakes, 1e-9);
  const cells = confusion.map((row, truth) =>
    row.map((number, answer) => {
      const share = shares[truth][answer];
      // Mistakes are few beside what is right: the most frequent has the full shade.
      const shade = Math.sqrt(truth === answer ? share : share / most);
      return cellButton(classes, { truth, answer, number, shade });
    }),
  );
  const table = el("table", { class: "confusion" },
    el("caption", { class: "unseen" }, "Classes shown, by row, and answered, by column"),
    el("thead", {}, el("tr", {}, el("td"), classes.map(columnHead))),
    el("tbody", {}, cells.map((row, truth) =>
      el("tr", {}, el("th", { scope: "row" }, classes[truth]),
        row.map((button) => el("td", {}, button))))));
  const [row, column] = start ?? [0, 0];
  cells[row][column].tabIndex = 0;
  if (start) {
    cells[row][column].setAttribute("aria-pressed", "true");
  }
  rove(table, cells);
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.getAttribute("aria-disabled") !== "true") {
      cells.flat().forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
      choose(Number(button.dataset.truth), Number(button.dataset.answer));
    }
  });
  const words = "Rows: what is shown. Columns: the first answer. Arrow keys go from cell to cell; "
    + "Enter opens the pictures behind one.";
  return el("div", {}, el("p", { class: "quiet small" }, words),
    el("div", { class: "scroll" }, table));
}

/**
 * Lists the pairs of classes that are mixed up most often, for nets of many classes.
 *
 * @param {{classes: string[], confusion: number[][]}} found
 * @param {function(number, number): any} choose
 * @returns {HTMLElement}
 */
export function pairTable({ classes, confusion }, choose) {
  const pairs = confusion
    .flatMap((row, truth) => row.map((number, answer) => ({ truth, answer, number })))
    .filter(({ truth, answer, number }) => truth !== answer && number > 0)
    .sort((one, other) => other.number - one.number);
  const shown = pairs.slice(0, MOST_PAIRS);
  const open = ({ truth, answer, number }) =>
    el("button", { type: "button", class: "plain", onclick: () => choose(truth, answer) },
      count(number, "picture"),
      el("span", { class: "unseen" }, ` of ${classes[truth]} taken for ${classes[answer]}`));
  const caption = shown.length < pairs.length
    ? `The ${count(shown.length)} most frequent of ${count(pairs.length, "pair")} of classes.`
    : `${count(pairs.length, "pair")} of classes.`;
  const heads = ["Shown", "Taken for", "How often"];
  return el("div", { class: "scroll" },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, shown.map((pair) =>
        el("tr", {},
          el("td", {}, classes[pair.truth]),
          el("td", {}, classes[pair.answer]),
          el("td", {}, open(pair)))))));
}

function columnHead(name) {
  return el("th", { scope: "col" }, el("span", {}, name));
}

function cellButton(classes, { truth, answer, number, shade }) {
  const kind = truth === answer ? "right" : "wrong";
  const words = truth === answer
    ? `${classes[truth]} known as such: ${count(number)}`
    : `${classes[truth]} taken for ${classes[answer]}: ${count(number)}`;
  return el("button", {
    ...{ type: "button", class: `cell ${kind}`, tabindex: "-1", "aria-label": words },
    "aria-disabled": number === 0 ? "true" : null,
    "aria-pressed": "false",
    dataset: { truth, answer },
    style: { "--share": shade },
  }, number || "\u00b7");
}

/** One cell at a time is in the order of the Tab key; the arrow keys choose which. */
function rove(table, cells) {
  const last = cells.length - 1;
  const inside = (number) => Math.min(Math.max(number, 0), last);
  const settle = (button) => {
    table.querySelector("button[tabindex='0']").tabIndex = -1;
    button.tabIndex = 0;
  };
  table.addEventListener("focusin", (event) => settle(event.target));
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) {
      return;
    }
    event.preventDefault();
    const { truth, answer } = event.target.dataset;
    const [row, column] = step([Number(truth), Number(answer)], last).map(inside);
    cells[row][column].focus();
  });
}
