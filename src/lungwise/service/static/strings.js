// The page's English, and how numbers are written. The text itself is in strings.json, which the template reads too.
import { root } from "./root.js";

const text = await (await fetch(`${root}/static/strings.json`)).json();
const plural = new Intl.PluralRules("en");
const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const third = new Intl.NumberFormat(undefined, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const list = new Intl.ListFormat("en", { type: "conjunction" });

/**
 * A sentence of the page.
 * @param {string} key one of strings.json.
 * @param {Object} values what stands for {name}; "count" also chooses between "one|more".
 */
export function t(key, values = {}) {
  const forms = text[key].split("|");
  const form = forms.length > 1 && plural.select(values.count) !== "one" ? forms[1] : forms[0];
  return form.replaceAll(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? number.format(value) : String(value ?? whole);
  });
}

/** Whether there is such a sentence. */
export const has = (key) => Object.hasOwn(text, key);

/** A probability. It never reads 0 % or 100 %: no answer is that sure. */
export function share(value) {
  if (value > 0.999) return `>${percent.format(0.999)}`;
  if (value < 0.001) return `<${percent.format(0.001)}`;
  return percent.format(value);
}

/** A figure between 0 and 1 with three places. */
export const figure = (value) => third.format(value);

/** Names in a sentence: "A, B, and C". */
export const names = (some) => list.format(some);

/** A time of day. */
export const clock = (date) => date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
