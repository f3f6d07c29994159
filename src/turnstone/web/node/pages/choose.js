// @ts-check
/** Which conversation a page is about. */

import { html } from "../../shared/html.js";
import { visible } from "../../shared/text.js";
import { agentRow } from "../agents.js";
import { address, go, workstreams } from "../model.js";
import { shownName } from "../rows.js";

/** @param {{page: string, wsId: string}} props `wsId` empty: none was chosen yet */
export function Choose({ page, wsId }) {
  const rows = [...workstreams.value].reverse();
  const known = rows.some((row) => row.id === wsId);
  const agent = agentRow(wsId);
  return html`
    <div class="page-tools">
      <label>Conversation <select value=${wsId} onChange=${(/** @type {any} */ event) => go(page, event.target.value)}>
        ${!wsId && html`<option value="">choose one …</option>`}
        ${wsId && !known && html`<option value=${wsId}>${agent ? `sub-agent ${visible(shownName(agent))}` : visible(wsId)}</option>`}
        ${rows.map((row) => html`<option value=${row.id}>${visible(shownName(row)).slice(0, 80)}</option>`)}
      </select></label>
      ${wsId && html`<a href=${address("ws", wsId)}>Open it</a>`}
    </div>
  `;
}
