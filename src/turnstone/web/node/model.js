// @ts-check
/**
 * What the page of a node knows: signals that its parts read and write. No requests, no markup.
 */

import { computed, signal } from "../shared/html.js";

/** @typedef {import("../shared/state.js").View} View */

/**
 * A row of `GET /api/workstreams`, kept up to date by the stream of all.
 * @typedef {{id: string, name: string, state: string, title?: string, parent?: string,
 *   activity?: string, tokens?: number, context_ratio?: number} & Record<string, any>} Row
 */

/** Open workstreams by creation. */
export const workstreams = signal(/** @type {Row[]} */ ([]));

/** Whether they were listed since the page was opened. */
export const listed = signal(false);

/** The part of the address behind `#`: `["ws", "<id>"]`, `["memory"]`. */
export const route = signal(/** @type {string[]} */ (routeNow()));

/** The workstream that is shown; empty on other pages. */
export const current = computed(() => (route.value[0] === "ws" ? (route.value[1] ?? "") : ""));

/** What was read of each followed workstream, by id. A view is replaced, never changed. */
export const views = signal(/** @type {ReadonlyMap<string, View>} */ (new Map()));

/** Whether the list is open on a narrow screen. A wide one always shows it. */
export const listShown = signal(false);

/** Who this browser is for the node: `read`, `approve` or `full`. */
export const role = signal("full");

/** What the node says of itself in `GET /health`. */
export const node = signal(/** @type {Record<string, any>} */ ({}));

const KEY = "turnstone-prefs";

/** Choices of this browser, kept in its local storage. */
export const prefs = signal({ notify: false, sound: false, ...kept() });


/** @param {Partial<typeof prefs.value>} changed */
export function setPrefs(changed) {
  prefs.value = { ...prefs.value, ...changed };
  localStorage.setItem(KEY, JSON.stringify(prefs.value));
}

/** Goes to a page: `go("ws", id)`. @param {...string} parts */
export function go(...parts) {
  location.hash = `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** The address of a page, for a link. @param {...string} parts */
export function address(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** What the address says now. @returns {string[]} */
export function routeNow() {
  return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}
