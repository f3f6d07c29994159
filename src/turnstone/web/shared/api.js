// @ts-check
/**
 * Requests to the node: JSON both ways, and every refusal as one kind of error.
 *
 * Knows no endpoint; whoever calls it names the path. Never repeats a request by itself.
 */

import { signal } from "./html.js";

/** True from when the node says that this browser is not signed in. */
export const signedOut = signal(false);

/** What the node, or the way to it, answered instead of what was asked for. */
export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0 where there was no answer
   * @param {string} code stable, for programs
   * @param {string} message one sentence
   * @param {string} hint what to do
   */
  constructor(status, code, message, hint = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** @typedef {Record<string, string | number | boolean | undefined | null>} Params */

export const api = {
  /** @param {string} path @param {Params} [params] @returns {Promise<any>} */
  get: (path, params) => request("GET", withParams(path, params)),
  /** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  post: (path, body = {}) => request("POST", path, body),
  /** @param {string} path @param {Params} [params] @returns {Promise<any>} */
  del: (path, params) => request("DELETE", withParams(path, params)),
};

/** @param {string} path @param {Params} [params] */
export function withParams(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** @param {string} method @param {string} path @param {unknown} [body] */
async function request(method, path, body) {
  const answer = await fetched(method, path, body);
  const data = await answer.json().catch(() => null);
  if (answer.ok) return data;
  if (answer.status === 401) signedOut.value = true;
  throw new ApiError(
    answer.status,
    data?.code ?? "",
    data?.error ?? `The node answered ${answer.status} to ${path}.`,
    data?.hint ?? "",
  );
}

/** @param {string} method @param {string} path @param {unknown} [body] */
async function fetched(method, path, body) {
  /** @type {RequestInit} */
  const options = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...options.headers, "Content-Type": "application/json" };
  }
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError(0, "unreachable", "The node does not answer.", "Is it still running?");
  }
}
