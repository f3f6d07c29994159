// @ts-check
/** One block of a conversation each: what a person said, an answer, a mark, an ending. */

import { AttachedFiles } from "./attached.js";
import { html, memo, useState } from "./html.js";
import { Markdown } from "./markdown.js";
import { Output } from "./output.js";
import { duration, visible } from "./text.js";
import { ToolCard } from "./tool-card.js";

/** @typedef {import("./state.js").View} View */

/** Characters of a person's message that are shown before somebody asks for all. */
const MOST_SAID = 20_000;

/** How a turn ended, in words; nothing is said of one that simply is done. */
const OUTCOMES = {
  done: "",
  empty: "The model gave an empty answer.",
  max_steps: "Stopped: the turn had as many steps as it may have.",
  max_time: "Stopped: the turn took as long as it may take.",
  max_tokens: "Stopped: the answer was longer than it may be.",
  over_budget: "Stopped: the budget is used up.",
  needs_input: "It waits for an answer from you.",
  failed: "It failed.",
  cancelled: "Stopped.",
};

/**
 * A block is drawn anew only when it is another object, or what a running call has printed is.
 * @param {{block: any, printed?: any, agent?: any, live?: boolean, view?: View, actions?: any,
 *   agentAddress: (wsId: string) => string}} props
 */
export const Block = memo(({ block, printed, agent, live, actions, agentAddress }) => {
  switch (block.kind) {
    case "message":
      return html`<${Message} block=${block} actions=${actions} />`;
    case "answer":
      return html`<${Answer} block=${block} live=${live} actions=${actions} />`;
    case "tool":
      return html`<${ToolCard}
        block=${block} printed=${printed} agent=${agent} agentAddress=${agentAddress}
      />`;
    case "compaction":
      return html`<p class="mark" role="note">
        Compacted: the model reads a summary of what is above. You still see all of it.
      </p>`;
    case "ending":
      return html`<${Ending} block=${block} />`;
    default:
      return html`<p class=${`notice ${block.level}`} role="note">${visible(block.text)}</p>`;
  }
});

/** @param {{block: import("./state.js").MessageBlock, actions: any}} props */
function Message({ block, actions: Actions }) {
  return html`<article class="said" aria-label="You said">
    ${block.text &&
    html`<div class="said-text">
      ${block.text.length > MOST_SAID
        ? html`<${Output} text=${block.text} label="Your message" />`
        : visible(block.text)}
    </div>`}
    <${AttachedFiles} files=${block.attachments} />
    <footer class="block-foot dim">
      ${block.steered && html`<span>sent into the turn</span>`}
      ${block.sender && html`<span>${visible(block.sender)}</span>`}
      <${When} at=${block.at} />
      ${Actions && html`<${Actions} block=${block} />`}
    </footer>
  </article>`;
}

/** @param {{block: import("./state.js").AnswerBlock, live?: boolean, actions: any}} props */
function Answer({ block, live = false, actions: Actions }) {
  return html`<article class="answer" aria-label="Answer" aria-busy=${live}>
    ${block.reasoning && html`<${Reasoning} text=${block.reasoning} live=${live && !block.text} />`}
    ${(block.text || live) && html`<${Markdown} text=${block.text} live=${live} />`}
    ${!live &&
    block.text &&
    html`<footer class="block-foot dim">
      ${block.model && html`<span>${visible(block.model)}</span>`}
      <${When} at=${block.at} />
      ${Actions && html`<${Actions} block=${block} />`}
    </footer>`}
  </article>`;
}

/** Folded; its last line shows that something is going on. @param {{text: string, live: boolean}} props */
function Reasoning({ text, live }) {
  const [open, set] = useState(false);
  const last = live ? text.slice(-300).trimEnd().split("\n").at(-1) ?? "" : "";
  return html`<details class="fold reasoning" onToggle=${(/** @type {any} */ e) => set(e.currentTarget.open)}>
    <summary>
      ${live ? "Thinking" : "Thought"} ${!open && live && html`<span class="dim">${visible(last.slice(-90))}</span>`}
    </summary>
    ${open && html`<${Output} text=${text} live=${live} label="Reasoning" />`}
  </details>`;
}

/** @param {{block: import("./state.js").EndingBlock}} props */
function Ending({ block }) {
  const known = OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (block.outcome)];
  const words = known ?? `It ended: ${visible(block.outcome)}.`;
  const took = block.seconds >= 1 ? duration(block.seconds) : "";
  if (!words && !took) return null;
  const bad = block.outcome === "failed" ? "bad" : words ? "warn" : "dim";
  const reason = block.reason && block.reason !== block.outcome ? visible(block.reason) : "";
  return html`<p class=${`ending ${bad}`} role="note">
    ${words || "Done."} ${reason} ${took && html`<span class="dim">${took} of work</span>`}
  </p>`;
}

/** Made once: it costs as much as to draw a block. */
const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const WHOLE = new Intl.DateTimeFormat([], { dateStyle: "short", timeStyle: "medium" });

/** @param {{at: number}} props */
function When({ at }) {
  if (!at) return null;
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const short = (today ? CLOCK : DATE).format(date);
  return html`<time datetime=${date.toISOString()} title=${WHOLE.format(date)}>${short}</time>`;
}
