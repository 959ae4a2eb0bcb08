// The page, put together.
import { ask, json, onUnauthorized } from "./api.js";
import * as answer from "./answer.js";
import { kindsOf } from "./concern.js";
import * as dialogs from "./dialogs.js";
import { $, h, say } from "./dom.js";
import { download } from "./downloads.js";
import * as intake from "./intake.js";
import * as keys from "./keys.js";
import * as model from "./model.js";
import * as pictures from "./pictures.js";
import { clock, t } from "./strings.js";
import { Uploads } from "./uploads.js";
import { Viewer } from "./viewer.js";
import { summary, WorkList } from "./worklist.js";
import * as workspace from "./workspace.js";

dialogs.wire();
theme();
onUnauthorized(dialogs.token);
try {
  const settings = await json("/page/settings");
  start(settings, { ...(await json("/v1/model")), findings: settings.findings });
} catch (error) {
  $("#start").replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
}

/** The switch between the dark and the light colours. */
function theme() {
  const button = $("#theme");
  const draw = () => {
    button.textContent = t(document.documentElement.dataset.theme === "light" ? "theme_dark" : "theme_light");
  };
  draw();
  document.addEventListener("theme", draw);
  button.addEventListener("click", () => document.dispatchEvent(new Event("theme-switch")));
}

/** Say what went wrong until it is dismissed. */
function alarm(sentence) {
  $("#alarm-text").textContent = sentence;
  $("#alarm").hidden = false;
}

function start(settings, about) {
  const sources = new Map(); // film to file, to send it again
  const seen = []; // films in the order in which they were looked at
  const acting = (work) => work().catch((error) => alarm(error.message));

  const list = new WorkList({
    findings: settings.findings,
    choose: (film) => {
      viewer.open(film);
      look(film);
    },
    open: (film, byPointer) => keys.toViewer(viewer, byPointer),
  });
  const viewer = new Viewer({
    chosen: (film) => {
      list.selected = film;
      list.draw();
      look(film);
    },
    other: (film) => seen.findLast((one) => one !== film) ?? list.shown.find((one) => one !== film) ?? null,
  });
  const uploads = new Uploads({
    limits: settings,
    held: () => list.films.length,
    done: (film, file) => {
      sources.set(film, file);
      list.add(film);
      acting(() => pictures.thumbnail(film));
      const kind = t(`kind_${kindsOf(film, settings.findings)[0]}`);
      say(t("live_answered", { name: film.name, answer: `${kind}, ${summary(film, settings.findings)}` }));
      layout();
      if (!list.selected) list.select(film);
      else look(list.selected); // what can be downloaded has changed
    },
    idle: () => list.films.length && say(t("live_done")),
  });

  function look(film) {
    if (film) seen.splice(0, seen.length, ...seen.filter((one) => one !== film), film);
    answer.show(film, about, {
      remove,
      download: (what) => acting(() => download(what, film, viewer.film === film ? viewer.label : null)),
    });
    layout();
  }

  function layout() {
    const any = list.films.length > 0;
    document.body.dataset.empty = String(!any);
    $("#start").hidden = any;
    $("#panes").hidden = $("#tools").hidden = !any;
    $("#forget").hidden = !any;
    if (!any) document.body.dataset.view = "list";
  }

  function remove() {
    const film = list.selected;
    if (!film) return;
    acting(async () => {
      await workspace.within(`/images/${film.id}`, (path) => ask(path, { method: "DELETE" }));
      seen.splice(0, seen.length, ...seen.filter((one) => one !== film));
      sources.delete(film);
      viewer.removed(film);
      list.remove(film);
      layout();
      say(t("removed", { name: film.name }));
      $("#list").focus();
    });
  }

  function empty() {
    const left = uploads.clear();
    list.films.forEach((film) => pictures.forget(film));
    const files = [...sources.values(), ...left];
    sources.clear();
    seen.length = 0;
    viewer.clear();
    list.clear();
    layout();
    return files;
  }

  async function gone() {
    const files = sources.size + uploads.all.length;
    const again = await dialogs.gone(settings.minutes, files);
    const sent = empty();
    if (again) uploads.add(sent);
  }

  workspace.begin({
    minutes: settings.minutes,
    gone,
    time: (ends) => {
      $("#lifetime").textContent = ends ? t("lifetime", { time: clock(ends) }) : "";
    },
  });
  intake.listen((files) => uploads.add(files));
  keys.listen({ list, viewer, remove, back: keys.toList });
  $("#back").addEventListener("click", keys.toList);
  $("#model-open").textContent = t("model_named", { name: about.name });
  if (about.synthetic) $("#purpose").append(" ", t("synthetic"));
  $("#model-open").addEventListener("click", () => model.show(about));
  $("#forget").addEventListener("click", () => dialogs.sure(() => acting(async () => {
    empty();
    await workspace.close();
  })));
  $("#fact-where").textContent = t("fact_where", { host: location.hostname });
  $("#fact-when").textContent = t("fact_when", { count: settings.minutes });
  // A page that comes back from the browser's memory has closed its workspace when it was left.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    empty();
    acting(workspace.close);
  });
  $("#alarm-close").addEventListener("click", () => {
    $("#alarm").hidden = true;
  });
  document.body.dataset.ready = "true";
}
