// @ts-check
/**
 * What one may do with a message or an answer: go back to before it, change it, go on from it in
 * another conversation, ask again, copy it.
 *
 * Going back loses nothing: the journal keeps what came after. It waits until no turn runs.
 */

import { api } from "./api.js";
import { drafted } from "./attached.js";
import { CopyButton } from "./code.js";
import { confirmed } from "./dialog.js";
import { giveBack } from "./drafts.js";
import { computed, html, useState } from "./html.js";
import { sendMessage } from "./sending.js";
import { told } from "./toast.js";

/** @typedef {import("./state.js").View} View */

const WAITS = "Only while no turn runs";

/**
 * The component for the foot of messages and answers of one workstream.
 * @param {string} wsId
 * @param {() => View | null | undefined} view reads a signal
 * @param {(wsId: string) => void} open goes to another workstream
 * @param {() => boolean} may whether this person may do more than copy; reads a signal
 */
export function actionsOf(wsId, view, open, may) {
  // Signals of their own, so that a token that arrives does not redraw the foot of each message.
  const busy = computed(() => isBusy(view()));
  const last = computed(() => {
    const found = view()?.blocks.findLast((each) => each.kind === "message" && each.correlationId);
    return found?.kind === "message" ? found.correlationId : "";
  });

  /** @param {{block: import("./state.js").MessageBlock | import("./state.js").AnswerBlock}} props */
  return function Actions({ block }) {
    const copy = html`<${CopyButton}
      text=${block.text}
      name=${block.kind === "answer" ? "Copy this answer" : "Copy this message"}
    />`;
    if (block.kind === "answer" || !block.correlationId || !may()) return html`<span class="actions">${copy}</span>`;
    return html`<span class="actions">
      ${copy}
      <${OfMessage}
        wsId=${wsId} block=${block} open=${open}
        busy=${busy.value}
        last=${block.correlationId === last.value}
      />
    </span>`;
  };
}

/** Whether a turn runs or waits for an answer. @param {View | null | undefined} view */
export function isBusy(view) {
  return ["thinking", "running", "attention"].includes(view?.state ?? "");
}

/**
 * @param {{wsId: string, block: import("./state.js").MessageBlock, busy: boolean, last: boolean,
 *   open: (wsId: string) => void}} props
 */
function OfMessage({ wsId, block, busy, last, open }) {
  const [working, work] = useState(false);
  const to = block.correlationId;
  const alone = (/** @type {() => Promise<unknown>} */ task) => async () => {
    work(true);
    await task();
    work(false);
  };
  const rewind = async () => {
    const sure = await confirmed(
      "Go back to before this message?",
      "The message and all that came after it leave the conversation. They stay on record. What tools have done is not undone.",
      { yes: "Go back" },
    );
    if (sure) await told(api.post("/api/workstreams/rewind", { ws_id: wsId, to }));
  };
  const edit = async () => {
    const sure = await confirmed(
      "Change this message?",
      "The conversation goes back to before it, and its text goes where you write. What tools have done is not undone.",
      { yes: "Change it" },
    );
    const files = sure && (await drafted(block.attachments));
    const done = files && (await told(api.post("/api/workstreams/rewind", { ws_id: wsId, to })));
    if (!done) return;
    giveBack(wsId, done.message || block.text, { files });
    /** @type {HTMLElement | null} */ (document.querySelector(".composer-text"))?.focus();
  };
  const fork = async () => {
    const files = await drafted(block.attachments);
    const done = files && (await told(api.post("/api/workstreams/fork", { ws_id: wsId, at: to })));
    if (!done) return;
    giveBack(done.workstream.id, block.text, { files });
    open(done.workstream.id);
  };
  const retry = async () => {
    const files = await drafted(block.attachments);
    const done = files && (await told(api.post("/api/workstreams/rewind", { ws_id: wsId, to })));
    if (!done) return;
    const text = done.message || block.text;
    await sendMessage(wsId, text, { text, files, again: "" }, "queue");
  };
  const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {() => Promise<unknown>} */ run, held = busy) =>
    html`<button
      type="button"
      class="small plain"
      aria-label=${`${text}: ${name}`}
      title=${held ? WAITS : name}
      disabled=${working || held}
      onClick=${alone(run)}
    >
      ${text}
    </button>`;
  return html`
    ${last && button("Retry", "ask this again, as it is", retry)}
    ${button("Edit", "go back to before this message, and change it", edit)}
    ${button("Rewind", "go back to before this message", rewind)}
    ${button("Fork", "go on from before this message in a new conversation", fork, false)}
  `;
}
