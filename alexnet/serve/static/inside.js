// Look inside: the net drawn; a layer chosen in it shows its maps for the picture, a map its unit,
// a pixel of a map the convolution that made it. Two models or two pictures stand side by side.

import { addressOf, get, isAborted } from "/static/api.js";
import { announce, clear, el, errorText } from "/static/dom.js";
import { compareSwitch, hasOther } from "/static/compare.js";
import { markUnit, showLayer } from "/static/maps.js";
import { drawNet } from "/static/net_drawing.js";
import { imageOf, onPictures, picker, pictures, setPictures } from "/static/picture.js";
import { model, note } from "/static/shell.js";
import { askUntilDone, layerOf, look, openSide, short } from "/static/side.js";
import { showPixel } from "/static/arithmetic.js";
import { showUnit } from "/static/unit.js";

const NEIGHBOURS = 6;

/** Fills a place with the view. */
export async function show(place, parameters) {
  const view = new Inside(place, parameters);
  await view.open();
  return () => view.close();
}

/** The view's state: the sides, and what is chosen in the net. */
class Inside {
  constructor(place, parameters) {
    this.place = place;
    this.layer = parameters.layer ?? "";
    this.unit = numberOf(parameters.unit);
    this.pixel = { row: numberOf(parameters.row), column: numberOf(parameters.column) };
    this.beside = { kind: "nothing", model: model(), file: null };
    this.levels = {}; // for each level an AbortController that ends what it and those below ask
    this.views = [];
    this.parts = Object.fromEntries(
      ["picture", "net", "layer", "unit", "similar"].map((name) => [name, el("div")]),
    );
  }

  async open() {
    const side = await openSide(model(), null, this.begin("net"));
    this.net = side.net;
    this.drawing = drawNet(side.net, (layer) => this.chooseLayer(layer));
    const { picture, net, layer, unit, similar } = this.parts;
    net.append(this.drawing.element);
    this.place.append(
      el("h1", {}, `Inside ${side.name}`),
      picture,
      el("p", { class: "quiet" }, HOW),
      net,
      compareSwitch(side.name, (beside) => this.change(() => (this.beside = beside))),
      el("section", { "aria-label": "The layer" }, layer),
      el("section", { "aria-label": "The unit" }, unit),
      el("section", { "aria-label": "Neighbours" }, similar),
    );
    this.forget = onPictures(() => this.change(() => {}));
    this.layer = layerOf(side, this.layer) ? this.layer : this.firstLayer();
    await this.change(() => {});
  }

  close() {
    this.forget?.();
    Object.values(this.levels).forEach((each) => each.abort());
  }

  /** Takes another picture or model beside, and shows all anew. */
  async change(take) {
    take();
    const signal = this.begin("sides");
    const file = pictures()[0] ?? null;
    this.showPicture(file);
    try {
      const sides = [await openSide(this.net.name, file, signal)];
      if (file && hasOther(this.beside, this.net.name)) {
        sides.push(await openSide(this.beside.model, this.beside.file ?? file, signal));
      }
      this.sides = sides;
    } catch (error) {
      if (!isAborted(error)) {
        clear(this.parts.layer).append(errorText(error));
      }
      return;
    }
    this.showLayer();
    this.showNeighbours();
    this.showInDrawing();
  }

  firstLayer() {
    return this.net.layers.find((each) => each.kernel && each.parameters > 0)?.name ?? "";
  }

  chooseLayer(layer) {
    this.layer = layer;
    this.unit = -1;
    this.pixel = { row: -1, column: -1 };
    this.showLayer();
    this.parts.layer.querySelector("h2").scrollIntoView({ block: "nearest" });
  }

  chooseUnit(unit) {
    this.unit = unit;
    this.pixel = { row: -1, column: -1 };
    markUnit(this.parts.layer, unit);
    this.showUnit();
    this.parts.unit.querySelector("h2").scrollIntoView({ block: "nearest" });
  }

  choosePixel(row, column) {
    this.pixel = { row, column };
    this.showPixel();
  }

  showPicture(file) {
    const choose = picker((files) => setPictures(files), { one: true });
    const summary = file ? "Take another picture" : "Take a picture to look at";
    const more = el("details", {}, el("summary", {}, summary), choose, this.labelledButton());
    more.open = file === null;
    clear(this.parts.picture).append(
      file
        ? el("p", { class: "row" }, el("span", { class: "thumb" }, imageOf(file)), file.name)
        : "",
      more,
    );
  }

  /** Makes the button that takes one of the labelled pictures, for whoever has none at hand. */
  labelledButton() {
    const said = el("span", { class: "quiet small", role: "status" });
    const button = el("button", { type: "button" }, "Take one of the labelled pictures");
    button.addEventListener("click", async () => {
      try {
        const { of } = await get("/api/confusion", { model: this.net.name });
        const number = Math.floor(Math.random() * of);
        const address = `/api/pictures/${number}`;
        const blob = await get(address, { model: this.net.name, size: 512 });
        setPictures([new File([blob], `picture-${number}.jpg`, { type: "image/jpeg" })]);
        announce(`Picture ${number} is taken.`);
      } catch (error) {
        said.textContent = error.message;
      }
    });
    return el("p", { class: "row" }, button, said);
  }

  showLayer() {
    const signal = this.begin("layer");
    clear(this.parts.unit);
    this.drawing.mark(this.layer);
    note({ layer: this.layer, unit: null, row: null, column: null });
    const sides = this.sides.map((side) => ({ ...side, signal }));
    const columns = this.inColumns(sides, (side) =>
      showLayer(side, this.layer, { unit: this.unit, onUnit: (unit) => this.chooseUnit(unit) }),
    );
    clear(this.parts.layer).append(el("h2", {}, this.layer), columns);
    if (this.unit >= 0 && sides[0].file) {
      this.showUnit();
    }
  }

  showUnit() {
    const signal = this.begin("unit");
    const chosen = { layer: this.layer, unit: this.unit };
    note({ ...chosen, row: null, column: null });
    this.views = [];
    const columns = this.inColumns(this.sides, (side) => {
      const onPixel = (row, column) => this.choosePixel(row, column);
      const view = showUnit({ ...side, signal }, chosen, onPixel);
      this.views.push(view);
      return view.element;
    });
    clear(this.parts.unit).append(this.unitHead(), columns);
    if (!this.views[0].hasMap) {
      this.pixel = { row: 0, column: 0 };
    }
    if (this.pixel.row >= 0 && this.pixel.column >= 0) {
      this.showPixel();
    }
  }

  unitHead() {
    const shape = layerOf(this.sides[0], this.layer)?.shape ?? [1];
    const step = (by, words) => {
      const to = this.unit + by;
      const isThere = to >= 0 && to < shape[0];
      const choose = () => {
        this.chooseUnit(to);
        const again = this.parts.unit.querySelector(`[data-by="${by}"]`);
        (again.disabled ? this.parts.unit.querySelector("[data-by]:enabled") : again)?.focus();
      };
      const button = { type: "button", onclick: choose, disabled: !isThere, dataset: { by } };
      return el("button", button, words);
    };
    const name = shape.length === 3 ? "map" : "unit";
    const heading = el("h2", {}, `${this.layer}, ${name} ${this.unit}`);
    return el("div", { class: "row unit-head" }, heading, step(-1, "Previous"), step(1, "Next"));
  }

  showPixel() {
    const signal = this.begin("pixel");
    const pixel = { layer: this.layer, unit: this.unit, ...this.pixel };
    note(pixel);
    this.sides.forEach((side, index) => {
      const arithmetic = showPixel({ ...side, signal }, pixel, (found) => {
        if (this.views[index].hasMap) {
          this.views[index].setSeen(found);
        }
        if (index === 0) {
          const value = short(found.steps[found.steps.length - 1].value, 4);
          announce(`Row ${found.row}, column ${found.column} is ${value}.`);
        }
      });
      clear(this.views[index].pixel).append(arithmetic);
    });
  }

  showNeighbours() {
    const signal = this.begin("similar");
    clear(this.parts.similar);
    if (!this.sides[0].file) {
      return;
    }
    const columns = this.inColumns(this.sides, (side) => neighbours({ ...side, signal }));
    this.parts.similar.append(el("h2", {}, "The pictures nearest to it"), columns);
  }

  async showInDrawing() {
    const [side] = this.sides;
    if (!side.file) {
      return;
    }
    try {
      const blob = await look(side, { kind: "picture" });
      this.drawing.setPicture(await dataUrl(blob));
    } catch (error) {
      if (!isAborted(error)) {
        clear(this.parts.layer).append(errorText(error));
      }
    }
  }

  /** Ends what a level and those below asked for, and returns the signal of what comes. */
  begin(level) {
    const all = ["net", "sides", "similar", "layer", "unit", "pixel"];
    const below = level === "similar" ? [level] : all.slice(all.indexOf(level));
    below.forEach((each) => this.levels[each]?.abort());
    this.levels[level] = new AbortController();
    return this.levels[level].signal;
  }

  /** Puts what a function makes of each side beside each other. */
  inColumns(sides, make) {
    if (sides.length === 1) {
      return make(sides[0], 0);
    }
    return el(
      "div",
      { class: "sides" },
      sides.map((side, index) =>
        el(
          "div",
          { class: "one-side" },
          el("p", { class: "side-name" }, `${side.name}, ${side.file.name}`),
          make(side, index),
        ),
      ),
    );
  }
}

const HOW =
  "Choose a layer for its maps, a map for its unit, a pixel for the convolution that made it.";

function neighbours(side) {
  const words = el("p", { class: "quiet small", role: "status" }, "Looking through the pictures");
  const sheet = el("ul", { class: "sheet" });
  const fill = (found) => {
    const isDone = found.done === found.of;
    words.textContent = isDone
      ? `By distance in ${found.layer}, among ${found.of} labelled pictures.`
      : `${found.done} of ${found.of} labelled pictures looked through.`;
    sheet.replaceChildren(...found.pictures.map((each) => neighbour(side, each)));
  };
  askUntilDone(side, "/api/similar", { count: NEIGHBOURS }, fill)
    .then(fill)
    .catch((error) => {
      if (!side.signal.aborted) {
        words.textContent = error.message;
      }
    });
  return el("div", {}, words, sheet);
}

function neighbour(side, found) {
  const address = addressOf(`/api/pictures/${found.picture}`, { model: side.name, size: 256 });
  return el(
    "li",
    {},
    el(
      "figure",
      {},
      el("img", { src: address, alt: `The labelled picture ${found.name}` }),
      el("figcaption", {}, `${found.class}, `, el("span", {}, short(found.distance))),
    ),
  );
}

function numberOf(text) {
  return /^\d{1,9}$/.test(text ?? "") ? Number(text) : -1;
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
