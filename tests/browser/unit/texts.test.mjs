import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { duration, visible } = await web("shared/text.js");
const { isDiff, parseDiff } = await web("shared/diff-parse.js");

test("what is invisible or turns text around is shown by its number", () => {
  assert.equal(visible("safe\u202egnp.exe"), "safe⟨U+202E⟩gnp.exe");
  assert.equal(visible("\u001b[31m\u0000\u200b\u{e0041}"), "⟨U+001B⟩[31m⟨U+0000⟩⟨U+200B⟩⟨U+E0041⟩");
  assert.equal(visible("a\tb\r\nc\n日本語 👩‍🚀 é"), "a\tb\nc\n日本語 👩‍🚀 é");
});

test("durations are told as people do", () => {
  assert.deepEqual([0.4, 4.25, 9.96, 59.7, 125, 7500].map(duration), [
    "400 ms", "4.3 s", "10 s", "1 min 0 s", "2 min 5 s", "2 h 5 min",
  ]);
});

const DIFF = `--- a/x.py\t2026
+++ b/x.py
@@ -1,3 +1,3 @@ def f():
 one
-name = old value
--- not a head
+name = new value
+++ nor this
\\ No newline at end of file
@@ -9 +9 @@
-a
+b
`;

test("a diff is read by the counts of its hunks, whatever its lines look like", () => {
  const [file] = parseDiff(DIFF);
  assert.deepEqual([file.from, file.to, file.hunks.length], ["a/x.py", "b/x.py", 2]);
  const told = file.hunks[0].lines.map((l) => [l.kind, l.old, l.new, l.pieces.map((p) => p.text).join("")]);
  assert.deepEqual(told, [
    [" ", 1, 1, "one"],
    ["-", 2, 0, "name = old value"],
    ["-", 3, 0, "-- not a head"],
    ["+", 0, 2, "name = new value"],
    ["+", 0, 3, "++ nor this"],
  ]);
});

test("in changed lines the words that differ are marked", () => {
  const [, out, , put] = parseDiff(DIFF)[0].hunks[0].lines;
  const marked = (line) => line.pieces.filter((p) => p.changed).map((p) => p.text.trim());
  assert.deepEqual([marked(out), marked(put)], [["old"], ["new"]]);
});

test("a text without a hunk is no diff", () => {
  assert.equal(isDiff("--- a\n+++ b\nwords"), false);
  assert.equal(isDiff(DIFF), true);
});

test("a diff that breaks off, or is none, is read without an error", () => {
  for (let end = 0; end <= DIFF.length; end += 1) parseDiff(DIFF.slice(0, end));
  parseDiff("@@ -1,99999999 +1,99999999 @@\n");
  parseDiff("@@ -x +y @@");
});
