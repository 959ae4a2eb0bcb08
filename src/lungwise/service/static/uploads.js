// Files on their way: three at a time, with progress, and the reason where one cannot be added.
import { post } from "./api.js";
import { $, h } from "./dom.js";
import { t } from "./strings.js";
import { within } from "./workspace.js";

const AT_ONCE = 3;
const SHOWN = 60;
const MB = 1_000_000;

export class Uploads {
  /**
   * @param {Object} options
   * @param {{images: number, max_file_mb: number}} options.limits how much may be sent.
   * @param {() => number} options.held how many images there are.
   * @param {(film: Object, file: File) => void} options.done told of each answer.
   * @param {() => void} options.idle told when nothing is left to send.
   */
  constructor(options) {
    this.options = options;
    this.all = [];
    this.running = 0;
    $("#uploads-clear").addEventListener("click", () => {
      this.all = this.all.filter((one) => one.state !== "failed");
      this.draw();
    });
  }

  /** Files that wait or are being sent. */
  get busy() {
    return this.all.filter((one) => one.state !== "failed");
  }

  add(files) {
    const { limits } = this.options;
    for (const file of files) {
      const one = { file, state: "waiting", share: 0, detail: "", stop: new AbortController() };
      const size = Math.ceil(file.size / MB);
      if (file.size > limits.max_file_mb * MB) this.fail(one, t("up_too_large", { mb: limits.max_file_mb, size }));
      else if (file.size === 0) this.fail(one, t("up_empty"));
      else if (this.options.held() + this.busy.length >= limits.images) this.fail(one, t("up_full", { count: limits.images }));
      this.all.push(one);
    }
    this.next();
  }

  /** Stop and forget everything; the files that had not been answered are returned. */
  clear() {
    const left = this.all.map((one) => one.file);
    this.all.forEach((one) => one.stop.abort());
    this.all = [];
    this.draw();
    return left;
  }

  next() {
    while (this.running < AT_ONCE) {
      const one = this.all.find((other) => other.state === "waiting");
      if (!one) break;
      this.running += 1;
      this.send(one).finally(() => {
        this.running -= 1;
        this.next();
        if (!this.busy.length) this.options.idle();
      });
    }
    this.draw();
  }

  async send(one) {
    one.state = "sending";
    try {
      await one.file.slice(0, 1).arrayBuffer(); // a file that has gone would else look like a service that cannot be reached
    } catch {
      this.fail(one, t("up_unreadable"));
      return;
    }
    try {
      const film = await within("/images", (path) => post(path, one.file, {
        signal: one.stop.signal,
        progress: (share) => this.change(one, share < 1 ? "sending" : "reading", share),
        later: (seconds) => this.change(one, "later", 0, t("up_later", { seconds: Math.ceil(seconds) })),
      }));
      if (!this.all.includes(one)) return; // everything was forgotten meanwhile
      this.all = this.all.filter((other) => other !== one);
      this.options.done(film, one.file);
    } catch (error) {
      if (error.name === "AbortError" || !this.all.includes(one)) return;
      this.fail(one, error.message);
    }
  }

  fail(one, detail) {
    Object.assign(one, { state: "failed", detail });
    this.draw();
  }

  change(one, state, share, detail = "") {
    Object.assign(one, { state, share, detail });
    this.draw();
  }

  /** At most once a frame: progress of large files comes often. */
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const failed = this.all.length - this.busy.length;
    $("#uploads").hidden = !this.all.length;
    $("#uploads-clear").hidden = !failed;
    const busy = this.busy.length;
    const sum = [busy && t("uploads_sum", { count: busy }), failed && t("uploads_failed", { count: failed })];
    $("#uploads-sum").textContent = sum.filter(Boolean).join(", ");
    // Rows stay where they are while they change, so that nobody's focus is lost.
    const rows = this.all.slice(0, SHOWN).map((one) => this.row(one));
    const list = $("#uploads-list");
    [...list.children].filter((row) => !rows.includes(row)).forEach((row) => row.remove());
    rows.forEach((row, place) => {
      if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    });
  }

  row(one) {
    one.row ??= h("li", {});
    const bar = one.bar ??= h("progress", { max: 1, "aria-label": one.file.name });
    one.name ??= h("span", { class: "name" }, one.file.name);
    one.said ??= h("span", { class: "quiet" });
    if (one.state !== one.drawn) {
      one.drawn = one.state;
      const failed = one.state === "failed";
      one.row.className = failed ? "failed" : "";
      one.row.replaceChildren(one.name, one.said, ...(failed ? this.buttons(one) : [bar]));
    }
    one.said.textContent = one.detail || t(`up_${one.state}`);
    if (one.state === "reading") bar.removeAttribute("value"); // nobody knows how long
    else bar.value = one.share;
    return one.row;
  }

  buttons(one) {
    const leave = () => {
      this.all = this.all.filter((other) => other !== one);
      this.draw();
    };
    const again = () => {
      leave();
      this.add([one.file]);
    };
    const label = (key) => ({ type: "button", class: "plain", "aria-label": `${t(key)}: ${one.file.name}` });
    return [
      h("button", { ...label("again"), onclick: again }, t("again")),
      h("button", { ...label("dismiss"), onclick: leave }, t("dismiss")),
    ];
  }
}
