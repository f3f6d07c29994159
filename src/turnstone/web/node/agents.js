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

/** The tools that make sub-agents. */
const MAKERS = new Set(["task", "plan"]);

/** How it stands with calls that have made none. */
const NOTHING_RAN = new Set(["waiting", "denied", "invalid"]);

/**
 * The sub-agent of each call that made one, by the key of its card: as it was told live, or as it
 * was read later. Models give the same call id again, and then cards and sub-agents go by their
 * order; where there are not as many of the one as of the other, none is named.
 * @param {import("./model.js").View} view @param {readonly Row[]} rows
 * @returns {Map<string, import("../shared/state.js").Agent>}
 */
export function agentsOf(view, rows) {
  const found = new Map();
  const cards = makers(view);
  for (const callId of new Set(cards.map((card) => card.callId))) {
    const these = cards.filter((card) => card.callId === callId);
    const live = view.agents.get(callId);
    const made = rows.filter((row) => row.parent_call === callId);
    if (made.length === these.length) these.forEach((card, n) => found.set(card.key, asAgent(made[n], live)));
    else if (live) found.set(these[these.length - 1].key, live);
  }
  return found;
}

/** Whether the conversation shows calls whose sub-agents are not known. @param {import("./model.js").View} view */
export function lacksAgents(view) {
  return makers(view).some(({ callId }) => !view.agents.has(callId));
}

/** @param {import("./model.js").View} view */
function makers(view) {
  return view.blocks.filter(
    /** @returns {block is import("../shared/state.js").ToolBlock} */
    (block) => block.kind === "tool" && MAKERS.has(block.name) && !NOTHING_RAN.has(block.status),
  );
}

/** @param {Row} row @param {import("../shared/state.js").Agent | undefined} live */
function asAgent({ id, name, agent = "", state, activity = "" }, live) {
  return live?.wsId === id ? live : { wsId: id, name, agent, state, activity };
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
