// One unit: its map for the picture, pixel by pixel; what of the picture excites it (deconvnet) and
// where the picture may not be covered (occlusion); where its layer speaks for a class (Grad-CAM);
// and the labelled pictures that excite it most.

import { announce, clear, el, percent } from "/static/dom.js";
import { addressOf } from "/static/api.js";
import { askUntilDone, imageOfBlob, later, layerOf, look, short } from "/static/side.js";

/**
 * Shows a unit.
 *
 * @param {Object} side model and picture
 * @param {{layer: string, unit: number}} chosen
 * @param {function(number, number): void} onPixel called with row and column
 * @returns {{element: HTMLElement, pixel: HTMLElement, setSeen: function(Object): void,
 *     hasMap: boolean}} `pixel` is the place for a pixel's arithmetic; `setSeen` frames in the
 *     picture what it sees
 */
export function showUnit(side, chosen, onPixel) {
  const shape = layerOf(side, chosen.layer)?.shape ?? [];
  const hasMap = shape.length === 3 && shape[1] * shape[2] > 1;
  const seen = seenPicture(side);
  const pixel = el("div", { class: "pixel", role: "group", "aria-label": "What made the pixel" });
  const parts = hasMap ? mapParts(side, chosen, onPixel) : [];
  const element = el(
    "div",
    { class: "unit-view" },
    el(
      "div",
      { class: "pictures" },
      parts,
      seen.element,
      projected(side, chosen),
      occlusion(side, chosen),
    ),
    pixel,
    hasMap ? camOf(side, chosen) : null,
    excitingPictures(side, chosen, hasMap),
  );
  return { element, pixel, setSeen: seen.setSeen, hasMap };
}

function mapParts(side, chosen, onPixel) {
  return [
    later("Reading the map", async (place) => {
      const { values } = await look(side, { kind: "values", ...chosen });
      place.replaceChildren(pixelMap(values, chosen, onPixel));
    }),
  ];
}

/** Makes a map whose pixels are chosen by the mouse or by the arrow keys and Enter. */
function pixelMap(values, { layer, unit }, onPixel) {
  const [rows, columns] = [values.length, values[0].length];
  const largest = Math.max(...values.flat());
  const canvas = el("canvas", { width: columns, height: rows, class: "pixels" });
  const [row, column] = peakOf(values);
  const state = { row, column };
  const cursor = el("span", { class: "cursor" });
  const said = el("span", { class: "number" });
  const button = el(
    "button",
    {
      type: "button",
      class: "pixel-map",
      "aria-label":
        `Map ${unit} of ${layer}, ${rows} \u00d7 ${columns} pixels. ` +
        "Arrow keys choose a pixel, Enter shows what made it.",
    },
    canvas,
    cursor,
  );
  const place = (at) => {
    Object.assign(state, at);
    Object.assign(cursor.style, {
      left: `${(100 * state.column) / columns}%`,
      top: `${(100 * state.row) / rows}%`,
      width: `${100 / columns}%`,
      height: `${100 / rows}%`,
    });
    const value = short(values[state.row][state.column], 4);
    said.textContent = `Row ${state.row}, column ${state.column}: ${value}`;
  };
  paint(canvas, values, largest);
  place({});
  button.addEventListener("mousemove", (event) => place(pixelAt(event, canvas, rows, columns)));
  button.addEventListener("keydown", (event) => {
    const moved = step(event.key, state, rows, columns);
    if (moved) {
      event.preventDefault();
      place(moved);
      announce(said.textContent);
    }
  });
  button.addEventListener("click", (event) => {
    if (event.detail > 0) {
      place(pixelAt(event, canvas, rows, columns));
    }
    onPixel(state.row, state.column);
  });
  const words = "Its map: choose a pixel for the convolution that made it.";
  return figure(button, words, el("br"), said);
}

function paint(canvas, values, largest) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.flat().forEach((value, index) => {
    const gray = Math.round((255 * Math.max(value, 0)) / (largest > 0 ? largest : 1));
    image.data.set([gray, gray, gray, 255], 4 * index);
  });
  context.putImageData(image, 0, 0);
}

function peakOf(values) {
  const flat = values.flat();
  const best = flat.indexOf(Math.max(...flat));
  return [Math.floor(best / values[0].length), best % values[0].length];
}

function pixelAt(event, canvas, rows, columns) {
  const box = canvas.getBoundingClientRect();
  const inside = (share, many) => Math.min(Math.max(Math.floor(share * many), 0), many - 1);
  return {
    row: inside((event.clientY - box.top) / box.height, rows),
    column: inside((event.clientX - box.left) / box.width, columns),
  };
}

function step(key, { row, column }, rows, columns) {
  switch (key) {
    case "ArrowUp":
      return { row: Math.max(row - 1, 0) };
    case "ArrowDown":
      return { row: Math.min(row + 1, rows - 1) };
    case "ArrowLeft":
      return { column: Math.max(column - 1, 0) };
    case "ArrowRight":
      return { column: Math.min(column + 1, columns - 1) };
    default:
      return null;
  }
}

/** Shows the picture as the net sees it, with a frame around what a pixel sees. */
function seenPicture(side) {
  const frame = el("span", { class: "frame", hidden: true });
  const words = el("span", {}, "What the net sees of the picture.");
  const element = later("Preparing the picture", async (place) => {
    const blob = await look(side, { kind: "picture" });
    const image = imageOfBlob(blob, "The picture as the net sees it");
    place.replaceChildren(figure(el("span", { class: "framed" }, image, frame), words));
  });
  const setSeen = ({ sees: [top, left, bottom, right] }) => {
    const [, rows, columns] = side.net.input;
    frame.hidden = false;
    Object.assign(frame.style, {
      top: `${(100 * top) / rows}%`,
      left: `${(100 * left) / columns}%`,
      height: `${(100 * (bottom - top)) / rows}%`,
      width: `${(100 * (right - left)) / columns}%`,
    });
    words.textContent = `The frame is what this pixel sees: rows ${top} to ${
      bottom - 1
    }, columns ${left} to ${right - 1}.`;
  };
  return { element, setSeen };
}

function projected(side, { layer, unit }) {
  return later("Going back to the pixels", async (place) => {
    const blob = await look(side, { kind: "deconvnet", layer, unit });
    const alt = `Unit ${unit} of ${layer} brought back to the pixels by the deconvnet`;
    place.replaceChildren(
      figure(imageOfBlob(blob, alt), "What of the picture excites it most (deconvnet)."),
    );
  });
}

/** Covering the picture takes hundreds of answers, so it waits until it is asked for. */
function occlusion(side, { layer, unit }) {
  const place = el("div", { class: "later" });
  const button = el("button", { type: "button" }, "Cover the picture bit by bit");
  button.addEventListener("click", () => {
    const filled = later("Covering the picture in some hundred places", async (inside) => {
      const blob = await look(side, { kind: "occlusion", layer, unit });
      const alt = `Where unit ${unit} of ${layer} loses most when a gray square lies there`;
      const words = "Yellow: it loses most where a gray square lies (occlusion).";
      inside.replaceChildren(figure(imageOfBlob(blob, alt), words));
      announce("The occlusion is there.");
    });
    clear(place).append(filled);
  });
  place.append(button, el("p", { class: "quiet small" }, "Shows where it loses most (occlusion)."));
  return place;
}

/** Shows where the whole layer speaks for a class, the first answer to begin with. */
function camOf(side, { layer }) {
  const select = el(
    "select",
    {},
    el("option", { value: "" }, "the first answer"),
    side.net.classes.map((name, number) => el("option", { value: number }, name)),
  );
  const place = el("div", { class: "pictures" });
  const draw = () => {
    const named = select.selectedOptions[0].textContent;
    const filled = later("Asking the gradient", async (inside) => {
      const blob = await look(side, { kind: "grad-cam", layer, class: select.value });
      const alt = `Where ${layer} speaks for ${named}`;
      const words = `Yellow: where the maps of ${layer} speak most for ${named} (Grad-CAM).`;
      inside.replaceChildren(figure(imageOfBlob(blob, alt), words));
    });
    clear(place).append(filled);
  };
  select.addEventListener("change", draw);
  draw();
  return el(
    "div",
    {},
    el("div", { class: "row" }, el("label", {}, `Where ${layer} speaks for `, select)),
    place,
  );
}

const FRAMED = "; the frame is what its largest pixel sees";

/** Shows the labelled pictures that excite the unit most, framed where it looks. */
function excitingPictures(side, { layer, unit }, hasMap) {
  const place = el("div", {});
  const words = el("p", { class: "quiet small", role: "status" }, "Looking through the pictures");
  const sheet = el("ul", { class: "sheet exciting" });
  place.append(el("h3", {}, "The pictures that excite it most"), words, sheet);
  const fill = (found) => {
    sheet.replaceChildren(...found.pictures.map((each) => excitingItem(side, each, hasMap)));
    const isDone = found.done === found.of;
    words.textContent = isDone
      ? `Of ${found.of} labelled pictures${hasMap ? FRAMED : ""}.`
      : `${found.done} of ${found.of} labelled pictures looked through.`;
  };
  askUntilDone(side, "/api/exciting", { layer, unit }, fill)
    .then(fill)
    .catch((error) => {
      if (!side.signal.aborted) {
        words.textContent = error.message;
      }
    });
  return place;
}

function excitingItem(side, found, hasMap) {
  const [top, left, bottom, right] = found.window;
  const frame = el("span", {
    class: "frame",
    style: {
      top: `${100 * top}%`,
      left: `${100 * left}%`,
      height: `${100 * (bottom - top)}%`,
      width: `${100 * (right - left)}%`,
    },
  });
  const address = addressOf(`/api/pictures/${found.picture}`, { model: side.name, size: 256 });
  const where = `; the frame covers ${percent((bottom - top) * (right - left))} of it`;
  return el(
    "li",
    {},
    figure(
      el(
        "span",
        { class: "framed" },
        el("img", { src: address, alt: `${found.class}${hasMap ? where : ""}` }),
        hasMap ? frame : null,
      ),
      `${found.class}, `,
      el("span", { class: "number" }, short(found.value)),
    ),
  );
}

function figure(content, ...words) {
  return el("figure", {}, content, el("figcaption", {}, words));
}
