// @ts-check
/** A view from the snapshot of a conversation, in the form that the live events give it. Pure. */

import { add } from "./state.js";
import { changeTool, withAnswer, withEnding } from "./state-turn.js";

/** @typedef {import("./state.js").View} View */

/** @param {View} view @param {any} event `history` @returns {View} */
export function fromHistory(view, { messages }) {
  /** @type {View & {blocks: import("./state.js").Block[]}} */
  let next = { ...view, blocks: [] };
  for (const message of messages ?? []) next = /** @type {any} */ (said(next, message));
  return next;
}

/** @param {View} view @param {any} message @returns {View} */
function said(view, message) {
  const shown = message.shown ?? {};
  let next = view;
  if (message.role === "user") next = add(next, fromPerson(message, shown));
  else if (message.role === "assistant") next = fromModel(next, message, shown);
  else next = fromTool(next, message, shown);
  if (shown.compacted) next = add(next, { kind: "compaction" });
  if (shown.outcome) next = withEnding(next, shown.outcome, shown.reason, shown.worked);
  return next;
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
  };
}

/** @param {View} view @param {any} message @param {any} shown @returns {View} */
function fromModel(view, message, shown) {
  return withAnswer(view, message.content ?? "", message.tool_calls ?? [], {
    reasoning: shown.reasoning ?? "",
    step: shown.step ?? 0,
    model: shown.model ?? "",
    at: message.timestamp ?? 0,
  });
}

/** @param {View} view @param {any} message @param {any} shown @returns {View} */
function fromTool(view, message, shown) {
  return changeTool(view, message.tool_call_id, () => ({
    header: shown.header ?? "",
    preview: shown.preview ?? "",
    output: message.content ?? "",
    said: message.said ?? "",
    status: message.status || "ok",
    seconds: shown.seconds ?? 0,
  }));
}
