// @ts-check
/**
 * The layout of a node's page, and which part of it the address names.
 *
 * `#/ws/ID` a workstream; `#/sessions`, `#/memory`, `#/policy/ID`, `#/usage`, `#/settings`,
 * `#/help` the pages, each a module in `pages/` that exports `Page({rest})` with what follows its
 * name in the address.
 */

import { Dialog } from "../shared/dialog.js";
import { html, useEffect } from "../shared/html.js";
import { signedOut } from "../shared/api.js";
import { ConnectionState } from "../shared/connection.js";
import { Toasts } from "../shared/toast.js";
import { Part } from "./part.js";
import { current, listShown, route } from "./model.js";
import { Work } from "./work.js";

/** The pages, by the first word of the address. */
const PAGES = {
  sessions: () => import("./pages/sessions.js"),
  memory: () => import("./pages/memory.js"),
  policy: () => import("./pages/policy.js"),
  usage: () => import("./pages/usage.js"),
  settings: () => import("./pages/settings.js"),
  help: () => import("./pages/help.js"),
};

const list = () => import("./list.js");

/** Milliseconds after which all pages are fetched: they are to be there when the node is not. */
const QUIET = 500;

/** One that does not come now is tried again when it is shown. */
function fetchPages() {
  for (const load of Object.values(PAGES)) load().catch(() => {});
}

export function App() {
  useEffect(() => {
    if (signedOut.value) location.assign("/login");
  }, [signedOut.value]);
  useEffect(() => void setTimeout(fetchPages, QUIET), []);
  return html`
    <a class="skip-link button" href="#main" onClick=${toMain}>To the conversation</a>
    <div class=${`node-app ${listShown.value ? "with-list" : ""}`}>
      <header class="node-bar">
        <button
          type="button"
          class="plain node-menu"
          aria-expanded=${listShown.value}
          aria-controls="list"
          onClick=${() => (listShown.value = !listShown.value)}
        >
          <span aria-hidden="true">☰</span><span class="unseen">List of conversations</span>
        </button>
        <a class="node-name" href="#/">Turnstone</a>
        <${ConnectionState} />
      </header>
      <nav id="list" class="node-side" aria-label="Conversations and pages">
        <${Part} load=${list} name="List" />
      </nav>
      <main id="main" class="node-main" tabindex="-1"><${Place} /></main>
    </div>
    <${Toasts} />
    <${Dialog} />
  `;
}

/** What the address names. */
function Place() {
  const [page, ...rest] = route.value;
  const load = PAGES[/** @type {keyof typeof PAGES} */ (page)];
  if (load) return html`<${Part} key=${page} load=${load} name="Page" rest=${rest} />`;
  if (current.value) return html`<${Work} key=${current.value} wsId=${current.value} />`;
  return html`<div class="node-empty">
    <h1>Turnstone</h1>
    <p class="dim">Choose a conversation from the list, or begin one there.</p>
  </div>`;
}

/** The address stays as it is: what is behind `#` names the page. */
function toMain(/** @type {Event} */ event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
