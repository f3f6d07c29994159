// @ts-check
/**
 * What a call would do, whole: nothing of it may be missing from what somebody allows.
 *
 * Only what a file tool made is read as a diff, and only if every line of it is shown by one. A
 * command that looks like a diff is a command.
 */

import { Diff } from "./diff.js";
import { html, useMemo } from "./html.js";
import { counted, visible } from "./text.js";
import { wholeDiff } from "./whole-diff.js";

/** Tools whose previews are diffs. */
const OF_FILES = new Set(["edit_file", "write_file"]);

/** Lines from which on their number is told: one has to scroll to have seen them all. */
const MANY = 20;

/** @param {{text: string, tool: string}} props */
export function Preview({ text, tool }) {
  const parts = useMemo(() => (OF_FILES.has(tool) ? wholeDiff(text) : null), [text, tool]);
  if (parts) {
    return html`<div class="ask-preview">
      ${parts.notes && html`<pre class="ask-notes">${visible(parts.notes)}</pre>`}
      <${Diff} text=${parts.diff} whole=${true} />
    </div>`;
  }
  const lines = text.split("\n").length;
  return html`<div class="ask-preview">
    <pre class="ask-text" tabindex="0" aria-label="What would be done">${visible(text)}</pre>
    ${lines > MANY && html`<p class="ask-long dim">${counted(lines, "line")}</p>`}
  </div>`;
}
