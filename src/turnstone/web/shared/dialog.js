// @ts-check
/**
 * Questions of the page itself to the person: the browser's own modal dialog, so that focus,
 * Escape and screen readers work as everywhere. One at a time.
 */

import { html, signal, useEffect, useRef } from "./html.js";

/**
 * @typedef {{title: string, text: string, yes: string, no?: string, danger?: boolean,
 *   input?: {label: string, value: string}, answer: (said: string | null) => void}} Question
 */

const asked = signal(/** @type {Question | null} */ (null));

/**
 * Asks, and resolves to whether the person agreed.
 * @param {string} title @param {string} text @param {{yes?: string, danger?: boolean}} [options]
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, { yes = "Yes", danger = false } = {}) {
  return new Promise((resolve) => {
    put({ title, text, yes, danger, answer: (said) => resolve(said !== null) });
  });
}

/**
 * Asks for a line of text; null where the person thought better of it.
 * @param {string} title @param {string} label @param {string} [value] @param {string} [yes]
 * @returns {Promise<string | null>}
 */
export function prompted(title, label, value = "", yes = "OK") {
  return new Promise((resolve) => {
    put({ title, text: "", yes, input: { label, value }, answer: resolve });
  });
}

/** @param {Question} question */
function put(question) {
  asked.value?.answer(null);
  asked.value = question;
}

/** @param {string | null} said */
function answered(said) {
  const question = asked.value;
  asked.value = null;
  question?.answer(said);
}

/** Where the question is shown; once on each page. */
export function Dialog() {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const question = asked.value;
  useEffect(() => {
    if (question) box.current?.showModal();
    field.current?.select();
  }, [question]);
  if (!question) return null;
  const said = (/** @type {Event} */ event) => {
    event.preventDefault(); // the form is gone by then
    answered(field.current ? field.current.value : "");
  };
  return html`
    <dialog ref=${box} class="dialog" aria-labelledby="dialog-title" onClose=${() => answered(null)}>
      <form method="dialog" onSubmit=${said}>
        <h2 id="dialog-title">${question.title}</h2>
        ${question.text && html`<p>${question.text}</p>`}
        ${question.input &&
        html`<label>${question.input.label}
          <input ref=${field} defaultValue=${question.input.value} autocomplete="off" />
        </label>`}
        <menu>
          <button type="button" onClick=${() => answered(null)}>${question.no ?? "Cancel"}</button>
          <button class=${question.danger ? "danger" : "primary"} autofocus=${!question.input}>
            ${question.yes}
          </button>
        </menu>
      </form>
    </dialog>
  `;
}
