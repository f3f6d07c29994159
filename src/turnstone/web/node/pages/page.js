// @ts-check
/** What all pages have: a heading, and what is shown while their data is read or cannot be. */

import { ApiError } from "../../shared/api.js";
import { html, useCallback, useEffect, useState } from "../../shared/html.js";
import { connection } from "../../shared/stream.js";
import { visible } from "../../shared/text.js";

/** @param {{title: string, about?: string, wide?: boolean, children: any}} props */
export function PageFrame({ title, about = "", wide = false, children }) {
  return html`
    <div class=${`page ${wide ? "page-wide" : ""}`}>
      <h1>${title}</h1>
      ${about && html`<p class="page-about dim">${about}</p>`}
      ${children}
    </div>
  `;
}

/**
 * What `load` resolves to, read when one of `on` changes, and again once the node is back after it
 * could not be reached. What was read stays while it is read anew.
 * @template T
 * @param {() => Promise<T>} load @param {unknown[]} on
 * @returns {{data: T | null, error: ApiError | null, busy: boolean, again: () => void,
 *   set: (data: T) => void}}
 */
export function useLoaded(load, on) {
  const [state, set] = useState({
    data: /** @type {T | null} */ (null),
    error: /** @type {ApiError | null} */ (null),
    busy: true,
  });
  const [round, next] = useState(0);
  const again = useCallback(() => next((now) => now + 1), []);
  useEffect(() => {
    let late = false;
    set((now) => ({ ...now, busy: true }));
    load().then(
      (data) => late || set({ data, error: null, busy: false }),
      (error) => {
        if (!(error instanceof ApiError)) throw error;
        if (!late) set((now) => ({ ...now, error, busy: false }));
      },
    );
    return () => void (late = true);
  }, [...on, round]);
  const lost = state.error?.status === 0;
  useEffect(() => {
    if (lost && connection.value === "live") again();
  }, [lost, connection.value]);
  return { ...state, again, set: (data) => set({ data, error: null, busy: false }) };
}

/**
 * Says that something is being read, or why it cannot be; nothing once it is there.
 * @param {{of: {data: any, error: ApiError | null, again: () => void}}} props
 */
export function Loading({ of: { data, error, again } }) {
  if (error) {
    return html`<div class="page-failed" role="alert">
      <p>${visible(error.message)} ${visible(error.hint)}</p>
      <button type="button" class="small" onClick=${again}>Try again</button>
      ${data && html`<p class="dim">What is below was read before.</p>`}
    </div>`;
  }
  return data ? null : html`<p class="page-loading dim" role="status">Reading …</p>`;
}
