// @ts-check
/**
 * The keys and the focus of everything that waits for a person: questions about tool calls, plans.
 *
 * An answer by one letter must be meant as one. So focus never leaves a field in which somebody
 * writes, and a letter is no answer while it may belong to a word: shortly after the question
 * came, or after another letter.
 */

import { html, useEffect, useLayoutEffect, useRef } from "./html.js";
import { KEYMAP, spelled } from "./keymap.js";
import { bind, typing } from "./keys.js";
import { visible } from "./text.js";

/** @typedef {Partial<Record<"allow" | "always" | "deny" | "feedback", () => void>>} Actions */
/** @typedef {{element: HTMLElement, shown: number, actions: Actions}} Card */

/** Milliseconds for which a new question takes no letters, and that part a word from an answer. */
const GUARD = 700;

/** Milliseconds without a key after which an empty field counts as one where nobody writes. */
const QUIET = 2000;

/** What stands in place of the answers for somebody who may give none. */
export const MAY_NOT = "Your token may read here, and not answer.";

/** @type {Map<string, Card>} in the order in which they came */
const cards = new Map();

/** When a key was last pressed that was no answer, as `performance.now()`. */
let written = -QUIET;

document.addEventListener(
  "keydown",
  (event) => {
    if (typing(event.target)) written = performance.now();
  },
  { capture: true },
);

/** What was being written is sent: a question that comes now may have the focus. */
export function doneWriting() {
  written = -QUIET;
}

for (const name of /** @type {const} */ (["allow", "always", "deny", "feedback"])) {
  bind({ ...KEYMAP[name], when: () => cards.size > 0, run: () => answer(name) });
}
bind({ ...KEYMAP.next, when: () => cards.size > 0, run: () => next()?.element.focus() });

/**
 * Makes the element of the ref a card that keys answer; it gets the focus if nobody writes.
 * @param {string} id @param {Actions} actions
 */
export function useCard(id, actions) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (ref.current);
    cards.set(id, { element, shown: performance.now(), actions });
    if (free()) element.focus();
    return () => {
      const focused = element.contains(document.activeElement);
      const after = next(id);
      cards.delete(id);
      if (focused) goOn(after);
    };
  }, [id]);
  useEffect(() => {
    const card = cards.get(id);
    if (card) card.actions = actions;
  });
  return ref;
}

/**
 * Call before what has the focus in a card is switched off: the card keeps it.
 * @param {HTMLElement | null} element
 */
export function keepFocus(element) {
  if (element?.contains(document.activeElement)) element.focus();
}

/** Whether the focus may be taken from where it is. */
function free() {
  const now = document.activeElement;
  if (now?.closest(".ask, dialog[open]")) return false;
  if (!typing(now)) return true;
  const text = /** @type {HTMLInputElement} */ (now).value;
  return !text && performance.now() - written > QUIET;
}

/** The question answered had the focus: the next one gets it, or the place where one writes.
 * @param {Card | undefined} card
 */
function goOn(card) {
  // On a screen that is touched, a keyboard would come up for it.
  const touched = matchMedia("(pointer: coarse)").matches;
  const place = card?.element ?? (touched ? null : document.querySelector(".composer-text"));
  // Once the card is gone, so that the browser does not move the focus again.
  queueMicrotask(() => /** @type {HTMLElement | null} */ (place)?.focus());
}

/** The card with the focus, or the oldest. @returns {Card | undefined} */
function chosen() {
  const all = [...cards.values()];
  return all.find(({ element }) => element.contains(document.activeElement)) ?? all[0];
}

/** The card behind this one, or behind the chosen one. @param {string} [id] @returns {Card | undefined} */
function next(id) {
  const all = [...cards.values()];
  const from = id ? cards.get(id) : chosen();
  if (all.length < 2) return id ? undefined : all[0];
  return all[(all.indexOf(/** @type {Card} */ (from)) + 1) % all.length];
}

/** @param {keyof Actions} name */
function answer(name) {
  const card = chosen();
  const now = performance.now();
  if (!card || now - card.shown < GUARD || now - written < GUARD) {
    written = now;
    return;
  }
  card.element.scrollIntoView({ block: "nearest" });
  card.actions[name]?.();
}

/** A button with the key that does the same. @param {{does: keyof typeof KEYMAP, run: () => void,
 *   disabled?: boolean, kind?: string, children: any}} props
 */
export function KeyButton({ does, run, disabled = false, kind = "", children }) {
  const { keys } = KEYMAP[does];
  return html`<button
    type="button"
    class=${kind}
    disabled=${disabled}
    aria-keyshortcuts=${keys}
    onClick=${run}
  >
    ${children} <kbd aria-hidden="true">${spelled(keys).join("+")}</kbd>
  </button>`;
}

/**
 * A field for a remark: Enter sends it, Escape closes it.
 * @param {{label: string, send: string, disabled: boolean, onSend: (text: string) => void,
 *   onClose: () => void}} props
 */
export function Remark({ label, send, disabled, onSend, onClose }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  // At once: the next letter is the remark's already.
  useLayoutEffect(() => field.current?.focus(), []);
  const sent = () => field.current?.value.trim() && onSend(field.current.value.trim());
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") onClose();
    else if (event.key === "Enter" && !event.shiftKey) sent();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="ask-remark">
    <label>${label}<textarea ref=${field} rows="2" disabled=${disabled} onKeyDown=${key}></textarea></label>
    <div class="ask-buttons">
      <button type="button" class="primary" disabled=${disabled} onClick=${sent}>${send}</button>
      <button type="button" disabled=${disabled} onClick=${onClose}>Back</button>
    </div>
  </div>`;
}

/** Which sub-agent asks. @param {{origin: any, address?: (id: string) => string, name: string}} props */
export function Origin({ origin, address, name }) {
  if (!origin) return null;
  const who = `${name || "a sub-agent"}${origin.agent ? ` (${visible(origin.agent)})` : ""}`;
  return html`<span class="ask-origin">
    asked by the sub-agent ${address ? html`<a href=${address(origin.ws_id)}>${who}</a>` : who}
  </span>`;
}
