// @ts-check
/** Takes the file of a session in, chosen or dropped. */

import { api } from "../../shared/api.js";
import { html, useRef, useState } from "../../shared/html.js";
import { counted } from "../../shared/text.js";
import { told, toast } from "../../shared/toast.js";

/** Bytes of a file that the node takes, with room for what JSON adds to it. */
const MOST = 24 * 1024 * 1024;

/** @param {{done: () => void}} props `done`: something new is in the store */
export function Import({ done }) {
  const chosen = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [busy, setBusy] = useState(false);
  const take = async (/** @type {FileList | null | undefined} */ files) => {
    if (!files?.length) return;
    setBusy(true);
    for (const file of files) await takeIn(file);
    setBusy(false);
    if (chosen.current) chosen.current.value = "";
    done();
  };
  return html`
    <div
      class="import"
      onDragOver=${(/** @type {DragEvent} */ event) => event.preventDefault()}
      onDrop=${(/** @type {DragEvent} */ event) => (event.preventDefault(), take(event.dataTransfer?.files))}
    >
      <input ref=${chosen} type="file" class="unseen" id="import-file" accept=".json,.md,.txt" multiple tabindex="-1" aria-label="Files of sessions" onChange=${() => take(chosen.current?.files)} />
      <button type="button" disabled=${busy} onClick=${() => chosen.current?.click()}>
        ${busy ? "Importing …" : "Import from a file …"}
      </button>
    </div>
  `;
}

/** @param {File} file */
async function takeIn(file) {
  if (file.size > MOST) {
    toast(`${file.name} is too large to be imported here. Use turnstone import.`, "error");
    return;
  }
  const text = await file.text();
  const answer = await told(api.post("/api/sessions/import", { text, source: file.name }));
  if (!answer) return;
  const what = answer.known
    ? `The session of ${file.name} was here already.`
    : `${counted(answer.messages, "message")} of ${file.name} are here now; resume the session to go on with it.`;
  toast([what, ...answer.notes].join(" "));
}
