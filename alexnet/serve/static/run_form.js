// The form that starts a run, made from the fields of a recipe as the server tells them. The server
// alone judges the values: what is written goes to it as it is, and its answer stands at the field.

import { post } from "/static/api.js";
import { announce, clear, el } from "/static/dom.js";
import { valueText } from "/static/recipe_difference.js";

const WRITTEN = {
  "list of numbers": "Numbers, with commas between them.",
  "numbers by name": "Such as conv1=0.5, fc8=2.",
};

/**
 * Makes the form.
 *
 * @param {Object} about what GET /api/recipe answers
 * @param {Array<{name: string, recipe: Object}>} runs whose recipes may be begun with too
 * @param {function(string): void} onStarted called with the new run's name
 * @returns {HTMLElement}
 */
export function runForm(about, runs, onStarted) {
  return new RunForm(about, runs, onStarted).element;
}

class RunForm {
  constructor(about, runs, onStarted) {
    this.about = about;
    this.onStarted = onStarted;
    const named = Object.entries(about.recipes);
    this.bases = new Map([
      ...named.map(([name, recipe]) => [name, { recipe, sent: name }]),
      ...runs.map(({ name, recipe }) => [`as ${name}`, { recipe, sent: "paper" }]),
    ]);
    this.inputs = new Map();
    this.error = el("p", { class: "error", role: "alert", hidden: true });
    this.changes = el("p", { class: "changes quiet", role: "status" });
    this.button = el("button", { class: "first", type: "submit" }, "Start the run");
    this.element = el("form", { class: "run-form", novalidate: true, "aria-label": "Start a run" });
    this.element.append(this.head(), ...this.groups(), this.foot());
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.element.addEventListener("input", () => this.tell());
    this.begin();
  }

  get base() {
    return this.bases.get(this.inputs.get("recipe").value);
  }

  head() {
    const { data } = this.about;
    const recipes = [...this.bases.keys()];
    const first = recipes.includes("quick") ? "quick" : recipes[0];
    const choose = select(recipes, first);
    choose.addEventListener("change", () => this.begin());
    const name = el("input", { placeholder: "named by data and net", autocomplete: "off" });
    return el(
      "div",
      { class: "fields" },
      this.field({ name: "data", help: "The pictures to train on." }, select(data, data[0])),
      this.field({ name: "recipe", help: "What the fields below begin with." }, choose),
      this.field({ name: "name", help: "The new run's folder; letters, digits and . _ -" }, name),
    );
  }

  groups() {
    return this.about.groups.map((group, i) => {
      const own = this.about.fields.filter((field) => field.group === group);
      return el(
        "details",
        { open: i === 0 },
        el("summary", {}, group, " ", el("span", { class: "number-changed quiet" })),
        el("div", { class: "fields" }, own.map((field) => this.field(field, this.input(field)))),
      );
    });
  }

  foot() {
    return el("div", { class: "foot" }, this.changes, this.error, el("p", {}, this.button));
  }

  /** Makes a field's input; numbers are written as text, so that the server sees what was meant. */
  input({ name, type, choices }) {
    if (type === "yes or no") {
      return el("input", { type: "checkbox" });
    }
    if (choices || name === "net") {
      return select(choices ?? this.about.nets);
    }
    const inputmode = { "whole number": "numeric", number: "decimal" }[type];
    return el("input", { inputmode, autocomplete: "off", spellcheck: "false" });
  }

  field({ name, type, help, rule }, input) {
    const id = `field-${name}`;
    input.id = id;
    input.setAttribute("aria-describedby", `${id}-help ${id}-error`);
    this.inputs.set(name, input);
    const more = [rule ? `It must be ${rule}.` : "", WRITTEN[type] ?? ""];
    return el(
      "div",
      { class: "one", dataset: { field: name } },
      el("label", { for: id }, name),
      input,
      el("p", { class: "was quiet small", hidden: true }),
      el("p", { id: `${id}-error`, class: "error small", hidden: true }),
      el("p", { id: `${id}-help`, class: "quiet small" }, [help, ...more].join(" ").trim()),
    );
  }

  /** Writes the chosen recipe's values into the fields. */
  begin() {
    for (const { name } of this.about.fields) {
      const input = this.inputs.get(name);
      const value = this.base.recipe[name];
      if (input.type === "checkbox") {
        input.checked = value;
      } else {
        input.value = valueText(value);
      }
    }
    this.tell();
  }

  /** Returns the fields whose values are not those of a recipe. */
  changed(recipe) {
    const found = {};
    for (const field of this.about.fields) {
      const value = read(field, this.inputs.get(field.name));
      const isLeftOut = value === "" && field.type !== "text";
      if (!isLeftOut && valueText(value) !== valueText(recipe[field.name])) {
        found[field.name] = value;
      }
    }
    return found;
  }

  /** Marks what was changed, and says it in a line. */
  tell() {
    const { recipe } = this.base;
    const changed = Object.keys(this.changed(recipe));
    for (const { name } of this.about.fields) {
      const place = this.place(name);
      const isChanged = changed.includes(name);
      const was = place.querySelector(".was");
      place.classList.toggle("is-changed", isChanged);
      was.hidden = !isChanged;
      was.textContent = isChanged ? `the recipe has ${valueText(recipe[name]) || "none"}` : "";
    }
    for (const group of this.element.querySelectorAll("details")) {
      const own = group.querySelectorAll(".is-changed").length;
      group.querySelector(".number-changed").textContent = own ? `(${own} changed)` : "";
    }
    const text = changed.length ? `Changed: ${changed.join(", ")}.` : "The recipe as it is.";
    if (this.changes.textContent !== text) {
      this.changes.textContent = text;
    }
  }

  place(name) {
    return this.element.querySelector(`[data-field="${name}"]`);
  }

  async start() {
    this.forget();
    this.button.disabled = true;
    const sent = this.base.sent;
    const wanted = {
      data: this.inputs.get("data").value,
      recipe: sent,
      fields: this.changed(this.about.recipes[sent]),
    };
    const name = this.inputs.get("name").value.trim();
    try {
      const started = await post("/api/runs", {}, name ? { ...wanted, name } : wanted);
      announce(`The run ${started.name} has begun`);
      this.onStarted(started.name);
    } catch (error) {
      this.say(error);
    } finally {
      this.button.disabled = false;
    }
  }

  /** Says the server's message at the field that it names, else at the end of the form. */
  say(error) {
    const name = fieldOf(error, [...this.inputs.keys()]);
    if (!name) {
      this.error.textContent = error.message;
      this.error.hidden = false;
      return;
    }
    const place = this.place(name);
    const input = this.inputs.get(name);
    const said = place.querySelector(".error");
    place.closest("details")?.setAttribute("open", "");
    said.textContent = error.message;
    said.hidden = false;
    input.setAttribute("aria-invalid", "true");
    input.focus();
    announce(error.message);
  }

  forget() {
    for (const said of this.element.querySelectorAll(".error")) {
      clear(said).hidden = true;
    }
    for (const input of this.inputs.values()) {
      input.removeAttribute("aria-invalid");
    }
  }
}

/** Returns the field that a refusal is about: its messages begin with a field's name. */
function fieldOf({ code, message }, names) {
  const byCode = { name: "name", exists: "name", data: "data", recipe: "recipe" }[code];
  const [, first] = /^(\w+) (?:is|holds) /.exec(message) ?? [];
  return byCode ?? (code === "field" && names.includes(first) ? first : null);
}

/** Reads an input as what JSON has for its type; what is not of it stays the text that it is. */
function read({ type }, input) {
  if (input.type === "checkbox") {
    return input.checked;
  }
  const text = input.value.trim();
  if (type === "whole number" || type === "number") {
    return numberOf(text);
  }
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  if (type === "list of numbers") {
    return parts.map(numberOf);
  }
  if (type === "numbers by name") {
    return Object.fromEntries(
      parts.map((part) => {
        const at = part.lastIndexOf("=");
        return at < 0 ? [part, ""] : [part.slice(0, at).trim(), numberOf(part.slice(at + 1))];
      }),
    );
  }
  return text;
}

function numberOf(text) {
  const number = Number(text);
  return text.trim() === "" || !Number.isFinite(number) ? text.trim() : number;
}

function select(choices, chosen) {
  return el(
    "select",
    {},
    choices.map((each) => el("option", { value: each, selected: each === chosen }, each)),
  );
}
