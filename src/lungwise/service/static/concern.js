// Which image to look at first. Pure: films in, order out.

export const KINDS = ["finding", "uncertain", "cannot", "error", "clear"];

/**
 * What a film is in the work list.
 * @param {Object} film as the service gives it.
 * @param {string[]} findings the classes that deserve to be looked at.
 * @returns {string[]} kinds, the most worrying first; an uncertain finding is both.
 */
export function kindsOf(film, findings) {
  const { status, decision, conformal_set: set } = film.result;
  if (status === "error") return ["error"];
  if (status !== "ok" || decision === null) return ["cannot"];
  const kinds = [];
  if (findings.includes(decision)) kinds.push("finding");
  if (set !== null && set.length !== 1) kinds.push("uncertain");
  return kinds.length ? kinds : ["clear"];
}

/** How worrying a film is within its kind: probability of any finding, else of its likeliest class. */
export const worry = (film) => film.concern ?? Math.max(0, ...Object.values(film.result.probabilities));

/** Films, the most worrying first; equal ones in the order in which they came. */
export function sorted(films, findings) {
  const place = (film) => KINDS.indexOf(kindsOf(film, findings)[0]);
  return [...films].sort((one, other) => place(one) - place(other) || worry(other) - worry(one));
}

/** Films of one kind ("all": of every kind) whose name, classes or reasons hold the text. */
export function chosen(films, findings, kind, text) {
  const wanted = text.trim().toLocaleLowerCase();
  return films.filter((film) => {
    const { decision, reasons, warnings } = film.result;
    const said = [film.name, decision ?? "", ...reasons, ...warnings].join("\n").toLocaleLowerCase();
    return (kind === "all" || kindsOf(film, findings).includes(kind)) && said.includes(wanted);
  });
}
