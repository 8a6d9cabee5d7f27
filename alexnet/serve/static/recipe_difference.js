// Recipes beside each other, a column each: all fields, or those alone in which they differ.

import { el } from "/static/dom.js";

/**
 * Makes a table of recipes.
 *
 * @param {{fields: Array<Object>, groups: Array<string>}} about what GET /api/recipe answers
 * @param {Array<{name: string, recipe: Object}>} columns
 * @param {boolean} differingOnly
 * @returns {HTMLElement}
 */
export function recipeTable({ fields, groups }, columns, differingOnly) {
  const known = [{ name: "data", group: "data", help: "The pictures." }, ...fields];
  const shown = known.filter(({ name }) => !differingOnly || differs(columns, name));
  if (shown.length === 0) {
    return el("p", {}, "These recipes are the same.");
  }
  const heads = ["Field", ...columns.map(({ name }) => name)];
  const said = differingOnly ? `${shown.length} of ${known.length} fields differ` : "All fields";
  return el(
    "table",
    { class: "recipe" },
    el("caption", {}, said),
    el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))),
    ["data", ...groups].map((group) => {
      const own = shown.filter((field) => field.group === group);
      if (own.length === 0) {
        return null;
      }
      const title = el("th", { colspan: heads.length, scope: "rowgroup" }, group);
      return el(
        "tbody",
        {},
        el("tr", { class: "group" }, title),
        own.map((field) => row(field, columns)),
      );
    }),
  );
}

/** Tells whether recipes have different values in a field. */
export function differs(columns, name) {
  const [first, ...others] = columns.map(({ recipe }) => valueText(recipe[name]));
  return others.some((each) => each !== first);
}

/** Writes a field's value as a recipe's file or the form has it. */
export function valueText(value) {
  if (value === null || value === undefined) {
    return "";
  }
  if (typeof value === "boolean") {
    return value ? "yes" : "no";
  }
  if (Array.isArray(value)) {
    return value.join(", ");
  }
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, number]) => `${name}=${number}`)
      .join(", ");
  }
  return String(value);
}

function row(field, columns) {
  const isDifferent = differs(columns, field.name);
  const cells = columns.map(({ recipe }) => {
    const text = valueText(recipe[field.name]) || "none";
    return el("td", {}, isDifferent ? el("mark", {}, text) : text);
  });
  const name = el("th", { scope: "row", title: field.help }, el("code", {}, field.name));
  return el("tr", {}, name, cells);
}
