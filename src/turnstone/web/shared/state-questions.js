// @ts-check
/** What is asked of a person, and what was answered, in a view. Pure. */

import { changeTool } from "./state-turn.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Envelope} Envelope */

/** @param {View} view @param {Envelope} event @returns {View} */
export function asked(view, event) {
  const question = {
    ...common(event),
    items: event.items ?? [],
    argsHash: event.args_hash ?? "",
  };
  return { ...view, state: "attention", questions: put(view.questions, question) };
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function planAsked(view, event) {
  const plan = {
    ...common(event),
    callId: event.call_id ?? "",
    content: event.content ?? "",
    path: event.path ?? "",
  };
  return { ...view, state: "attention", plans: put(view.plans, plan) };
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function answered(view, event) {
  const question = view.questions.find((each) => each.requestId === event.request_id);
  const next = after({ ...view, questions: withAnswer(view.questions, event) });
  if (!question || question.answer || question.origin || !event.feedback || event.expired) return next;
  const asked = question.items.filter((item) => item.needs_approval).map((item) => item.call_id);
  const refused = event.approved ? (event.refused ?? []) : asked;
  if (!refused.length) return { ...next, feedback: [...next.feedback, event.feedback] };
  return refused.reduce(
    (/** @type {View} */ v, /** @type {string} */ id) => changeTool(v, id, () => ({ said: event.feedback })),
    next,
  );
}

/** @param {View} view @param {Envelope} event @returns {View} */
export function planAnswered(view, event) {
  const plan = view.plans.find((each) => each.requestId === event.request_id);
  const next = after({ ...view, plans: withAnswer(view.plans, event) });
  const remark = event.expired || event.feedback === "reject" ? "" : event.feedback;
  if (!plan || plan.answer || plan.origin || !remark) return next;
  return changeTool(next, plan.callId, () => ({ said: remark }));
}

/** What still waits for an answer. @param {View} view */
export function waiting(view) {
  return {
    questions: view.questions.filter((each) => !each.answer),
    plans: view.plans.filter((each) => !each.answer),
  };
}

/** @param {Envelope} event */
function common(event) {
  return {
    requestId: event.request_id ?? "",
    origin: event.origin ?? null,
    correlationId: event.correlation_id ?? "",
    at: event.timestamp ?? 0,
    answer: null,
  };
}

/** The same question again, in a snapshot, is not a second one.
 * @template {{requestId: string}} T
 * @param {readonly T[]} all @param {T} one @returns {readonly T[]}
 */
function put(all, one) {
  return [...all.filter((each) => each.requestId !== one.requestId), one];
}

/** The first answer counts.
 * @template {{requestId: string, answer: any}} T
 * @param {readonly T[]} all @param {Envelope} answer @returns {readonly T[]}
 */
function withAnswer(all, answer) {
  return all.map((each) =>
    each.requestId === answer.request_id && !each.answer ? { ...each, answer } : each,
  );
}

/** The state once something was answered. @param {View} view @returns {View} */
function after(view) {
  const left = waiting(view);
  return left.questions.length || left.plans.length ? view : { ...view, state: "running" };
}
