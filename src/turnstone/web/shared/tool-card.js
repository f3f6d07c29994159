// @ts-check
/** A tool call: what it does, how it stands with it, what it changes, what it printed. */

import { Diff, isDiff } from "./diff.js";
import { html, useEffect, useState } from "./html.js";
import { Output } from "./output.js";
import { duration, stateOf, visible } from "./text.js";

/** @typedef {import("./state.js").ToolBlock} ToolBlock */

/** How it stands with a call: a symbol, the words for it, and the class of its colour. */
const STATUS = {
  waiting: { symbol: "·", word: "waits", tone: "dim" },
  running: { symbol: "▸", word: "running", tone: "" },
  ok: { symbol: "✓", word: "done", tone: "good" },
  error: { symbol: "✖", word: "failed", tone: "bad" },
  invalid: { symbol: "✖", word: "could not be read", tone: "bad" },
  denied: { symbol: "⊘", word: "refused", tone: "warn" },
  expired: { symbol: "⊘", word: "nobody answered in time", tone: "warn" },
  cancelled: { symbol: "◼", word: "stopped", tone: "warn" },
  unknown: { symbol: "?", word: "nobody knows how it ended", tone: "warn" },
};

/** @param {string} status */
function statusOf(status) {
  const known = STATUS[/** @type {keyof typeof STATUS} */ (status)];
  return known ?? { symbol: "?", word: visible(status), tone: "warn" };
}

/**
 * @param {{block: ToolBlock, printed?: import("./state.js").Printed,
 *   agent?: import("./state.js").Agent, agentAddress: (wsId: string) => string}} props
 */
export function ToolCard({ block, printed, agent, agentAddress }) {
  const status = statusOf(block.status);
  const header = firstLine(block.header) || block.name;
  return html`
    <section class=${`tool tool-${block.status}`} aria-label=${`Tool ${visible(block.name)}`}>
      <header class="tool-head">
        <span class=${`tool-symbol ${status.tone}`} aria-hidden="true">${status.symbol}</span>
        <span class="tool-name">${visible(block.name)}</span>
        ${header !== block.name && html`<span class="tool-header">${visible(header)}</span>`}
        <span class=${`tool-state ${status.tone}`}>${status.word}</span>
        <${Time} block=${block} />
      </header>
      ${agent && html`<${AgentLine} agent=${agent} address=${agentAddress} />`}
      <${Preview} block=${block} />
      ${block.status === "running" &&
      printed &&
      html`<${Output} text=${printed.text} dropped=${printed.dropped} live=${true} label="Output so far" />`}
      ${block.said && html`<p class="tool-said"><span class="dim">You said:</span> ${visible(block.said)}</p>`}
      <${Arguments} text=${block.arguments} />
      <${Result} block=${block} />
    </section>
  `;
}

/** What it took; while it runs, what it has taken. @param {{block: ToolBlock}} props */
function Time({ block }) {
  const [now, set] = useState(() => Date.now());
  const running = block.status === "running" && block.started > 0;
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  const seconds = running ? Math.max(0, Math.floor(now / 1000 - block.started)) : block.seconds;
  if (!seconds) return null;
  return html`<span class="tool-time dim">${duration(seconds)}</span>`;
}

/** @param {{block: ToolBlock}} props */
function Preview({ block }) {
  if (!block.preview) return null;
  if (isDiff(block.preview)) return html`<${Diff} text=${block.preview} />`;
  if (block.preview.trim() === firstLine(block.header).trim()) return null;
  return html`<${Output} text=${block.preview} label="What it does" />`;
}

/** @param {{text: string}} props */
function Arguments({ text }) {
  const [open, set] = useState(false);
  if (!text || text === "{}") return null;
  return html`<details class="fold" onToggle=${(/** @type {any} */ e) => set(e.currentTarget.open)}>
    <summary>Arguments</summary>
    ${open && html`<${Output} text=${indented(text)} label="Arguments" />`}
  </details>`;
}

/** What the model reads of it: folded where it went well, for then it is seldom wanted whole.
 * @param {{block: ToolBlock}} props */
function Result({ block }) {
  const well = block.status === "ok";
  const [open, set] = useState(!well);
  useEffect(() => set(!well), [well]);
  if (!block.output) return null;
  return html`<details class="fold" open=${open} onToggle=${(/** @type {any} */ e) => set(e.currentTarget.open)}>
    <summary>
      Result ${!open && html`<span class="tool-glance dim">${visible(glance(block.output))}</span>`}
    </summary>
    ${open && html`<${Output} text=${block.output} label="Result" />`}
  </details>`;
}

/** @param {{agent: import("./state.js").Agent, address: (wsId: string) => string}} props */
function AgentLine({ agent, address }) {
  const state = stateOf(agent.state);
  return html`<p class="tool-agent">
    <span aria-hidden="true">${state.symbol}</span>
    <a href=${address(agent.wsId)}>Sub-agent ${visible(agent.name || agent.agent || agent.wsId)}</a>
    <span class="dim"> ${state.word}${agent.activity ? `: ${visible(firstLine(agent.activity))}` : ""}</span>
  </p>`;
}

/** @param {string} text */
function firstLine(text) {
  const line = text.slice(0, 400).split("\n", 1)[0];
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

/** @param {string} text */
function glance(text) {
  const line = text.slice(0, 400).trim().split("\n", 1)[0];
  return line.length > 90 ? `${line.slice(0, 90)}…` : line;
}

/** @param {string} text */
function indented(text) {
  if (text.length > 200_000) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2).replaceAll("\\n", "\n");
  } catch {
    return text;
  }
}
