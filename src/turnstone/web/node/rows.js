// @ts-check
/**
 * Rows of the list of conversations: what each is called, which of them a filter leaves, and which
 * have something new. No requests, no markup.
 */

import { effect, signal } from "../shared/html.js";
import { current, listed, workstreams } from "./model.js";

/** @typedef {import("./model.js").Row} Row */

/** Names that the node gave. What the conversation is about says more. */
const MADE_UP = /^ws-[0-9a-f]{4}$/;

/** @param {{name?: string, title?: string | null, alias?: string | null, id?: string, ws_id?: string}} row */
export function shownName(row) {
  const { name = "", title, alias } = row;
  if (alias) return alias;
  if (title && (!name || MADE_UP.test(name))) return title;
  return name || title || row.id || row.ws_id || "";
}

/** What stands under the name: what it does, else what it is about. @param {Row} row */
export function underName(row) {
  const shown = shownName(row);
  return row.activity || [row.title, row.name].find((text) => text && text !== shown) || "";
}

/**
 * The newest first; those in which every word occurs.
 * @param {Row[]} rows @param {string} query
 */
export function filtered(rows, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = rows.filter((row) => {
    const text = [row.name, row.title, row.alias, row.id, row.activity].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return kept.reverse();
}

const AT_WORK = new Set(["thinking", "running", "attention"]);

/** @param {Row} row */
export function atWork(row) {
  return AT_WORK.has(row.state);
}

const KEY = "turnstone-unread";

/** @type {{unread: string[], newest: number}} `newest`: of all that this browser has seen; -1: it was never here */
const kept = read();

/** Conversations in which something has ended since they were last looked at. */
export const unread = signal(/** @type {ReadonlySet<string>} */ (new Set(kept.unread)));

/** Begins to note what is new; call once. Gives how to end it. */
export function watchUnread() {
  /** @type {Map<string, boolean> | null} whether each was at work; null before the first list */
  let before = null;
  return effect(() => {
    if (!listed.value) return;
    const rows = workstreams.value;
    const now = new Set([...unread.peek()].filter((id) => rows.some((row) => row.id === id)));
    for (const row of rows) {
      const worked = before ? before.get(row.id) : kept.newest >= 0 && (row.updated ?? 0) > kept.newest;
      if (worked && !atWork(row)) now.add(row.id);
    }
    if (!document.hidden) now.delete(current.value);
    before = new Map(rows.map((row) => [row.id, atWork(row)]));
    keep(now, rows);
  });
}

/** It was looked at. @param {string} id */
export function seen(id) {
  if (!unread.peek().has(id)) return;
  keep(new Set([...unread.peek()].filter((each) => each !== id)), workstreams.peek());
}

/** @param {Set<string>} ids @param {Row[]} rows */
function keep(ids, rows) {
  kept.newest = rows.reduce((most, row) => Math.max(most, row.updated ?? 0), kept.newest);
  const same = ids.size === unread.peek().size && [...ids].every((id) => unread.peek().has(id));
  if (!same) unread.value = ids;
  localStorage.setItem(KEY, JSON.stringify({ unread: [...ids], newest: kept.newest }));
}

/** A browser that was never here has seen all there is. */
function read() {
  const none = { unread: [], newest: -1 };
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return Array.isArray(found?.unread) && typeof found.newest === "number" ? found : none;
  } catch {
    return none;
  }
}
