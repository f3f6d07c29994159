// @ts-check
/** What decides about the tool calls of a conversation, what that has decided, and what was permitted. */

import { api } from "../../shared/api.js";
import { html } from "../../shared/html.js";
import { counted, moment, visible } from "../../shared/text.js";
import { told, toast } from "../../shared/toast.js";
import { Choose } from "./choose.js";
import { Loading, PageFrame, useLoaded } from "./page.js";

/** @typedef {{tool: string, path: string, command: string, confined: string, text: string}} Granted */
/** @typedef {{call_id: string, tool: string, header: string, verdict: string, rule: string,
 *   reason: string, timestamp: number}} Decision */
/** @typedef {{ws_id: string, allow: string[], ask: string[], deny: string[], unasked: string[],
 *   auto_approve: boolean, auto_approve_tools: string[], grants: Granted[], notice: string}} Policy */

/** Decisions that are read, and that are listed of one rule. */
const READ = 500;
const LISTED = 20;

const VERDICTS = /** @type {Record<string, string>} */ ({
  allow: "allowed", deny: "refused", expired: "not answered in time", invalid: "not a valid call",
});

/** @param {{rest: string[]}} props */
export function Page({ rest: [wsId = ""] }) {
  return html`
    <${PageFrame} title="Policy" about="Rules say which tool calls run by themselves, which are asked about, and which never run. A rule that forbids wins over one that asks, and that over one that allows.">
      <${Choose} page="policy" wsId=${wsId} />
      ${wsId && html`<${Of} key=${wsId} wsId=${wsId} />`}
    <//>
  `;
}

/** @param {{wsId: string}} props */
function Of({ wsId }) {
  const loaded = useLoaded(async () => {
    const [policy, { decisions }] = await Promise.all([
      api.get("/api/policy", { ws_id: wsId }),
      api.get("/api/policy/decisions", { ws_id: wsId, limit: READ }),
    ]);
    return { policy: /** @type {Policy} */ (policy), decisions: /** @type {Decision[]} */ (decisions) };
  }, [wsId]);
  if (!loaded.data) return html`<${Loading} of=${loaded} />`;
  const { policy, decisions } = loaded.data;
  return html`
    <${Loading} of=${loaded} />
    ${policy.notice && html`<p class="page-note">${visible(policy.notice)}</p>`}
    <${Grants} policy=${policy} again=${loaded.again} />
    <${Rules} policy=${policy} />
    <${Decisions} decisions=${decisions} again=${loaded.again} />
  `;
}

/** @param {{policy: Policy, again: () => void}} props */
function Grants({ policy, again }) {
  const revoke = async (/** @type {Granted} */ grant) => {
    const { tool, path, command, confined } = grant;
    const body = { ws_id: policy.ws_id, tool, path, command, confined };
    const answer = await told(api.post("/api/policy/revoke", body));
    if (!answer) return;
    toast(answer.revoked ? "It was taken back." : "It was not permitted any more.");
    again();
  };
  return html`
    <h2>Permitted for this conversation</h2>
    ${policy.grants.length === 0 && html`<p class="dim">Nothing was permitted for good.</p>`}
    <ul class="plain-list">
      ${policy.grants.map((grant) => html`<li class="grant">
        <span>${visible(grant.text || grantText(grant))}</span>
        <button type="button" class="small danger" aria-label=${`Revoke: ${visible(grant.text || grantText(grant))}`} onClick=${() => revoke(grant)}>Revoke</button>
      </li>`)}
    </ul>
  `;
}

/** @param {Granted} grant */
function grantText({ tool, path, command }) {
  if (tool === "*") return "every tool (auto-approve)";
  return [tool, path && `on ${path}`, command && `for ${command}`].filter(Boolean).join(" ");
}

/** @param {{policy: Policy}} props */
function Rules({ policy }) {
  const auto = policy.auto_approve ? "All tools, where commands are confined" : "";
  const unasked = auto ? [auto] : policy.auto_approve_tools;
  const lists = /** @type {[string, string, string[]][]} */ ([
    ["Never run", "deny", policy.deny],
    ["Asked about", "ask", policy.ask],
    ["Run by themselves", "allow", policy.allow],
    ["Run unasked inside the workspace, by their nature", "", policy.unasked],
    ["Run unasked inside the workspace, by the node's settings", "", unasked],
  ]);
  return html`
    <h2>Rules of this node</h2>
    <dl class="rules">
      ${lists.map(([name, kind, rules]) => html`
        <dt>${name}${kind && html` <code class="dim">${kind}</code>`}</dt>
        <dd>${rules.length ? rules.map((rule) => html`<code class="rule">${visible(rule)}</code> `) : html`<span class="dim">none</span>`}</dd>
      `)}
    </dl>
    <p class="dim">Whatever no rule and no permission covers is asked about.</p>
  `;
}

/** @param {{decisions: Decision[], again: () => void}} props */
function Decisions({ decisions, again }) {
  const rules = new Map();
  for (const each of decisions) {
    const name = each.rule || each.reason || "no rule";
    rules.set(name, [...(rules.get(name) ?? []), each]);
  }
  const byUse = [...rules].sort(([, one], [, other]) => other.length - one.length);
  return html`
    <div class="page-tools"><h2>What decided</h2><button type="button" class="small" onClick=${again}>Read anew</button></div>
    ${!decisions.length && html`<p class="dim">No tool was called yet.</p>`}
    ${decisions.length === READ && html`<p class="dim">Of the last ${counted(READ, "call")}.</p>`}
    ${byUse.map(([rule, found]) => html`
      <details class="matched">
        <summary><code class="rule">${visible(rule)}</code> <span class="dim">${counted(found.length, "call")}${verdictsOf(found)}</span></summary>
        <ul class="plain-list">
          ${found.slice(0, LISTED).map((/** @type {Decision} */ each) => html`<li class="decision">
            <code>${visible(each.tool)}</code>
            <span class="decision-what">${visible(each.header)}</span>
            <span class="dim">${VERDICTS[each.verdict] ?? each.verdict} · ${moment(each.timestamp)}</span>
          </li>`)}
          ${found.length > LISTED && html`<li class="dim">and ${found.length - LISTED} before</li>`}
        </ul>
      </details>
    `)}
  `;
}

/** @param {Decision[]} found */
function verdictsOf(found) {
  const kinds = [...new Set(found.map((each) => each.verdict))];
  const words = kinds.map((kind) => {
    const count = found.filter((each) => each.verdict === kind).length;
    return kinds.length > 1 ? `${count} ${VERDICTS[kind] ?? kind}` : (VERDICTS[kind] ?? kind);
  });
  return words.length ? `, ${words.join(", ")}` : "";
}
