// Runs: all of them in a table, the chosen ones in cards and in plots that grow while they train,
// and their recipes beside each other. The address has which are chosen: #/runs?runs=one/two

import { get } from "/static/api.js";
import { Plot } from "/static/curves.js";
import { clear, el, errorText, percent } from "/static/dom.js";
import { Journal, points } from "/static/journal.js";
import { recipeTable } from "/static/recipe_difference.js";
import { RunCard } from "/static/run_card.js";
import { runForm } from "/static/run_form.js";
import { RunList } from "/static/run_list.js";
import { plain } from "/static/scales.js";
import { note } from "/static/shell.js";

const MOST = 6;
const REFRESH_MS = 4000;
const DRAW_MS = 200;
const AXES = { epochs: "epoch", updates: "step", hours: "hours" };

/**
 * Shows the runs.
 *
 * @param {HTMLElement} place
 * @param {Object} parameters runs (names, "/" between them), axis, log
 * @returns {Promise<function(): void>} leaves the view
 */
export async function show(place, parameters) {
  const view = new RunsView(place, parameters);
  await view.begin();
  return () => view.close();
}

class RunsView {
  constructor(place, parameters) {
    this.names = (parameters.runs ?? "").split("/").filter(Boolean).slice(0, MOST);
    this.axis = Object.hasOwn(AXES, parameters.axis ?? "") ? parameters.axis : "epochs";
    this.logarithmic = new Set((parameters.log ?? "").split("/").filter(Boolean));
    this.chosen = new Map();
    this.recipe = null;
    this.drawTimer = 0;
    this.list = new RunList((name, isChosen) => this.choose(name, isChosen));
    this.plots = {
      loss: new Plot("Training loss"),
      error: new Plot("Validation errors", {
        format: percent,
        tick: (share) => `${plain(100 * share)}%`,
        fromZero: true,
        note: "first answer; thin: first five",
      }),
      rate: new Plot("Learning rate"),
      speed: new Plot("Images a second", { fromZero: true }),
    };
    this.problem = el("div", { "aria-live": "polite" });
    this.formPlace = el("div", {});
    this.limit = el("p", { role: "status" });
    this.cards = el("div", { class: "cards" });
    this.recipes = el("div", { class: "scroll", tabindex: 0, role: "region" });
    this.recipes.setAttribute("aria-label", "Recipes");
    this.build(place);
  }

  build(place) {
    this.opener = el("button", { type: "button", class: "first" }, "Start a run");
    this.opener.setAttribute("aria-expanded", "false");
    this.opener.disabled = true;
    this.opener.addEventListener("click", () => this.toggleForm());
    const plots = Object.values(this.plots).map(({ element }) => element);
    this.details = el(
      "div",
      { hidden: true },
      el("h2", {}, "Chosen runs"),
      this.cards,
      el("h2", {}, "Curves"),
      this.switches(),
      el("div", { class: "plots" }, plots),
      el("h2", {}, "Recipes"),
      this.recipeSwitches(),
      this.recipes,
    );
    const head = el("div", { class: "head" }, el("h1", {}, "Runs"), this.opener);
    place.append(head, this.problem, this.formPlace, this.list.element, this.limit, this.details);
  }

  /** Reads the list, chooses what the address says or the newest, and keeps the list fresh. */
  async begin() {
    [, this.recipe] = await Promise.all([this.refresh(), get("/api/recipe")]);
    this.opener.disabled = !this.recipe.may_start;
    if (!this.recipe.may_start) {
      const why = "This server starts no runs: it serves one run alone, or other machines.";
      this.formPlace.append(el("p", { class: "quiet small" }, why));
    }
    this.fillAgainst();
    const known = this.runs.map(({ name }) => name);
    const training = this.runs.find((run) => run.training);
    const first = training?.name ?? known[0];
    const names = this.names.filter((name) => known.includes(name));
    this.names = [];
    for (const name of names.length || !first ? names : [first]) {
      this.add(name);
    }
    this.chosenChanged();
    this.timer = window.setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
  }

  close() {
    this.isClosed = true;
    window.clearInterval(this.timer);
    window.clearTimeout(this.drawTimer);
    this.chosen.forEach(({ journal }) => journal.close());
    Object.values(this.plots).forEach((plot) => plot.close());
  }

  async refresh() {
    try {
      this.runs = (await get("/api/runs")).runs;
      clear(this.problem);
    } catch (error) {
      this.runs ??= [];
      clear(this.problem).append(errorText(error));
    }
    this.list.show(this.runs, this.names);
    for (const { name, training } of this.runs) {
      const own = this.chosen.get(name)?.journal;
      if (own?.run && training && !own.run.training) {
        own.read(); // it was gone on with elsewhere
      }
    }
  }

  choose(name, isChosen) {
    const isFull = isChosen && this.names.length >= MOST;
    this.limit.textContent = isFull ? `${MOST} runs at the most are plotted together.` : "";
    if (isFull) {
      this.list.show(this.runs, this.names);
      return;
    }
    if (isChosen) {
      this.add(name);
    } else {
      this.remove(name);
    }
    this.chosenChanged();
  }

  /** Takes a run in; it keeps its look while it is chosen. */
  add(name) {
    const taken = [...this.chosen.values()].map((each) => each.look);
    const look = Array.from({ length: MOST }, (_, i) => i).find((each) => !taken.includes(each));
    const journal = new Journal(name, (_, what) => this.heard(name, what));
    const card = new RunCard(journal, {
      look,
      onRemove: () => this.choose(name, false),
      onChange: () => this.refresh(),
    });
    this.names.push(name);
    this.chosen.set(name, { look, journal, card });
    this.cards.append(card.element);
    journal.read();
  }

  remove(name) {
    const { journal, card } = this.chosen.get(name);
    const hadFocus = card.element.contains(document.activeElement);
    journal.close();
    card.element.remove();
    this.chosen.delete(name);
    this.names = this.names.filter((each) => each !== name);
    if (hadFocus) {
      (this.cards.querySelector("button") ?? this.opener).focus();
    }
  }

  chosenChanged() {
    note({ runs: this.names.join("/") });
    this.details.hidden = this.names.length === 0;
    this.list.show(this.runs, this.names);
    this.draw();
    this.compare();
  }

  /** Shows a run's state at once, and its lines, which may come by the hundred, now and then. */
  heard(name, what) {
    if (what === "run") {
      this.chosen.get(name)?.card.show();
      this.compare();
    }
    this.drawTimer ||= window.setTimeout(() => this.draw(), DRAW_MS);
  }

  /** Draws the curves of the chosen runs. */
  draw() {
    window.clearTimeout(this.drawTimer);
    this.drawTimer = 0;
    this.chosen.forEach(({ card }) => card.show());
    const runs = [...this.chosen.entries()].map(([name, { look, journal }]) => {
      const batch = journal.run?.recipe?.batch ?? 0;
      const of = (kind) => points(journal.lines, kind, batch);
      return { name, look, train: of("train"), tests: of("validation") };
    });
    const at = AXES[this.axis];
    const series = (lines, key) => lines.map((line) => [line[at], line[key] ?? NaN]);
    const each = (key) =>
      runs.map(({ name, look, train }) => ({ name, look, points: series(train, key) }));
    const errors = runs.flatMap(({ name, look, tests }) => {
      const line = { look, isMarked: true };
      const five = { name: `${name}, of five`, isThin: true };
      return [
        { ...line, name, points: series(tests, "top1_error") },
        { ...line, ...five, points: series(tests, "top5_error") },
      ];
    });
    this.plots.loss.show(each("loss"), this.axis, this.logarithmic.has("loss"));
    this.plots.error.show(errors, this.axis, false);
    this.plots.rate.show(each("lr"), this.axis, this.logarithmic.has("rate"));
    this.plots.speed.show(each("images_per_second"), this.axis, false);
  }

  /** Makes the switches of the plots. */
  switches() {
    const names = Object.keys(AXES).map((name) => {
      const isNow = name === this.axis;
      const radio = el("input", { type: "radio", name: "axis", value: name, checked: isNow });
      radio.addEventListener("change", () => {
        this.axis = name;
        note({ axis: name === "epochs" ? null : name });
        this.draw();
      });
      return el("label", { class: "choice" }, radio, name);
    });
    const axis = el("fieldset", { class: "row" }, el("legend", {}, "Over"), names);
    const logs = ["loss", "rate"].map((name) => this.logSwitch(name));
    return el("div", { class: "row switches" }, axis, logs);
  }

  logSwitch(name) {
    const box = el("input", { type: "checkbox", checked: this.logarithmic.has(name) });
    box.addEventListener("change", () => {
      if (box.checked) {
        this.logarithmic.add(name);
      } else {
        this.logarithmic.delete(name);
      }
      note({ log: [...this.logarithmic].join("/") });
      this.draw();
    });
    return el("label", { class: "choice" }, box, `${name} logarithmic`);
  }

  recipeSwitches() {
    this.against = el("select", { id: "against" });
    this.against.addEventListener("change", () => this.compare());
    this.all = el("input", { type: "checkbox" });
    this.all.addEventListener("change", () => this.compare());
    return el(
      "div",
      { class: "row switches" },
      el("label", {}, "Beside them ", this.against),
      el("label", { class: "choice" }, this.all, "all fields"),
    );
  }

  fillAgainst() {
    const named = Object.keys(this.recipe.recipes).map((name) =>
      el("option", { value: name }, `the recipe ${name}`),
    );
    clear(this.against).append(el("option", { value: "" }, "nothing"), ...named);
  }

  /** Puts the recipes of the chosen runs, and a named one, beside each other. */
  compare() {
    if (!this.recipe) {
      return;
    }
    const columns = [...this.chosen.entries()]
      .map(([name, { journal }]) => ({ name, recipe: journal.run?.recipe }))
      .filter(({ recipe }) => recipe);
    const named = this.against.value;
    if (named) {
      columns.push({ name: `recipe ${named}`, recipe: this.recipe.recipes[named] });
    }
    const isAlone = columns.length < 2;
    this.all.disabled = isAlone;
    clear(this.recipes);
    if (columns.length > 0) {
      const differingOnly = !isAlone && !this.all.checked;
      this.recipes.append(recipeTable(this.recipe, columns, differingOnly));
    }
  }

  toggleForm() {
    const isOpen = this.formPlace.childElementCount > 0;
    this.opener.setAttribute("aria-expanded", String(!isOpen));
    this.opener.textContent = isOpen ? "Start a run" : "Close the form";
    clear(this.formPlace);
    if (!isOpen) {
      const runs = [...this.chosen.entries()]
        .map(([name, { journal }]) => ({ name, recipe: journal.run?.recipe }))
        .filter(({ recipe }) => recipe);
      const form = runForm(this.recipe, runs, (name) => this.started(name));
      this.formPlace.append(form);
      form.querySelector("select, input").focus();
    }
  }

  /** Shows a run that was started, beside the others if there is room. */
  async started(name) {
    this.toggleForm();
    this.opener.focus();
    if (this.chosen.has(name)) {
      this.remove(name);
    }
    if (this.names.length >= MOST) {
      this.remove(this.names.at(-1));
    }
    this.add(name);
    await this.refresh();
    this.chosenChanged();
  }
}
