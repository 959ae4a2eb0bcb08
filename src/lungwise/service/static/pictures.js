// Pictures of films, fetched with the token and kept while they are likely to be seen again.
import { blob } from "./api.js";
import { within } from "./workspace.js";

const KEPT = 8;

/** The last few results of an asynchronous function, by key. */
class Recent {
  constructor(make, drop = () => {}) {
    this.make = make;
    this.drop = drop;
    this.kept = new Map();
  }

  get(key, ...rest) {
    const found = this.kept.get(key) ?? this.make(...rest);
    this.kept.delete(key);
    this.kept.set(key, found);
    found.catch(() => this.kept.delete(key)); // a failure is not kept
    for (const old of [...this.kept.keys()].slice(0, -KEPT)) this.forget(old);
    return found;
  }

  forget(key) {
    this.kept.get(key)?.then(this.drop, () => {});
    this.kept.delete(key);
  }

  clear() {
    [...this.kept.keys()].forEach((key) => this.forget(key));
  }
}

const fetched = (path) => within(path, (place) => blob(place));
// Grey values are shown as they were sent, whatever the screen's colour profile says.
const bitmap = async (path) => createImageBitmap(await fetched(path), { colorSpaceConversion: "none" });

// Bitmaps are left to the garbage collector: one that is still on a canvas must not be closed under it.
const films = new Recent((film) => bitmap(`/images/${film.id}/pixels.png`));
const layers = new Recent((film, label) => bitmap(`/images/${film.id}/heat.png?label=${encodeURIComponent(label)}`));

/** The film as it was read. */
export const pixels = (film) => films.get(film.id, film);

/** The heat map of a class, to be laid over the film. */
export const heat = (film, label) => layers.get(`${film.id} ${label}`, film, label);

/** Give a film's small picture to its row. */
export async function thumbnail(film) {
  if (film.result.status === "error" || !film.width) return;
  const address = URL.createObjectURL(await fetched(`/images/${film.id}/thumbnail.png`));
  film.address = address;
  if (film.thumbnail) film.thumbnail.src = address;
}

/** Forget the pictures of a film. */
export function forget(film) {
  films.forget(film.id);
  [...layers.kept.keys()].filter((key) => key.startsWith(`${film.id} `)).forEach((key) => layers.forget(key));
  if (film.address) URL.revokeObjectURL(film.address);
}

/** Forget all pictures. */
export function clear() {
  films.clear();
  layers.clear();
}
