// The model card, which comes as HTML: only known elements are taken over, without attributes, so that nothing in it can act.

const KNOWN = new Set("h1 h2 h3 h4 p ul ol li strong em code pre blockquote hr br table thead tbody tr th td".split(" "));

/** A fragment of safe elements. @param {string} html */
export function safe(html) {
  const made = document.createDocumentFragment();
  copy(new DOMParser().parseFromString(html, "text/html").body, made); // runs no script and loads nothing
  return made;
}

function copy(from, to) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const name = node.tagName.toLowerCase();
    if (!KNOWN.has(name)) {
      copy(node, to); // a link is then its text
      continue;
    }
    const made = document.createElement(/^h[1-4]$/.test(name) ? `h${Math.min(6, Number(name[1]) + 2)}` : name);
    copy(node, made);
    to.append(made);
  }
}
