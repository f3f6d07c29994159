// @ts-check
/** All conversations of the store, open and closed: resumed, given out as files, deleted, taken in. */

import { api } from "../../shared/api.js";
import { confirmed } from "../../shared/dialog.js";
import { html, useState } from "../../shared/html.js";
import { counted, stateOf, visible } from "../../shared/text.js";
import { told, toast } from "../../shared/toast.js";
import { address, current, go, workstreams } from "../model.js";
import { relist } from "../reading.js";
import { shownName } from "../rows.js";
import { download } from "./download.js";
import { Import } from "./import.js";
import { Loading, PageFrame, useLoaded } from "./page.js";

/** @typedef {{session_id: string, ws_id: string, name: string, alias: string | null,
 *   title: string | null, created: string, updated: string, message_count: number,
 *   closed: boolean}} Session */

/** Sessions that are read at a time. */
const PAGE = 100;

export function Page() {
  const [words, setWords] = useState("");
  const [which, setWhich] = useState("all");
  const loaded = useLoaded(() => more([]), []);
  const { sessions = [], whole = true } = loaded.data ?? {};
  const shown = sessions.filter((each) => wanted(each, which, words));
  const later = async () => {
    const data = await told(more(sessions));
    if (data) loaded.set(data);
  };
  const gone = (/** @type {Session} */ session) =>
    loaded.set({ sessions: sessions.filter((each) => each.ws_id !== session.ws_id), whole });
  return html`
    <${PageFrame} title="Sessions" wide about="Every conversation that is kept, open or closed, the newest first.">
      <div class="page-tools">
        <label>Filter <input type="search" value=${words} onInput=${(/** @type {any} */ e) => setWords(e.target.value)} /></label>
        <label>Show <select value=${which} onChange=${(/** @type {any} */ e) => setWhich(e.target.value)}>
          <option value="all">all</option><option value="open">open</option><option value="closed">closed</option>
        </select></label>
        <${Import} done=${loaded.again} />
      </div>
      <${Loading} of=${loaded} />
      ${loaded.data && html`
        <p class="dim" role="status">${counted(shown.length, "session")}${words || which !== "all" ? ` of ${counted(sessions.length, "session")} read` : ""}.</p>
        <div class="table-scroll" tabindex="0" role="region" aria-label="Sessions">
          <table class="cards">
            <thead><tr><th>Conversation</th><th>State</th><th>Messages</th><th>Last used</th><th>What can be done</th></tr></thead>
            <tbody>${shown.map((each) => html`<${Row} key=${each.ws_id} session=${each} gone=${gone} />`)}</tbody>
          </table>
        </div>
        ${!whole && html`<button type="button" class="page-more" onClick=${later}>Read earlier ones</button>`}
      `}
    <//>
  `;
}

/** @param {Session[]} before @returns {Promise<{sessions: Session[], whole: boolean}>} */
async function more(before) {
  const { sessions } = await api.get("/api/sessions", { limit: PAGE, after: before.at(-1)?.ws_id });
  return { sessions: [...before, ...sessions], whole: sessions.length < PAGE };
}

/** @param {Session} session @param {string} which @param {string} words */
function wanted(session, which, words) {
  if (which !== "all" && session.closed !== (which === "closed")) return false;
  const text = [session.name, session.alias, session.title, session.ws_id, session.session_id];
  const all = text.join("\n").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

/** @param {{session: Session, gone: (session: Session) => void}} props */
function Row({ session, gone }) {
  const name = visible(shownName(session));
  const row = workstreams.value.find((each) => each.id === session.ws_id);
  const state = session.closed && !row ? { symbol: "–", word: "closed" } : stateOf(row?.state ?? "idle");
  const title = session.title && session.title !== shownName(session) ? session.title : "";
  return html`<tr>
    <td data-label="Conversation">
      ${row ? html`<a href=${address("ws", session.ws_id)}>${name}</a>` : html`<strong>${name}</strong>`}
      ${title && html`<div class="dim">${visible(title)}</div>`}
      <div class="dim small-text">${session.ws_id} · session ${session.session_id}</div>
    </td>
    <td data-label="State"><span class=${`list-state ${row?.state ?? ""}`} aria-hidden="true">${state.symbol}</span> ${state.word}</td>
    <td data-label="Messages" class="number">${session.message_count}</td>
    <td data-label="Last used">${inPlace(session.updated)}</td>
    <td data-label="What can be done">
      <div class="row-actions">
        ${!row && html`<button type="button" class="small" aria-label=${`Resume ${name}`} onClick=${() => resume(session)}>Resume</button>`}
        <button type="button" class="small" aria-label=${`JSON file of ${name}`} onClick=${() => give(session, "json")}>JSON</button>
        <button type="button" class="small" aria-label=${`Markdown file of ${name}`} onClick=${() => give(session, "markdown")}>Markdown</button>
        <button type="button" class="small danger" aria-label=${`Delete ${name}`} onClick=${() => erase(session, name, gone)}>Delete</button>
      </div>
    </td>
  </tr>`;
}

/** The node tells these times in UTC, without saying so. @param {string} text */
function inPlace(text) {
  const time = new Date(`${text.replace(" ", "T")}Z`);
  const style = /** @type {const} */ ({ dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  return Number.isNaN(time.getTime()) ? text : html`<time datetime=${time.toISOString()}>${new Intl.DateTimeFormat("en-GB", style).format(time)}</time>`;
}

/** @param {Session} session */
async function resume(session) {
  const answer = await told(api.post("/api/sessions/resume", { session: session.ws_id }));
  if (!answer) return;
  await relist();
  go("ws", answer.workstream.id);
}

/** @param {Session} session @param {"json" | "markdown"} format */
async function give(session, format) {
  const answer = await told(api.get("/api/sessions/export", { session: session.ws_id, format }));
  if (!answer) return;
  const json = format === "json";
  download(shownName(session), json ? "json" : "md", answer.text, json ? "application/json" : "text/markdown");
}

/** @param {Session} session @param {string} name @param {(session: Session) => void} gone */
async function erase(session, name, gone) {
  const text = `All its ${counted(session.message_count, "message")} and records are erased. This cannot be undone.`;
  if (!(await confirmed(`Delete ${name}?`, text, { yes: "Delete", danger: true }))) return;
  const path = `/api/workstreams/${encodeURIComponent(session.ws_id)}`;
  if (!(await told(api.del(path, { force: true })))) return;
  gone(session);
  workstreams.value = workstreams.value.filter((row) => row.id !== session.ws_id);
  if (current.value === session.ws_id) go("sessions");
  toast(`${name} was deleted.`);
}
