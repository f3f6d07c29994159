// @ts-check
/** Every setting of the node with its value and where that was set; and choices of this browser. */

import { api, signedOut } from "../../shared/api.js";
import { confirmed } from "../../shared/dialog.js";
import { html, useState } from "../../shared/html.js";
import { counted, duration, visible } from "../../shared/text.js";
import { told } from "../../shared/toast.js";
import { ThemeChoice, signOut } from "../foot.js";
import { node } from "../model.js";
import { NotifySwitches } from "../notify.js";
import { Loading, PageFrame, useLoaded } from "./page.js";

/** @typedef {{name: string, value: string, source: string, where: string, meaning: string,
 *   secret: boolean}} Setting */

const KINDS = ["command line", "environment", "file", "default"];

/** How a secret is spelled that is not there. */
const UNSET = new Set(['""', "[]"]);

export function Page() {
  return html`
    <${PageFrame} title="Settings" wide>
      <h2>This browser</h2>
      <div class="page-tools">
        <span>Colours <${ThemeChoice} /></span>
        <button type="button" onClick=${signOut}>Sign out</button>
        <button type="button" class="danger" onClick=${signOutEverywhere}>Sign out everywhere …</button>
      </div>
      <${NotifySwitches} />
      <h2>This node</h2>
      <${Node} />
      <${Settings} />
    <//>
  `;
}

/** Ends the sessions of all browsers that signed in with the same token. */
async function signOutEverywhere() {
  const text = "Every browser that signed in with the same token must sign in again, this one too. The token stays good.";
  if (!(await confirmed("Sign out everywhere?", text, { yes: "Sign out", danger: true }))) return;
  if (await told(api.post("/api/auth/logout-everywhere"))) signedOut.value = true;
}

function Node() {
  const health = node.value;
  const rows = [
    ["Version", health.version], ["Node", health.node_id], ["Model", health.model],
    ["Sandbox", health.sandbox], ["Store", health.store],
    ["Running for", health.uptime_seconds === undefined ? "" : duration(health.uptime_seconds)],
    ...(health.endpoints ?? []).map((/** @type {any} */ each) => ["Endpoint", endpointText(each)]),
  ];
  return html`<dl class="facts">
    ${rows.filter(([, text]) => text).map(([name, text]) => html`<dt>${name}</dt><dd>${visible(String(text))}</dd>`)}
  </dl>`;
}

/** @param {any} endpoint */
function endpointText({ url, models, limit, in_flight, waiting, last_error }) {
  const parts = [url || "in this process", (models ?? []).join(", "), `${in_flight}${limit ? ` of ${limit}` : ""} in flight`];
  if (waiting) parts.push(`${waiting} in line`);
  if (last_error) parts.push(`last error: ${last_error}`);
  return parts.filter(Boolean).join(" · ");
}

function Settings() {
  const [words, setWords] = useState("");
  const [kind, setKind] = useState("");
  const loaded = useLoaded(() => api.get("/api/settings"), []);
  const all = /** @type {Setting[]} */ (loaded.data?.settings ?? []);
  const sought = words.toLowerCase().split(/\s+/);
  const shown = all.filter(
    (each) =>
      (!kind || (kind === "set" ? each.source !== "default" : each.source === kind)) &&
      sought.every((word) => `${each.name} ${each.meaning} ${each.value}`.toLowerCase().includes(word)),
  );
  return html`
    <h2>Its settings</h2>
    <p class="dim">
      The command line wins over the environment, that over the file, and that over the default.
      They are changed there, and hold from the next start.
      ${loaded.data?.file ? html` The file is <code>${visible(loaded.data.file)}</code>.` : loaded.data ? " No file was read." : ""}
    </p>
    <${Loading} of=${loaded} />
    ${loaded.data && html`
      ${loaded.data.warnings.map((/** @type {string} */ each) => html`<p class="page-note">${visible(each)}</p>`)}
      <div class="page-tools">
        <label>Filter <input type="search" value=${words} onInput=${(/** @type {any} */ e) => setWords(e.target.value)} /></label>
        <label>Set by <select value=${kind} onChange=${(/** @type {any} */ e) => setKind(e.target.value)}>
          <option value="">anything</option><option value="set">anything but the default</option>
          ${KINDS.map((each) => html`<option value=${each}>${each}</option>`)}
        </select></label>
      </div>
      <p class="dim" role="status">${counted(shown.length, "setting")}.</p>
      <div class="table-scroll" tabindex="0" role="region" aria-label="Settings">
        <table class="cards">
          <thead><tr><th>Setting</th><th>Value</th><th>Set by</th></tr></thead>
          <tbody>${shown.map((each) => html`<${Row} key=${each.name} setting=${each} />`)}</tbody>
        </table>
      </div>
    `}
  `;
}

/** @param {{setting: Setting}} props */
function Row({ setting: { name, value, source, where, meaning, secret } }) {
  return html`<tr>
    <td data-label="Setting"><code>${visible(name)}</code><div class="dim small-text">${visible(meaning)}</div></td>
    <td data-label="Value"><code>${visible(value)}</code>${secret && html`<div class="dim small-text">${UNSET.has(value) ? "a secret; none is set" : "a secret, not shown"}</div>`}</td>
    <td data-label="Set by">${source === "default" ? html`<span class="dim">default</span>` : source}${where && html`<div class="dim small-text">${visible(where)}</div>`}</td>
  </tr>`;
}
