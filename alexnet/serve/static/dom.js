// Elements made from plain values. Text goes in as text and never as HTML, since the names of
// classes and files are anybody's.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an HTML element.
 *
 * Attributes: functions named on... become listeners; `dataset` and `style` are objects; true is an
 * attribute without a value; null, undefined and false are left out.
 *
 * @param {string} tag
 * @param {Object} attributes
 * @param {...(Node|string|number|null|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Makes an SVG element; otherwise as `el`.
 *
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Takes all out of a node, and returns it. */
export function clear(node) {
  node.replaceChildren();
  return node;
}

/** Says a sentence to a screen reader, when it has finished what it says. */
export function announce(text) {
  const place = document.getElementById("announcer");
  place.textContent = "";
  window.setTimeout(() => {
    place.textContent = text;
  }, 50); // a text that is said twice in a row must change in between
}

/** Offers a text that was made here as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: url, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Writes a share in percent; what is not quite none or all never reads as none or all. */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) {
    return "unknown";
  }
  if (share > 0 && share < 0.0005) {
    return "<0.1%";
  }
  if (share < 1 && share >= 0.9995) {
    return ">99.9%";
  }
  return `${(100 * share).toFixed(1)}%`;
}

/** Writes a whole number with its thousands apart, and a noun: "1,000 pictures", "1 picture". */
export function count(number, one = "", many = `${one}s`) {
  const digits = number.toLocaleString("en");
  return one ? `${digits} ${number === 1 ? one : many}` : digits;
}

/** Makes the paragraph in which an error is said; screen readers hear it at once. */
export function errorText(error) {
  return el("p", { class: "error", role: "alert" }, error.message);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) {
      continue;
    }
    if (typeof value === "function") {
      node.addEventListener(name.slice(2).toLowerCase(), value);
    } else if (name === "dataset") {
      Object.assign(node.dataset, value);
    } else if (name === "style") {
      setStyle(node, value);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat(Infinity).filter(isChild).map(asNode));
  return node;
}

/** Sets styles one by one: the page's rules refuse a style attribute. */
function setStyle(node, styles) {
  for (const [name, value] of Object.entries(styles)) {
    if (name.startsWith("--")) {
      node.style.setProperty(name, value);
    } else {
      node.style[name] = value;
    }
  }
}

function isChild(value) {
  return value !== null && value !== undefined && value !== false;
}

function asNode(value) {
  return value instanceof Node ? value : String(value);
}
