// The net as figure 2 of the paper draws it: a box for each layer with weights, as high as its maps
// are and as deep as they are many, columns above each other, lines that cross where a layer reads
// all columns. A net with too many layers for that is a list of stages, by the size of their maps.

import { el, svg } from "/static/dom.js";
import { shapeWords } from "/static/side.js";

const MOST_BOXES = 12;
const SLOT = 119;
const TALLEST = 84;
const SAME = /ReLU|Tanh|Sigmoid|Drop|Flatten|BatchNorm|Identity|Pad/;
const NO_BOX = /BatchNorm|Subsampling|Affine|PReLU|Pool/;

/**
 * Draws a net, each of its layers a button.
 *
 * @param {Object} net as /api/model describes it
 * @param {function(string): void} onChoose called with a layer's name
 * @returns {{element: HTMLElement, mark: function(string): void,
 *     setPicture: function(string): void}} `mark` shows which layer is chosen
 */
export function drawNet(net, onChoose) {
  const boxes = boxesOf(net);
  const isDrawn = !net.branches && boxes.length <= MOST_BOXES;
  const drawing = isDrawn ? asFigure(net, boxes, onChoose) : asStages(net, onChoose);
  const buttons = [...drawing.querySelectorAll("[data-layer]")];
  drawing.addEventListener("keydown", (event) => moveAlong(event, buttons));
  return {
    element: drawing,
    mark: (name) => buttons.forEach((each) => press(each, each.dataset.layer === name)),
    setPicture: (url) => drawing.querySelector("image")?.setAttribute("href", url),
  };
}

/** Returns the layers with boxes, each with those after it that are looked at on their own. */
function boxesOf(net) {
  const found = [];
  for (const layer of net.layers.filter((each) => each.shape)) {
    if (layer.parameters > 0 && !NO_BOX.test(layer.kind)) {
      found.push({ ...layer, after: [] });
    } else if (found.length > 0 && !SAME.test(layer.kind)) {
      found[found.length - 1].after.push(layer);
    }
  }
  return found;
}

function asFigure(net, boxes, onChoose) {
  const first = { name: "input", shape: net.input, after: [] };
  const placed = [first, ...boxes].map((box, index) => ({
    ...box,
    left: 14 + index * SLOT,
    parts: index === 0 || index === boxes.length ? 1 : net.columns,
  }));
  const middles = net.columns === 1 ? [76] : evenly(net.columns);
  const foot = middles[middles.length - 1] + 70;
  const deepest = Math.max(...placed.map((box) => box.after.length));
  const wide = 14 + placed.length * SLOT;
  const high = foot + 56 + deepest * 26;
  const size = { side: net.input[1], middles };
  const lines = placed.slice(1).map((box, index) => edges(placed[index], box, size));
  const drawing = svg(
    "svg",
    { class: "net", viewBox: `0 0 ${wide} ${high}`, role: "group", "aria-label": words(net) },
    svg("g", { class: "edges", "aria-hidden": "true" }, lines),
    inputBox(placed[0], size, foot),
    placed.slice(1).map((box) => layerBox(box, size, foot, onChoose)),
  );
  drawing.style.setProperty("--wide", `${wide}px`);
  return el("div", { class: "scroll" }, drawing);
}

function evenly(columns) {
  return Array.from({ length: columns }, (_, index) => 76 + index * 124);
}

function words(net) {
  const columns = net.columns > 1 ? ` in ${net.columns} columns` : "";
  return `The net ${net.net}${columns}, from the picture to ${net.classes.length} classes`;
}

/** Returns a box's width, height and slant. */
function extent(box, side) {
  const share = box.shape[0] / box.parts;
  if (box.shape.length === 3 && box.shape[1] > 1) {
    const high = 16 + (TALLEST - 16) * Math.sqrt(Math.min(1, box.shape[1] / side));
    return { wide: 5 + 3.6 * Math.log2(share + 1), high, slant: 0.26 * high };
  }
  return { wide: 13, high: 22 + 5 * Math.log2(share + 1), slant: 5 };
}

function middlesOf(box, middles) {
  const all = (middles[0] + middles[middles.length - 1]) / 2;
  return box.parts === 1 ? [all] : middles;
}

/** Draws one part of a box: its face, top and side. */
function solid(box, middle, side) {
  const { wide, high, slant } = extent(box, side);
  const [left, right] = [box.left, box.left + wide];
  const [top, bottom] = [middle - high / 2 + slant / 2, middle + high / 2 + slant / 2];
  const at = (...points) => points.map((point) => point.join(",")).join(" ");
  return [
    svg("polygon", {
      class: "top-face",
      points: at(
        [left, top],
        [left + slant, top - slant],
        [right + slant, top - slant],
        [right, top],
      ),
    }),
    svg("polygon", {
      class: "side-face",
      points: at(
        [right, top],
        [right + slant, top - slant],
        [right + slant, bottom - slant],
        [right, bottom],
      ),
    }),
    svg("rect", { class: "front-face", x: left, y: top, width: wide, height: bottom - top }),
  ];
}

function inputBox(box, { side, middles }, foot) {
  const [middle] = middlesOf(box, middles);
  const high = TALLEST;
  return svg(
    "g",
    { class: "input", role: "img", "aria-label": `The picture, ${box.shape.join(" \u00d7 ")}` },
    svg("rect", { x: 2, y: middle - high / 2, width: high - 12, height: high - 12 }),
    svg("image", { x: 2, y: middle - high / 2, width: high - 12, height: high - 12 }),
    text(2, foot + 14, "picture", "name"),
    text(2, foot + 32, box.shape.slice(1).join(" \u00d7 "), "numbers"),
  );
}

function layerBox(box, { side, middles }, foot, onChoose) {
  const choose = () => onChoose(box.name);
  const faces = middlesOf(box, middles).map((middle) => solid(box, middle, side));
  const share = box.shape[0] / box.parts;
  const times = box.parts > 1 ? `${box.parts} \u00d7 ${share}` : `${share}`;
  const numbers =
    box.shape.length === 3 ? `${box.shape[1]} \u00d7 ${box.shape[2]}, ${times}` : times;
  const button = svg(
    "g",
    {
      ...buttonOf(box, choose),
      "aria-label": `${box.name}: ${shapeWords(box.shape)}${kernelWords(box)}`,
    },
    svg("rect", { class: "field", x: box.left - 6, y: 4, width: SLOT - 6, height: foot + 36 }),
    text(box.left, 18, windowWords(box), "numbers"),
    faces,
    text(box.left, foot + 14, box.name, "name"),
    text(box.left, foot + 32, numbers, "numbers"),
  );
  const after = box.after.map((layer, index) =>
    chip(layer, box.left, foot + 46 + index * 26, onChoose),
  );
  return [button, after];
}

function chip(layer, left, top, onChoose) {
  const side = layer.shape.length === 3 ? ` ${layer.shape[1]}\u00b2` : "";
  return svg(
    "g",
    {
      ...buttonOf(layer, () => onChoose(layer.name)),
      "aria-label": `${layer.name}: ${shapeWords(layer.shape)}${kernelWords(layer)}`,
    },
    svg("rect", { class: "field", x: left - 6, y: top, width: SLOT - 14, height: 24 }),
    text(left, top + 16, `${layer.name}${side}`, "after"),
  );
}

function buttonOf(layer, choose) {
  return {
    class: "layer",
    role: "button",
    tabindex: "0",
    "aria-pressed": "false",
    dataset: { layer: layer.name },
    onclick: choose,
    onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose();
      }
    },
  };
}

function kernelWords(layer) {
  const what = layer.parameters > 0 ? "kernels" : "windows";
  return layer.kernel ? `, ${what} of ${windowWords(layer)}` : "";
}

/** Writes the size of a layer's windows: "11 x 11, stride 4". */
function windowWords(layer) {
  const stride = layer.stride > 1 ? `, stride ${layer.stride}` : "";
  return layer.kernel ? `${layer.kernel} \u00d7 ${layer.kernel}${stride}` : "";
}

/** Draws the lines from a box to the next; they cross where it reads all columns. */
function edges(from, to, { side, middles }) {
  const { wide, slant } = extent(from, side);
  const start = from.name === "input" ? TALLEST - 8 : from.left + wide + slant + 3;
  const end = to.left - 4;
  const [sources, targets] = [middlesOf(from, middles), middlesOf(to, middles)];
  const crosses = (to.groups ?? 1) === 1 || sources.length !== targets.length;
  const lines = targets.flatMap((y, target) =>
    sources
      .filter((_, source) => crosses || source === target)
      .map((before) =>
        svg("line", {
          ...{ x1: start, y1: before, x2: end, y2: y },
          class: before === y ? "straight" : "crossing",
        }),
      ),
  );
  return lines;
}

function text(x, y, words, kind) {
  return svg("text", { x, y, class: kind }, words);
}

/** Writes a net as stages: the layers of one size of maps in a row. */
function asStages(net, onChoose) {
  const stages = [];
  for (const layer of net.layers.filter((each) => each.shape && each.in_figure)) {
    const size = layer.shape.length === 3 ? `${layer.shape[1]} \u00d7 ${layer.shape[2]}` : "units";
    if (stages.length === 0 || stages[stages.length - 1].size !== size) {
      stages.push({ size, layers: [] });
    }
    stages[stages.length - 1].layers.push(layer);
  }
  return el(
    "ol",
    { class: "stages", "aria-label": words(net) },
    stages.map((stage) =>
      el(
        "li",
        {},
        el("span", { class: "size" }, stage.size),
        el("span", { class: "row" }, stage.layers.map((layer) => stageButton(layer, onChoose))),
      ),
    ),
  );
}

function stageButton(layer, onChoose) {
  return el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      dataset: { layer: layer.name },
      onclick: () => onChoose(layer.name),
    },
    layer.name,
    " ",
    el("span", { class: "small" }, String(layer.shape[0])),
  );
}

/** Goes from layer to layer by the arrow keys. */
function moveAlong(event, buttons) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const here = buttons.indexOf(document.activeElement);
  if (step && here >= 0) {
    event.preventDefault();
    buttons[Math.min(Math.max(here + step, 0), buttons.length - 1)].focus();
  }
}

function press(button, isPressed) {
  button.setAttribute("aria-pressed", String(isPressed));
}
