// What stands beside: nothing, another model for the same picture, or another picture.

import { get } from "/static/api.js";
import { clear, el } from "/static/dom.js";
import { imageOf, picker } from "/static/picture.js";

/**
 * Makes the switch.
 *
 * @param {string} name of the model that the other stands beside
 * @param {function({kind: string, model: string, file: File}): void} onChange
 * @returns {HTMLElement}
 */
export function compareSwitch(name, onChange) {
  const chosen = { kind: "nothing", model: name, file: null };
  const more = el("div", { class: "beside" });
  const options = [
    ["nothing", "one alone"],
    ["model", "two models"],
    ["picture", "two pictures"],
  ];
  const radios = options.map(([kind, words]) => {
    const input = el("input", {
      type: "radio",
      name: "beside",
      value: kind,
      onchange: () => choose(kind),
    });
    input.checked = kind === "nothing";
    return el("label", { class: "choice" }, input, ` ${words}`);
  });
  const choose = (kind) => {
    Object.assign(chosen, { kind, model: name, file: null });
    clear(more).append(...partsOf(kind, name, chosen, onChange));
    onChange({ ...chosen });
  };
  return el(
    "fieldset",
    { class: "compare" },
    el("legend", {}, "Side by side"),
    el("div", { class: "row" }, radios),
    more,
  );
}

function partsOf(kind, name, chosen, onChange) {
  if (kind === "model") {
    return [modelChoice(name, chosen, onChange)];
  }
  return kind === "picture" ? [pictureChoice(chosen, onChange)] : [];
}

function modelChoice(name, chosen, onChange) {
  const select = el("select", {});
  select.append(el("option", { value: "" }, "choose one"));
  get("/api/models")
    .then(({ models }) => {
      const others = models.filter((each) => each !== name);
      select.append(...others.map((each) => el("option", { value: each }, each)));
    })
    .catch((error) => select.append(el("option", { disabled: true }, error.message)));
  select.addEventListener("change", () => {
    chosen.model = select.value || name;
    onChange({ ...chosen });
  });
  return el("label", {}, "The other model ", select);
}

function pictureChoice(chosen, onChange) {
  const place = el("div", { class: "row" });
  const take = ([file]) => {
    chosen.file = file;
    clear(place).append(
      el("span", { class: "thumb" }, imageOf(file)),
      el("span", {}, file.name),
    );
    onChange({ ...chosen });
  };
  return el("div", {}, place, picker(take, { one: true }));
}

/** Tells whether a choice names another side. */
export function hasOther({ kind, model, file }, name) {
  return (kind === "model" && model !== name) || (kind === "picture" && file !== null);
}
