// @ts-check
/**
 * The side of the page: what waits for an answer, all open conversations with their states, a box
 * that filters them and searches what was said, and the ways to the other pages.
 */

import { html, useEffect, useRef, useSignal, useSignalEffect, useState } from "../shared/html.js";
import { bind } from "../shared/keys.js";
import { LIST_KEYS } from "../shared/list-keys.js";
import { counted } from "../shared/text.js";
import { connection } from "../shared/stream.js";
import { above, agents, readAgents, unfold, unfolded } from "./agents.js";
import { Foot } from "./foot.js";
import { Hits } from "./hits.js";
import { ListRow, begin, close, rowLink } from "./list-row.js";
import { current, go, listShown, listed, views, workstreams } from "./model.js";
import { filtered, seen, watchUnread } from "./rows.js";

/** Rows that are shown of those with a name that is sought: what was said is to be seen too. */
const FIRST = 10;

/** What the side of the page shows; once on each page. */
export function List() {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(current.value);
  const [renaming, setRenaming] = useState("");
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [whole, setWhole] = useState(false);
  const found = filtered(workstreams.value, query);
  const rows = query && !whole ? found.slice(0, FIRST) : found;
  const state = useSignal({ rows, active });
  state.value = { rows, active };
  useEffect(watchUnread, []);
  useEffect(() => setWhole(false), [query]);
  useEffect(() => followAgents(), []);
  useSignalEffect(() => {
    if (!current.value) return;
    setActive(current.value);
    seen(current.value);
  });
  useEffect(() => keys(box, state, setActive), []);
  const known = list.current?.querySelector(`[data-row="${CSS.escape(active)}"]`);
  const stop = known || rows.some((row) => row.id === active) ? active : (rows[0]?.id ?? "");
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    move(event, list.current, { active: stop, setActive, setRenaming });
  };
  return html`
    <div class="list" ref=${list}>
      <div class="list-top">
        <button type="button" class="primary list-begin" onClick=${begin}>New conversation</button>
        <input
          ref=${box}
          type="search"
          class="list-filter"
          aria-label="Filter the list, and search in what was said"
          placeholder="Filter or search …"
          value=${query}
          autocomplete="off"
          spellcheck=${false}
          onInput=${(/** @type {any} */ event) => setQuery(event.target.value)}
          onKeyDown=${(/** @type {KeyboardEvent} */ event) => inBox(event, setQuery, rows[0]?.id)}
        />
        <${Waiting} />
      </div>
      <div class="list-scroll">
        <p class="unseen" role="status">${query && `${counted(found.length, "conversation")} by name`}</p>
        ${listed.value
          ? html`<ul class="list-rows" aria-label="Open conversations" onKeyDown=${onKey} onFocusIn=${(/** @type {any} */ event) => setActive(event.target.dataset?.row ?? stop)}>
              ${rows.map((row) => html`<${ListRow} key=${row.id} row=${row} depth=${0} active=${stop} renaming=${renaming} setActive=${setActive} setRenaming=${setRenaming} />`)}
            </ul>`
          : html`<p class="list-none dim">${connection.value === "offline" ? "The list cannot be read now." : "Reading the list …"}</p>`}
        ${listed.value && !rows.length && html`<p class="list-none dim">${query ? "No open conversation is called so." : "No conversation is open."}</p>`}
        ${rows.length < found.length && html`<button type="button" class="plain small list-whole" onClick=${() => setWhole(true)}>All ${counted(found.length, "conversation")} of such a name</button>`}
        <${Hits} query=${query} />
      </div>
      <${Foot} />
    </div>
  `;
}

/** How many wait for a person, and the way to the next. */
function Waiting() {
  const waiting = workstreams.value.filter((row) => row.state === "attention");
  if (!waiting.length) return null;
  const places = waiting.map((row) => row.id);
  const next = places[(places.indexOf(current.value) + 1) % places.length];
  return html`<button type="button" class="list-waiting" onClick=${() => go("ws", next)}>
    <span aria-hidden="true">◆</span> ${counted(waiting.length, "conversation")}
    ${waiting.length === 1 ? " needs" : " need"} an answer
  </button>`;
}

/** Keys that hold wherever the keyboard is. @param {any} box @param {any} state @param {any} setActive */
function keys(box, state, setActive) {
  const find = () => {
    listShown.value = true;
    requestAnimationFrame(() => box.current?.select());
  };
  const step = (/** @type {number} */ by) => () => {
    const ids = state.value.rows.map((/** @type {any} */ row) => row.id);
    const place = ids.indexOf(current.value);
    const next = ids[place < 0 ? 0 : Math.min(ids.length - 1, Math.max(0, place + by))];
    if (!next) return;
    go("ws", next);
    setActive(next);
    requestAnimationFrame(() => rowLink(next)?.scrollIntoView({ block: "nearest" }));
  };
  const ends = [
    bind({ ...LIST_KEYS.find, run: find }),
    bind({ ...LIST_KEYS.before, run: step(-1) }),
    bind({ ...LIST_KEYS.after, run: step(1) }),
    bind({ ...LIST_KEYS.drawer, when: () => listShown.value && drawer(), run: () => (listShown.value = false) }),
  ];
  return () => ends.forEach((end) => end());
}

/** Whether the list lies over the page. */
function drawer() {
  return matchMedia("(max-width: 719px)").matches;
}

/** @param {KeyboardEvent} event @param {(query: string) => void} setQuery @param {string | undefined} first */
function inBox(event, setQuery, first) {
  if (event.key === "Escape" && /** @type {HTMLInputElement} */ (event.target).value) {
    event.preventDefault();
    setQuery("");
  } else if (event.key === "ArrowDown" && first) {
    event.preventDefault();
    rowLink(first)?.focus();
  }
}

/**
 * Arrows go through the rows that are shown; Enter is the link's own.
 * @param {KeyboardEvent} event @param {HTMLElement | null} list
 * @param {{active: string, setActive: (id: string) => void, setRenaming: (id: string) => void}} now
 */
function move(event, list, { setActive, setRenaming }) {
  const link = /** @type {HTMLElement} */ (event.target);
  const id = link.dataset.row;
  if (!list || !id || event.ctrlKey || event.altKey || event.metaKey) return;
  const links = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[data-row]")]);
  const place = links.indexOf(link);
  /** @type {Record<string, () => void>} */
  const steps = {
    ArrowDown: () => links[Math.min(links.length - 1, place + 1)].focus(),
    ArrowUp: () => links[Math.max(0, place - 1)].focus(),
    Home: () => links[0].focus(),
    End: () => links[links.length - 1].focus(),
    ArrowRight: () => void unfold(id, true),
    ArrowLeft: () => (unfolded.value.has(id) ? void unfold(id, false) : rowLink(above(id)[0] ?? id)?.focus()),
    F2: () => setRenaming(id),
    Delete: () => closeRow(id),
  };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  step();
  setActive(/** @type {HTMLElement} */ (document.activeElement)?.dataset.row ?? id);
}

/** Sub-agents are closed with what is above them. @param {string} id */
function closeRow(id) {
  const row = workstreams.value.find((each) => each.id === id);
  if (row) void close(row);
}

/** The sub-agents of what is shown appear as it makes them, and change as it tells of them. */
function followAgents() {
  /** @type {import("./model.js").View | null} */
  let before = null;
  return views.subscribe((now) => {
    const view = now.get(current.peek());
    const same = view?.agents === before?.agents && view?.questions === before?.questions;
    if (!view || (same && view.plans === before?.plans)) return;
    const grown = view.agents.size > (before?.agents.size ?? 0);
    before = view;
    if (grown) void unfold(view.wsId, true).then(() => tell(view.wsId));
    else if (unfolded.peek().has(view.wsId)) void changed(view);
  });
}

/** @param {import("./model.js").View} view */
async function changed(view) {
  const rows = agents.peek().get(view.wsId) ?? [];
  const missing = [...view.agents.values()].some(({ wsId }) => !rows.some((row) => row.id === wsId));
  if (missing) await readAgents(view.wsId);
  tell(view.wsId);
}

/** What the events told last goes before what was read: that may have been asked for earlier.
 * @param {string} id of the workstream above */
function tell(id) {
  const view = views.peek().get(id);
  if (!view) return;
  const told = [...view.agents.values()];
  const asking = [...view.questions, ...view.plans].filter((each) => !each.answer);
  const rows = (agents.peek().get(id) ?? []).map((row) => {
    const found = told.find(({ wsId }) => wsId === row.id);
    const asks = asking.some(({ origin }) => origin?.ws_id === row.id);
    const state = asks ? "attention" : (found?.state ?? row.state);
    return { ...row, state, activity: found?.activity || row.activity };
  });
  agents.value = new Map(agents.peek()).set(id, rows);
}
