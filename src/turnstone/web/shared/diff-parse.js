// @ts-check
/** A unified diff as files, hunks and lines, with the words that differ in changed lines. Pure. */

import { diffWordsWithSpace } from "../vendor/diff/diff/word.js";

/**
 * @typedef {{text: string, changed: boolean}} Piece
 * @typedef {{kind: " " | "-" | "+", old: number, new: number, pieces: Piece[]}} Line numbers from 1;
 *   0 where the line is not in that file
 * @typedef {{head: string, lines: Line[]}} Hunk
 * @typedef {{from: string, to: string, hunks: Hunk[]}} FileDiff
 */

/** Characters of a line up to which its words are compared. */
const MOST_COMPARED = 600;

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/;

/** Whether a text is a unified diff: it has a hunk. @param {string} text */
export function isDiff(text) {
  return /^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@/m.test(text);
}

/** @param {string} text @returns {FileDiff[]} */
export function parseDiff(text) {
  /** @type {FileDiff[]} */
  const files = [];
  /** @type {Hunk | null} */
  let hunk = null;
  let from = "";
  let left = { old: 0, new: 0 };
  let at = { old: 0, new: 0 };
  for (const line of text.split("\n")) {
    const inside = left.old > 0 || left.new > 0;
    const head = inside ? null : HUNK.exec(line);
    if (head) {
      if (!files.length) files.push({ from: "", to: "", hunks: [] });
      at = { old: Number(head[1]), new: Number(head[3]) };
      left = { old: Number(head[2] ?? 1), new: Number(head[4] ?? 1) };
      hunk = { head: head[5].trim(), lines: [] };
      /** @type {FileDiff} */ (files.at(-1)).hunks.push(hunk);
    } else if (inside && hunk) {
      take(hunk, line, at, left);
    } else if (line.startsWith("--- ")) {
      from = line.slice(4).split("\t")[0];
    } else if (line.startsWith("+++ ")) {
      files.push({ from, to: line.slice(4).split("\t")[0], hunks: [] });
    }
  }
  for (const file of files) for (const each of file.hunks) compareWords(each.lines);
  return files;
}

/**
 * @param {Hunk} hunk @param {string} line
 * @param {{old: number, new: number}} at @param {{old: number, new: number}} left
 */
function take(hunk, line, at, left) {
  if (line.startsWith("\\")) return; // "\ No newline at end of file"
  const kind = line[0] === "-" || line[0] === "+" ? line[0] : " ";
  const pieces = [{ text: line.slice(1), changed: false }];
  hunk.lines.push({ kind, old: kind === "+" ? 0 : at.old, new: kind === "-" ? 0 : at.new, pieces });
  if (kind !== "+") (at.old += 1), (left.old -= 1);
  if (kind !== "-") (at.new += 1), (left.new -= 1);
}

/** Lines taken out and put in at one place are compared in pairs. @param {Line[]} lines */
function compareWords(lines) {
  for (let at = 0; at < lines.length; ) {
    const outs = run(lines, at, "-");
    const ins = run(lines, at + outs, "+");
    for (let n = 0; n < Math.min(outs, ins); n += 1) mark(lines[at + n], lines[at + outs + n]);
    at += Math.max(1, outs + ins);
  }
}

/** @param {Line[]} lines @param {number} at @param {string} kind */
function run(lines, at, kind) {
  let end = at;
  while (lines[end]?.kind === kind) end += 1;
  return end - at;
}

/** @param {Line} out @param {Line} put */
function mark(out, put) {
  const [before, after] = [out.pieces[0].text, put.pieces[0].text];
  if (before.length > MOST_COMPARED || after.length > MOST_COMPARED) return;
  /** @type {{value: string, added?: boolean, removed?: boolean}[]} */
  const words = diffWordsWithSpace(before, after, {});
  const same = words.filter((each) => !each.added && !each.removed);
  const shared = same.reduce((sum, each) => sum + each.value.trim().length, 0);
  if (shared * 4 < Math.max(before.length, after.length)) return; // another line altogether
  out.pieces = words.filter((w) => !w.added).map((w) => ({ text: w.value, changed: !!w.removed }));
  put.pieces = words.filter((w) => !w.removed).map((w) => ({ text: w.value, changed: !!w.added }));
}
