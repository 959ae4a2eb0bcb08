// One film on a canvas: zoom, pan, window and level, inversion, and the heat map laid over it.
import { h } from "./dom.js";
import { t } from "./strings.js";

const MOST = 32;
const DENSITY = 2; // more device pixels a point than this cost time and show nothing

export class Pane {
  /** @param {{changed: () => void, active: () => void, mode: () => string}} options */
  constructor(options) {
    this.options = options;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    const corner = (name) => [name, h("span", { class: `corner ${name}` })];
    this.corner = Object.fromEntries(["name", "state", "use", "heat"].map(corner));
    this.corner.use.textContent = t("pane_research");
    this.note = h("p", { class: "pane-note" }, t("pane_empty"));
    this.legend = h("div", { class: "legend", "aria-hidden": "true", hidden: true },
      h("span", {}, t("heat_strong")), h("span", { class: "ramp" }), h("span", {}, t("heat_weak")));
    const attributes = { class: "pane", role: "group", tabindex: "0", "aria-label": t("pane_empty"), onfocus: options.active };
    this.element = h("div", attributes, this.canvas, this.note, this.legend, ...Object.values(this.corner));
    this.film = null;
    this.heat = { on: false, label: null, opacity: 0.8 };
    this.clear();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Show nothing but a sentence. */
  clear(sentence = t("pane_empty")) {
    this.bitmap = this.layer = null;
    this.plain();
    this.note.textContent = sentence;
    this.note.hidden = false;
    this.draw();
  }

  /** Begin with another film; its pixels come later. */
  open(film, sentence) {
    this.film = film;
    this.heat.label = null;
    this.element.setAttribute("aria-label", film ? t("pane_label", { name: film.name }) : t("pane_empty"));
    this.clear(sentence);
  }

  show(bitmap) {
    this.bitmap = bitmap;
    this.note.hidden = true;
    this.draw();
  }

  /** The heat map of the wanted class, or null while there is none. */
  lay(layer) {
    this.layer = layer;
    this.draw();
  }

  /** Zoom, window and inversion as at the start. */
  plain() {
    this.zoom = 1;
    this.middle = { x: 0.5, y: 0.5 };
    this.window = { width: 255, level: 128 };
    this.inverted = false;
  }

  reset() {
    this.plain();
    this.draw();
  }

  fit() {
    this.zoom = 1;
    this.middle = { x: 0.5, y: 0.5 };
    this.draw();
  }

  setWindow(width, level) {
    this.window = { width: Math.min(510, Math.max(2, width)), level: Math.min(255, Math.max(0, level)) };
    this.draw();
  }

  /** Zoom about a point of the canvas, given in points; about its middle without one. */
  zoomBy(factor, at = null) {
    if (!this.bitmap) return;
    const before = this.scale();
    this.zoom = Math.min(MOST, Math.max(0.25, this.zoom * factor));
    const after = this.scale();
    if (at) {
      const box = this.canvas.getBoundingClientRect();
      const away = { x: at.x - box.left - box.width / 2, y: at.y - box.top - box.height / 2 };
      this.middle.x += (away.x / before - away.x / after) / this.bitmap.width;
      this.middle.y += (away.y / before - away.y / after) / this.bitmap.height;
    }
    this.move(0, 0);
  }

  /** Move the film by points of the canvas. Its middle stays within the canvas, so that it cannot be lost. */
  move(x, y) {
    if (!this.bitmap) return;
    const scale = this.scale();
    const within = (value) => Math.min(1, Math.max(0, value));
    this.middle.x = within(this.middle.x - x / scale / this.bitmap.width);
    this.middle.y = within(this.middle.y - y / scale / this.bitmap.height);
    this.draw();
  }

  /** Points of the canvas for one pixel of the film. */
  scale() {
    const { clientWidth: width, clientHeight: height } = this.element;
    return this.zoom * Math.min(width / this.bitmap.width, height / this.bitmap.height);
  }

  /** At most once a frame. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { canvas, context, element } = this;
    const density = Math.min(DENSITY, devicePixelRatio);
    const width = Math.round(element.clientWidth * density);
    const height = Math.round(element.clientHeight * density);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const laid = this.bitmap && this.layer && this.heat.on;
    if (this.bitmap && width && height) {
      const place = this.placed(width, height, density);
      context.imageSmoothingEnabled = true;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.bitmap, ...place);
      this.toned(place);
      if (laid) {
        context.globalAlpha = this.heat.opacity;
        context.drawImage(this.layer, ...place);
        context.globalAlpha = 1;
      }
    }
    this.captions(laid);
    this.options.changed(this);
  }

  placed(width, height, density) {
    const scale = this.scale() * density;
    const size = { x: this.bitmap.width * scale, y: this.bitmap.height * scale };
    return [width / 2 - this.middle.x * size.x, height / 2 - this.middle.y * size.y, size.x, size.y];
  }

  /** Window, level and inversion of what is seen of the film; black around it stays black. */
  toned([x, y, width, height]) {
    if (this.window.width === 255 && this.window.level === 128 && !this.inverted) return;
    const left = Math.max(0, Math.floor(x));
    const top = Math.max(0, Math.floor(y));
    const right = Math.min(this.canvas.width, Math.ceil(x + width));
    const bottom = Math.min(this.canvas.height, Math.ceil(y + height));
    if (right <= left || bottom <= top) return;
    const part = this.context.getImageData(left, top, right - left, bottom - top);
    const words = new Uint32Array(part.data.buffer);
    const tones = table(this.window, this.inverted);
    for (let place = 0; place < words.length; place += 1) words[place] = tones[words[place] & 255];
    this.context.putImageData(part, left, top);
  }

  captions(laid) {
    const { corner } = this;
    corner.name.textContent = this.film?.name ?? "";
    corner.state.textContent = "";
    if (this.bitmap) {
      const { width, level } = this.window;
      const zoom = `${Math.round(100 * this.scale())} %`;
      const tone = t("pane_window", { width: Math.round(width), level: Math.round(level) });
      corner.state.textContent = [zoom, tone, this.inverted && t("pane_inverted")].filter(Boolean).join("  ");
    }
    corner.heat.textContent = laid ? t("heat_for", { label: this.heat.label }) : "";
    this.legend.hidden = !laid;
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 24 : 1;
      this.zoomBy(Math.exp(-event.deltaY * lines * 0.0015), { x: event.clientX, y: event.clientY });
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.tone = event.button === 2 || (event.button === 0 && this.options.mode() === "window");
      this.element.focus({ preventScroll: true });
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      if (fingers.size === 1) this.dragged(before, now);
      else this.pinched(fingers, event.pointerId, now);
      fingers.set(event.pointerId, now);
    });
    const lifted = (event) => fingers.delete(event.pointerId);
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, lifted);
  }

  dragged(before, now) {
    const by = { x: now.x - before.x, y: now.y - before.y };
    if (!this.tone) this.move(by.x, by.y);
    else if (this.bitmap) this.setWindow(this.window.width + by.x, this.window.level - by.y / 2);
  }

  pinched(fingers, moved, now) {
    const other = [...fingers].find(([id]) => id !== moved)[1];
    const before = fingers.get(moved);
    const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
    this.move((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoomBy(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }
}

/** Grey 0…255 to an opaque pixel; the linear window of DICOM PS3.3 C.11.2.1.2 on 8 bits, then inversion. */
export function table({ width, level }, inverted) {
  return Uint32Array.from({ length: 256 }, (_, grey) => {
    const share = Math.min(1, Math.max(0, (grey - (level - 0.5)) / width + 0.5));
    const tone = Math.round(255 * (inverted ? 1 - share : share));
    return ((255 << 24) | (tone << 16) | (tone << 8) | tone) >>> 0;
  });
}
