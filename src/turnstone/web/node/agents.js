// @ts-check
/**
 * Sub-agents of the conversations whose list is open, by the workstream above each. They stand in
 * no list but that of their parent, and are asked for only where they are shown.
 */

import { api } from "../shared/api.js";
import { signal } from "../shared/html.js";
import { told } from "../shared/toast.js";

/** @typedef {import("./model.js").Row} Row */

/** The sub-agents that were read, by the id of the workstream above. */
export const agents = signal(/** @type {ReadonlyMap<string, Row[]>} */ (new Map()));

/** Workstreams whose sub-agents are shown. */
export const unfolded = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @param {string} id @param {boolean} open */
export async function unfold(id, open) {
  const now = new Set(unfolded.value);
  if (open) now.add(id);
  else now.delete(id);
  unfolded.value = now;
  if (open) await readAgents(id);
}

/** Reads the sub-agents of a workstream anew. @param {string} id */
export async function readAgents(id) {
  const answer = await told(api.get("/api/workstreams", { parent: id }));
  if (answer) agents.value = new Map(agents.value).set(id, answer.workstreams);
}

/** What was read of a sub-agent. @param {string} id */
export function agentRow(id) {
  return [...agents.value.values()].flat().find((row) => row.id === id);
}

/** The ids of all above a sub-agent that was read, the nearest first. @param {string} id */
export function above(id) {
  /** @type {string[]} */
  const found = [];
  let at = id;
  for (;;) {
    const parent = [...agents.value].find(([, rows]) => rows.some((row) => row.id === at))?.[0];
    if (!parent || found.includes(parent)) return found;
    found.push(parent);
    at = parent;
  }
}
