// @ts-check
/** Text of any length as it was printed: its beginning and its end, all of it when asked for. */

import { html, useState } from "./html.js";
import { counted, number, visible } from "./text.js";

/** Lines shown of each end, and characters shown of a line. */
const HEAD = 12;
const TAIL = 28;
const WIDE = 1_000;

/** Characters that are ever put on the page at once. */
const MOST = 2_000_000;

/**
 * @param {{text: string, dropped?: number, live?: boolean, label?: string}} props
 *   `dropped`: characters before it that are not kept. `live`: only its end is looked at
 */
export function Output({ text, dropped = 0, live = false, label = "Output" }) {
  const [all, showAll] = useState(false);
  const shown = all ? whole(text) : excerpt(text, live);
  return html`
    ${dropped > 0 && html`<p class="output-note dim">${counted(dropped, "character")} before this.</p>`}
    <pre class="output" tabindex="0" aria-label=${label}>${shown.text}</pre>
    ${shown.hidden > 0 && !all &&
    html`<button type="button" class="small" onClick=${() => showAll(true)}>
      Show all ${number(text.length)} characters
    </button>`}
    ${all && text.length > MOST && html`<p class="output-note dim">The first ${number(MOST)} characters.</p>`}
  `;
}

/** @param {string} text */
function whole(text) {
  return { text: visible(text.slice(0, MOST)), hidden: 0 };
}

/**
 * The ends of a long text. Looks at no more of it than is shown, but for its lines' number.
 * @param {string} text @param {boolean} live
 */
export function excerpt(text, live = false) {
  const most = (HEAD + TAIL) * WIDE;
  const start = live && text.length > most ? text.length - most : 0;
  const lines = (start ? text.slice(start) : text).replace(/\n$/, "").split("\n");
  const few = lines.length <= HEAD + TAIL;
  const cut = (/** @type {string[]} */ some) => some.map(narrow).join("\n");
  if (few) return { text: visible(cut(lines)), hidden: start + over(lines) };
  const missing = lines.length - HEAD - TAIL;
  const [head, tail] = [lines.slice(0, HEAD), lines.slice(-TAIL)];
  const between = `⋯ ${counted(missing, "line")} not shown ⋯`;
  const shown = live ? cut(lines.slice(-TAIL)) : `${cut(head)}\n${between}\n${cut(tail)}`;
  return { text: visible(shown), hidden: missing };
}

/** @param {string[]} lines */
function over(lines) {
  return lines.reduce((sum, line) => sum + Math.max(0, line.length - WIDE), 0);
}

/** @param {string} line */
function narrow(line) {
  if (line.length <= WIDE) return line;
  return `${line.slice(0, WIDE)} ⋯ ${counted(line.length - WIDE, "character")} more in this line`;
}
