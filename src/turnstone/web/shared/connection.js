// @ts-check
/** How it stands with the connection to the node, in words; nothing is said while all is well. */

import { html, useEffect, useState } from "./html.js";
import { connection, nextAttempt, stream } from "./stream.js";

const WORDS = {
  connecting: "Connecting …",
  live: "Connected",
  waiting: "The connection was cut.",
  offline: "The node cannot be reached.",
  "signed-out": "You are signed out.",
};

/** Once on each page. */
export function ConnectionState() {
  const state = connection.value;
  const [, tick] = useState(0);
  useEffect(() => {
    if (!nextAttempt.value) return undefined;
    const timer = setInterval(() => tick(Date.now()), 500);
    return () => clearInterval(timer);
  }, [nextAttempt.value]);
  const seconds = Math.max(0, Math.ceil((nextAttempt.value - Date.now()) / 1000));
  return html`
    <div class=${`connection ${state}`}>
      <span role="status">
        <span class="connection-dot" aria-hidden="true"></span>
        <span class="connection-words">${WORDS[state]}</span>
      </span>
      ${nextAttempt.value > 0 &&
      html`<span class="connection-next dim">Next attempt in ${seconds} s.</span>
        <button type="button" class="small" onClick=${() => stream.value?.again()}>Now</button>`}
    </div>
  `;
}
