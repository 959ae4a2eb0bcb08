// The work list: the most worrying image first, filters, and the keys of a list.
import { chosen, KINDS, kindsOf, sorted, worry } from "./concern.js";
import { $, h } from "./dom.js";
import { share, t } from "./strings.js";

const PAGE = 8;

export class WorkList {
  /** @param {{findings: string[], choose: (film: Object) => void, open: (film: Object) => void}} options */
  constructor(options) {
    this.options = options;
    this.films = [];
    this.kind = "all";
    this.text = "";
    this.selected = null;
    this.list = $("#list");
    this.list.addEventListener("keydown", (event) => this.key(event));
    $("#search").addEventListener("input", (event) => {
      this.text = event.target.value;
      this.draw();
    });
    this.chips = ["all", ...KINDS].map((kind) => {
      const attributes = { type: "button", class: "chip", "data-kind": kind, onclick: () => this.filter(kind) };
      return h("button", attributes, t(`kind_${kind}`), " ", h("span", { class: "number" }));
    });
    $("#kinds").append(...this.chips);
    this.draw();
  }

  get shown() {
    const { findings } = this.options;
    return chosen(sorted(this.films, findings), findings, this.kind, this.text);
  }

  filter(kind) {
    this.kind = kind;
    this.draw();
  }

  add(film) {
    this.films.push(film);
    this.draw();
  }

  remove(film) {
    const before = this.shown;
    const place = before.indexOf(film);
    this.films = this.films.filter((other) => other !== film);
    const next = before[place + 1] ?? before[place - 1] ?? null;
    if (this.selected === film) this.select(next);
    else this.draw();
  }

  clear() {
    this.films = [];
    this.select(null);
  }

  select(film) {
    this.selected = film;
    this.draw();
    this.options.choose(film);
  }

  /** The next image of the list, or the previous one. */
  move(steps) {
    const shown = this.shown;
    if (!shown.length) return;
    const place = shown.indexOf(this.selected);
    const next = shown[Math.min(shown.length - 1, Math.max(0, place < 0 ? 0 : place + steps))];
    if (next !== this.selected) this.select(next);
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps) this.move(steps);
    else if (event.key === "Enter" && this.selected) this.options.open(this.selected);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { findings } = this.options;
    const shown = this.shown;
    $("#filters").hidden = !this.films.length;
    for (const chip of this.chips) {
      const { kind } = chip.dataset;
      const number = chosen(this.films, findings, kind, "").length;
      chip.setAttribute("aria-pressed", String(kind === this.kind));
      $(".number", chip).textContent = number;
      chip.classList.toggle("none", !number);
    }
    this.list.replaceChildren(...shown.map((film) => this.row(film)));
    const active = shown.includes(this.selected) ? rowId(this.selected) : null;
    if (active) this.list.setAttribute("aria-activedescendant", active);
    else this.list.removeAttribute("aria-activedescendant");
    const note = this.films.length ? (shown.length ? "list_order" : "list_filtered") : "list_none";
    $("#list-note").textContent = t(note);
    if (active) document.getElementById(active).scrollIntoView({ block: "nearest" });
  }

  row(film) {
    const kinds = kindsOf(film, this.options.findings);
    const attributes = {
      role: "option",
      id: rowId(film),
      "aria-selected": String(film === this.selected),
      "data-kind": kinds[0],
      onclick: () => {
        this.select(film);
        this.options.open(film, true);
      },
    };
    film.thumbnail ??= h("img", { alt: "", class: "thumb", width: 56, height: 56 });
    const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "fill" }));
    $(".fill", bar).style.width = `${100 * worry(film)}%`;
    return h(
      "li",
      attributes,
      h("span", { class: "frame" }, film.thumbnail),
      h(
        "span",
        { class: "about" },
        h("span", { class: "name", title: film.name }, film.name),
        h("span", { class: "badges" }, ...kinds.map(badge)),
        h("span", { class: "said" }, summary(film, this.options.findings)),
        Object.keys(film.result.probabilities).length ? bar : null,
      ),
    );
  }
}

const rowId = (film) => `film-${film.id}`;

/** The plain word for a kind. */
export const badge = (kind) => h("span", { class: `badge ${kind}` }, t(`kind_${kind}`));

/** An answer in a few words, with the number that gives it its place in the list. */
export function summary(film, findings) {
  const { status, decision, probabilities } = film.result;
  if (status === "error") return t("row_error");
  if (status !== "ok" || decision === null) return t("row_cannot");
  if (!findings.includes(decision) && film.concern !== null) return t("row_clear", { decision, share: share(film.concern) });
  return `${decision} ${share(probabilities[decision])}`;
}
