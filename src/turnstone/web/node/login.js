// @ts-check
/**
 * Signing in: by a token, when no one-time link was followed, or when that is good no more. The
 * token is sent to this node, and kept nowhere by the page.
 */

import { ApiError, api } from "../shared/api.js";
import { html, render, useEffect, useRef, useState } from "../shared/html.js";
import { visible } from "../shared/text.js";
import { showTheme } from "../shared/theme.js";

const EXPIRED = "This link was used before, or it is older than a day. A link signs one browser in, once.";

function Login() {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const expired = new URLSearchParams(location.search).has("code");
  useEffect(() => field.current?.focus(), []);
  const enter = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (!token) {
      setError("Give a token.");
      return field.current?.focus();
    }
    setBusy(true);
    setError("");
    try {
      await api.post("/api/auth/login", { token });
      // What was asked for behind `#` is shown once one is in. The link's code must not stay.
      location.replace(`/${location.hash}`);
      if (location.pathname === "/" && !location.search) location.reload();
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      setError([failure.message, failure.hint].filter(Boolean).join(" "));
      setBusy(false);
      field.current?.select();
    }
  };
  return html`
    <h1>Turnstone</h1>
    ${expired && html`<p class="login-note" role="alert">${EXPIRED}</p>`}
    <form onSubmit=${enter}>
      <label for="token">Token of this node</label>
      <input
        ref=${field}
        id="token"
        type="password"
        autocomplete="current-password"
        spellcheck=${false}
        aria-invalid=${error ? "true" : undefined}
        aria-describedby="login-help login-error"
      />
      <p id="login-error" class="login-error" role="alert">${visible(error)}</p>
      <button class="primary" disabled=${busy}>${busy ? "Signing in …" : "Sign in"}</button>
    </form>
    <p id="login-help" class="dim">
      The program prints a link at its start that signs a browser in. The token itself lies in the
      file <code>token</code> beside the node's store, or where the node's settings name it.
    </p>
  `;
}

showTheme();
const place = /** @type {HTMLElement} */ (document.getElementById("app"));
place.textContent = "";
render(html`<${Login} />`, place);
