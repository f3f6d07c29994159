// @ts-check
/** What the records of a turn do to a view: its answers, its tool calls, its ending. Pure. */

import { add, heard, STILL } from "./state.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Envelope} Envelope */
/** @typedef {import("./state.js").ToolBlock} ToolBlock */

/** Characters of a running call's output that are kept: its end, which is what one looks at. */
const MOST_PRINTED = 200_000;

/** @param {View} view @param {Envelope} event @returns {View} */
export function stepFinished(view, event) {
  let next = heard(view, event.correlation_id ?? "");
  const calls = event.tool_calls ?? [];
  const text = event.text ?? "";
  if (text || calls.length) {
    const shown = { reasoning: event.reasoning ?? "", step: event.step ?? 0, model: event.model ?? "" };
    next = answerBlocks(text, calls, { ...shown, at: event.timestamp ?? 0 }).reduce(add, next);
  }
  return { ...next, live: STILL };
}

/**
 * The model's answer, and a card for each call in it, in the order in which it called.
 * @param {string} text @param {any[]} calls
 * @param {{reasoning: string, step: number, model: string, at: number}} shown @returns {any[]}
 */
export function answerBlocks(text, calls, shown) {
  const answer = text || shown.reasoning ? [{ kind: "answer", text, ...shown }] : [];
  return [...answer, ...calls.map(waitingTool)];
}

/** @param {any} call */
function waitingTool(call) {
  return {
    kind: "tool", callId: call.id ?? "", name: call.name ?? "", header: "", preview: "",
    arguments: call.arguments ?? "", output: "", said: "", status: "waiting", started: 0,
    seconds: 0, effect: "",
  };
}

/**
 * What a person is asked about is known of the calls too. Of a sub-agent's it is not: those are
 * calls of another workstream.
 * @param {View} view @param {any[]} items @param {any} origin @returns {View}
 */
export function proposed(view, items, origin) {
  if (origin) return view;
  return items.reduce((next, item) => changeTool(next, item.call_id, () => told(item)), view);
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function startTool(view, event) {
  const next = changeTool(view, event.call_id, () => ({
    ...(event.item ? told(event.item) : {}),
    status: "running",
    started: event.timestamp ?? 0,
    effect: event.effect ?? "",
  }));
  return { ...next, state: "running", activity: event.item?.header ?? event.name ?? "" };
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function printed(view, { call_id, text }) {
  const before = view.live.tools.get(call_id) ?? { text: "", dropped: 0 };
  const whole = before.text + (text ?? "");
  const over = whole.length > 2 * MOST_PRINTED ? whole.length - MOST_PRINTED : 0;
  const now = { text: over ? whole.slice(over) : whole, dropped: before.dropped + over };
  return { ...view, live: { ...view.live, tools: new Map(view.live.tools).set(call_id, now) } };
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function finishTool(view, event) {
  const next = changeTool(view, event.call_id, (tool) => ({
    status: event.status ?? "ok",
    output: event.output ?? "",
    said: tool.said,
    seconds: tool.started ? Math.max(0, (event.timestamp ?? 0) - tool.started) : 0,
  }));
  if (!next.live.tools.has(event.call_id)) return next;
  const tools = new Map(next.live.tools);
  tools.delete(event.call_id);
  return { ...next, live: { ...next.live, tools } };
}

/**
 * The place of the newest card of this call, else -1: models that number their calls begin anew
 * in each answer.
 * @param {readonly import("./state.js").Block[]} blocks @param {string} callId
 */
export function toolPlace(blocks, callId) {
  return blocks.findLastIndex((each) => each.kind === "tool" && each.callId === callId);
}

/**
 * Changes the newest card of this call.
 * @param {View} view @param {string} callId
 * @param {(tool: ToolBlock) => Partial<ToolBlock>} change @returns {View}
 */
export function changeTool(view, callId, change) {
  const place = toolPlace(view.blocks, callId);
  if (place < 0) return view;
  const tool = /** @type {ToolBlock} */ (view.blocks[place]);
  return { ...view, blocks: view.blocks.with(place, { ...tool, ...change(tool) }) };
}

/** @param {any} item */
function told(item) {
  return { header: item.header ?? "", preview: item.preview ?? "" };
}

/**
 * A message that was steered into a turn ends with it, and shows no ending of its own.
 * @param {View} view @param {Envelope} event @returns {View}
 */
export function turnEnded(view, event) {
  if (event.turn) return view;
  const over = heard(view, event.correlation_id ?? "");
  const next = isOver(over.blocks) ? over : add(over, ending(event.outcome, event.reason, event.seconds));
  return {
    ...next,
    turn: "",
    state: event.outcome === "failed" ? "error" : "idle",
    activity: "",
    live: STILL,
    feedback: next.feedback.length ? [] : next.feedback,
    questions: next.questions.length ? [] : next.questions, // nothing waits once its turn is over
    plans: next.plans.length ? [] : next.plans,
  };
}

/**
 * Whether the last turn has its ending: a snapshot tells it both in its history and behind it.
 * @param {readonly import("./state.js").Block[]} blocks
 */
export function isOver(blocks) {
  return blocks.at(-1)?.kind === "ending";
}

/** The block of an ending. @param {string} outcome @param {string} reason @param {number} seconds */
export function ending(outcome, reason = "", seconds = 0) {
  return { kind: "ending", outcome: outcome ?? "done", reason, seconds };
}

/** @param {View} view @param {"info" | "error"} level @param {string} text @param {string} code */
export function withNotice(view, level, text, code = "") {
  const last = view.blocks.at(-1);
  if (!text || (last?.kind === "notice" && last.text === text)) return view;
  return add(view, { kind: "notice", level, text, code });
}
