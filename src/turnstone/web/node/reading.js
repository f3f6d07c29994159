// @ts-check
/**
 * Keeps the page's model up to date: the address, the list of workstreams, and the views of those
 * that are followed. Draws nothing.
 */

import { api, ApiError } from "../shared/api.js";
import { batch, effect } from "../shared/html.js";
import { emptyView, reduce } from "../shared/state.js";
import { Stream, stream } from "../shared/stream.js";
import { current, listed, node, role, route, routeNow, views, workstreams } from "./model.js";

/** @typedef {import("../shared/stream.js").Envelope} Envelope */

/** Workstreams that stay followed after another was chosen, so that going back is at once. */
const FOLLOWED = 4;

/** Rows of one page of the list. */
const PAGE = 200;

/** Events that tell something of a row of the list. */
const ROW_EVENTS = new Set(["ws_state", "ws_activity", "ws_rename", "titled"]);

/** Events behind which the list has other rows. */
const LIST_EVENTS = new Set(["ws_created", "ws_closed", "ws_reopened"]);

/** @type {string[]} the newest first */
let followed = [];

/**
 * Readings of the list that are underway, each with what was told of rows since it began: its
 * answer may be older, and events are not told again.
 * @type {Set<{number: number, told: Map<string, Partial<import("./model.js").Row>>}>}
 */
const readings = new Set();

/** How many readings were begun, and the latest of them that is shown. */
let begun = 0;
let shown = 0;

/** Begins to read; call once. */
export function start() {
  addEventListener("hashchange", () => (route.value = routeNow()));
  const reader = new Stream(take);
  stream.value = reader;
  effect(() => {
    const wsId = current.value;
    if (wsId) followed = [wsId, ...followed.filter((id) => id !== wsId)].slice(0, FOLLOWED);
    reader.follow(followed);
    forget(followed);
  });
  reader.onOpen = () => void relist();
  void relist();
}

/** Reads the list anew. Errors other than a lost connection or session are thrown. */
export async function relist() {
  const reading = { number: ++begun, told: new Map() };
  readings.add(reading);
  try {
    const rows = await allRows();
    const health = await api.get("/health");
    if (reading.number < shown) return; // a later one was answered earlier
    shown = reading.number;
    batch(() => {
      workstreams.value = rows.map((row) => ({ ...row, ...reading.told.get(row.id) }));
      listed.value = true;
      node.value = health;
      role.value = health.role ?? role.value;
    });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  } finally {
    readings.delete(reading);
  }
}

/** @returns {Promise<import("./model.js").Row[]>} */
async function allRows() {
  /** @type {import("./model.js").Row[]} */
  const rows = [];
  for (;;) {
    const after = rows.at(-1)?.id ?? "";
    const { workstreams: more } = await api.get("/api/workstreams", { limit: PAGE, after });
    rows.push(...more);
    if (more.length < PAGE) return rows;
  }
}

/** @param {Envelope[]} events */
function take(events) {
  /** @type {Map<string, import("./model.js").View>} */
  const changed = new Map();
  if (events.some((event) => LIST_EVENTS.has(event.type))) void relist();
  for (const event of events) {
    const wsId = event.ws_id ?? "";
    if (ROW_EVENTS.has(event.type)) changeRow(wsId, event);
    if (event.global || !followed.includes(wsId)) continue;
    changed.set(wsId, reduce(changed.get(wsId) ?? views.value.get(wsId) ?? emptyView(wsId), event));
  }
  if (changed.size) views.value = new Map([...views.value, ...changed]);
}

/** @param {string} wsId @param {Envelope} event */
function changeRow(wsId, event) {
  const { state, tokens, context_ratio, activity, name, title, queued } = event;
  const told = { state, tokens, context_ratio, activity, name, title, queued };
  const known = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
  for (const { told: later } of readings) later.set(wsId, { ...later.get(wsId), ...known });
  const place = workstreams.value.findIndex((row) => row.id === wsId);
  if (place < 0) return;
  workstreams.value = workstreams.value.with(place, { ...workstreams.value[place], ...known });
}

/** Views of what is not followed any more would only grow old. @param {string[]} ids */
function forget(ids) {
  const kept = [...views.peek()].filter(([id]) => ids.includes(id));
  if (kept.length < views.peek().size) views.value = new Map(kept);
}
