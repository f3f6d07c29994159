// @ts-check
/** What was sent and is not in the conversation yet; it can be taken back. */

import { html, useState } from "./html.js";
import { takeBack, underway } from "./sending.js";
import { counted, visible } from "./text.js";

/** Characters of a message that are shown here. */
const SHOWN = 200;

/** @param {{wsId: string, view: import("./state.js").View | null}} props */
export function Queue({ wsId, view }) {
  const queued = view?.queued ?? [];
  const arrived = new Set(queued.map((each) => each.correlationId));
  const sending = underway.value.filter((each) => each.wsId === wsId && !arrived.has(each.id));
  if (!queued.length && !sending.length) return null;
  return html`<ul class="queue" aria-label="Messages that wait">
    ${queued.map((each) => html`<${Waiting} key=${each.correlationId} wsId=${wsId} message=${each} />`)}
    ${sending.map(
      (each) => html`<li key=${each.id}>
        <span class="queue-how dim">sending</span> <span class="queue-text">${short(each.text)}</span>
        <${Count} files=${each.files} />
      </li>`,
    )}
  </ul>`;
}

/** @param {{files: number}} props */
function Count({ files }) {
  return files > 0 && html`<span class="dim">${counted(files, "file")}</span>`;
}

/** @param {{wsId: string, message: import("./state.js").View["queued"][0]}} props */
function Waiting({ wsId, message }) {
  const [asked, ask] = useState(false);
  const back = async () => {
    ask(true);
    await takeBack(wsId, message);
    ask(false);
  };
  return html`<li>
    <span class="queue-how dim">${message.steered ? "into this turn" : "queued"}</span>
    <span class="queue-text">${short(message.text)}</span>
    <${Count} files=${message.attachments.length} />
    <button type="button" class="small" disabled=${asked} onClick=${back}>Take back</button>
  </li>`;
}

/** @param {string} text */
function short(text) {
  return visible(text.length > SHOWN ? `${text.slice(0, SHOWN)} …` : text);
}
