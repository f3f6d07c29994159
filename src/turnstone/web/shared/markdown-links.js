// @ts-check
/**
 * Links whose addresses stand elsewhere in a text, `[words][name]` with `[name]: address`: blocks
 * are drawn one by one, often before the address has come. Pure.
 */

/** What stands in brackets, as a name that may be defined. */
const NAMED = /\[([^[\]]{1,200})\]/g;

/** @template T what stands for a block */
export class References {
  constructor() {
    /** @type {Record<string, any>} the addresses by name; the reader of Markdown adds to them */
    this.links = Object.create(null);
    /** @type {Map<string, Set<T>>} blocks by the names that they use, and nobody has defined */
    this.open = new Map();
  }

  /** The addresses so far, for a text that is not whole: what it defines does not count yet. */
  sofar() {
    return Object.assign(Object.create(null), this.links);
  }

  /** A block has been drawn with what was known. @param {T} block @param {string} raw */
  drawn(block, raw) {
    for (const [, written] of raw.matchAll(NAMED)) {
      const name = named(written);
      if (name in this.links) continue;
      const blocks = this.open.get(name) ?? new Set();
      this.open.set(name, blocks.add(block));
    }
  }

  /** The blocks that have waited for this name. @param {string} name @returns {Iterable<T>} */
  defined(name) {
    const blocks = this.open.get(named(name)) ?? [];
    this.open.delete(named(name));
    return blocks;
  }
}

/** As Markdown compares names. @param {string} written */
function named(written) {
  return written.replace(/\s+/g, " ").toLowerCase();
}
