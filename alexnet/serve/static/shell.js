// The page around the views: where one is (#/classify?model=in2), which model, light or dark.
//
// A view is a module with `async function show(place, parameters)`, which fills `place` and may
// return a function to be called when it is left. It is shown anew when the address changes.

import { ApiError, get } from "/static/api.js";
import { announce, clear, el, errorText } from "/static/dom.js";

const VIEWS = {
  classify: { title: "Classify", load: () => import("/static/classify.js") },
  tested: { title: "Tested", load: () => import("/static/tested.js") },
  inside: { title: "Inside", load: () => import("/static/inside.js") },
  runs: { title: "Runs", load: () => import("/static/runs.js") },
}; // each has its looks in a style sheet of its name
const FIRST = "classify";

const listeners = new Set();
const view = document.getElementById("view");
const select = document.getElementById("model");
let shown = { route: "", model: "", turn: 0, leave: null };

/**
 * Goes to a view; the chosen model stays in the address unless parameters name another.
 *
 * @param {string} route such as "inside"
 * @param {Object} parameters
 */
export function go(route, parameters = {}) {
  window.location.hash = hashOf(route, parameters);
}

/**
 * Writes parameters of the view that is shown into its address without showing it anew, so that
 * the address may be kept or sent to somebody.
 *
 * @param {Object} parameters null takes one out
 */
export function note(parameters) {
  const now = readHash();
  const hash = hashOf(now.route, { ...now.parameters, ...parameters });
  window.history.replaceState(null, "", hash);
}

/** Returns the chosen model's name; "" if there is none. */
export function model() {
  return readHash().parameters.model ?? select.value;
}

/**
 * Calls a listener with the model's name whenever another is chosen. Views need not listen: they
 * are shown anew.
 *
 * @returns {function(): void} ends it
 */
export function onModel(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Writes the address of a view. */
export function hashOf(route, parameters = {}) {
  const all = { model: readHash().parameters.model, ...parameters };
  const given = Object.entries(all).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given).toString();
  return `#/${route}${text ? `?${text}` : ""}`;
}

function readHash() {
  const [route, query] = window.location.hash.replace(/^#\/?/, "").split("?", 2);
  const parameters = Object.fromEntries(new URLSearchParams(query ?? ""));
  return { route: Object.hasOwn(VIEWS, route) ? route : FIRST, parameters };
}

async function showView() {
  const { route, parameters } = readHash();
  const turn = shown.turn + 1;
  const before = shown;
  before.leave?.();
  shown = { route, model: model(), turn, leave: null };
  markPlace(route);
  if (before.model !== shown.model) {
    select.value = shown.model;
    listeners.forEach((listener) => listener(shown.model));
  }
  const place = el("div", { class: `view ${route}` });
  const leave = await fill(place, route, parameters, () => {
    if (shown.turn === turn) {
      clear(view).append(place);
      settleFocus(before, route);
    }
  });
  if (shown.turn !== turn) {
    leave?.(); // another was asked for meanwhile
    return;
  }
  shown.leave = leave;
  fillModels().catch(console.error);
}

/** Fills a place; `ready` is called when the view's module and looks are there. */
async function fill(place, route, parameters, ready) {
  try {
    const [module] = await Promise.all([
      VIEWS[route].load(),
      loadStyle(`/static/${route}.css`),
    ]);
    ready();
    return await module.show(place, parameters);
  } catch (error) {
    ready();
    place.append(errorText(error));
    if (!(error instanceof ApiError)) {
      console.error(error); // a fault of the page
    }
    return null;
  }
}

function loadStyle(address) {
  if (document.querySelector(`link[href="${address}"]`)) {
    return null;
  }
  return new Promise((resolve) => {
    const link = el("link", { rel: "stylesheet", href: address, onload: resolve });
    link.addEventListener("error", resolve); // without its looks a view still says what it says
    document.head.append(link);
  });
}

function markPlace(route) {
  for (const link of document.querySelectorAll("nav [data-route]")) {
    const isHere = link.dataset.route === route;
    link.toggleAttribute("aria-current", isHere);
    if (isHere) {
      link.setAttribute("aria-current", "page");
    }
    link.href = hashOf(link.dataset.route);
  }
  document.title = `${VIEWS[route].title} - alexnet`;
}

/** Puts the focus where reading goes on: at the new view, but not when the page opens. */
function settleFocus(before, route) {
  const isLost = document.activeElement === document.body;
  if (before.turn > 0 && (before.route !== route || isLost)) {
    view.focus({ preventScroll: !isLost });
    announce(VIEWS[route].title);
  }
}

/** Lists the models; one that a training wrote meanwhile is found when a view is next shown. */
async function fillModels() {
  const { models, default: newest } = await get("/api/models");
  const chosen = readHash().parameters.model ?? (select.value || newest) ?? "";
  const names = chosen && !models.includes(chosen) ? [chosen, ...models] : models;
  const listed = [...select.options].map((option) => option.value);
  if (names.length === 0) {
    clear(select).append(el("option", { value: "" }, "none yet"));
  } else if (names.join("/") !== listed.join("/")) {
    clear(select).append(...names.map((name) => el("option", { value: name }, name)));
    select.value = chosen;
  }
  select.disabled = names.length === 0;
}

function showTheme() {
  const isDark = document.documentElement.dataset.theme === "dark";
  document.getElementById("theme").setAttribute("aria-pressed", String(isDark));
}

function changeTheme() {
  const isDark = document.documentElement.dataset.theme === "dark";
  window.localStorage.setItem("theme", isDark ? "light" : "dark");
  window.dispatchEvent(new Event("theme"));
  showTheme();
}

async function start() {
  showTheme();
  new MutationObserver(showTheme).observe(document.documentElement, {
    attributeFilter: ["data-theme"],
  });
  document.getElementById("theme").addEventListener("click", changeTheme);
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the part behind # names a view
    view.focus();
  });
  select.addEventListener("change", () => {
    go(readHash().route, { ...readHash().parameters, model: select.value });
  });
  try {
    await fillModels();
  } catch (error) {
    clear(view).append(errorText(error));
    return;
  }
  window.addEventListener("hashchange", showView);
  await showView();
}

start();
