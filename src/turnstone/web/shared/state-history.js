// @ts-check
/** A view from the snapshot of a conversation, in the form that the live events give it. Pure. */

import { attached } from "./state.js";
import { answerBlocks, ending, isOver, toolPlace } from "./state-turn.js";

/** @typedef {import("./state.js").View} View */

/** @param {View} view @param {any} event `history` @returns {View} */
export function fromHistory(view, { messages }) {
  // One list that grows: a copy for each message would cost the square of their number.
  /** @type {any[]} */
  const blocks = [];
  const put = (/** @type {any} */ block) => blocks.push({ ...block, key: `b${view.made + blocks.length}` });
  for (const message of messages ?? []) {
    const shown = message.shown ?? {};
    if (message.role === "user") put(fromPerson(message, shown));
    else if (message.role === "assistant") fromModel(message, shown).forEach(put);
    else changeTool(blocks, message.tool_call_id, fromTool(message, shown));
    if (shown.compacted) put({ kind: "compaction" });
    if (shown.outcome && !isOver(blocks)) put(ending(shown.outcome, shown.reason, shown.worked));
  }
  return { ...view, blocks, made: view.made + blocks.length };
}

/** @param {any} message @param {any} shown */
function fromPerson(message, shown) {
  return {
    kind: "message",
    correlationId: message.correlation_id ?? "",
    text: message.content ?? "",
    sender: shown.sender ?? "",
    at: message.timestamp ?? 0,
    steered: shown.steered ?? false,
    attachments: attached(shown.attachments),
  };
}

/** @param {any} message @param {any} shown */
function fromModel(message, shown) {
  return answerBlocks(message.content ?? "", message.tool_calls ?? [], {
    reasoning: shown.reasoning ?? "",
    step: shown.step ?? 0,
    model: shown.model ?? "",
    at: message.timestamp ?? 0,
  });
}

/** @param {any[]} blocks @param {string} callId @param {any} change */
function changeTool(blocks, callId, change) {
  const place = toolPlace(blocks, callId);
  if (place >= 0) blocks[place] = { ...blocks[place], ...change };
}

/** @param {any} message @param {any} shown */
function fromTool(message, shown) {
  return {
    header: shown.header ?? "",
    preview: shown.preview ?? "",
    output: message.content ?? "",
    said: message.said ?? "",
    status: message.status || "ok",
    seconds: shown.seconds ?? 0,
  };
}
