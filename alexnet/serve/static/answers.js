// What a model answered for each picture: asked for a few at a time, and remembered.

import { ApiError, isAborted, patiently, post } from "/static/api.js";

const AT_ONCE = 4; // more would wait at the server, and a browser opens six connections
const remembered = new WeakMap();

/**
 * Returns what is known of a picture.
 *
 * @param {File} file
 * @param {string} version tells a model from others, and from one written in its place
 * @returns {{labels?: Array, error?: string}|undefined}
 */
export function answerOf(file, version) {
  return remembered.get(file)?.get(version);
}

/**
 * Asks for the pictures that have no answer yet. One that the server refuses has its message as
 * answer; when the server is busy it is waited for.
 *
 * @param {File[]} files
 * @param {{model: string, version: string, signal: AbortSignal, onAnswer: function(): void}} asked
 */
export async function askAll(files, { model, version, signal, onAnswer }) {
  const waiting = files.filter((file) => !answerOf(file, version)).reverse();
  const work = async () => {
    while (waiting.length > 0 && !signal.aborted) {
      const file = waiting.pop();
      remember(file, version, await ask(file, model, signal));
      onAnswer();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function ask(file, model, signal) {
  const send = () => post("/api/predict", { model }, file, "", { signal });
  try {
    return { labels: (await patiently(send, signal)).pictures[0].labels };
  } catch (error) {
    if (isAborted(error) || !(error instanceof ApiError) || error.status === 0) {
      throw error;
    }
    return { error: error.message };
  }
}

function remember(file, version, answer) {
  if (!remembered.has(file)) {
    remembered.set(file, new Map());
  }
  remembered.get(file).set(version, answer);
}
