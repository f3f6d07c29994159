// @ts-check
/** How full the model's context is, how many tokens were used, and what is left of the budget. */

import { html } from "./html.js";
import { counted, number, visible } from "./text.js";

/** Part of the context from which on it counts as nearly full. */
const FULL = 0.8;

/**
 * @param {{view: import("./state.js").View | null, row?: any}} props `row` of the list: what is
 *   known before the first turn of this page has ended
 */
export function Meter({ view, row }) {
  const status = view?.status;
  const part = status?.context_window
    ? status.total_tokens / status.context_window
    : (row?.context_ratio ?? 0);
  const told = status?.context_window
    ? `${number(status.total_tokens)} of ${counted(status.context_window, "token")}`
    : `${Math.round(part * 100)} %`;
  const model = view?.model;
  return html`
    <div class="meter">
      ${model && html`<span class="meter-model dim" title="Model">${visible(model)}</span>`}
      ${part > 0 &&
      html`<label class=${part >= FULL ? "warn" : "dim"} title=${`Context: ${told}`}>
        context <meter min="0" max="1" high=${FULL} value=${Math.min(1, part)}>${told}</meter>
        ${Math.round(part * 100)} %
      </label>`}
      ${row?.tokens > 0 && html`<span class="meter-used dim" title="Tokens used in all">${counted(row.tokens, "token")}</span>`}
      <${Budget} budget=${view?.budget ?? row?.budget} left=${status?.left ?? row?.left} />
    </div>
  `;
}

const KINDS = [
  { kind: "tokens", word: "tokens", shown: number },
  { kind: "seconds", word: "s of work", shown: (/** @type {number} */ n) => number(Math.round(n)) },
  { kind: "tool_calls", word: "tool calls", shown: number },
  { kind: "money", word: "of money", shown: (/** @type {number} */ n) => n.toFixed(4) },
];

/** One bar for each kind that is limited. @param {{budget: any, left: any}} props */
function Budget({ budget, left }) {
  if (!left) return null;
  return KINDS.filter(({ kind }) => typeof left[kind] === "number").map(({ kind, word, shown }) => {
    const rest = Math.max(0, left[kind]);
    const whole = Math.max(budget?.[kind] || 0, rest);
    const told = `${shown(rest)} ${word} left${whole ? ` of ${shown(whole)}` : ""}`;
    const low = whole > 0 && rest / whole < 1 - FULL;
    return html`<label key=${kind} class=${low ? "warn" : "dim"} title=${`Budget: ${told}`}>
      ${whole > 0 && html`<meter min="0" max="1" low="0.2" value=${rest / whole}>${told}</meter>`}
      ${shown(rest)} ${word} left
    </label>`;
  });
}
