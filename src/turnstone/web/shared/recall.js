// @ts-check
/** What was written before, where one writes. */

import { changeDraft } from "./drafts.js";
import { useEffect, useRef } from "./html.js";
import { KEYMAP } from "./keymap.js";
import { commandsGiven } from "./sending.js";

/** @typedef {import("./state.js").View} View */

/**
 * What was written before, by the arrow keys, from the first line up and from the last one down.
 * @param {string} wsId @param {View | null} view
 */
export function useRecall(wsId, view) {
  const place = useRef({ back: 0, begun: "" });
  const show = (/** @type {string} */ text, /** @type {HTMLTextAreaElement} */ field, /** @type {boolean} */ end) => {
    changeDraft(wsId, { text });
    // Once it is drawn: the place of the caret tells which line the next key leaves.
    requestAnimationFrame(() => field.setSelectionRange(end ? text.length : 0, end ? text.length : 0));
  };
  const key = (/** @type {string} */ pressed, /** @type {any} */ field) => {
    const { value, selectionStart, selectionEnd } = field;
    if (selectionStart !== selectionEnd) return false;
    const now = place.current;
    if (pressed === KEYMAP.older.keys && !value.slice(0, selectionStart).includes("\n")) {
      const said = written(wsId, view);
      if (now.back >= said.length) return false;
      if (!now.back) now.begun = value;
      now.back += 1;
      show(said[said.length - now.back], field, false);
      return true;
    }
    if (pressed === KEYMAP.newer.keys && now.back && !value.slice(selectionStart).includes("\n")) {
      now.back -= 1;
      const said = written(wsId, view);
      show(now.back ? said[said.length - now.back] : now.begun, field, true);
      return true;
    }
    return false;
  };
  const forget = () => void (place.current = { back: 0, begun: "" });
  useEffect(forget, [wsId]);
  return { key, forget };
}

/** Messages of this conversation, and commands given in it, the newest last.
 * @param {string} wsId @param {View | null} view @returns {string[]}
 */
function written(wsId, view) {
  const said = (view?.blocks ?? []).flatMap((each) => (each.kind === "message" && each.text ? [each.text] : []));
  return [...new Set([...said, ...commandsGiven(wsId)].reverse())].reverse();
}
