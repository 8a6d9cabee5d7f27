// A layer for a picture: its numbers, the kernels if it is the first, and its maps in a grid, each
// a button; of a layer without maps the units that say most.

import { count, el, percent } from "/static/dom.js";
import { ask, imageOfBlob, later, layerOf, look, shapeWords, short } from "/static/side.js";

const MOST_MAPS = 1024;
const SHEET = 512;
const MOST_UNITS = 12;

/**
 * Shows a layer.
 *
 * @param {Object} side model and picture
 * @param {string} layer its name
 * @param {{unit: number, onUnit: function(number): void}} options the chosen map
 * @returns {HTMLElement}
 */
export function showLayer(side, layer, { unit, onUnit }) {
  const about = layerOf(side, layer);
  const parts = [];
  if (isFirst(side, about)) {
    parts.push(later("Drawing the kernels", (place) => fillKernels(place, side, about)));
  }
  const maps = side.file
    ? later("Computing the maps", (place) => fillMaps(place, side, layer, { unit, onUnit }))
    : el("p", { class: "quiet" }, "Its maps are shown for a picture: take one above.");
  return el("div", { class: "layer-view" }, maps, parts);
}

/** Marks the chosen map in a grid that is there. */
export function markUnit(place, unit) {
  for (const button of place.querySelectorAll("[data-unit]")) {
    const isChosen = Number(button.dataset.unit) === unit;
    button.setAttribute("aria-pressed", String(isChosen));
    if (isChosen && button.closest("[role=toolbar]")) {
      rove(button);
    }
  }
}

function isFirst(side, about) {
  const first = side.net.layers.find((each) => each.kernel && each.parameters > 0);
  return about !== undefined && about === first;
}

async function fillKernels(place, side, about) {
  const blob = await ask(side, "/api/kernels");
  const alt = `The ${about.shape[0]} kernels of ${about.name} in their colours`;
  place.replaceChildren(
    el("h3", {}, "Its kernels"),
    imageOfBlob(blob, alt, { class: "pixels kernels" }),
    el(
      "p",
      { class: "quiet small" },
      `${about.kernel} \u00d7 ${about.kernel} pixels each; gray is 0, and each has its own scale.`,
    ),
  );
}

async function fillMaps(place, side, layer, { unit, onUnit }) {
  const found = await look(side, { kind: "statistics", layer });
  const figures = figuresOf(layerOf(side, layer), found);
  if (found.shape.length !== 3 || found.shape[1] * found.shape[2] === 1) {
    place.replaceChildren(figures, unitList(side, layer, found, { unit, onUnit }));
    return;
  }
  const blob = await look(side, { kind: "activations", layer });
  const sheet = await createImageBitmap(blob);
  place.replaceChildren(figures, mapGrid(sheet, found, layer, { unit, onUnit }));
}

function figuresOf(about, found) {
  const values = found.largest.length;
  const strongest = found.largest.indexOf(Math.max(...found.largest));
  const mean = found.mean.reduce((total, each) => total + each, 0) / values;
  const rows = [
    ["Gives", shapeWords(found.shape)],
    about?.kernel && ["Reads windows of", kernelWords(about)],
    about?.parameters > 0 && ["Parameters", count(about.parameters)],
    ["Mean", short(mean)],
    ["Zeros", percent(found.share_zero)],
    ["Largest", `${short(found.largest[strongest])} in ${strongest}`],
  ];
  return el(
    "dl",
    { class: "figures" },
    rows.filter(Boolean).map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value)),
    ),
  );
}

function kernelWords(about) {
  const stride = about.stride > 1 ? `, stride ${about.stride}` : "";
  return `${about.kernel} \u00d7 ${about.kernel}${stride}`;
}

/** Makes the grid of maps: one stop of the Tab key, in which the arrow keys move. */
function mapGrid(sheet, found, layer, { unit, onUnit }) {
  const shown = Math.min(found.shape[0], MOST_MAPS);
  const buttons = Array.from({ length: shown }, (_, each) =>
    mapButton(sheet, found, each, () => onUnit(each)),
  );
  const grid = el("div", {
    class: "maps",
    role: "toolbar",
    "aria-label": `Maps of ${layer}`,
    onkeydown: (event) => moveInGrid(event, grid),
  });
  const width = Math.min(Math.max(found.shape[2] * 2, 44), 96);
  grid.style.setProperty("--map", `${width}px`);
  grid.append(...buttons);
  buttons.forEach((button, each) => {
    button.tabIndex = each === Math.max(unit, 0) ? 0 : -1;
    button.setAttribute("aria-pressed", String(each === unit));
  });
  return el("div", {}, orderSwitch(grid, buttons, found), grid, restWords(found, shown));
}

function restWords(found, shown) {
  const all = found.shape[0];
  const rest = all > shown ? ` The first ${count(shown)} of ${count(all)}.` : "";
  const said = "Each map has its own scale: black is 0, white its largest value.";
  return el("p", { class: "quiet small" }, said + rest);
}

function orderSwitch(grid, buttons, found) {
  const button = el("button", { type: "button", "aria-pressed": "false" }, "Strongest first");
  button.addEventListener("click", () => {
    const isSorted = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isSorted));
    const order = buttons.map((_, each) => each);
    order.sort((a, b) => (isSorted ? found.largest[b] - found.largest[a] : 0) || a - b);
    grid.append(...order.map((each) => buttons[each]));
  });
  return el("div", { class: "row grid-head" }, button);
}

function mapButton(sheet, found, unit, choose) {
  const [maps, rows, columns] = found.shape;
  const across = Math.ceil(Math.sqrt(Math.min(maps, MOST_MAPS)));
  const down = Math.ceil(Math.min(maps, MOST_MAPS) / across);
  const longest = Math.max(across * (columns + 1) - 1, down * (rows + 1) - 1);
  const times = Math.max(1, Math.floor(SHEET / longest));
  const canvas = el("canvas", { width: columns, height: rows, class: "pixels" });
  const [top, left] = [Math.floor(unit / across) * (rows + 1), (unit % across) * (columns + 1)];
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const source = [left * times, top * times, columns * times, rows * times];
  context.drawImage(sheet, ...source, 0, 0, columns, rows);
  return el(
    "button",
    {
      type: "button",
      dataset: { unit },
      title: `map ${unit}, largest ${short(found.largest[unit])}`,
      "aria-label": `Map ${unit}, largest ${short(found.largest[unit])}`,
      onclick: choose,
    },
    canvas,
  );
}

function moveInGrid(event, grid) {
  const all = [...grid.children];
  const here = all.indexOf(document.activeElement);
  const across = all.filter((each) => each.offsetTop === all[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across };
  const ends = { Home: all[0], End: all[all.length - 1] };
  const target = ends[event.key] ?? all[here + steps[event.key]];
  if (here >= 0 && target) {
    event.preventDefault();
    rove(target);
    target.focus();
  }
}

function rove(target) {
  for (const each of target.parentElement.children) {
    each.tabIndex = each === target ? 0 : -1;
  }
}

/** Lists the units of a layer without maps that say most, each with a bar. */
function unitList(side, layer, found, { unit, onUnit }) {
  const names = isLast(side, layer) ? side.net.classes : [];
  const order = found.largest.map((_, each) => each);
  order.sort((a, b) => found.largest[b] - found.largest[a] || a - b);
  const top = Math.max(...found.largest.map(Math.abs)) || 1;
  const items = order.slice(0, MOST_UNITS).map((each) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "plain",
          dataset: { unit: each },
          "aria-pressed": String(each === unit),
          onclick: () => onUnit(each),
        },
        names[each] ?? `unit ${each}`,
      ),
      el(
        "span",
        { class: "track", "aria-hidden": "true" },
        el("span", {
          class: "bar",
          style: { "--share": Math.max(found.largest[each], 0) / top },
        }),
      ),
      el("span", { class: "number" }, short(found.largest[each])),
    ),
  );
  const rest = found.largest.length - items.length;
  return el(
    "div",
    {},
    el("h3", {}, names.length > 0 ? "What it says of each class" : "The units that say most"),
    el("ul", { class: "bars units" }, items),
    rest > 0 ? el("p", { class: "quiet small" }, `${count(rest, "unit")} more say less.`) : null,
  );
}

function isLast(side, layer) {
  const weighted = side.net.layers.filter((each) => each.shape);
  return weighted[weighted.length - 1]?.name === layer;
}
