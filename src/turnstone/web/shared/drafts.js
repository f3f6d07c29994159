// @ts-check
/**
 * What a person has begun to write, by workstream; kept in this browser until it is sent.
 *
 * Files that were added are kept only as long as the page is open.
 */

import { signal } from "./html.js";

/**
 * @typedef {{name: string, mediaType: string, size: number, text: string, image: Blob | null}} Attachment
 *   an image, or a text; `size`: bytes of the one, characters of the other
 */
/** @typedef {{text: string, files: readonly Attachment[], again: string}} Draft `again`: the
 *   correlation id under which this very text was sent, where nobody knows whether it arrived */

/** @type {Draft} */
const NOTHING = Object.freeze({ text: "", files: [], again: "" });

const PREFIX = "turnstone-draft:";

/** Characters of a draft that are kept across visits: a browser has five million for all. */
const MOST_KEPT = 100_000;

/** @type {Map<string, {value: Draft}>} signals */
const drafts = new Map();

/** The draft of a workstream, as a signal. @param {string} wsId */
export function draftOf(wsId) {
  let found = drafts.get(wsId);
  if (!found) {
    found = signal({ ...NOTHING, text: read(wsId) });
    drafts.set(wsId, found);
  }
  return found;
}

/** @param {string} wsId @param {Partial<Draft>} changed a change of the text is another message */
export function changeDraft(wsId, changed) {
  const draft = draftOf(wsId);
  draft.value = { ...draft.value, again: "", ...changed };
  if (changed.text !== undefined) keep(wsId, changed.text);
}

/** @param {string} wsId */
export function clearDraft(wsId) {
  changeDraft(wsId, NOTHING);
}

/**
 * Text comes back to be changed and sent again: before what was begun meanwhile.
 * @param {string} wsId @param {string} text @param {Partial<Draft>} [more]
 */
export function giveBack(wsId, text, more = {}) {
  const now = draftOf(wsId).value;
  if (now.text.trim()) changeDraft(wsId, { text: `${text}\n\n${now.text}`, files: [...(more.files ?? []), ...now.files] });
  else changeDraft(wsId, { ...more, text, files: [...(more.files ?? []), ...now.files] });
}

/** @param {string} wsId */
function read(wsId) {
  return localStorage.getItem(PREFIX + wsId) ?? "";
}

/** @param {string} wsId @param {string} text */
function keep(wsId, text) {
  try {
    if (text && text.length <= MOST_KEPT) localStorage.setItem(PREFIX + wsId, text);
    else localStorage.removeItem(PREFIX + wsId);
  } catch {
    // There is no room left: the draft stays as long as the page does.
  }
}
