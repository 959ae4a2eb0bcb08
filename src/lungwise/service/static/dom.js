// Elements. Everything that comes from files or models enters the page as a text node; nothing here reads HTML.

/** The first element that fits a CSS selector. */
export const $ = (selector, within = document) => within.querySelector(selector);

/**
 * A new element.
 * @param {string} tag
 * @param {Object} attributes names to values; "on…" are listeners; null, undefined and false leave the attribute out.
 * @param {...(Node|string|null)} children strings become text nodes.
 */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Whether the list and the viewer take turns on a narrow screen. */
export const narrow = () => matchMedia("(max-width: 56rem)").matches;

/** Say something to those who hear the page. */
export function say(sentence) {
  $("#live").textContent = sentence;
}

/** Wait. @param {number} seconds */
export const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** Hand a file to the browser's downloads. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
