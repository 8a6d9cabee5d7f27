// A chosen run: how it stands, and what may be done with it.

import { post } from "/static/api.js";
import { sample } from "/static/curves.js";
import { announce, clear, el, errorText, percent } from "/static/dom.js";
import { pathOf, secondsLeft } from "/static/journal.js";
import { plain } from "/static/scales.js";

const STATES = {
  training: "training",
  finished: "finished",
  stopped: "stopped, can go on",
  failed: "failed",
  empty: "nothing saved",
};

/** A card; `show` is called whenever its journal changes. */
export class RunCard {
  /**
   * @param {import("/static/journal.js").Journal} journal
   * @param {{look: number, onRemove: function(): void, onChange: function(): void}} options
   *   `onChange` is called after a run was stopped or gone on with
   */
  constructor(journal, { look, onRemove, onChange }) {
    this.journal = journal;
    this.onChange = onChange;
    this.isAsked = false;
    this.state = el("span", { class: "state" });
    this.what = el("span", { class: "quiet" });
    this.figures = el("dl", { class: "figures" });
    this.actions = el("div", { class: "row actions" });
    this.problem = el("div", {});
    this.words = el("pre", { tabindex: 0 });
    this.said = el("details", { hidden: true }, el("summary", {}, "Its last words"), this.words);
    const name = el("h3", {}, sample(look), " ", journal.name);
    const remove = el("button", { type: "button", class: "plain", onClick: onRemove }, "take out");
    remove.setAttribute("aria-label", `take out ${journal.name}`);
    this.element = el(
      "article",
      { class: "run-card", "aria-label": journal.name },
      el("header", {}, name, remove),
      el("p", {}, this.state, this.what),
      this.figures,
      this.actions,
      this.problem,
      this.said,
    );
  }

  show() {
    const { run, error, isHeard } = this.journal;
    if (error) {
      clear(this.problem).append(errorText(error));
    }
    if (!run) {
      return;
    }
    const stopping = run.training && this.isAsked ? "saving, and stopping" : STATES[run.state];
    const text = isHeard ? stopping : `${stopping}; connection lost, trying again`;
    if (this.state.textContent !== text) {
      this.state.textContent = text;
      this.state.className = `state is-${run.state}`;
    }
    const data = (run.data ?? "").split("/").filter(Boolean).at(-1);
    this.what.textContent = run.net && data ? `, ${run.net} on ${data}` : "";
    this.tell(run);
    this.offer(run);
    this.quote(run.process);
  }

  /** Writes the newest figures. */
  tell(run) {
    const { lines } = this.journal;
    const train = lines.findLast(({ kind }) => kind === "train") ?? {};
    const tests = lines.filter(({ kind }) => kind === "validation");
    const errors = tests.map((line) => line.top1_error);
    const left = run.training ? secondsLeft(run, lines) : null;
    const done = Math.max(train.epoch ?? 0, tests.at(-1)?.epoch ?? 0);
    const { epochs } = run.recipe ?? {};
    const speed = train.images_per_second;
    const rows = [
      ["epochs", epochs ? `${plain(done, 3)} of ${epochs}` : plain(done, 3)],
      ["loss", train.loss === undefined ? null : plain(train.loss)],
      ["error", errors.length ? percent(errors.at(-1)) : null],
      ["best", errors.length > 1 ? percent(Math.min(...errors)) : null],
      ["rate", train.lr === undefined ? null : plain(train.lr, 3)],
      ["images/s", speed === undefined ? null : plain(speed, 3)],
      ["time left", left === null ? null : duration(left)],
    ];
    clear(this.figures).append(
      ...rows
        .filter(([, value]) => value !== null)
        .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    );
  }

  /** Shows the buttons that make sense; they are made anew only when they change. */
  offer(run) {
    const wanted = [
      run.training && run.started_here ? "stop" : "",
      run.can_go_on ? "resume" : "",
      run.has_report ? "report" : "",
    ].join(" ");
    if (wanted !== this.offered) {
      const hadFocus = this.actions.contains(document.activeElement);
      this.offered = wanted;
      this.isAsked = false;
      clear(this.actions).append(...this.buttons(run));
      if (hadFocus) {
        (this.actions.querySelector("button, a") ?? this.element.querySelector("button")).focus();
      }
    }
  }

  buttons(run) {
    const { name } = this.journal;
    const found = [];
    if (run.training && run.started_here) {
      found.push(this.button("Stop", `${name} is asked to save and to stop`, "stop"));
    } else if (run.training) {
      found.push(el("p", { class: "quiet small" }, "Started elsewhere: it is stopped there."));
    }
    if (run.can_go_on) {
      found.push(this.button("Go on", `${name} goes on`, "resume"));
    }
    if (run.has_report) {
      const report = { href: `${pathOf(name)}/report`, target: "_blank", rel: "noopener" };
      found.push(el("a", report, "Report", el("span", { class: "unseen" }, " in a new tab")));
    } else if (!run.training && run.state !== "failed") {
      const command = el("code", {}, `alexnet report ${run.folder}`);
      found.push(el("p", { class: "quiet small" }, "No report; ", command, " writes one."));
    }
    return found;
  }

  button(label, said, verb) {
    const button = el("button", { type: "button" }, label);
    button.addEventListener("click", () => this.ask(button, verb, said));
    return button;
  }

  async ask(button, verb, said) {
    button.disabled = true;
    clear(this.problem);
    try {
      await post(`${pathOf(this.journal.name)}/${verb}`);
      announce(said);
      this.isAsked = verb === "stop";
      if (verb === "resume") {
        await this.journal.read();
      }
      this.show();
      this.onChange();
    } catch (error) {
      button.disabled = false;
      clear(this.problem).append(errorText(error));
    }
  }

  /** Shows what the process of a run that was started here has said. */
  quote(process) {
    this.said.hidden = !process?.said;
    this.said.open = this.said.open || Boolean(process?.exit_code && process.exit_code !== 75);
    const code = process?.exit_code;
    const end = code ? `\n(it ended with exit code ${code})` : "";
    this.words.textContent = `${process?.said.trim() ?? ""}${end}`;
  }
}

/** Writes a state in words. */
export function stateText(state) {
  return STATES[state] ?? state;
}

/** Writes seconds as 1:02:03, or 2:03. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
