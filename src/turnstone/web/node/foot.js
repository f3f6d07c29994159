// @ts-check
/** The ways to the other pages, the theme, and out. */

import { api, signedOut } from "../shared/api.js";
import { html, useState } from "../shared/html.js";
import { setTheme, theme } from "../shared/theme.js";
import { told } from "../shared/toast.js";
import { address, current, listShown, route } from "./model.js";

const PAGES = [
  ["sessions", "Sessions"],
  ["memory", "Memory"],
  ["policy", "Policy"],
  ["usage", "Usage"],
  ["settings", "Settings"],
  ["help", "Help"],
];

/** Pages that are about one conversation: the one that is shown. */
const OF_ONE = new Set(["policy", "usage"]);

export function Foot() {
  const [page, about] = route.value;
  const now = current.value || (OF_ONE.has(page) ? about : "");
  return html`
    <div class="list-foot">
      <ul class="list-pages" aria-label="Pages">
        ${PAGES.map(
          ([id, name]) => html`<li>
            <a
              href=${OF_ONE.has(id) && now ? address(id, now) : address(id)}
              aria-current=${page === id ? "page" : undefined}
              onClick=${() => (listShown.value = false)}
              >${name}</a
            >
          </li>`,
        )}
      </ul>
      <div class="list-end">
        <${ThemeChoice} />
        <button type="button" class="small" onClick=${signOut}>Sign out</button>
      </div>
    </div>
  `;
}

/** Light, dark, or as the system has it. */
export function ThemeChoice() {
  const [now, set] = useState(theme());
  const choose = (/** @type {any} */ event) => {
    setTheme(event.target.value);
    set(theme());
  };
  return html`<label class="theme-choice">
    <span class="unseen">Colours</span>
    <select value=${now} onChange=${choose}>
      <option value="system">As the system</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  </label>`;
}

/** Takes the cookie of this browser back. */
export async function signOut() {
  if (await told(api.post("/api/auth/logout"))) signedOut.value = true;
}
