// @ts-check
/** Short remarks at the edge of the page: what was done, and what went wrong. */

import { html, signal } from "./html.js";
import { ApiError } from "./api.js";
import { visible } from "./text.js";

/** @typedef {{id: number, text: string, kind: "info" | "error"}} Toast */

const shown = signal(/** @type {Toast[]} */ ([]));

/** Milliseconds for which a remark stays; an error stays until it is closed. */
const STAYS = 5000;

let last = 0;

/** @param {string} text @param {"info" | "error"} [kind] */
export function toast(text, kind = "info") {
  const id = ++last;
  shown.value = [...shown.value, { id, text, kind }];
  if (kind === "info") setTimeout(() => gone(id), STAYS);
}

/**
 * Runs what may fail, and says so where it does. Resolves to its value, or undefined.
 * @template T
 * @param {Promise<T>} work
 * @returns {Promise<T | undefined>}
 */
export async function told(work) {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status !== 401) toast([error.message, error.hint].filter(Boolean).join(" "), "error");
    return undefined;
  }
}

/** @param {number} id */
function gone(id) {
  shown.value = shown.value.filter((each) => each.id !== id);
}

/** Where they are shown; once on each page. */
export function Toasts() {
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${shown.value.map(
        ({ id, text, kind }) => html`
          <p key=${id} class=${`toast ${kind}`}>
            ${visible(text)}
            <button type="button" aria-label="Close this remark" onClick=${() => gone(id)}>✕</button>
          </p>
        `,
      )}
    </div>
  `;
}
