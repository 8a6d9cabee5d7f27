// Curves over the course of training: an SVG drawn to the width there is, with a reading that
// follows the pointer or the arrow keys, and the same figures as a table.

import { clear, el, svg } from "/static/dom.js";
import { logTicks, plain, scale, ticks, widened } from "/static/scales.js";

const HEIGHT = 232;
const TOP = 10;
const BOTTOM = 26;
const RIGHT = 14;
const LETTER = 7;
const MOST_ROWS = 200;
const MARKED = 40;

/**
 * A plot of several lines over one axis.
 *
 * A line is {name, look, points}: `look` a number from 0 on, which gives colour and dashes;
 * `isThin` and `isMarked` set it apart from another of the same look; points are [x, y], x rising.
 */
export class Plot {
  /**
   * @param {string} title
   * @param {{format?: function(number): string, tick?: function(number): string,
   *   fromZero?: boolean, note?: string}} options how values are written, and those of the axis
   */
  constructor(title, { format = plain, tick = plain, fromZero = false, note = "" } = {}) {
    this.title = title;
    this.format = format;
    this.tick = tick;
    this.fromZero = fromZero;
    this.lines = [];
    this.axis = "epochs";
    this.isLog = false;
    this.at = null;
    this.stops = [];
    this.reading = el("p", { class: "reading" });
    this.canvas = svg("svg", { role: "img", class: "curves", height: HEIGHT });
    this.handle = this.makeHandle();
    this.table = el("div", { class: "scroll", tabindex: 0, role: "region" });
    this.table.setAttribute("aria-label", `${title} as a table`);
    this.details = el("details", {}, el("summary", {}, "As a table"), this.table);
    this.details.addEventListener("toggle", () => this.fillTable());
    this.element = el(
      "section",
      { class: "plot" },
      el("h3", {}, title, note ? el("span", { class: "quiet" }, ` ${note}`) : null),
      this.reading,
      el("div", { class: "canvas" }, this.canvas, this.handle),
      this.details,
    );
    this.width = 0;
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(this.canvas.parentElement);
  }

  /**
   * Shows lines.
   *
   * @param {Array<Object>} lines
   * @param {string} axis what x is: "epochs", "updates" or "hours"
   * @param {boolean} isLog whether y is logarithmic; what is not above 0 is then left out
   */
  show(lines, axis, isLog) {
    const clean = (points) => points.filter(([x, y]) => isDrawn(x, y, isLog));
    this.lines = lines.map((line) => ({ ...line, points: clean(line.points) }));
    this.axis = axis;
    this.isLog = isLog;
    this.draw();
  }

  /** Ends it. */
  close() {
    this.watcher.disconnect();
  }

  fit() {
    const width = Math.floor(this.canvas.parentElement.clientWidth);
    if (width !== this.width && width > 0) {
      this.width = width;
      this.draw();
    }
  }

  draw() {
    if (this.width === 0) {
      return; // not in the page yet
    }
    const points = this.lines.flatMap((line) => line.points);
    this.element.classList.toggle("is-empty", points.length === 0);
    this.canvas.setAttribute("width", this.width);
    this.canvas.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.canvas.setAttribute("aria-label", this.summary());
    clear(this.canvas);
    this.stops = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
    if (points.length > 0) {
      this.measure(points);
      this.canvas.append(this.grid(), ...this.lines.map((line) => this.curve(line)));
      this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
      this.canvas.append(this.cursor);
    }
    this.read();
    this.fillTable();
  }

  /** Sets the scales and the ticks. */
  measure(points) {
    const most = Math.floor(HEIGHT / 44);
    const ys = points.map(([, y]) => y);
    let [low, high] = [least(ys), largest(ys)];
    if (this.isLog) {
      [low, high] = low === high ? [low / 2, high * 2] : [low, high];
    } else {
      [low, high] = widened(this.fromZero ? Math.min(0, low) : low, high, most);
    }
    this.rows = this.isLog ? logTicks(low, high, most) : ticks(low, high, most);
    const longest = largest(this.rows.map((each) => this.tick(each).length));
    this.left = LETTER * longest + 12;
    this.toY = scale([low, high], [HEIGHT - BOTTOM, TOP], this.isLog);
    const last = largest(this.stops);
    const ends = [Math.min(0, least(this.stops)), last > 0 ? last : 1];
    this.toX = scale(ends, [this.left, this.width - RIGHT]);
    this.columns = ticks(...ends, Math.max(2, Math.floor((this.width - this.left) / 72)));
  }

  grid() {
    const foot = HEIGHT - BOTTOM;
    const end = this.width - RIGHT;
    const rows = this.rows.map((value) => {
      const y = this.toY(value);
      return [
        svg("line", { class: "rule", x1: this.left, x2: end, y1: y, y2: y }),
        svg("text", { class: "end", x: this.left - 8, y: y + 4 }, this.tick(value)),
      ];
    });
    const columns = this.columns.map((value, i) => {
      const x = this.toX(value);
      const isFirst = i === 0; // it names the axis too
      const place = isFirst ? { x: x - 3 } : { x, class: "middle" };
      const text = isFirst ? `${plain(value)} ${this.axis}` : plain(value);
      return [
        svg("line", { class: "tick", x1: x, x2: x, y1: foot, y2: foot + 4 }),
        svg("text", { ...place, y: foot + 18 }, text),
      ];
    });
    const axis = svg("line", { class: "axis", x1: this.left, x2: end, y1: foot, y2: foot });
    return svg("g", { class: "grid", "aria-hidden": "true" }, rows, columns, axis);
  }

  curve({ points, look, isThin, isMarked }) {
    const seen = thinned(points, this.toX).map(([x, y]) => [this.toX(x), this.toY(y)]);
    const path = `M${seen.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
    const isDotted = points.length === 1 || (isMarked && points.length <= MARKED);
    const dots = isDotted
      ? seen.map(([cx, cy]) => svg("circle", { cx, cy, r: 3, class: isThin ? "hollow" : "dot" }))
      : [];
    const name = `curve look-${look}${isThin ? " thin" : ""}`;
    return svg("g", { class: name }, svg("path", { d: seen.length ? path : null }), dots);
  }

  /** Makes what the arrow keys move, as a slider over the places that have a value. */
  makeHandle() {
    const handle = el("div", { class: "handle", role: "slider", tabindex: 0 });
    handle.setAttribute("aria-label", `Reading of ${this.title}`);
    handle.addEventListener("keydown", (event) => this.move(event));
    handle.addEventListener("pointermove", (event) => this.point(event));
    handle.addEventListener("pointerdown", (event) => this.point(event));
    handle.addEventListener("pointerleave", () => this.stand(null));
    handle.addEventListener("blur", () => this.stand(null));
    return handle;
  }

  move(event) {
    const last = this.stops.length - 1;
    const now = this.at === null ? last : nearestIndex(this.stops, this.at);
    const page = Math.max(1, Math.round(last / 10));
    const moved = {
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      PageDown: now - page,
      PageUp: now + page,
      Home: 0,
      End: last,
    }[event.key];
    if (moved !== undefined && last >= 0) {
      event.preventDefault();
      this.stand(this.stops[Math.min(last, Math.max(0, moved))]);
    }
  }

  point(event) {
    if (this.stops.length > 0) {
      const x = event.clientX - this.canvas.getBoundingClientRect().left;
      this.stand(this.stops[nearestIndex(this.stops.map(this.toX), x)]);
    }
  }

  /** Puts the reading at a place; null is the newest of each line. */
  stand(at) {
    this.at = at;
    this.read();
  }

  read() {
    const isEmpty = this.stops.length === 0;
    const at = this.at ?? this.stops.at(-1);
    const found = this.lines.map((line) => ({ ...line, value: valueAt(line.points, this.at) }));
    const parts = found
      .filter(({ value }) => value !== null)
      .map(({ name, look, isThin, value }) =>
        el("span", {}, sample(look, isThin), ` ${name} `, el("b", {}, this.format(value))),
      );
    const where = this.at === null ? "newest" : `${plain(at)} ${this.axis}`;
    clear(this.reading).append(
      ...(isEmpty ? ["nothing yet"] : [el("span", { class: "where" }, where), ...parts]),
    );
    this.cursor?.toggleAttribute("hidden", this.at === null);
    if (this.at !== null && this.cursor) {
      this.cursor.setAttribute("x1", this.toX(at));
      this.cursor.setAttribute("x2", this.toX(at));
    }
    const now = isEmpty ? 0 : at;
    this.handle.setAttribute("aria-valuemin", isEmpty ? 0 : this.stops[0]);
    this.handle.setAttribute("aria-valuemax", isEmpty ? 0 : this.stops.at(-1));
    this.handle.setAttribute("aria-valuenow", now);
    const values = [...this.reading.children].slice(1).map((each) => each.textContent.trim());
    const text = isEmpty ? "nothing yet" : `${plain(now)} ${this.axis}: ${values.join(", ")}`;
    this.handle.setAttribute("aria-valuetext", text);
  }

  summary() {
    const told = this.lines
      .filter(({ points }) => points.length > 0)
      .map(({ name, points }) => {
        const [first, last] = [points[0], points.at(-1)].map(([, y]) => this.format(y));
        return `${name} from ${first} to ${last}`;
      });
    return `${this.title} over ${this.axis}: ${told.join("; ") || "nothing yet"}`;
  }

  fillTable() {
    if (!this.details.open) {
      return;
    }
    const stride = Math.max(1, Math.ceil(this.stops.length / MOST_ROWS));
    const kept = this.stops.filter((_, i) => (this.stops.length - 1 - i) % stride === 0);
    const maps = this.lines.map(({ points }) => new Map(points));
    const written = (value) => (value === undefined ? "" : this.format(value));
    const cell = (value) => el("td", { class: "number" }, written(value));
    const rows = kept.map((x) =>
      el("tr", {}, el("th", { scope: "row" }, plain(x)), maps.map((map) => cell(map.get(x)))),
    );
    const heads = [this.axis, ...this.lines.map(({ name }) => name)];
    const few = stride > 1 ? `; one place of ${stride}` : "";
    clear(this.table).append(
      el(
        "table",
        {},
        el("caption", {}, `${this.title}${few}`),
        el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, rows),
      ),
    );
  }
}

/** Draws a bit of a line as it looks in the plots. */
export function sample(look, isThin = false) {
  const line = svg("line", { x1: 0, x2: 26, y1: 5, y2: 5 });
  const group = svg("g", { class: `curve look-${look}${isThin ? " thin" : ""}` }, line);
  return svg("svg", { class: "sample", width: 26, height: 10, "aria-hidden": "true" }, group);
}

/** Keeps the lowest and the highest of the points that share a pixel. */
function thinned(points, toX) {
  if (points.length < 1500) {
    return points;
  }
  const columns = new Map();
  for (const point of points) {
    const at = Math.round(toX(point[0]));
    const { low, high } = columns.get(at) ?? { low: point, high: point };
    columns.set(at, {
      low: point[1] < low[1] ? point : low,
      high: point[1] > high[1] ? point : high,
    });
  }
  return [...columns.values()].flatMap(({ low, high }) => (low === high ? [low] : byX(low, high)));
}

function byX(a, b) {
  return a[0] <= b[0] ? [a, b] : [b, a];
}

function isDrawn(x, y, isLog) {
  return Number.isFinite(x) && Number.isFinite(y) && (!isLog || y > 0);
}

/**
 * Returns a line's value at a place, that of the newest point up to it; its last for null, and
 * nothing behind its end.
 */
function valueAt(points, at) {
  const last = points.at(-1);
  if (!last || at === null || at === last[0]) {
    return last?.[1] ?? null;
  }
  return at < last[0] ? (points.findLast(([x]) => x <= at)?.[1] ?? null) : null;
}

function nearestIndex(values, wanted) {
  let best = 0;
  values.forEach((value, i) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) {
      best = i;
    }
  });
  return best;
}

function least(values) {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

function largest(values) {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
