// @ts-check
/** Whether a diff shows all of a text, so that nothing of it is missing once it is drawn. Pure. */

import { parseDiff } from "./diff-parse.js";

/** Characters of a line that a diff shows. */
const WIDE = 2_000;

/**
 * The notes before a diff, and the diff, if that is all there is. Null: it is none.
 * @param {string} text @returns {{notes: string, diff: string} | null}
 */
export function wholeDiff(text) {
  const start = /^--- .*\n\+\+\+ .*\n@@ /m.exec(text)?.index ?? -1;
  if (start < 0) return null;
  const diff = text.slice(start);
  const lines = diff.replace(/\n$/, "").split("\n");
  if (lines.some((line) => line.length > WIDE)) return null;
  const files = parseDiff(diff);
  const hunks = files.flatMap((file) => file.hunks);
  const shown = hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  const heads = 2 * files.length + hunks.length;
  const unsaid = lines.filter((line) => line.startsWith("\\ No newline")).length;
  if (files.length !== 1 || shown + heads + unsaid !== lines.length) return null;
  return { notes: text.slice(0, start).trimEnd(), diff };
}
