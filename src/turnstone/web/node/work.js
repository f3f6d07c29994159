// @ts-check
/** A workstream: its head, what was said, what it asks, and where one writes. */

import { actionsOf } from "../shared/actions.js";
import { html, useEffect, useMemo } from "../shared/html.js";
import { Meter } from "../shared/meter.js";
import { stateOf, visible } from "../shared/text.js";
import { Transcript } from "../shared/transcript.js";
import { agentRow, agents, agentsOf, lacksAgents, readAgents } from "./agents.js";
import { address, go, role, views, workstreams } from "./model.js";
import { Part } from "./part.js";

const approvals = () => import("../shared/approvals.js");
const plan = () => import("../shared/plan.js");
const composer = () => import("../shared/composer.js");

const agentAddress = (/** @type {string} */ id) => address("ws", id);
const full = () => role.value === "full";
const open = (/** @type {string} */ id) => go("ws", id);

/**
 * The parts are given the `view`, which is null until the first event of the workstream has come.
 * @param {{wsId: string}} props
 */
export function Work({ wsId }) {
  const view = views.value.get(wsId) ?? null;
  const row = workstreams.value.find((each) => each.id === wsId) ?? agentRow(wsId);
  const answers = role.value !== "read";
  const actions = useMemo(() => actionsOf(wsId, () => views.value.get(wsId), open, full), [wsId]);
  const below = agents.value.get(wsId);
  const made = useMemo(() => (view ? agentsOf(view, below ?? []) : new Map()), [view?.blocks, view?.agents, below]);
  const lacks = !below && view !== null && lacksAgents(view);
  useEffect(() => void (lacks && readAgents(wsId)), [wsId, lacks]);
  return html`
    <section class="work" aria-label=${`Conversation ${visible(nameOf(view, row))}`}>
      <${Head} wsId=${wsId} view=${view} row=${row} />
      ${view
        ? html`<${Transcript} view=${view} agents=${made} agentAddress=${agentAddress} actions=${actions} />`
        : html`<p class="loading">Reading the conversation …</p>`}
      <div class="work-foot">
        <${Part} load=${approvals} name="Approvals" view=${view} agentAddress=${agentAddress} may=${answers} />
        <${Part} load=${plan} name="Plans" view=${view} agentAddress=${agentAddress} may=${answers} />
        <${Part}
          load=${composer} name="Composer"
          wsId=${wsId} view=${view} open=${open} may=${full()} stops=${answers}
        />
      </div>
    </section>
  `;
}

/** @param {{wsId: string, view: import("./model.js").View | null, row: any}} props */
function Head({ wsId, view, row }) {
  const state = stateOf(view?.state ?? row?.state ?? "idle");
  const title = view?.title || row?.title;
  return html`
    <header class="work-head">
      ${row?.parent && html`<a class="work-above" href=${address("ws", row.parent)}>↑ above</a>`}
      <h1 class="work-name">
        ${visible(nameOf(view, row) || wsId)}
        ${title && html`<span class="work-title dim">${visible(title)}</span>`}
      </h1>
      <span class=${`work-state ${view?.state ?? ""}`}>
        <span aria-hidden="true">${state.symbol}</span> ${state.word}
      </span>
      <${Meter} view=${view} row=${row} />
    </header>
  `;
}

/** @param {import("./model.js").View | null} view @param {any} row @returns {string} */
function nameOf(view, row) {
  return view?.name || row?.name || "";
}
