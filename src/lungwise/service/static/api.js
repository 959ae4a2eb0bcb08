// Requests: the token in their header, patience with a busy service, and refusals as errors with the service's own sentence.
import { wait } from "./dom.js";
import { root } from "./root.js";
import { t } from "./strings.js";

const TRIES = 8;
const LONGEST = 60;
let token = "";
let askForToken = () => Promise.reject(new Refusal(401, "unauthorized", t("token_wrong")));

/** What the service, or the way to it, refuses. */
export class Refusal extends Error {
  constructor(status, code, detail, after = null) {
    super(detail);
    this.status = status;
    this.code = code;
    this.after = after;
  }
}

/** How a token is had. @param {(wrong: boolean) => Promise<string>} ask */
export function onUnauthorized(ask) {
  let asking = null;
  askForToken = (used) => {
    if (token !== used) return Promise.resolve(); // another request has asked meanwhile
    asking ??= ask(used !== "").then((given) => {
      token = given; // in this variable and nowhere else
      asking = null;
    });
    return asking;
  };
}

const headersOf = (used) => (used ? { Authorization: `Bearer ${used}` } : {});

/** The error that an answer stands for. */
export function refusal(status, body, after) {
  let said = {};
  try {
    said = JSON.parse(body);
  } catch {
    // A proxy's own page; its text is not for people.
  }
  const seconds = /^\d+$/.test(after ?? "") ? Number(after) : (Date.parse(after ?? "") - Date.now()) / 1000;
  const detail = said.detail ?? t("failed", { status });
  return new Refusal(status, said.code ?? "", detail, Number.isFinite(seconds) ? Math.max(0, seconds) : null);
}

/**
 * Send until it succeeds or is refused for good.
 * @param {(headers: Object) => Promise<T>} send throws a Refusal; status 0 is a service that cannot be reached.
 * @param {(seconds: number) => void} later told of each wait.
 */
export async function patiently(send, later = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    const used = token;
    try {
      return await send(headersOf(used));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 401) {
        await askForToken(used);
        continue;
      }
      const busy = error.status === 429 || error.status === 503;
      if (!(busy && attempt < TRIES) && !(error.status === 0 && attempt < 3)) throw error;
      const least = error.after ?? Math.min(2 ** (attempt - 1), 15);
      if (least > LONGEST) throw error;
      const seconds = least + Math.random() * Math.min(1, 0.1 + least / 4); // not all at the same moment
      later(seconds);
      await wait(seconds);
    }
  }
}

/** An answer. @returns {Promise<Response>} */
export function ask(path, { method = "GET", accept = "*/*", signal } = {}) {
  return patiently(async (headers) => {
    let answer;
    try {
      const all = { Accept: accept, ...headers };
      answer = await fetch(root + path, { method, headers: all, signal, cache: "no-store", credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, "offline", t("offline"));
    }
    if (!answer.ok) throw refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    return answer;
  });
}

/** The JSON of an answer. */
export const json = async (path, options) => (await ask(path, options)).json();

/** The bytes of an answer. */
export const blob = async (path, options) => (await ask(path, options)).blob();

/**
 * Post one file; fetch cannot tell how much of it has gone.
 * @param {(share: number) => void} progress from 0 to 1.
 * @param {(seconds: number) => void} later told of each wait.
 */
export function post(path, file, { progress, later, signal }) {
  return patiently((headers) => sent(path, file, headers, progress, signal), later);
}

function sent(path, file, headers, progress, signal) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name || "image");
    request.open("POST", root + path);
    Object.entries(headers).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.addEventListener("progress", (event) => progress(event.total ? event.loaded / event.total : 0));
    request.addEventListener("load", () => {
      if (request.status === 201) done(JSON.parse(request.responseText));
      else failed(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => failed(new Refusal(0, "offline", t("offline"))));
    request.addEventListener("abort", () => failed(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
