// A run and its journal: read once, then followed by server-sent events while it trains.

import { get } from "/static/api.js";

const RETRY_MS = 3000;

/**
 * Follows a run until `close` is called.
 *
 * `run` is what GET /api/runs/NAME answers, null before; `lines` its journal; `isHeard` is false
 * while a run that trains cannot be heard.
 */
export class Journal {
  /**
   * @param {string} name
   * @param {function(Journal, string): void} onChange called after each change, which is "run" for
   *   its state and all else, or "lines" for its journal alone
   */
  constructor(name, onChange) {
    this.name = name;
    this.run = null;
    this.lines = [];
    this.isHeard = true;
    this.error = null;
    this.onChange = onChange;
    this.end = 0;
    this.source = null;
    this.timer = 0;
    this.isClosed = false;
    this.onVisible = () => this.turn();
    document.addEventListener("visibilitychange", this.onVisible);
  }

  /** Reads the run anew, and follows it if it trains. */
  async read() {
    try {
      const { journal, ...run } = await get(pathOf(this.name));
      if (this.isClosed) {
        return;
      }
      this.error = null;
      this.run = run;
      this.lines = journal;
      this.end = run.journal_end;
    } catch (error) {
      this.error = error;
    }
    if (!this.isClosed) {
      this.turn();
      this.onChange(this, "run");
    }
  }

  /** Stops following. */
  close() {
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.onVisible);
    this.hush();
  }

  /** Follows, or does not: a page that nobody sees leaves its connection to others. */
  turn() {
    const wanted = !this.isClosed && this.run?.training && !document.hidden;
    if (wanted && !this.source) {
      this.listen();
    } else if (!wanted) {
      this.hush();
    }
  }

  hush() {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  listen() {
    this.source = new EventSource(`${pathOf(this.name)}/events?after=${this.end}`);
    this.source.addEventListener("message", (event) => {
      this.end = Number(event.lastEventId);
      this.take(JSON.parse(event.data));
    });
    this.source.addEventListener("reset", () => {
      this.lines = [];
      this.onChange(this, "lines");
    });
    this.source.addEventListener("state", (event) => {
      this.hear(true);
      if (!JSON.parse(event.data).training) {
        this.hush();
        this.read();
      }
    });
    this.source.addEventListener("error", () => this.lose());
  }

  /** Takes in a line. A step stands in a journal once: a run that went back says it again. */
  take(line) {
    const last = this.lines.at(-1);
    if (last && line.step < last.step) {
      this.lines = this.lines.filter((each) => each.step <= line.step);
    }
    const isThere = this.lines
      .slice(-8)
      .some((each) => each.step === line.step && each.kind === line.kind);
    if (!isThere || line.kind === "rollback") {
      this.lines.push(line);
    }
    this.hear(true);
    this.onChange(this, "lines");
  }

  /** The browser connects again by itself, unless it was told not to: then it is done here. */
  lose() {
    this.hear(false);
    if (this.source?.readyState === EventSource.CLOSED) {
      this.hush();
      this.timer = window.setTimeout(() => this.turn(), RETRY_MS);
    }
  }

  hear(isHeard) {
    if (this.isHeard !== isHeard) {
      this.isHeard = isHeard;
      this.onChange(this, "run");
    }
  }
}

/** Returns the address of a run. */
export function pathOf(name) {
  return `/api/runs/${encodeURIComponent(name)}`;
}

/**
 * Returns a journal's lines of one kind, each with `hours`, the training until then.
 *
 * The journal has no clock; pictures and pictures a second give it. A validation, which takes no
 * part in training, has the hours of the update that it follows.
 *
 * @param {Array<Object>} lines
 * @param {string} kind "train" or "validation"
 * @param {number} batch pictures an update
 */
export function points(lines, kind, batch) {
  const found = [];
  let seconds = 0;
  let step = 0;
  for (const line of lines) {
    if (line.kind === "train") {
      const speed = line.images_per_second;
      seconds += speed > 0 ? ((line.step - step) * batch) / speed : 0;
      step = line.step;
    }
    if (line.kind === kind) {
      found.push({ ...line, hours: seconds / 3600 });
    }
  }
  return found;
}

/**
 * Returns how many seconds of training are left, by the speed of the last lines; null if that
 * cannot be told.
 */
export function secondsLeft(run, lines) {
  const trained = points(lines, "train", run.recipe?.batch ?? 0);
  const last = trained.at(-1);
  if (!last?.epoch || !run.recipe) {
    return null;
  }
  const { recipe } = run;
  const speeds = trained.slice(-5).map((line) => line.images_per_second ?? 0);
  const speed = speeds.reduce((sum, each) => sum + each, 0) / speeds.length;
  const steps = recipe.epochs * (last.step / last.epoch);
  const wanted = recipe.steps > 0 ? Math.min(recipe.steps, steps) : steps;
  const left = speed > 0 ? ((wanted - last.step) * recipe.batch) / speed : Infinity;
  const until = recipe.minutes > 0 ? 60 * recipe.minutes - 3600 * last.hours : Infinity;
  const seconds = Math.min(left, until);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
