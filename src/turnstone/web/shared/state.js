// @ts-check
/**
 * A workstream as a page shows it: a fold of its events, one after another. Pure: no clock, no
 * requests, no markup. The same events give the same view; what did not change is the same object.
 *
 * A piece of streamed text costs the same however long the conversation is: it changes `live`
 * alone. What was finished is in `blocks`, which get their last form when it is finished.
 */

import { fromHistory } from "./state-history.js";
import { answered, asked, planAnswered, planAsked } from "./state-questions.js";
import {
  finishTool, proposed, startTool, printed, stepFinished, turnEnded, withNotice,
} from "./state-turn.js";

/** @typedef {{type: string, ws_id?: string, id?: string, correlation_id?: string,
 *   timestamp?: number} & Record<string, any>} Envelope */

/**
 * @typedef {{name: string, mediaType: string, size: number, image: string, text: string}} Attached
 *   a file of a message: an image, by the name under which it is kept, or a text
 * @typedef {{kind: "message", key: string, correlationId: string, text: string, sender: string,
 *   at: number, steered: boolean, attachments: readonly Attached[]}} MessageBlock what a person said; without an id where it was said
 *   with an approval, or comes from another conversation
 * @typedef {{kind: "answer", key: string, text: string, reasoning: string, step: number,
 *   model: string, at: number}} AnswerBlock
 * @typedef {{kind: "tool", key: string, callId: string, name: string, header: string,
 *   preview: string, arguments: string, output: string, said: string,
 *   status: "waiting" | "running" | "ok" | "error" | "invalid" | "denied" | "expired" |
 *     "cancelled" | "unknown",
 *   started: number, seconds: number, effect: string}} ToolBlock `started` in Unix seconds
 * @typedef {{kind: "compaction", key: string}} CompactionBlock
 * @typedef {{kind: "notice", key: string, level: "info" | "error", text: string,
 *   code: string}} NoticeBlock
 * @typedef {{kind: "ending", key: string, outcome: string, reason: string,
 *   seconds: number}} EndingBlock
 * @typedef {MessageBlock | AnswerBlock | ToolBlock | CompactionBlock | NoticeBlock |
 *   EndingBlock} Block
 */

/**
 * @typedef {{text: string, dropped: number}} Printed what a call has printed so far; of much, the
 *   end, and how many characters before it are not kept
 * @typedef {{requestId: string, items: any[], argsHash: string, origin: any,
 *   correlationId: string, at: number, answer: any}} Question `answer`: the event, once there is one
 * @typedef {{requestId: string, callId: string, content: string, path: string, origin: any,
 *   correlationId: string, at: number, answer: any}} Plan
 * @typedef {{wsId: string, name: string, agent: string, state: string, activity: string}} Agent
 */

/**
 * @typedef {object} View
 * @property {string} wsId
 * @property {string} name
 * @property {string} title
 * @property {string} model
 * @property {string} state `idle`, `thinking`, `running`, `attention`, `error`
 * @property {string} activity
 * @property {boolean} closed
 * @property {boolean} skipPermissions
 * @property {string} cursor the id of the last event
 * @property {string} turn the correlation id of the turn in progress; empty: there is none
 * @property {readonly Block[]} blocks
 * @property {{reasoning: string, text: string, tools: ReadonlyMap<string, Printed>}} live
 * @property {readonly Question[]} questions that wait, or were answered in this turn
 * @property {readonly Plan[]} plans
 * @property {any} status the last `status` event: tokens, window, what is left of the budget
 * @property {any} budget the last budget that was set
 * @property {readonly {correlationId: string, text: string, sender: string, at: number,
 *   steered: boolean, attachments: readonly Attached[]}[]} queued accepted, no turn has them yet
 * @property {ReadonlyMap<string, Agent>} agents the sub-agents, by the call that made each
 * @property {string} tainted what it read from outside first
 * @property {readonly string[]} feedback said with an approval; the model reads it next
 * @property {number} made how many keys were given out
 * @property {boolean} stale events were missed: a snapshot follows
 */

/** @type {ReadonlyMap<string, any>} */
const NONE = new Map();

export const STILL = Object.freeze({ reasoning: "", text: "", tools: NONE });

/** @param {string} wsId @returns {View} */
export function emptyView(wsId) {
  return {
    wsId, name: "", title: "", model: "", state: "idle", activity: "", closed: false,
    skipPermissions: false, cursor: "", turn: "", blocks: [], live: STILL, questions: [], plans: [],
    status: null, budget: null, queued: [], agents: NONE, tainted: "", feedback: [], made: 0,
    stale: false,
  };
}

/**
 * The view after this event. Events of a type that is not known change nothing but the cursor.
 * @param {View} view @param {Envelope} event @returns {View}
 */
export function reduce(view, event) {
  const step = STEPS[event.event ?? event.type];
  const next = step ? step(view, event) : view;
  return event.id && event.id !== next.cursor ? { ...next, cursor: event.id } : next;
}

/** @type {Record<string, (view: View, event: Envelope) => View>} */
const STEPS = {
  // @ts-ignore: no name that all objects have is the name of a step
  __proto__: null,
  connected: (view, event) => ({
    ...emptyView(view.wsId),
    title: view.title,
    status: view.status,
    budget: view.budget,
    made: view.made,
    name: event.name ?? "",
    model: event.model ?? "",
    state: event.state ?? "idle",
    skipPermissions: event.skip_permissions ?? false,
  }),
  truncated: (view) => ({ ...view, stale: true }),
  clear_ui: (view) => ({ ...view, blocks: [], live: STILL }),
  history: (view, event) => fromHistory({ ...view, live: STILL, stale: false }, event),

  message_accepted: queue,
  step_started: stepStarted,
  content: (view, { text }) => ({ ...view, live: { ...view.live, text: view.live.text + text } }),
  reasoning: (view, { text }) => ({
    ...view,
    live: { ...view.live, reasoning: view.live.reasoning + text },
  }),
  stream_reset: (view) => ({ ...view, live: { ...view.live, text: "", reasoning: "" } }),
  step_failed: (view) => ({ ...view, live: { ...view.live, text: "", reasoning: "" } }),
  step_finished: stepFinished,
  approval_asked: (view, event) => asked(proposed(view, event.items ?? [], event.origin), event),
  approval_answered: answered,
  calls_decided: (view) => ({ ...view, state: "running" }),
  plan_asked: planAsked,
  plan_answered: planAnswered,
  tool_started: startTool,
  tool_output: printed,
  tool_finished: finishTool,
  turn_ended: (view, event) => (event.begun === false ? unqueue(view, event) : turnEnded(view, event)),

  status: (view, event) => ({ ...view, status: event }),
  budget_set: (view, event) => ({ ...view, budget: event.budget }),
  settings_changed: (view, { model }) => (model ? { ...view, model } : view),
  titled: (view, { title }) => ({ ...view, title: title ?? "" }),
  tainted: (view, { source }) => (view.tainted ? view : { ...view, tainted: source ?? "" }),
  ws_rename: (view, { name }) => ({ ...view, name: name ?? "" }),
  ws_closed: (view) => ({ ...view, closed: true, state: "idle", activity: "" }),
  ws_reopened: (view) => ({ ...view, closed: false }),
  ws_state: (view, { state, activity }) => ({
    ...view,
    state: state ?? view.state,
    activity: activity ?? view.activity,
  }),
  compacted: (view, { archived }) => (archived ? add(view, { kind: "compaction" }) : view),
  agent_progress: agentProgress,
  info: (view, { message }) => withNotice(view, "info", message),
  error: (view, { message, code }) => withNotice(view, "error", message, code),
  busy_error: (view, { message }) => withNotice(view, "error", message),
};

/**
 * The view with one more block, which gets its key here.
 * @param {View} view @param {any} block @returns {View}
 */
export function add(view, block) {
  const key = `b${view.made}`;
  return { ...view, made: view.made + 1, blocks: [...view.blocks, { ...block, key }] };
}

/** @param {View} view @param {Envelope} event @returns {View} */
function queue(view, event) {
  const correlationId = event.correlation_id ?? "";
  if (view.queued.some((each) => each.correlationId === correlationId)) return view;
  const message = {
    correlationId,
    text: event.message ?? "",
    sender: event.sender ?? "",
    at: event.timestamp ?? 0,
    steered: event.steer ?? false,
    attachments: attached(event.attachments),
  };
  return { ...view, queued: [...view.queued, message] };
}

/**
 * A queued message enters the conversation: what was sent while a turn ran comes after that turn.
 * @param {View} view @param {string} correlationId @returns {View}
 */
export function heard(view, correlationId) {
  const message = view.queued.find((each) => each.correlationId === correlationId);
  if (!message) return view;
  return add(unqueue(view, { type: "", correlation_id: correlationId }), { kind: "message", ...message });
}

/** @param {View} view @param {Envelope} event @returns {View} */
function unqueue(view, { correlation_id }) {
  const queued = view.queued.filter((each) => each.correlationId !== correlation_id);
  return queued.length === view.queued.length ? view : { ...view, queued };
}

/** @param {View} view @param {Envelope} event @returns {View} */
function stepStarted(view, event) {
  const turn = event.correlation_id ?? "";
  let next = heard(view, turn);
  for (const text of next.feedback) next = add(next, remark(text));
  for (const steered of event.steered ?? []) next = heard(next, steered);
  return {
    ...next,
    turn,
    model: event.model || next.model,
    state: "thinking",
    activity: "",
    feedback: next.feedback.length ? [] : next.feedback,
    live: { ...next.live, text: "", reasoning: "" },
  };
}

/** What was said with an approval, as the model reads it. @param {string} text */
function remark(text) {
  return { kind: "message", correlationId: "", text, sender: "", at: 0, steered: false, attachments: [] };
}

/** Files of a message, as events and snapshots name them. @param {any} files @returns {Attached[]} */
export function attached(files) {
  return (files ?? []).map((/** @type {any} */ file) => ({
    name: file.name ?? "",
    mediaType: file.media_type ?? "",
    size: file.size ?? 0,
    image: file.image ?? "",
    text: file.text ?? "",
  }));
}

/** @param {View} view @param {Envelope} event @returns {View} */
function agentProgress(view, { call_id, origin, state, activity }) {
  const agent = {
    wsId: origin?.ws_id ?? "",
    name: origin?.name ?? "",
    agent: origin?.agent ?? "",
    state: state ?? "idle",
    activity: activity ?? "",
  };
  return { ...view, agents: new Map(view.agents).set(call_id ?? "", agent) };
}
