// @ts-check
/** What a conversation has used, with all below it, and what it may still use. */

import { api } from "../../shared/api.js";
import { html, useState } from "../../shared/html.js";
import { counted, duration, number, visible } from "../../shared/text.js";
import { told, toast } from "../../shared/toast.js";
import { Choose } from "./choose.js";
import { Loading, PageFrame, useLoaded } from "./page.js";

/** @typedef {{requests: number, prompt_tokens: number, completion_tokens: number,
 *   total_tokens: number, money: number, tool_calls: number, seconds: number}} Used */

const KINDS = /** @type {const} */ (["tokens", "seconds", "tool_calls", "money"]);
const NAMES = { tokens: "Tokens", seconds: "Seconds of work", tool_calls: "Tool calls", money: "Money" };

/** @param {{rest: string[]}} props */
export function Page({ rest: [wsId = ""] }) {
  return html`
    <${PageFrame} title="Usage" wide about="Tokens as the model's provider counts them.">
      <${Choose} page="usage" wsId=${wsId} />
      ${wsId && html`<${Of} key=${wsId} wsId=${wsId} />`}
    <//>
  `;
}

/** @param {{wsId: string}} props */
function Of({ wsId }) {
  const loaded = useLoaded(() => api.get("/api/usage", { ws_id: wsId }), [wsId]);
  const usage = loaded.data;
  if (!usage) return html`<${Loading} of=${loaded} />`;
  const models = /** @type {[string, Used][]} */ (Object.entries(usage.models));
  const rows = /** @type {[string, Used, boolean][]} */ ([
    ["This conversation", usage.own, true],
    ...(usage.agents ? [[`With its ${counted(usage.agents, "sub-agent")}`, usage.tree, true]] : []),
    ...models.map(([name, used]) => [`of that, ${visible(name) || "a model without a name"}`, used, false]),
  ]);
  return html`
    <${Loading} of=${loaded} />
    <div class="table-scroll" tabindex="0" role="region" aria-label="What was used">
      <table class="cards">
        <thead><tr><th>Of</th><th>Requests</th><th>Tokens read</th><th>Tokens written</th><th>Tokens</th><th>Money</th><th>Tool calls</th><th>Work</th></tr></thead>
        <tbody>${rows.map(([name, used, whole]) => html`<tr>
          <th scope="row" data-label="Of">${name}</th>
          <td data-label="Requests" class="number">${number(used.requests)}</td>
          <td data-label="Tokens read" class="number">${number(used.prompt_tokens)}</td>
          <td data-label="Tokens written" class="number">${number(used.completion_tokens)}</td>
          <td data-label="Tokens" class="number">${number(used.total_tokens)}</td>
          <td data-label="Money" class="number">${money(used.money)}</td>
          <td data-label="Tool calls" class="number">${whole ? number(used.tool_calls) : "–"}</td>
          <td data-label="Work" class="number">${whole ? duration(used.seconds) : "–"}</td>
        </tr>`)}</tbody>
      </table>
    </div>
    <${Budget} wsId=${wsId} budget=${usage.budget} left=${usage.left} again=${loaded.again} />
  `;
}

/** @param {number} amount in the currency of the prices that were set */
function money(amount) {
  return amount ? amount.toFixed(amount < 1 ? 4 : 2) : "–";
}

/** @param {{wsId: string, budget: any, left: any, again: () => void}} props */
function Budget({ wsId, budget, left, again }) {
  const [wanted, set] = useState(/** @type {any} */ (null));
  const now = wanted ?? budget;
  const keep = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const limits = Object.fromEntries(KINDS.map((kind) => [kind, Number(now[kind])]));
    const answer = await told(api.post("/api/budget", { ws_id: wsId, ...limits }));
    if (!answer) return;
    toast(answer.notice || "The budget is set.");
    set(null);
    again();
  };
  return html`
    <form class="editor" aria-labelledby="budget-title" onSubmit=${keep}>
      <h2 id="budget-title">Budget</h2>
      <p class="dim">From when it is set, for this conversation with all below it. 0 is no limit.</p>
      <div class="editor-row">
        ${KINDS.map((kind) => html`<label>${NAMES[kind]}
          <input type="number" min="0" step=${kind === "money" ? "any" : "1"} required value=${now[kind]} onInput=${(/** @type {any} */ e) => set({ ...now, [kind]: e.target.value })} />
          <span class="dim">${left[kind] === null || left[kind] === undefined ? "no limit" : `${number(Math.max(0, left[kind]))} left`}</span>
        </label>`)}
      </div>
      <div class="row-actions"><button class="primary" disabled=${!wanted}>Set the budget</button></div>
    </form>
  `;
}
