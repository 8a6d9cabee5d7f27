// The pictures that all views share, and the place where they come in: dropped, pasted, chosen,
// a folder at once, or from the camera.

import { announce, clear, count, el } from "/static/dom.js";

const NAMES = /\.(jpe?g|png|gif|bmp|tiff?|webp|ppm|pgm)$/i;
const listeners = new Set();
const urls = new Map();
let kept = [];
let pasteInto = null;

/** Returns the pictures, the one that is looked at first. */
export function pictures() {
  return kept;
}

/**
 * Puts pictures in place of those that were there.
 *
 * @param {File[]} files the first is the one that is looked at
 */
export function setPictures(files) {
  kept = [...files];
  for (const [file, url] of urls) {
    if (!kept.includes(file)) {
      URL.revokeObjectURL(url);
      urls.delete(file);
    }
  }
  listeners.forEach((listener) => listener(kept));
}

/**
 * Calls a listener with the pictures whenever others are put in place.
 *
 * @returns {function(): void} ends it
 */
export function onPictures(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Makes one of the pictures, or another, the one that is looked at; the others stay. */
export function lookAt(file) {
  setPictures([file, ...kept.filter((each) => each !== file)]);
}

/** Returns an address at which a picture of these can be shown while it is kept. */
export function urlOf(file) {
  if (!urls.has(file)) {
    urls.set(file, URL.createObjectURL(file));
  }
  return urls.get(file);
}

/** Makes an image of a picture; what the browser cannot show is a box that says so. */
export function imageOf(file, alt = `The picture ${file.name}`) {
  const image = el("img", { src: urlOf(file), alt, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => {
    const told = alt ? { role: "img", "aria-label": alt } : { "aria-hidden": "true" };
    image.replaceWith(el("span", { class: "no-image", ...told }, "?"));
  });
  return image;
}

/**
 * Makes the place where pictures come in.
 *
 * @param {function(File[]): void} onPicked called with what came; `setPictures` if left out
 * @param {{one?: boolean}} options whether it takes one picture at a time
 * @returns {HTMLElement}
 */
export function picker(onPicked = setPictures, { one = false } = {}) {
  const said = el("p", { class: "quiet", role: "status" });
  const take = (files) => {
    if (files.length > 0) {
      onPicked(one ? files.slice(0, 1) : files);
    }
  };
  const camera = el("div", { class: "camera" });
  const place = el(
    "section",
    { class: "picker", "aria-label": "Add pictures" },
    el("p", { class: "picker-words" }, one ? "Drop or paste a picture here, or" : WORDS),
    el(
      "div",
      { class: "row" },
      chooser(one ? "Choose a picture" : "Choose pictures", { multiple: !one }, take),
      one ? null : chooser("Choose a folder", { webkitdirectory: true }, (files) =>
        take(onlyPictures(files, said)),
      ),
      cameraButton(camera, take),
    ),
    camera,
    said,
  );
  acceptDrops(place, take, said);
  pasteInto = { place, take };
  return place;
}

const WORDS = "Drop pictures or a folder here, paste one, or";

function chooser(label, attributes, take) {
  const isFolder = "webkitdirectory" in attributes;
  const input = el("input", {
    type: "file",
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
    accept: isFolder ? null : "image/*",
    ...attributes,
  });
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same file may be chosen again
  });
  return [input, el("button", { type: "button", onclick: () => input.click() }, label)];
}

/** Keeps what a folder has of pictures, and says how much else there was. */
function onlyPictures(files, said) {
  const found = files.filter((file) => file.type.startsWith("image/") || NAMES.test(file.name));
  const others = files.length - found.length;
  said.textContent =
    others > 0 ? `${count(others, "file")} of the folder left out: no picture by name.` : "";
  return found;
}

function acceptDrops(place, take, said) {
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", async (event) => {
    event.preventDefault();
    place.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
    const files = [...event.dataTransfer.files];
    if (entries.some((entry) => entry?.isDirectory)) {
      const inside = await Promise.all(entries.filter(Boolean).map(filesOf));
      take(onlyPictures(inside.flat(), said));
    } else {
      take(files);
    }
  });
}

/** Returns the files of a dropped entry; a folder's are those of all folders in it. */
async function filesOf(entry) {
  if (entry.isFile) {
    return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) {
      return found.flat();
    }
    for (const each of some) {
      found.push(await filesOf(each));
    }
  }
}

/** A picture that is dropped beside the place would make the browser leave the page. */
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault());
}

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0 && pasteInto?.place.isConnected) {
    event.preventDefault();
    pasteInto.take(files);
  }
});

/** Returns the button that opens the camera; it stays hidden on a machine without one. */
function cameraButton(place, take) {
  const button = el("button", { type: "button", hidden: true }, "Use the camera");
  button.addEventListener("click", () => openCamera(place, button, take));
  navigator.mediaDevices
    ?.enumerateDevices()
    .then((found) => {
      button.hidden = !found.some((device) => device.kind === "videoinput");
    })
    .catch(() => {}); // a browser that tells nothing offers no camera
  return button;
}

async function openCamera(place, button, take) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    const words = `The camera cannot be used: ${error.message}.`;
    clear(place).append(el("p", { class: "error", role: "alert" }, words));
    return;
  }
  button.hidden = true;
  const video = el("video", { muted: true, playsinline: true, "aria-label": "What it sees" });
  video.muted = true;
  video.srcObject = stream;
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    window.removeEventListener("hashchange", close);
    clear(place);
    button.hidden = false;
  };
  window.addEventListener("hashchange", close);
  const shoot = el("button", { type: "button", class: "first" }, "Take the picture");
  shoot.disabled = true; // until there is something to see
  shoot.addEventListener("click", async () => {
    const file = await stillOf(video);
    close();
    button.focus();
    announce("The picture is taken.");
    take([file]);
  });
  const end = el("button", { type: "button", onclick: () => [close(), button.focus()] }, "Close");
  clear(place).append(video, el("div", { class: "row" }, shoot, end));
  await video.play();
  shoot.disabled = false;
  shoot.focus();
}

async function stillOf(video) {
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
  return new File([blob], `camera-${time}.jpg`, { type: "image/jpeg" });
}
