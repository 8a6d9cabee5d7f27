// The server's API: answers as values or blobs, and what is refused as an ApiError.

/** What the server refused, in its words: what is wrong, and the way out. */
export class ApiError extends Error {
  constructor(status, code, message, { hint = "", retryAfter = 0 } = {}) {
    super(hint ? `${message}; ${hint}` : message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

/**
 * Asks for something.
 *
 * @param {string} path from the root, such as "/api/model"
 * @param {Object} query values of parameters; null, undefined and "" are left out
 * @param {{signal?: AbortSignal}} options
 * @returns {Promise<any|Blob>} parsed JSON, or the blob of a picture
 */
export async function get(path, query = {}, { signal } = {}) {
  return read(await ask(addressOf(path, query), { signal }));
}

/**
 * Sends something: a picture (a File or Blob), or a plain object as JSON.
 *
 * @param {string} path
 * @param {Object} query
 * @param {Blob|Object|null} body
 * @param {string} type the body's media type; told from the body if it is left out
 * @param {{signal?: AbortSignal}} options
 * @returns {Promise<any|Blob>}
 */
export async function post(path, query = {}, body = null, type = "", { signal } = {}) {
  return read(await ask(addressOf(path, query), { signal, ...sent(body, type) }));
}

/**
 * Asks again and again while the server answers 202, "not yet".
 *
 * @param {string} path
 * @param {Object} query
 * @param {function(any): void} onProgress called with each answer that is not the last
 * @param {{body?: Blob, signal?: AbortSignal}} options a body makes it a POST
 * @returns {Promise<any>}
 */
export async function waitFor(path, query, onProgress = () => {}, { body, signal } = {}) {
  const options = body ? { signal, ...sent(body, "") } : { signal };
  for (;;) {
    const response = await ask(addressOf(path, query), options);
    const value = await read(response);
    if (response.status !== 202) {
      return value;
    }
    onProgress(value);
    await pause(1000 * Math.min(retryAfter(response) || 0.5, 5), signal);
  }
}

/**
 * Calls until the server has room: while it answers "busy", waits as long as it says.
 *
 * @param {function(): Promise<any>} call
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function patiently(call, signal) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503 || error.code !== "busy") {
        throw error;
      }
      await pause(1000 * Math.max(error.retryAfter, 0.2), signal);
    }
  }
}

/** Writes an address with its parameters. */
export function addressOf(path, query = {}) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

/** Tells whether an error only says that what it was asked for is no longer wanted. */
export function isAborted(error) {
  return error.name === "AbortError";
}

async function ask(address, options) {
  try {
    return await fetch(address, { method: options.body ? "POST" : "GET", ...options });
  } catch (error) {
    if (isAborted(error)) {
      throw error;
    }
    throw new ApiError(0, "unreachable", "the server does not answer", {
      hint: "is it still running?",
    });
  }
}

async function read(response) {
  const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
  if (response.ok) {
    return isJson ? response.json() : response.blob();
  }
  const found = isJson ? (await response.json()).error : {};
  throw new ApiError(
    response.status,
    found.code ?? "unknown",
    found.message ?? `the server answered with status ${response.status}`,
    { hint: found.hint ?? "", retryAfter: retryAfter(response) },
  );
}

function sent(body, type) {
  if (body === null || body instanceof Blob) {
    const told = body && body.type.startsWith("image/") ? body.type : "application/octet-stream";
    return { method: "POST", body: body ?? "", headers: { "content-type": type || told } };
  }
  const headers = { "content-type": type || "application/json" };
  return { method: "POST", body: JSON.stringify(body), headers };
}

function retryAfter(response) {
  return Number(response.headers.get("retry-after")) || 0;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => reject(new DOMException("no longer wanted", "AbortError"));
    if (signal?.aborted) {
      end();
      return;
    }
    const timer = window.setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", () => window.clearTimeout(timer), { once: true });
    signal?.addEventListener("abort", end, { once: true });
  });
}
