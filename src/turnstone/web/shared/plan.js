// @ts-check
/**
 * Plans that wait for a person: read, changed, accepted, rejected, or remarked on.
 *
 * The node takes a remark on a plan, and not a plan: one that was changed goes back as a remark
 * that says so, with the whole text.
 */

import { api } from "./api.js";
import { keepFocus, KeyButton, MAY_NOT, Origin, Remark, useCard } from "./asking.js";
import { html, useState } from "./html.js";
import { Markdown } from "./markdown.js";
import { visible } from "./text.js";
import { told } from "./toast.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Plan} PlanAsked */

const REJECT = "reject";
const CHANGED = "The plan was changed. Carry out this version of it, and no other:\n\n";

/** Plans that were answered from this page. @type {Set<string>} */
const ours = new Set();

/**
 * @param {{view: View | null, agentAddress?: (id: string) => string, may?: boolean}} props
 *   `may`: whether this person may answer
 */
export function Plans({ view, agentAddress, may = true }) {
  if (!view) return null;
  const waiting = view.plans.filter((each) => !each.answer);
  const elsewhere = view.plans.filter((each) => each.answer && !ours.has(each.requestId));
  return html`
    <section class="asks" aria-label="Plans to review">
      <p class="unseen" role="alert">${waiting.length > 0 && "A plan waits for your review."}</p>
      ${elsewhere.map(
        ({ requestId, answer }) => html`<p key=${requestId} class="ask-elsewhere" role="status">
          The plan was answered elsewhere${answer.by ? ` by ${visible(answer.by)}` : ""}: ${said(answer)}
        </p>`,
      )}
      ${waiting.map(
        (each) => html`<${Review}
          key=${each.requestId}
          wsId=${view.wsId}
          plan=${each}
          agentAddress=${agentAddress}
          may=${may}
        />`,
      )}
    </section>
  `;
}

/** @typedef {"read" | "change" | "remark"} Doing */

/**
 * @param {{wsId: string, plan: PlanAsked, may: boolean, agentAddress?: (id: string) => string}} props
 */
function Review({ wsId, plan, may, agentAddress }) {
  const [sending, send] = useState(false);
  const [doing, set] = useState(/** @type {Doing} */ ("read"));
  const [text, change] = useState(plan.content);
  const { requestId, origin, path } = plan;
  const changed = text.trim() !== plan.content.trim();
  const answer = async (/** @type {string} */ feedback) => {
    if (sending) return;
    keepFocus(card.current);
    send(true);
    ours.add(requestId);
    const body = { ws_id: wsId, request_id: requestId, feedback };
    if (await told(api.post("/api/plan", body))) return;
    ours.delete(requestId);
    send(false);
  };
  const accept = () => text.trim() && answer(changed ? CHANGED + text.trim() : "");
  const actions = { allow: accept, deny: () => answer(REJECT), feedback: () => set("remark") };
  const card = useCard(requestId, may ? actions : {});
  const back = () => {
    set("read");
    card.current?.focus();
  };
  const title = `plan-${requestId}`;
  return html`
    <article ref=${card} class="ask" tabindex="-1" aria-labelledby=${title} aria-busy=${sending}>
      <h2 id=${title} class="ask-title">
        <span aria-hidden="true">◆</span> A plan to review
        ${path && html`<code class="dim">${visible(path)}</code>`}
        <${Origin} origin=${origin} name=${visible(origin?.name ?? "")} address=${agentAddress} />
      </h2>
      ${doing === "change"
        ? html`<textarea
            class="plan-text"
            aria-label="The plan"
            value=${text}
            onInput=${(/** @type {any} */ event) => change(event.currentTarget.value)}
          ></textarea>`
        : html`<div class="plan-read" tabindex="0" role="region" aria-label="The plan">
            <${Markdown} text=${text} />
          </div>`}
      ${changed && html`<p class="dim">Changed: accepting sends this version back to be carried out.</p>`}
      ${!may && html`<p class="dim">${MAY_NOT}</p>`}
      ${may && doing === "remark" &&
      html`<${Remark}
        label="What to change in the plan"
        send="Send the remark"
        disabled=${sending}
        onSend=${answer}
        onClose=${back}
      />`}
      ${may && doing !== "remark" &&
      html`<div class="ask-buttons">
        <${KeyButton} does="allow" kind="primary" run=${accept} disabled=${sending || !text.trim()}>
          ${changed ? "Accept as changed" : "Accept"}
        <//>
        <${KeyButton} does="deny" kind="danger" run=${actions.deny} disabled=${sending}>Reject<//>
        <${KeyButton} does="feedback" run=${actions.feedback} disabled=${sending}>Remark<//>
        ${doing === "change"
          ? html`<button type="button" onClick=${back}>Show it as it reads</button>`
          : html`<button type="button" disabled=${sending} onClick=${() => set("change")}>Change it</button>`}
        ${changed &&
        html`<button type="button" class="plain" onClick=${() => change(plan.content)}>Undo the changes</button>`}
      </div>`}
    </article>
  `;
}

/** @param {any} answer the event `plan_answered` */
function said({ feedback, expired }) {
  if (expired) return "not in time.";
  if (!feedback) return "accepted.";
  return feedback === REJECT ? "rejected." : `“${visible(feedback)}”`;
}
