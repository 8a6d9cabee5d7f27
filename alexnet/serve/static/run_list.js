// The table of runs: rows that keep their place while figures change, and may be chosen.

import { clear, count, el, percent } from "/static/dom.js";
import { stateText } from "/static/run_card.js";
import { plain } from "/static/scales.js";

const COLUMNS = [
  { title: "Run", key: "name" },
  { title: "State", key: "state", text: (run) => stateText(run.state) },
  { title: "Epochs", key: "epochs_done", isNumber: true, text: epochsText },
  { title: "Best error", key: "best_error", isNumber: true, text: errorOf },
  { title: "Last heard", key: "heard_at", text: (run) => ago(run.heard_at) },
  { title: "Net", key: "net", text: (run) => run.net ?? "" },
  { title: "Data", key: "data", text: (run) => lastPart(run.data) },
];
const MANY = 8;

/** The table; `show` fills it. */
export class RunList {
  /** @param {function(string, boolean): void} onChoose called when a run is chosen, or no longer */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.rows = new Map();
    this.runs = [];
    this.order = { key: "", isDown: false };
    this.heads = COLUMNS.map((column) => this.head(column));
    this.body = el("tbody", {});
    this.caption = el("caption", {});
    this.find = el("input", { type: "search", id: "find-run", autocomplete: "off" });
    this.find.addEventListener("input", () => this.arrange());
    this.finder = el("label", { class: "field find", hidden: true }, "Find a run", this.find);
    const head = el("thead", {}, el("tr", {}, this.heads.map(({ cell }) => cell)));
    const table = el("table", { class: "runs-table" }, this.caption, head, this.body);
    const box = el("div", { class: "scroll runs-box", tabindex: 0, role: "region" }, table);
    box.setAttribute("aria-label", "Runs");
    this.element = el("div", {}, this.finder, box);
  }

  /**
   * Shows runs.
   *
   * @param {Array<Object>} runs as GET /api/runs lists them
   * @param {Array<string>} chosen names
   */
  show(runs, chosen) {
    this.runs = runs;
    this.finder.hidden = runs.length <= MANY;
    for (const run of runs) {
      const row = this.rows.get(run.name) ?? this.row(run.name);
      row.box.checked = chosen.includes(run.name);
      row.element.classList.toggle("is-chosen", row.box.checked);
      fillRow(row, run);
    }
    this.arrange();
  }

  /** Puts the rows in order, and leaves out those that are not looked for. */
  arrange() {
    const { key, isDown } = this.order;
    const wanted = this.find.value.trim().toLowerCase();
    const found = this.runs.filter((run) =>
      [run.name, run.net, run.data].some((each) => (each ?? "").toLowerCase().includes(wanted)),
    );
    const sorted = key ? [...found].sort((a, b) => compare(a[key], b[key])) : found;
    const names = (isDown ? sorted.reverse() : sorted).map(({ name }) => name);
    const now = [...this.body.children].map((each) => each.dataset.name);
    if (names.join("/") !== now.join("/")) {
      const focused = document.activeElement;
      clear(this.body).append(...names.map((name) => this.rows.get(name).element));
      if (this.body.contains(focused)) {
        focused.focus();
      }
    }
    const few = names.length < this.runs.length ? `${names.length} of ` : "";
    this.caption.textContent = `${few}${count(this.runs.length, "run")}; choose some to plot them`;
  }

  head({ title, key, isNumber }) {
    const button = el("button", { type: "button", class: "plain sort" }, title);
    const cell = el("th", { scope: "col", class: isNumber ? "number" : null }, button);
    button.addEventListener("click", () => {
      this.order = { key, isDown: this.order.key === key && !this.order.isDown };
      for (const each of this.heads) {
        each.cell.removeAttribute("aria-sort");
      }
      cell.setAttribute("aria-sort", this.order.isDown ? "descending" : "ascending");
      this.arrange();
    });
    return { cell };
  }

  row(name) {
    const box = el("input", { type: "checkbox" });
    box.addEventListener("change", () => this.onChoose(name, box.checked));
    const first = el("th", { scope: "row" }, el("label", {}, box, el("span", {}, name)));
    const cells = COLUMNS.slice(1).map(({ isNumber }) =>
      el("td", { class: isNumber ? "number" : null }),
    );
    const row = { box, cells, element: el("tr", { dataset: { name } }, first, cells) };
    this.rows.set(name, row);
    return row;
  }
}

function fillRow({ cells }, run) {
  COLUMNS.slice(1).forEach((column, i) => {
    const text = column.text(run);
    if (cells[i].textContent !== text) {
      cells[i].textContent = text;
    }
    if (column.key === "state") {
      cells[i].className = `state is-${run.state}`;
    }
  });
  cells.at(-1).title = run.data ?? "";
}

function epochsText(run) {
  const done = plain(run.epochs_done, 3);
  return run.epochs ? `${done} of ${run.epochs}` : done;
}

function errorOf(run) {
  return run.best_error === null ? "" : percent(run.best_error);
}

function lastPart(path) {
  return (path ?? "").split("/").filter(Boolean).at(-1) ?? "";
}

/** Compares values of a column; what is missing comes last. */
function compare(a, b) {
  if (a === null || b === null) {
    return Number(a === null) - Number(b === null);
  }
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}

/** Writes how long ago a moment was. */
export function ago(seconds) {
  if (seconds === null) {
    return "never";
  }
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 10) {
    return "now";
  }
  const units = [
    ["s", 1],
    ["min", 60],
    ["h", 3600],
    ["d", 86400],
  ];
  const [unit, length] = units.findLast(([, each]) => past >= 1.5 * each) ?? units[0];
  return `${Math.round(past / length)} ${unit} ago`;
}
