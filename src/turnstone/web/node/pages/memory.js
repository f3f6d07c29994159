// @ts-check
/** What is remembered across conversations: found, added, changed, forgotten. */

import { api } from "../../shared/api.js";
import { confirmed } from "../../shared/dialog.js";
import { html, useEffect, useRef, useState } from "../../shared/html.js";
import { counted, moment, visible } from "../../shared/text.js";
import { told, toast } from "../../shared/toast.js";
import { Loading, PageFrame, useLoaded } from "./page.js";

/** @typedef {{scope: string, key: string, value: string, created: number, updated: number}} Memory */

const MOST = 1000;
const MOST_VALUE = 20_000;
const USER = "user";

/** @param {string} scope */
function scopeName(scope) {
  return scope === USER ? "everywhere" : visible(scope.replace(/^workspace:/, ""));
}

export function Page() {
  const [query, setQuery] = useState("");
  const [scope, setScope] = useState("");
  const [edited, setEdited] = useState(/** @type {Memory | null} */ (null));
  const loaded = useLoaded(async () => {
    const { memories } = await api.get("/api/memories", { limit: MOST });
    return /** @type {Memory[]} */ (memories);
  }, []);
  const all = loaded.data ?? [];
  const scopes = [...new Set([USER, ...all.map((each) => each.scope)])];
  const words = query.toLowerCase().split(/\s+/);
  const shown = all.filter(
    (each) =>
      (!scope || each.scope === scope) &&
      words.every((word) => `${each.key}\n${each.value}`.toLowerCase().includes(word)),
  );
  const forget = async (/** @type {Memory} */ memory) => {
    const name = visible(memory.key);
    if (!(await confirmed(`Forget ${name}?`, "No conversation will be told of it again.", { yes: "Forget", danger: true }))) return;
    if (!(await told(api.del("/api/memories", { key: memory.key, scope: memory.scope })))) return;
    toast(`${name} is forgotten.`);
    loaded.again();
  };
  const kept = () => {
    setEdited(null);
    loaded.again();
  };
  return html`
    <${PageFrame} title="Memory" about="What is remembered for later conversations: of yours in every folder, or in one workspace.">
      <div class="page-tools">
        <label>Search <input type="search" value=${query} onInput=${(/** @type {any} */ e) => setQuery(e.target.value)} /></label>
        <label>Where it holds <select value=${scope} onChange=${(/** @type {any} */ e) => setScope(e.target.value)}>
          <option value="">anywhere</option>
          ${scopes.map((each) => html`<option value=${each}>${scopeName(each)}</option>`)}
        </select></label>
        <button type="button" onClick=${() => setEdited({ scope: scope || USER, key: "", value: "", created: 0, updated: 0 })}>Add …</button>
      </div>
      ${edited && html`<${Editor} key=${`${edited.scope}\n${edited.key}`} memory=${edited} scopes=${scopes} done=${kept} cancel=${() => setEdited(null)} />`}
      <${Loading} of=${loaded} />
      ${loaded.data && html`
        <p class="dim" role="status">${shown.length ? `${shown.length === 1 ? "1 memory" : `${shown.length} memories`}${shown.length < all.length ? ` of ${all.length}` : ""}.` : all.length ? "Nothing that is remembered has these words." : "Nothing is remembered yet."}</p>
        <ul class="memories">
          ${shown.map((each) => html`<li key=${`${each.scope}\n${each.key}`} class="memory">
            <div class="memory-head">
              <h2 class="memory-key">${visible(each.key)}</h2>
              <span class="dim">${scopeName(each.scope)} · ${moment(each.updated)}</span>
              <span class="row-actions">
                <button type="button" class="small" aria-label=${`Edit ${visible(each.key)}`} onClick=${() => setEdited(each)}>Edit</button>
                <button type="button" class="small danger" aria-label=${`Forget ${visible(each.key)}`} onClick=${() => forget(each)}>Forget</button>
              </span>
            </div>
            <p class="memory-value">${visible(each.value)}</p>
          </li>`)}
        </ul>
        ${all.length === MOST && html`<p class="dim">Only the first ${counted(MOST, "key")} are shown.</p>`}
      `}
    <//>
  `;
}

/** @param {{memory: Memory, scopes: string[], done: () => void, cancel: () => void}} props */
function Editor({ memory, scopes, done, cancel }) {
  const [key, setKey] = useState(memory.key);
  const [value, setValue] = useState(memory.value);
  const [scope, setScope] = useState(memory.scope);
  const first = useRef(/** @type {HTMLElement | null} */ (null));
  const known = memory.updated > 0;
  useEffect(() => {
    first.current?.focus();
    first.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const keep = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await told(api.post("/api/memories", { key, value, scope }))) done();
  };
  return html`
    <form class="editor" aria-label=${known ? `Edit ${visible(memory.key)}` : "Add a memory"} onSubmit=${keep}>
      ${known
        ? html`<p><strong>${visible(memory.key)}</strong> <span class="dim">${scopeName(memory.scope)}</span></p>`
        : html`<label>Key <input ref=${first} required maxlength="200" value=${key} placeholder="test_command" onInput=${(/** @type {any} */ e) => setKey(e.target.value)} /></label>
            <label>Where it holds <select value=${scope} onChange=${(/** @type {any} */ e) => setScope(e.target.value)}>
              ${scopes.map((each) => html`<option value=${each}>${scopeName(each)}</option>`)}
            </select></label>`}
      <label>What is to be remembered
        <textarea ref=${known ? first : undefined} required rows="4" maxlength=${MOST_VALUE} value=${value} onInput=${(/** @type {any} */ e) => setValue(e.target.value)}></textarea>
      </label>
      <div class="row-actions">
        <button class="primary">Keep it</button>
        <button type="button" onClick=${cancel}>Cancel</button>
      </div>
    </form>
  `;
}
