// @ts-check
/**
 * Where one writes: a message of several lines, slash commands, files; and while a turn runs, what
 * waits for it, and the button that stops it.
 */

import { isBusy } from "./actions.js";
import { doneWriting } from "./asking.js";
import { readFile } from "./attachments.js";
import { Offers, useCompletion } from "./completing.js";
import { Attach, Files, useDropped } from "./composer-files.js";
import { changeDraft, draftOf } from "./drafts.js";
import { html, useEffect, useLayoutEffect, useRef } from "./html.js";
import { KEYMAP, spelled } from "./keymap.js";
import { bind, named } from "./keys.js";
import { Queue } from "./queue.js";
import { useRecall } from "./recall.js";
import { addFiles, sendDraft, stop } from "./sending.js";

/** @typedef {import("./state.js").View} View */

/**
 * @param {{wsId: string, view: View | null, open?: (wsId: string) => void, may?: boolean,
 *   stops?: boolean}} props `open` goes to another workstream. `may`: whether this person may send
 *   anything; `stops`: whether they may stop a turn
 */
export function Composer({ wsId, view, open = () => {}, may = true, stops = true }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const draft = draftOf(wsId).value;
  const busy = isBusy(view);
  const completion = useCompletion(wsId, draft.text);
  const recall = useRecall(wsId, view);
  const send = (/** @type {"queue" | "steer"} */ how) => {
    recall.forget();
    doneWriting();
    void sendDraft(wsId, how, open);
    field.current?.focus();
  };
  useHeight(field, draft.text);
  useEffect(() => bind({ ...KEYMAP.write, run: () => field.current?.focus() }), []);
  useEffect(() => bind({ ...KEYMAP.stop, when: () => busy && stops, run: () => void stop(wsId) }), [wsId, busy, stops]);

  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    const pressed = named(event);
    if (completion.key(pressed)) event.preventDefault();
    else if (pressed === KEYMAP.send.keys) (event.preventDefault(), send("queue"));
    else if (pressed === KEYMAP.steer.keys) (event.preventDefault(), send(busy ? "steer" : "queue"));
    else if (recall.key(pressed, event.currentTarget)) event.preventDefault();
  };
  const take = async (/** @type {FileList | undefined | null} */ files) => {
    if (files?.length) addFiles(wsId, await Promise.all([...files].map(readFile)));
  };
  const over = useDropped((files) => void (may && !view?.closed && take(files)));

  if (view?.closed) return html`<p class="composer-closed dim">This conversation is closed.</p>`;
  if (!may) {
    return html`<div class="composer composer-bar">
      <span class="composer-hint dim">Your token may read here, and not write.</span>
      ${busy && stops && html`<${StopButton} wsId=${wsId} />`}
    </div>`;
  }
  const empty = !draft.text.trim() && !draft.files.length;
  return html`
    <div class=${`composer ${over ? "composer-over" : ""}`}>
      <${Queue} wsId=${wsId} view=${view} />
      <${Offers} completion=${completion} />
      <${Files} wsId=${wsId} files=${draft.files} />
      <textarea
        ref=${field}
        class="composer-text"
        rows="1"
        aria-label="Message"
        aria-autocomplete="list"
        aria-controls="composer-offers"
        aria-activedescendant=${completion.all.length ? `offer-${completion.at}` : undefined}
        placeholder=${busy ? "Write what comes next …" : "Write a message, or / for commands …"}
        value=${draft.text}
        onInput=${(/** @type {any} */ event) => changeDraft(wsId, { text: event.currentTarget.value })}
        onKeyDown=${key}
        onPaste=${(/** @type {ClipboardEvent} */ event) => {
          const files = event.clipboardData?.files;
          if (!files?.length || event.clipboardData?.types.includes("text/plain")) return;
          event.preventDefault();
          void take(files);
        }}
      ></textarea>
      <div class="composer-bar">
        <${Attach} take=${take} />
        <span class="composer-hint dim">${hint(busy)}</span>
        ${busy && html`<${StopButton} wsId=${wsId} />`}
        ${busy &&
        html`<button type="button" disabled=${empty} onClick=${() => send("steer")}
          title="The model reads it with the next results of this turn">Steer</button>`}
        <button type="button" class="primary" disabled=${empty} onClick=${() => send("queue")}>
          ${busy ? "Queue" : "Send"}
        </button>
      </div>
    </div>
  `;
}

/** @param {{wsId: string}} props */
function StopButton({ wsId }) {
  return html`<button type="button" class="danger" aria-keyshortcuts=${KEYMAP.stop.keys} onClick=${() => stop(wsId)}>
    <span aria-hidden="true">◼</span> Stop
  </button>`;
}

/** @param {boolean} busy */
function hint(busy) {
  const key = (/** @type {keyof typeof KEYMAP} */ name) =>
    html`<kbd>${spelled(KEYMAP[name].keys).join("+")}</kbd>`;
  return busy
    ? html`${key("send")} for the next turn, ${key("steer")} into this one`
    : html`${key("send")} sends, ${key("line")} new line`;
}

/** Grows with what is written. @param {{current: HTMLTextAreaElement | null}} field @param {string} text */
function useHeight(field, text) {
  useLayoutEffect(() => {
    const place = field.current;
    if (!place) return;
    place.style.height = "auto";
    place.style.height = `${place.scrollHeight + 2}px`;
  }, [text]);
}
