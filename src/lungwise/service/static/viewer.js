// The viewer: one film or two side by side, and the tools that act on the chosen one.
import { $, h, say } from "./dom.js";
import { Pane } from "./pane.js";
import * as pictures from "./pictures.js";
import { t } from "./strings.js";

const STEP = 1.25;
const OF_FILM = ["#zoom-in", "#zoom-out", "#fit", "#width", "#level", "#invert", "#reset"];

export class Viewer {
  /** @param {{chosen: (film: Object|null) => void, other: (film: Object|null) => Object|null}} options */
  constructor(options) {
    this.options = options;
    this.mode = "pan";
    this.panes = [this.pane()];
    this.active = this.panes[0];
    $("#panes").append(this.active.element);
    this.wire();
  }

  /** The film of the chosen pane. */
  get film() {
    return this.active.film;
  }

  /** The class whose heat map the chosen pane shows, or would show. */
  get label() {
    return this.active.heat.label;
  }

  pane() {
    const made = new Pane({
      mode: () => this.mode,
      changed: (pane) => pane === this.active && this.sync(),
      active: () => this.activate(made),
    });
    return made;
  }

  /** Show a film in the chosen pane; null empties it. */
  async open(film, pane = this.active) {
    if (pane.film === film && (pane.bitmap || !film)) return;
    const readable = film && film.result.status !== "error" && film.width;
    pane.open(film, film ? t(readable ? "pane_loading" : "pane_unreadable") : undefined);
    if (!readable) return this.classes();
    if (film.has_heatmap) {
      const { decision, probabilities } = film.result;
      pane.heat.label = decision ?? Object.keys(probabilities)[0];
    }
    this.classes();
    try {
      const found = await pictures.pixels(film);
      if (pane.film !== film) return; // the reader went on meanwhile
      pane.show(found);
      await this.warm(pane);
    } catch (error) {
      if (pane.film === film) pane.clear(error.message);
    }
  }

  /** Fetch and lay the heat map where it is wanted. */
  async warm(pane = this.active) {
    const { film, heat } = pane;
    pane.lay(null);
    if (!heat.on || !film || !heat.label) return;
    const { label } = heat;
    try {
      const layer = await pictures.heat(film, label);
      if (pane.film === film && pane.heat.label === label) pane.lay(layer);
    } catch (error) {
      say(error.message);
    }
  }

  /** A film is gone. */
  removed(film) {
    pictures.forget(film);
    this.panes.filter((pane) => pane.film === film).forEach((pane) => this.open(null, pane));
  }

  clear() {
    pictures.clear();
    if (this.panes.length > 1) this.compare();
    this.open(null);
  }

  activate(pane) {
    if (this.active === pane) return;
    this.active = pane;
    this.panes.forEach((one) => one.element.classList.toggle("active", one === pane && this.panes.length > 1));
    this.classes();
    this.options.chosen(pane.film);
  }

  other() {
    const pane = this.panes.find((one) => one !== this.active);
    if (pane) pane.element.focus();
  }

  /** Two films instead of one, or one again. */
  compare() {
    if (this.panes.length > 1) {
      const [gone] = this.panes.filter((pane) => pane !== this.active);
      gone.element.remove();
      this.panes = [this.active];
      this.active.element.classList.remove("active");
    } else {
      const made = this.pane();
      const film = this.options.other(this.film) ?? this.film;
      if (film === this.film) made.heat.on = true; // the same film, once without and once with its heat map
      this.panes.push(made);
      $("#panes").append(made.element);
      this.activate(made);
      this.open(film, made);
      this.options.chosen(film);
    }
    $("#panes").dataset.count = this.panes.length;
    this.sync();
  }

  turn(mode) {
    this.mode = mode;
    $("#panes").dataset.mode = mode;
    this.sync();
  }

  toggleHeat() {
    if (!this.film?.has_heatmap) return;
    this.active.heat.on = !this.active.heat.on;
    this.warm();
  }

  opacity(value) {
    this.active.heat.opacity = Math.min(1, Math.max(0, value));
    this.active.draw();
  }

  /** Opacity by steps; the key that makes it stronger also switches it on. */
  fade(by) {
    if (by > 0 && !this.active.heat.on) this.toggleHeat();
    this.opacity(this.active.heat.opacity + by);
  }

  invert() {
    this.active.inverted = !this.active.inverted;
    this.active.draw();
  }

  zoom(steps) {
    this.active.zoomBy(STEP ** steps);
  }

  /** The classes to choose from, of the chosen pane's film. */
  classes() {
    const choice = $("#heat-class");
    const labels = Object.keys(this.film?.result.probabilities ?? {});
    choice.replaceChildren(...labels.map((label) => h("option", { value: label }, label)));
    choice.value = this.label ?? "";
    this.sync();
  }

  /** Let the tools show what holds for the chosen pane. */
  sync() {
    const { active } = this;
    const press = (selector, on) => $(selector).setAttribute("aria-pressed", String(on));
    press("#mode-pan", this.mode === "pan");
    press("#mode-window", this.mode === "window");
    press("#invert", active.inverted);
    press("#compare", this.panes.length > 1);
    press("#heat", active.heat.on);
    $("#width").value = active.window.width;
    $("#level").value = active.window.level;
    $("#opacity").value = 100 * active.heat.opacity;
    const able = Boolean(active.film?.has_heatmap);
    for (const selector of ["#heat", "#heat-class", "#opacity"]) $(selector).disabled = !able;
    for (const selector of OF_FILM) $(selector).disabled = !active.bitmap;
  }

  wire() {
    const on = (selector, kind, act) => $(selector).addEventListener(kind, act);
    on("#zoom-in", "click", () => this.zoom(1));
    on("#zoom-out", "click", () => this.zoom(-1));
    on("#fit", "click", () => this.active.fit());
    on("#reset", "click", () => this.active.reset());
    on("#invert", "click", () => this.invert());
    on("#mode-pan", "click", () => this.turn("pan"));
    on("#mode-window", "click", () => this.turn("window"));
    on("#compare", "click", () => this.compare());
    on("#heat", "click", () => this.toggleHeat());
    on("#opacity", "input", (event) => this.opacity(event.target.value / 100));
    const tone = () => this.active.setWindow(Number($("#width").value), Number($("#level").value));
    for (const selector of ["#width", "#level"]) on(selector, "input", tone);
    on("#heat-class", "change", (event) => {
      this.active.heat.label = event.target.value;
      this.active.heat.on = true;
      this.warm();
    });
  }
}
