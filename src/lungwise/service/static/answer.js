// What the model says of one film, in numbers and in words.
import { kindsOf } from "./concern.js";
import { $, h } from "./dom.js";
import { names, share, t } from "./strings.js";
import { badge } from "./worklist.js";

/**
 * The panel beside the viewer.
 * @param {Object|null} film
 * @param {Object} model as GET /v1/model gives it, with the classes that are "findings".
 * @param {{remove: () => void, download: (what: string) => void}} act
 */
export function show(film, model, act) {
  const panel = $("#answer");
  panel.hidden = !film;
  panel.replaceChildren(...(film ? parts(film, model, act) : []));
}

function parts(film, model, act) {
  const { result } = film;
  const answered = Object.keys(result.probabilities).length > 0;
  const by = t("answered_by", { model: result.model, hash: result.bundle_sha256.slice(0, 12) });
  return [
    h("h2", { class: "name", title: film.name }, film.name),
    film.width ? h("p", { class: "quiet" }, t("about_size", film)) : null,
    verdict(film, model),
    answered ? bars(result, model) : null,
    answered ? set(result, model) : null,
    result.warnings.length ? section("warnings", points(result.warnings, "warnings")) : null,
    downloads(film, act),
    h("p", { class: "quiet fine" }, by, " ", result.intended_use),
    h("p", {}, h("button", { type: "button", class: "plain", id: "remove", onclick: act.remove }, t("remove"))),
  ].filter(Boolean);
}

const section = (title, ...children) => h("section", { class: title }, h("h3", {}, t(title)), ...children);

const points = (texts, name) => h("ul", { class: name }, ...texts.map((text) => h("li", {}, text)));

function verdict(film, model) {
  const kinds = kindsOf(film, model.findings);
  const badges = h("p", { class: "badges" }, ...kinds.map(badge));
  return h("div", { class: `verdict ${kinds[0]}` }, badges, ...said(film.result, model, kinds[0]));
}

function said({ decision, probabilities, reasons }, model, kind) {
  if (kind === "error") return [h("p", { class: "word" }, t("error_title")), points(reasons, "reasons")];
  if (kind === "cannot") {
    const why = points(reasons.length ? reasons : [t("cannot_unsaid")], "reasons");
    return [h("p", { class: "word" }, t("cannot_title")), h("p", {}, t("cannot_text")), why];
  }
  return [
    h("p", { class: "quiet" }, t("decided")),
    h("p", { class: "word" }, decision, " ", h("span", { class: "share" }, share(probabilities[decision]))),
    h("p", { class: "quiet" }, rule(model)),
  ];
}

function rule({ decision, labels }) {
  if (decision.rule === "argmax") return t("decided_argmax");
  const values = { label: labels[decision.positive], threshold: share(decision.threshold), part: decision.fitted_on };
  return t("decided_threshold", values);
}

function bars(result, model) {
  const { rule: by, positive, threshold } = model.decision;
  const calibrated = model.temperature !== 1 || model.calibration_matrix.length > 0;
  const rows = Object.entries(result.probabilities).map(([label, value]) => {
    const fill = h("span", { class: `fill ${model.findings.includes(label) ? "finding" : "clear"}` });
    fill.style.width = `${100 * value}%`;
    const mark = by !== "argmax" && label === model.labels[positive] ? h("span", { class: "mark" }) : null;
    if (mark) mark.style.left = `${100 * threshold}%`;
    const bar = h("span", { class: "bar", "aria-hidden": "true" }, fill, mark);
    const number = h("dd", {}, h("span", { class: "number" }, share(value)), bar);
    return h("div", { class: label === result.decision ? "decided" : null }, h("dt", {}, label), number);
  });
  const note = h("p", { class: "quiet fine" }, t(calibrated ? "probabilities_note" : "probabilities_raw"));
  return section("probabilities", h("dl", { class: "bars" }, ...rows), note);
}

function set({ conformal_set: found }, model) {
  const key = found === null ? "set_none" : ["set_empty", "set_one"][found.length] ?? "set_many";
  const values = { labels: names(found ?? []), share: Math.round(1000 * (1 - model.conformal_alpha)) / 10 };
  return section("set", h("p", { class: found === null ? "quiet" : null }, t(key, values)));
}

function downloads(film, act) {
  const button = (what) => {
    const attributes = { type: "button", id: `download-${what}`, onclick: () => act.download(what) };
    return h("button", attributes, t(`download_${what}`));
  };
  const group = (name, ...buttons) => {
    const attributes = { class: "row", role: "group", "aria-label": t(name) };
    return h("div", attributes, h("span", { class: "quiet" }, t(name)), ...buttons);
  };
  const image = film.has_heatmap && group("download_image", button("png"), button("pdf"));
  return section("downloads", image, group("download_all", button("csv"), button("json")));
}
