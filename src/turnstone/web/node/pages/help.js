// @ts-check
/** The keyboard map, and what the symbols of the list mean. */

import { html } from "../../shared/html.js";
import { KEYMAP, spelled } from "../../shared/keymap.js";
import { LIST_KEYS } from "../../shared/list-keys.js";
import { STATES } from "../../shared/text.js";
import { PageFrame } from "./page.js";

export function Page() {
  const keys = Object.values({ ...KEYMAP, ...LIST_KEYS });
  const places = [...new Set(keys.map((key) => key.where))];
  return html`
    <${PageFrame} title="Help">
      <h2>Keys</h2>
      <p class="dim">A single letter is a key only while nothing is being typed.</p>
      <div class="help-keys">
        ${places.map((place) => html`<section aria-label=${place}>
          <h3>${place}</h3>
          <dl class="keys">
            ${keys.filter((key) => key.where === place).map((key) => html`
              <dt>${spelled(key.keys).map((each, at) => html`${at > 0 && " + "}<kbd>${each}</kbd>`)}</dt>
              <dd>${key.what}</dd>
            `)}
          </dl>
        </section>`)}
      </div>
      <h2>States</h2>
      <dl class="keys">
        ${Object.entries(STATES).map(([id, { symbol, word }]) => html`
          <dt><span class=${`list-state ${id}`} aria-hidden="true">${symbol}</span></dt>
          <dd>${word}</dd>
        `)}
      </dl>
      <h2>More</h2>
      <p>Messages that begin with <code>/</code> are commands; <code>/help</code> lists them.</p>
      <p>What programs may ask of this node: <a href="/docs">its HTTP API</a>.</p>
    <//>
  `;
}
