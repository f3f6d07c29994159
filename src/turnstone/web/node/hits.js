// @ts-check
/** What was said anywhere, found by its words; a hit opens its conversation at that place. */

import { api } from "../shared/api.js";
import { confirmed } from "../shared/dialog.js";
import { html, useEffect, useState } from "../shared/html.js";
import { counted, moment, visible } from "../shared/text.js";
import { told } from "../shared/toast.js";
import { address, go, listShown, workstreams } from "./model.js";
import { relist } from "./reading.js";
import { shownName } from "./rows.js";

/** @typedef {{ws_id: string, session_id: string, message: string, role: string, snippet: string,
 *   timestamp: number}} Hit */

/** Milliseconds without a key before it is searched; the fewest letters; the most hits. */
const PAUSE = 250;
const FEWEST = 2;
const MOST = 30;

const WHO = /** @type {Record<string, string>} */ ({
  user: "you", assistant: "the model", tool: "a tool", title: "title",
});

/** @param {{query: string}} props */
export function Hits({ query }) {
  const words = query.trim();
  const [found, set] = useState({ words: "", hits: /** @type {Hit[]} */ ([]), failed: "" });
  useEffect(() => {
    if (words.length < FEWEST) return undefined;
    let late = false;
    const timer = setTimeout(async () => {
      const answer = await api.get("/api/search", { query: words, limit: MOST }).catch((error) => error);
      if (late) return;
      if (answer instanceof Error) set({ words, hits: [], failed: answer.message });
      else set({ words, hits: answer.hits, failed: "" });
    }, PAUSE);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [words]);
  if (words.length < FEWEST) return null;
  const done = found.words === words;
  return html`
    <section class="hits" aria-label="What was said">
      <h2 class="hits-head">What was said</h2>
      <p class="hits-count dim" role="status">
        ${done ? found.failed || `${counted(found.hits.length, "hit")}${found.hits.length === MOST ? ", the newest" : ""}` : "Searching …"}
      </p>
      <ul class="hits-list" aria-busy=${!done}>
        ${found.hits.map((hit) => html`<li key=${hit.message}><${HitLink} hit=${hit} words=${found.words} /></li>`)}
      </ul>
    </section>
  `;
}

/** @param {{hit: Hit, words: string}} props */
function HitLink({ hit, words }) {
  const row = workstreams.value.find((each) => each.id === hit.ws_id);
  const place = placeOf(hit);
  return html`<a
    class="hit"
    href=${address("ws", ...place)}
    onClick=${(/** @type {Event} */ event) => {
      listShown.value = false;
      if (!row) (event.preventDefault(), reopen(hit, place));
    }}
  >
    <span class="hit-head">
      <span class="hit-name">${row ? visible(shownName(row)) : `Closed · ${hit.ws_id}`}</span>
      <span class="dim">${WHO[hit.role] ?? hit.role} · ${moment(hit.timestamp)}</span>
    </span>
    <span class="hit-text">${marked(visible(hit.snippet), words)}</span>
  </a>`;
}

/** What follows `#/ws/` for a hit: a title is at no place. @param {Hit} hit */
function placeOf({ ws_id, role, timestamp }) {
  return role === "title" ? [ws_id] : [ws_id, "at", role, String(timestamp)];
}

/** A conversation that is not open is opened again, when that is wanted. @param {Hit} hit @param {string[]} place */
async function reopen(hit, place) {
  const text = "It is in no list of what is open. To be read here it must be opened again.";
  if (!(await confirmed("This conversation is closed", text, { yes: "Open it" }))) return;
  const answer = await told(api.post("/api/sessions/resume", { session: hit.ws_id }));
  if (!answer) return;
  await relist();
  go("ws", ...place);
}

/**
 * The text with each of the words marked, as pieces of markup.
 * @param {string} text @param {string} words
 */
export function marked(text, words) {
  const sought = words.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!sought.length) return text;
  const pieces = text.split(new RegExp(`(${sought.join("|")})`, "giu"));
  return pieces.map((piece, place) => (place % 2 ? html`<mark key=${place}>${piece}</mark>` : piece));
}
