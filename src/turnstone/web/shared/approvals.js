// @ts-check
/**
 * The questions of a workstream: what would happen, where, by which rule, and the answers.
 *
 * A question is shown whole, and an answer carries the hash of what was shown: it never holds for
 * anything else. What may be answered is the node's affair.
 */

import { api } from "./api.js";
import { keepFocus, KeyButton, MAY_NOT, Origin, Remark, useCard } from "./asking.js";
import { html, useState } from "./html.js";
import { Preview } from "./preview.js";
import { counted, visible } from "./text.js";
import { told } from "./toast.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Question} Question */

/** Tools whose permissions are for the workspace where they name no other place. */
const IN_WORKSPACE = new Set(["bash", "edit_file", "read_file", "search", "write_file"]);

/** Questions that were answered from this page. @type {Set<string>} */
const ours = new Set();

/**
 * @param {{view: View | null, agentAddress?: (id: string) => string, may?: boolean}} props
 *   `may`: whether this person may answer
 */
export function Approvals({ view, agentAddress, may = true }) {
  if (!view) return null;
  const waiting = view.questions.filter((each) => !each.answer);
  const elsewhere = view.questions.filter((each) => each.answer && !ours.has(each.requestId));
  const first = waiting[0]?.items.find((item) => item.needs_approval);
  return html`
    <section class="asks" aria-label="Questions">
      <p class="unseen" role="alert">
        ${waiting.length > 0 &&
        `${counted(waiting.length, "question")} to answer: ${visible(first?.header ?? "")}`}
      </p>
      ${elsewhere.map((each) => html`<${Elsewhere} key=${each.requestId} question=${each} />`)}
      ${waiting.map(
        (each, place) => html`<${Ask}
          key=${each.requestId}
          wsId=${view.wsId}
          question=${each}
          count=${waiting.length > 1 ? `${place + 1} of ${waiting.length}` : ""}
          agentAddress=${agentAddress}
          may=${may}
        />`,
      )}
    </section>
  `;
}

/**
 * @param {{wsId: string, question: Question, count: string, may: boolean,
 *   agentAddress?: (id: string) => string}} props
 */
function Ask({ wsId, question, count, may, agentAddress }) {
  const [sending, send] = useState(false);
  const [remarks, remark] = useState(false);
  const { requestId, items, argsHash, origin } = question;
  const asked = items.filter((item) => item.needs_approval);
  const others = items.filter((item) => !item.needs_approval);
  const patterns = [...new Set(asked.map((item) => item.grant).filter(Boolean))].map(visible);
  const answer = async (/** @type {Record<string, any>} */ said) => {
    if (sending) return;
    keepFocus(card.current);
    send(true);
    ours.add(requestId);
    const body = { ws_id: wsId, request_id: requestId, args_hash: argsHash, ...said };
    if (await told(api.post("/api/approve", body))) return;
    ours.delete(requestId);
    send(false);
  };
  const actions = {
    allow: () => answer({ approved: true }),
    always: () => patterns.length && answer({ approved: true, always: true }),
    deny: () => answer({ approved: false }),
    feedback: () => remark(true),
  };
  const card = useCard(requestId, may ? actions : {});
  const title = `ask-${requestId}`;
  return html`
    <article ref=${card} class="ask" tabindex="-1" aria-labelledby=${title} aria-busy=${sending}>
      <h2 id=${title} class="ask-title">
        <span aria-hidden="true">◆</span> May this be done? ${count && html`<span class="dim">${count}</span>`}
        <${Origin} origin=${origin} name=${visible(origin?.name ?? "")} address=${agentAddress} />
      </h2>
      ${asked.map((item) => html`<${Item} key=${item.call_id} item=${item} />`)}
      ${others.length > 0 && html`<${Others} items=${others} />`}
      ${!may
        ? html`<p class="dim">${MAY_NOT}</p>`
        : remarks
          ? html`<${Remark}
              label="Why not, and what to do instead"
              send="Deny"
              disabled=${sending}
              onSend=${(/** @type {string} */ feedback) => answer({ approved: false, feedback })}
              onClose=${() => {
                remark(false);
                card.current?.focus();
              }}
            />`
          : html`<${Answers} actions=${actions} patterns=${patterns} disabled=${sending} />`}
    </article>
  `;
}

/** @param {{actions: Record<string, () => void>, patterns: string[], disabled: boolean}} props */
function Answers({ actions, patterns, disabled }) {
  return html`
    ${patterns.length > 0 &&
    html`<p class="ask-always">
      <${KeyButton} does="always" run=${actions.always} disabled=${disabled}>
        Always allow: <span class="ask-pattern">${patterns.join("; ")}</span>
      <//>
    </p>`}
    <div class="ask-buttons">
      <${KeyButton} does="allow" kind="primary" run=${actions.allow} disabled=${disabled}>Allow once<//>
      <${KeyButton} does="deny" kind="danger" run=${actions.deny} disabled=${disabled}>Deny<//>
      <${KeyButton} does="feedback" run=${actions.feedback} disabled=${disabled}>Deny, and say why<//>
    </div>
  `;
}

/** One call. @param {{item: any}} props */
function Item({ item }) {
  const { name, header, rule, error, preview } = item;
  return html`
    <div class="ask-item">
      <p class="ask-header">
        <span class="ask-tool">${visible(item.approval_label || name)}</span> ${visible(header)}
      </p>
      ${error && html`<p class="bad">${visible(error)}</p>`}
      ${preview && html`<${Preview} text=${preview} tool=${name} />`}
      <dl class="ask-why">
        ${rule && html`<dt>Asked because</dt><dd>${visible(rule)}</dd>`}
        ${places(item).map((place) => html`<dt>Where</dt><dd>${visible(place)}</dd>`)}
      </dl>
      <details class="ask-arguments">
        <summary>Arguments</summary>
        <pre tabindex="0" aria-label="Arguments">${visible(JSON.stringify(item.arguments ?? {}, null, 2))}</pre>
      </details>
    </div>
  `;
}

/** Where it would happen, as the node resolved it. @param {any} item @returns {string[]} */
function places({ name, grants }) {
  const named = (grants ?? []).map((/** @type {any} */ grant) => String(grant.path || ""));
  const inside = IN_WORKSPACE.has(name) ? "in the workspace" : "";
  return [...new Set(named.map((/** @type {string} */ path) => path || inside))].filter(Boolean);
}

/** Calls of the same step about which nobody is asked. @param {{items: any[]}} props */
function Others({ items }) {
  return html`<details class="ask-others">
    <summary>${counted(items.length, "more call")} of this step, not asked about</summary>
    <ul>
      ${items.map(
        (item) => html`<li>${visible(item.header || item.name)} <span class="dim">${visible(item.rule ?? "")}</span></li>`,
      )}
    </ul>
  </details>`;
}

/** @param {{question: Question}} props */
function Elsewhere({ question }) {
  const { approved, expired, by, feedback, refused, edited } = question.answer;
  const changed = Object.keys(edited ?? {}).length > 0;
  const allowed = refused?.length ? "allowed in part" : "allowed";
  const said = expired ? "not answered in time" : changed ? "changed" : approved ? allowed : "denied";
  const who = by && !expired ? ` by ${visible(by)}` : "";
  const header = question.items.find((item) => item.needs_approval)?.header ?? "";
  return html`<p class="ask-elsewhere" role="status">
    ${expired ? "It was" : "Answered elsewhere:"} ${said}${who}${feedback && !expired ? `, “${visible(feedback)}”` : ""}:${" "}
    <span class="dim">${visible(header)}</span>
  </p>`;
}
