// One side of what is compared: a model and a picture, and what the server says of the two. What
// is asked for is asked one after the other, since the server computes one thing at a time.

import { get, isAborted, patiently, post, waitFor } from "/static/api.js";
import { count, el, errorText } from "/static/dom.js";

let last = Promise.resolve();

/**
 * Opens a side: describes its model.
 *
 * @param {string} name of the model
 * @param {File} file the picture; null while there is none
 * @param {AbortSignal} signal ends what is under way
 * @returns {Promise<{name: string, net: Object, file: File, signal: AbortSignal}>}
 */
export async function openSide(name, file, signal) {
  const net = await patiently(() => get("/api/model", { model: name }, { signal }), signal);
  return { name: net.name, net, file, signal };
}

/** Looks inside for a side's picture; the answer is a blob, or numbers. */
export function look(side, query) {
  return inTurn(side, () =>
    post("/api/look", { model: side.name, ...query }, side.file, "", { signal: side.signal }),
  );
}

/** Asks for what made a pixel. */
export function arithmeticOf(side, pixel) {
  return inTurn(side, () =>
    post("/api/arithmetic", { model: side.name, ...pixel }, side.file, "", { signal: side.signal }),
  );
}

/** Asks for something that needs no picture. */
export function ask(side, path, query = {}) {
  return inTurn(side, () => get(path, { model: side.name, ...query }, { signal: side.signal }));
}

/** Asks until all labelled pictures have been looked through. */
export function askUntilDone(side, path, query, onProgress) {
  const body = path === "/api/similar" ? side.file : undefined;
  return patiently(
    () =>
      waitFor(path, { model: side.name, ...query }, onProgress, { body, signal: side.signal }),
    side.signal,
  );
}

/**
 * Makes a place that is filled when an answer is there; what is refused stands in it.
 *
 * @param {string} words what it says until then
 * @param {function(HTMLElement): Promise<void>} fill
 * @returns {HTMLElement}
 */
export function later(words, fill) {
  const place = el("div", { class: "later", "aria-busy": "true" });
  place.append(el("p", { class: "quiet small" }, words));
  fill(place)
    .catch((error) => {
      if (!isAborted(error)) {
        place.replaceChildren(errorText(error));
      }
    })
    .finally(() => place.setAttribute("aria-busy", "false"));
  return place;
}

/** Makes an image of a blob. */
export function imageOfBlob(blob, alt, attributes = {}) {
  const url = URL.createObjectURL(blob);
  const image = el("img", { src: url, alt, ...attributes });
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  return image;
}

/** Finds a layer of a side's net by its name. */
export function layerOf(side, name) {
  return side.net.layers.find((each) => each.name === name);
}

/** Writes a shape: "96 maps of 55 x 55", "4,096 units". */
export function shapeWords(shape) {
  if (!shape) {
    return "of no fixed shape";
  }
  return shape.length === 3
    ? `${count(shape[0], "map")} of ${shape[1]} \u00d7 ${shape[2]}`
    : count(shape[0], "unit");
}

/** Writes a number in three digits or so, with a true minus. */
export function short(value, digits = 3) {
  const size = Math.abs(value);
  if (size === 0) {
    return "0";
  }
  const isPlain = size >= 0.001 && size < 1e5;
  const text = isPlain ? String(Number(value.toPrecision(digits))) : value.toExponential(1);
  return text.replace("-", "\u2212");
}

function inTurn(side, call) {
  const answer = last.then(() => {
    side.signal.throwIfAborted();
    return patiently(call, side.signal);
  });
  last = answer.catch(() => {});
  return answer;
}
