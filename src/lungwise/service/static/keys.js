// The keyboard. What each key does is written down once, for the page and for its list of keys.
import { $, h, narrow } from "./dom.js";
import { t } from "./strings.js";

const PAN = 40;
const LIST = [
  ["↑ ↓ ← →", "key_arrows"],
  ["N  P", "key_np"],
  ["Enter", "key_enter"],
  ["Esc", "key_escape"],
  ["+  −", "key_zoom"],
  ["F  0", "key_fit"],
  ["R", "key_reset"],
  ["I", "key_invert"],
  ["W", "key_window"],
  ["H", "key_heat"],
  ["[  ]", "key_opacity"],
  ["C", "key_compare"],
  ["X", "key_other"],
  ["Del", "key_delete"],
  ["/", "key_search"],
  ["?", "key_help"],
];

/** @param {{list: WorkList, viewer: Viewer, remove: () => void, back: () => void}} parts */
export function listen({ list, viewer, remove, back }) {
  const row = ([keys, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keys)), h("td", {}, t(what)));
  $("#keys").append(...LIST.map(row));
  const help = () => $("#help").showModal();
  $("#help-open").addEventListener("click", help);
  const letters = {
    n: () => list.move(1),
    p: () => list.move(-1),
    f: () => viewer.active.fit(),
    0: () => viewer.active.fit(),
    r: () => viewer.active.reset(),
    i: () => viewer.invert(),
    w: () => viewer.turn(viewer.mode === "pan" ? "window" : "pan"),
    h: () => viewer.toggleHeat(),
    c: () => viewer.film && viewer.compare(),
    x: () => viewer.other(),
    "[": () => viewer.fade(-0.1),
    "]": () => viewer.fade(0.1),
    "+": () => viewer.zoom(1),
    "=": () => viewer.zoom(1),
    "-": () => viewer.zoom(-1),
    "?": help,
    "/": () => $("#search").focus(),
  };
  const moves = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    if (key === "Escape") back();
    else if (target.matches("input[type=search], input[type=password], select, textarea")) return;
    else if (target.matches("input[type=range]") && /^(Arrow|Page|Home|End)/.test(key)) return;
    else if (target.closest(".pane") && moves[key]) viewer.active.move(...moves[key]);
    else if (key === "ArrowDown" || key === "ArrowUp") list.move(key === "ArrowDown" ? 1 : -1);
    else if (key === "Delete") remove();
    else if ($("#single-keys").checked && Object.hasOwn(letters, key.toLowerCase())) letters[key.toLowerCase()]();
    else return;
    event.preventDefault();
  });
}

/** From the viewer to the list. */
export function toList() {
  document.body.dataset.view = "list";
  $("#list").focus();
}

/** From the list to the viewer. A click on a wide screen leaves the keyboard where it is. */
export function toViewer(viewer, byPointer) {
  document.body.dataset.view = "film";
  if (!byPointer || narrow()) viewer.active.element.focus({ preventScroll: true });
  if (narrow()) scrollTo(0, 0);
}
