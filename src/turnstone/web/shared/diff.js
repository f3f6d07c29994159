// @ts-check
/** A diff for reading: in one column or side by side, with the words that differ marked. */

import { html, signal, useMemo, useState } from "./html.js";
import { parseDiff } from "./diff-parse.js";
import { counted, visible } from "./text.js";

export { isDiff } from "./diff-parse.js";

/** @typedef {import("./diff-parse.js").Line} Line */

/** Lines that are shown before somebody asks for all. */
const SHOWN = 200;

/** Characters of a line that are shown. */
const MOST = 2_000;

/** All diffs of the page in one way; kept in this browser. */
const sideBySide = signal(localStorage.getItem("turnstone-diff") === "side");

/** @param {{text: string, whole?: boolean}} props `whole`: all lines at once */
export function Diff({ text, whole = false }) {
  const files = useMemo(() => parseDiff(text), [text]);
  const [all, showAll] = useState(whole);
  const total = files.reduce((sum, f) => sum + f.hunks.reduce((n, h) => n + h.lines.length, 0), 0);
  let room = all ? Infinity : SHOWN;
  const taken = (/** @type {Line[]} */ lines) => {
    const shown = lines.slice(0, Math.max(0, room));
    room -= shown.length;
    return shown;
  };
  return html`
    <div class="diff">
      <${Bar} files=${files} />
      ${files.map(
        (file) => html`
          ${files.length > 1 && html`<p class="diff-file">${visible(file.to || file.from)}</p>`}
          <div class="diff-scroll" tabindex="0" role="region" aria-label="Changes">
            <table class=${sideBySide.value ? "diff-side" : "diff-one"}>
              <tbody>
                ${file.hunks.map((hunk, n) => {
                  const lines = taken(hunk.lines);
                  if (!lines.length) return null;
                  const first = n > 0 || hunk.head;
                  return html`
                    ${first && html`<tr class="diff-gap"><td colspan="4">⋯ ${visible(hunk.head)}</td></tr>`}
                    ${sideBySide.value ? paired(lines).map(Pair) : lines.map(One)}
                  `;
                })}
              </tbody>
            </table>
          </div>
        `,
      )}
      ${!all && total > SHOWN &&
      html`<button type="button" class="small" onClick=${() => showAll(true)}>
        Show all ${counted(total, "line")}
      </button>`}
    </div>
  `;
}

/** @param {{files: import("./diff-parse.js").FileDiff[]}} props */
function Bar({ files }) {
  const lines = files.flatMap((file) => file.hunks.flatMap((hunk) => hunk.lines));
  const [out, put] = ["-", "+"].map((kind) => lines.filter((line) => line.kind === kind).length);
  const turn = () => {
    sideBySide.value = !sideBySide.value;
    localStorage.setItem("turnstone-diff", sideBySide.value ? "side" : "one");
  };
  return html`<div class="diff-bar">
    <span><span class="good">+${put}</span> <span class="bad">−${out}</span></span>
    <button type="button" class="small plain diff-turn" aria-pressed=${sideBySide.value} onClick=${turn}>
      Side by side
    </button>
  </div>`;
}

const WORDS = { "-": "taken out", "+": "put in", " ": "" };

/** @param {Line} line */
function One(line) {
  return html`<tr class=${`diff-line ${classOf(line)}`}>
    <td class="diff-number">${line.old || ""}</td>
    <td class="diff-number">${line.new || ""}</td>
    <td class="diff-sign">${line.kind}${sign(line)}</td>
    <td class="diff-text">${pieces(line)}</td>
  </tr>`;
}

/** @param {[Line | null, Line | null]} pair */
function Pair([out, put]) {
  return html`<tr class="diff-line">
    ${half(out, out?.old)}${half(put, put?.new)}
  </tr>`;
}

/** @param {Line | null} line @param {number | undefined} number */
function half(line, number) {
  if (!line) return html`<td class="diff-number"></td><td class="diff-text diff-none"></td>`;
  return html`<td class=${`diff-number ${classOf(line)}`}>${number}</td>
    <td class=${`diff-text ${classOf(line)}`}>${sign(line)}${pieces(line)}</td>`;
}

/** @param {Line} line */
function sign(line) {
  return WORDS[line.kind] && html`<span class="unseen">${WORDS[line.kind]}: </span>`;
}

/** @param {Line} line */
function classOf(line) {
  return { "-": "diff-out", "+": "diff-in", " ": "" }[line.kind];
}

/** @param {Line} line */
function pieces(line) {
  let room = MOST;
  const shown = [];
  for (const { text, changed } of line.pieces) {
    if (room <= 0) break;
    const part = visible(text.slice(0, room));
    room -= text.length;
    shown.push(changed ? html`<mark>${part}</mark>` : part);
  }
  const over = line.pieces.reduce((sum, piece) => sum + piece.text.length, 0) - MOST;
  return over > 0 ? [...shown, html`<span class="dim"> … ${counted(over, "character")} more</span>`] : shown;
}

/**
 * What was taken out stands beside what was put in for it.
 * @param {Line[]} lines @returns {[Line | null, Line | null][]}
 */
function paired(lines) {
  /** @type {[Line | null, Line | null][]} */
  const pairs = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].kind === " ") {
      pairs.push([lines[at], lines[at]]);
      at += 1;
      continue;
    }
    const end = lines.findIndex((line, n) => n >= at && line.kind === " ");
    const run = lines.slice(at, end < 0 ? lines.length : end);
    const [outs, ins] = ["-", "+"].map((kind) => run.filter((line) => line.kind === kind));
    for (let n = 0; n < Math.max(outs.length, ins.length); n += 1) {
      pairs.push([outs[n] ?? null, ins[n] ?? null]);
    }
    at += run.length;
  }
  return pairs;
}
