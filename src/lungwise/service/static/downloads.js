// Files to take along. They are fetched with the token, then handed to the browser.
import { blob } from "./api.js";
import { save, say } from "./dom.js";
import { t } from "./strings.js";
import { within } from "./workspace.js";

/** @param {string} what png, pdf, csv or json @param {Object} film @param {string|null} label whose heat map is drawn. */
export async function download(what, film, label) {
  const wanted = label ? `?label=${encodeURIComponent(label)}` : "";
  const of = {
    png: [`/images/${film.id}/annotated.png${wanted}`, `${stem(film.name)}-annotated.png`],
    pdf: [`/images/${film.id}/report.pdf${wanted}`, `${stem(film.name)}-report.pdf`],
    csv: ["/results.csv", "lungwise-answers.csv"],
    json: ["/results.json", "lungwise-answers.json"],
  };
  const [path, name] = of[what];
  save(await within(path, (place) => blob(place)), name);
  say(t("download_done", { name }));
}

/** A file's name without its ending and without what systems do not allow in names. */
const stem = (name) => name.replace(/\.[^.]*$/, "").replaceAll(/[^\p{L}\p{N}._ -]+/gu, "_").slice(0, 80) || "image";
