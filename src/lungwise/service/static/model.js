// What the model is: its results with intervals, and its card.
import { ask } from "./api.js";
import { safe } from "./card.js";
import { $, h } from "./dom.js";
import { figure, has, t } from "./strings.js";

const WHOLE = ["accuracy", "balanced_accuracy", "macro_auroc", "macro_f1", "brier"];
const OF_CLASS = ["sensitivity", "specificity", "ppv", "npv", "auroc"];

/** Open the window about the model. @param {Object} model as GET /v1/model gives it. */
export async function show(model) {
  const card = h("div", { class: "card" }, h("p", { class: "quiet" }, t("card_loading")));
  $("#model-title").textContent = t("model_named", { name: model.name });
  $("#model-body").replaceChildren(...[
    notice(model.intended_use),
    model.synthetic ? notice(t("synthetic")) : null,
    ...tests(model.metrics),
    h("details", {}, h("summary", {}, t("card")), card),
    h("p", { class: "quiet fine code" }, t("bundle", { hash: model.bundle_sha256 })),
  ].filter(Boolean));
  $("#model").showModal();
  try {
    card.replaceChildren(safe(await (await ask("/v1/model/card", { accept: "text/html" })).text()));
  } catch (error) {
    card.replaceChildren(h("p", {}, error.message));
  }
}

const notice = (text) => h("p", { class: "notice" }, text);

function tests(metrics) {
  if (!metrics.results) return [notice(t("results_none"))];
  const own = results(metrics.results, t("results", { part: metrics.part }));
  const others = metrics.external ?? [];
  if (!others.length) return [...own, notice(t("results_elsewhere_none"))];
  const title = ({ name, part }) => t("results_elsewhere", { name, part });
  return [...own, ...others.flatMap((test) => results(test.results, title(test)))];
}

function results(found, title) {
  const sizes = [["images", "results_size"], ["patients", "results_patients"]].filter(([name]) => found[name]);
  const counts = sizes.map(([name, key]) => t(key, { count: found[name] })).join(", ");
  const interval = found.interval ? t("results_note", { interval: found.interval }) : "";
  const whole = WHOLE.filter((name) => found[name]).map((name) => [word(name), found[name]]);
  const classes = Object.entries(found.classes ?? {});
  const of = OF_CLASS.filter((name) => classes.length && classes.every(([, one]) => one[name]));
  const rows = classes.map(([label, one]) => [label, ...of.map((name) => one[name])]);
  return [
    h("h3", {}, title),
    h("p", { class: "quiet" }, counts, ". ", interval),
    table([t("results_measure"), t("results_value")], whole),
    of.length ? table([t("class"), ...of.map(word)], rows) : null,
  ];
}

/** A table that can be moved sideways, also by keys. */
function table(heads, rows) {
  const head = h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name))));
  const body = rows.map(([name, ...values]) => {
    const cells = values.map((value) => h("td", {}, estimate(value)));
    return h("tr", {}, h("th", { scope: "row" }, name), ...cells);
  });
  const attributes = { class: "scroll", tabindex: "0", role: "group", "aria-label": heads[0] };
  return h("div", attributes, h("table", { class: "figures" }, head, h("tbody", {}, ...body)));
}

const word = (name) => (has(`metric_${name}`) ? t(`metric_${name}`) : name.replaceAll("_", " "));

function estimate({ value, low, high }) {
  if (typeof value !== "number") return "–";
  const known = typeof low === "number" && typeof high === "number";
  return known ? `${figure(value)} [${figure(low)}, ${figure(high)}]` : figure(value);
}
