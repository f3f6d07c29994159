// @ts-check
/** Completion of slash commands where one writes: the offers, the keys for them, their list. */

import { api } from "./api.js";
import { offers } from "./completion.js";
import { changeDraft } from "./drafts.js";
import { html, useEffect, useState } from "./html.js";
import { KEYMAP } from "./keymap.js";
import { counted } from "./text.js";

/** @typedef {import("./completion.js").Command} Command */

/** Offers that are shown at a time. */
const SHOWN = 8;

/** @type {Promise<Command[]> | null} */
let table = null;

/** The commands that work here. A failure is not kept: the next call asks again. */
async function commands() {
  table ??= api.get("/api/commands").then((found) =>
    found.commands.filter((/** @type {Command} */ each) => each.where === "everywhere"),
  );
  try {
    return await table;
  } catch {
    table = null;
    return [];
  }
}

/** @typedef {ReturnType<typeof useCompletion>} Completion */

/** What the draft can be completed to, and which of it is chosen. @param {string} wsId @param {string} text */
export function useCompletion(wsId, text) {
  const [known, set] = useState(/** @type {Command[]} */ ([]));
  const [at, choose] = useState(0);
  const [closed, close] = useState("");
  const begun = text.startsWith("/");
  useEffect(() => {
    if (begun && !known.length) void commands().then(set);
  }, [begun]);
  useEffect(() => choose(0), [text]);
  const all = text === closed ? [] : offers(text, known);
  const take = (/** @type {number} */ place) => changeDraft(wsId, { text: all[place].text });
  const key = (/** @type {string} */ pressed) => {
    if (!all.length) return false;
    if (pressed === "ArrowDown") choose((at + 1) % all.length);
    else if (pressed === "ArrowUp") choose((at + all.length - 1) % all.length);
    else if (pressed === KEYMAP.complete.keys) take(at);
    else if (pressed === "Escape") close(text);
    else if (pressed === "Enter" && !(all[at].whole && all[at].text.trim() === text.trim())) take(at);
    else return false;
    return true;
  };
  return { all, at, key, take };
}

/** @param {{completion: Completion}} props */
export function Offers({ completion: { all, at, take } }) {
  const first = Math.max(0, Math.min(at - SHOWN + 1, all.length - SHOWN));
  return html`
    <p class="unseen" role="status">${all.length > 0 && counted(all.length, "command")}</p>
    <ul id="composer-offers" class="composer-offers" role="listbox" aria-label="Commands" hidden=${!all.length}>
      ${all.slice(first, first + SHOWN).map(
        (offer, n) => html`<li
          key=${offer.text}
          id=${`offer-${first + n}`}
          role="option"
          aria-selected=${first + n === at}
          onMouseDown=${(/** @type {Event} */ event) => {
            event.preventDefault(); // the focus stays where one writes
            take(first + n);
          }}
        >
          <code>${offer.shown}</code> <span class="dim">${offer.help}</span>
        </li>`,
      )}
    </ul>
  `;
}
