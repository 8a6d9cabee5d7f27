// The one convolution that made a pixel, number by number: what the kernel reads, the kernel, their
// products' sum, the bias, and what the layers after it make of it.

import { count, el } from "/static/dom.js";
import { arithmeticOf, later, short } from "/static/side.js";

const MOST_PLAIN = 5;
const COLOURS = {
  rgb: ["Red", "Green", "Blue"],
  bgr: ["Blue", "Green", "Red"],
  grey: ["Gray"],
};

/**
 * Shows what made a pixel of a map.
 *
 * @param {Object} side model and picture
 * @param {{layer: string, unit: number, row: number, column: number}} pixel
 * @param {function(Object): void} onFound called with the server's answer
 * @returns {HTMLElement}
 */
export function showPixel(side, pixel, onFound = () => {}) {
  return later("Taking the convolution apart", async (place) => {
    const found = await arithmeticOf(side, pixel);
    place.replaceChildren(...all({ ...found, colours: side.net.preprocessing.colours }));
    onFound(found);
  });
}

function all(found) {
  const isWide = found.parts.length > 0 && found.parts[0].inputs.length > 1;
  return [
    el("h3", {}, title(found)),
    el("p", { class: "quiet small" }, wordsOf(found)),
    el("p", { class: "sum" }, ...equation(found)),
    isWide ? channels(found) : weightedInputs(found),
    restOf(found),
  ]
    .flat()
    .filter(Boolean);
}

function title(found) {
  return found.input_shape[1] > 1
    ? `How row ${found.row}, column ${found.column} came about`
    : `How unit ${found.unit} came about`;
}

function wordsOf(found) {
  const [rows, columns] = found.kernel;
  const from = found.reads === "input" ? "the picture" : found.reads || "the layers below";
  if (rows * columns === 1) {
    return `${found.convolution} multiplies ${count(found.channels, "number")} of ${from}.`;
  }
  const place = `rows ${found.top} to ${found.top + rows - 1}, columns ${found.left} to ${
    found.left + columns - 1
  }`;
  const size = `${found.channels} \u00d7 ${rows} \u00d7 ${columns}`;
  return `${found.convolution} lays a kernel of ${size} numbers on ${from}, ${place}.`;
}

/** Writes the sum: products, bias, and what followed. */
function equation(found) {
  const [own, ...after] = found.steps;
  const parts = [
    term(found.sum - found.bias, "products", 5),
    sign("+"),
    term(found.bias, "bias", 5),
    sign("="),
    term(own.value, own.layer, 5),
  ];
  for (const step of after) {
    parts.push(sign("\u2192"), term(step.value, step.layer, 5));
  }
  return parts;
}

function term(value, words, digits) {
  return el(
    "span",
    { class: "term" },
    el("span", { class: "value" }, short(value, digits)),
    el("span", { class: "small quiet" }, words),
  );
}

function sign(text) {
  return el("span", { class: "sign" }, text);
}

function channels(found) {
  const kind = found.kernel[1] > MOST_PLAIN ? "channels dense" : "channels";
  return el("div", { class: kind }, found.parts.map((part) => channel(found, part)));
}

/** Shows one channel: inputs times weights, and their products' sum. */
function channel(found, part) {
  const products = part.inputs.map((row, i) => row.map((x, j) => x * part.weights[i][j]));
  const name = channelName(found, part.channel);
  const tables = [
    heat(part.inputs, "reads"),
    sign("\u00d7"),
    heat(part.weights, "kernel"),
    sign("="),
    heat(products, "products"),
  ];
  return el(
    "div",
    { class: "channel" },
    el("h4", {}, name, ": ", el("span", { class: "value" }, short(part.sum, 4))),
    el(
      "div",
      { class: "tables scroll", tabindex: "0", role: "group", "aria-label": `${name}, numbers` },
      tables,
    ),
  );
}

function channelName(found, channel) {
  if (found.reads === "input") {
    return COLOURS[found.colours]?.[channel] ?? `Colour ${channel}`;
  }
  return `Map ${channel} of ${found.reads || "those below"}`;
}

/** Makes a small table of numbers on colours: blue below 0, orange above. */
function heat(values, words) {
  const largest = Math.max(...values.flat().map(Math.abs)) || 1;
  const isDense = values[0].length > MOST_PLAIN;
  const decimals = Math.min(Math.max(0, 1 - Math.floor(Math.log10(largest))), 6);
  const rows = values.map((row) =>
    el(
      "tr",
      {},
      row.map((value) =>
        el(
          "td",
          {
            class: value < 0 ? "minus" : "plus",
            style: { "--share": `${Math.round((100 * Math.abs(value)) / largest)}%` },
            title: short(value, 5),
          },
          written(value, decimals, isDense),
        ),
      ),
    ),
  );
  return el(
    "table",
    { class: isDense ? "heat dense" : "heat" },
    el("caption", {}, words),
    el("tbody", {}, rows),
  );
}

/** Writes a number of a table, all with as many decimals; where room is short, .5 for 0.5. */
function written(value, decimals, isDense) {
  const text = Number(value.toFixed(decimals)) === 0 ? "0" : value.toFixed(decimals);
  return (isDense ? text.replace(/^(-?)0\./, "$1.") : text).replace("-", "\u2212");
}

/** Lists inputs that are single numbers: value times weight. */
function weightedInputs(found) {
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "inputs" },
      el("caption", {}, "What counts most"),
      el(
        "thead",
        {},
        el("tr", {}, ["Input", "reads", "weight", "product"].map(columnHead)),
      ),
      el("tbody", {}, found.parts.map(inputRow)),
    ),
  );
}

function columnHead(words, place) {
  return el("th", { scope: "col", class: place > 0 ? "number" : null }, words);
}

function inputRow(part) {
  const numbers = [part.inputs[0][0], part.weights[0][0], part.sum];
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, String(part.channel)),
    numbers.map((value) => el("td", { class: "number" }, short(value, 4))),
  );
}

function restOf(found) {
  const rest = found.channels - found.parts.length;
  if (rest <= 0) {
    return null;
  }
  const what = found.kernel[0] * found.kernel[1] > 1 ? "map" : "input";
  const words = `${count(rest, `other ${what}`)} add${rest === 1 ? "s" : ""} `;
  return el("p", {}, words, el("span", { class: "value" }, short(found.rest, 4)), ".");
}
