// @ts-check
/** One conversation in the list: its state, its name, what it does, and what may be done with it. */

import { api } from "../shared/api.js";
import { confirmed } from "../shared/dialog.js";
import { html, useLayoutEffect, useRef, useState } from "../shared/html.js";
import { stateOf, visible } from "../shared/text.js";
import { told, toast } from "../shared/toast.js";
import { agents, unfold, unfolded } from "./agents.js";
import { address, current, go, listShown, workstreams } from "./model.js";
import { relist } from "./reading.js";
import { atWork, shownName, underName, unread } from "./rows.js";

/** @typedef {import("./model.js").Row} Row */

/**
 * @param {{row: Row, depth: number, active: string, renaming: string,
 *   setActive: (id: string) => void, setRenaming: (id: string) => void}} props `active`: the row
 *   that the keyboard is at, the only one that Tab stops at
 */
export function ListRow(props) {
  const { row, depth, active, renaming } = props;
  const [menu, setMenu] = useState(false);
  const open = unfolded.value.has(row.id);
  const below = open ? (agents.value.get(row.id) ?? []) : [];
  const here = current.value === row.id;
  return html`
    <li class=${`list-item ${here ? "here" : ""} ${row.state}`}>
      <div class="list-line">
        ${renaming === row.id
          ? html`<${Rename} row=${row} done=${() => props.setRenaming("")} />`
          : html`<${Link} row=${row} here=${here} active=${active === row.id} />
              <button
                type="button"
                class="plain small list-more"
                tabindex=${active === row.id ? 0 : -1}
                aria-expanded=${menu}
                aria-label=${`What can be done with ${visible(shownName(row))}`}
                onClick=${() => setMenu(!menu)}
              >
                <span aria-hidden="true">⋯</span>
              </button>`}
      </div>
      ${menu && html`<${Menu} ...${props} open=${open} done=${() => setMenu(false)} />`}
      ${open &&
      html`<ul class="list-agents" aria-label=${`Sub-agents of ${visible(shownName(row))}`}>
        ${below.map((each) => html`<${ListRow} ...${props} key=${each.id} row=${each} depth=${depth + 1} />`)}
        ${below.length === 0 && html`<li class="list-none dim">No sub-agents are open.</li>`}
      </ul>`}
    </li>
  `;
}

/** @param {{row: Row, here: boolean, active: boolean}} props */
function Link({ row, here, active }) {
  const state = stateOf(row.state);
  const under = underName(row);
  const isNew = unread.value.has(row.id);
  const words = [state.word, isNew && "something new", row.queued && `${row.queued} waiting`];
  return html`
    <a
      class="list-link"
      data-row=${row.id}
      href=${address("ws", row.id)}
      tabindex=${active ? 0 : -1}
      aria-current=${here ? "page" : undefined}
      onClick=${() => (listShown.value = false)}
    >
      <span class=${`list-state ${row.state}`} aria-hidden="true" title=${state.word}>${state.symbol}</span>
      <span class=${`list-name ${isNew ? "unread" : ""}`}>
        ${row.agent && html`<span class="list-agent">${visible(row.agent)}</span>`}
        ${visible(shownName(row))}<span class="unseen"> (${words.filter(Boolean).join(", ")})</span>
      </span>
      ${isNew && html`<span class="list-new" aria-hidden="true" title="Something new"></span>`}
      ${under && html`<span class="list-under dim">${visible(under)}</span>`}
    </a>
  `;
}

/**
 * Renames where the name stands: Enter or leaving the field keeps it, Escape does not. The field
 * has a default and no value: the list is drawn again while a person types, and a value would then
 * take the place of what was typed.
 */
function Rename(/** @type {{row: Row, done: () => void}} */ { row, done }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const over = useRef(false);
  // At once: the next letter is the new name's already.
  useLayoutEffect(() => field.current?.select(), []);
  const end = async (/** @type {boolean} */ keep) => {
    if (over.current) return;
    over.current = true;
    const name = field.current?.value.trim() ?? "";
    const back = field.current === document.activeElement;
    done();
    if (back) requestAnimationFrame(() => rowLink(row.id)?.focus());
    if (!keep || !name || name === row.name) return;
    const answer = await told(api.post("/api/workstreams/rename", { ws_id: row.id, name }));
    if (answer) renamed(row.id, answer.workstream.name);
  };
  return html`
    <form class="list-rename" onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), end(true))}>
      <input
        ref=${field}
        aria-label=${`New name of ${visible(row.name)}`}
        defaultValue=${row.name}
        maxlength="100"
        autocomplete="off"
        onBlur=${() => end(true)}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
          event.stopPropagation();
          if (event.key === "Escape") void end(false);
        }}
      />
    </form>
  `;
}

/** @param {any} props those of the row, and `open`, `done` */
function Menu({ row, depth, setRenaming, open, done }) {
  const then = (/** @type {() => unknown} */ run) => () => {
    done();
    run();
  };
  return html`
    <div class="list-menu" role="group" aria-label=${`${visible(shownName(row))}: actions`}>
      <button type="button" class="small" onClick=${then(() => setRenaming(row.id))}>Rename</button>
      <button type="button" class="small" aria-expanded=${open} onClick=${then(() => unfold(row.id, !open))}>
        ${open ? "Hide sub-agents" : "Sub-agents"}
      </button>
      <button type="button" class="small" onClick=${then(() => go("policy", row.id))}>Policy</button>
      <button type="button" class="small" onClick=${then(() => go("usage", row.id))}>Usage</button>
      ${depth === 0 &&
      html`<button type="button" class="small danger" onClick=${then(() => close(row))}>Close</button>`}
    </div>
  `;
}

/** Closes it, asking first where that would stop something. @param {Row} row */
export async function close(row) {
  const name = visible(shownName(row));
  const stops = "Its turn is not over, and will be stopped. The conversation is kept, and can be resumed.";
  if (atWork(row) && !(await confirmed(`Close ${name}?`, stops, { yes: "Close", danger: true }))) return;
  if (!(await told(api.post("/api/workstreams/close", { ws_id: row.id })))) return;
  workstreams.value = workstreams.value.filter((each) => each.id !== row.id);
  if (current.value === row.id) go();
  toast(`${name} is closed. It can be resumed under Sessions.`);
}

/** Begins a conversation, and goes there. */
export async function begin() {
  const answer = await told(api.post("/api/workstreams/new", {}));
  if (!answer) return;
  listShown.value = false;
  go("ws", answer.ws_id);
  await relist();
}

/** @param {string} id @param {string} name */
function renamed(id, name) {
  workstreams.value = workstreams.value.map((row) => (row.id === id ? { ...row, name } : row));
  agents.value = new Map(
    [...agents.value].map(([parent, rows]) => [
      parent,
      rows.map((row) => (row.id === id ? { ...row, name } : row)),
    ]),
  );
}

/** @param {string} id */
export function rowLink(id) {
  return /** @type {HTMLElement | null} */ (document.querySelector(`[data-row="${CSS.escape(id)}"]`));
}
