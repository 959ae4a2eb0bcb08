// The place on the server where this page's images are: made with the first image, kept while somebody is here, closed on
// leaving.
import { ask, json } from "./api.js";
import { root } from "./root.js";

const PING_SECONDS = 60;
let minutes = 30;
let id = null; // a promise, so that the first uploads share one workspace
let known = null; // the id itself, for when there is no time to wait
let heard = 0;
let timer = 0;
let onGone = () => {};
let onTime = () => {};

/** Begin. @param {{minutes: number, gone: () => void, time: (ends: Date|null) => void}} options */
export function begin(options) {
  ({ minutes, gone: onGone, time: onTime } = options);
  for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, stay, { passive: true });
  addEventListener("pagehide", leave);
}

/** The address of something in the workspace, which is made if there is none. */
export async function place(path = "") {
  id ??= json("/v1/workspaces", { method: "POST" }).then((made) => {
    known = made.id;
    return made.id;
  });
  try {
    return `/v1/workspaces/${await id}${path}`;
  } catch (error) {
    id = null;
    throw error;
  }
}

/** Do something with the workspace, and notice when it is gone. @param {(path: string) => Promise<T>} work */
export async function within(path, work) {
  const before = await place();
  try {
    const found = await work(before + path);
    alive();
    return found;
  } catch (error) {
    // One image may be missing, or all of them.
    if (error.status === 404) await check(before);
    throw error;
  }
}

/** Forget it here; on the server too if it is still there. */
export async function close() {
  const there = known && `/v1/workspaces/${known}`;
  drop();
  if (there) await ask(there, { method: "DELETE" });
}

function drop() {
  clearTimeout(timer);
  id = known = null;
  onTime(null);
}

function alive() {
  heard = Date.now();
  const ends = heard + minutes * 60_000;
  onTime(new Date(ends));
  clearTimeout(timer);
  timer = setTimeout(() => check(), ends - heard + 1000);
}

async function check(path = known && `/v1/workspaces/${known}`) {
  if (!path || path !== `/v1/workspaces/${known}`) return; // forgotten already
  try {
    await ask(path);
    alive();
  } catch (error) {
    if (error.status !== 404 || path !== `/v1/workspaces/${known}`) return;
    drop();
    onGone();
  }
}

function stay() {
  const pause = Math.min(PING_SECONDS, minutes * 15); // a quarter of the time, where it is short
  if (known && Date.now() - heard > pause * 1000) {
    heard = Date.now();
    check();
  }
}

function leave() {
  if (known) navigator.sendBeacon(`${root}/v1/workspaces/${known}/close`);
  known = null;
}
