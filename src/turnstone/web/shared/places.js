// @ts-check
/**
 * Up to where each followed workstream was read, so that a page that comes back asks for what it
 * has not seen, and for no more. Pure.
 *
 * The node says it with its frames: the id of each is a place in all that is followed. It counts
 * a snapshot only once it is over.
 */

/** How a place in the events of all workstreams is named. */
const EVERYTHING = "*";

export class Places {
  constructor() {
    /** @type {Map<string, string>} by workstream; empty: from its snapshot on */
    this.known = new Map();
    this.everything = "";
  }

  /** Follows exactly these; whether that is another set than before. @param {Iterable<string>} ids */
  follow(ids) {
    const wanted = [...ids];
    const same = wanted.length === this.known.size && wanted.every((id) => this.known.has(id));
    this.known = new Map(wanted.map((id) => [id, this.known.get(id) ?? ""]));
    return !same;
  }

  /** What the id of a frame says: `A@12-3,*@4-0`. @param {string} told */
  saw(told) {
    for (const part of told.split(",")) {
      const at = part.lastIndexOf("@");
      const [name, place] = [part.slice(0, at), part.slice(at + 1)];
      if (name === EVERYTHING) this.everything = place;
      else if (this.known.has(name)) this.known.set(name, place);
    }
  }

  /** Reads this one from its snapshot on. @param {string} id */
  forget(id) {
    if (this.known.has(id)) this.known.set(id, "");
  }

  /** The address of the events from here on. */
  address() {
    const query = new URLSearchParams({ global: this.everything ? `1@${this.everything}` : "1" });
    for (const [id, place] of this.known) query.append("ws", place ? `${id}@${place}` : id);
    return `/api/events?${query}`;
  }
}
