import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { isCommand, offers } = await web("shared/completion.js");
const { LIMITS, MOST_BYTES, readFile, withFiles } = await web("shared/attachments.js");
const { wholeDiff } = await web("shared/whole-diff.js");
const { KEYMAP, spelled } = await web("shared/keymap.js");
const { LIST_KEYS } = await web("shared/list-keys.js");

const command = (name, more = {}) => ({
  name, usage: name, help: "", arguments: "", required: false, choices: [], aliases: [], ...more,
});
const TABLE = [
  command("/rewind", { arguments: "[MESSAGE]" }),
  command("/reason", { arguments: "[low|high]", choices: ["low", "high"] }),
  command("/resume", { arguments: "SESSION", required: true }),
  command("/clear"),
  command("/exit", { aliases: ["/quit"] }),
];
const texts = (written) => offers(written, TABLE).map((offer) => offer.text);

test("a line that begins with a word behind a slash is a command, and a path is none", () => {
  assert.deepEqual(["/help", " /Clear", "/rewind 12", "/", "/nonsense x"].map(isCommand), Array(5).fill(true));
  assert.deepEqual(["/etc/hosts", "a /help", "/usr/bin is full", "", "//"].map(isCommand), Array(5).fill(false));
});

test("what is begun is completed to the commands that fit, by their other names too", () => {
  assert.deepEqual(texts("/re"), ["/rewind ", "/reason ", "/resume "]);
  assert.deepEqual(texts("/QU"), ["/exit"]);
  assert.deepEqual(texts("/reason "), ["/reason low", "/reason high"]);
  assert.deepEqual(texts("/reason h"), ["/reason high"]);
});

test("nothing is offered for what is whole, and for what is no command", () => {
  assert.deepEqual(["/clear", "/reason high", "/rewind 1 2", "hello", "/etc/h", ""].flatMap(texts), []);
});

test("a command that needs something behind it is not whole without it", () => {
  assert.deepEqual(offers("/res", TABLE).map((offer) => offer.whole), [false]);
  assert.deepEqual(offers("/rew", TABLE).map((offer) => offer.whole), [true]);
});

test("a file stands in a message behind a fence that nothing in it ends", () => {
  const message = withFiles(" look ", [{ name: "a`b\n.md", text: "```\ncode\n````\n" }]);
  assert.equal(message, "look\n\nFile `a_b_.md`:\n`````md\n```\ncode\n````\n`````");
});

test("a message may be files alone", () => {
  assert.equal(withFiles("  ", [{ name: "notes", text: "x" }]), "File `notes`:\n```\nx\n```");
});

test("a text is read, and for anything else there is a sentence that says why not", async () => {
  assert.deepEqual(await readFile(new File(["é\n"], "a.txt")), { name: "a.txt", text: "é\n" });
  const told = await Promise.all(
    [
      new File(["x"], "a.png", { type: "image/png" }),
      new File([new Uint8Array([0xff, 0xfe, 0])], "b.bin"),
      new File(["a\0b"], "c.txt"),
      new File(["x".repeat(MOST_BYTES + 1)], "d\u202e.txt"),
    ].map(readFile),
  );
  assert.deepEqual(told, [
    "a.png is an image, and images cannot be sent yet.",
    "b.bin is not text, and only text can be sent.",
    "c.txt is not text, and only text can be sent.",
    "d⟨U+202E⟩.txt has 201 kB; up to 200 kB can be sent.",
  ]);
  assert.match(LIMITS, /200 kB/);
});

const DIFF = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";

test("a diff that is all there is is shown as one, with the notes before it", () => {
  assert.deepEqual(wholeDiff(DIFF), { notes: "", diff: DIFF });
  assert.deepEqual(wholeDiff(`[two names]\n${DIFF}`), { notes: "[two names]", diff: DIFF });
  assert.ok(wholeDiff(`${DIFF}\\ No newline at end of file\n`));
});

test("a text of which a diff would hide a part is no diff", () => {
  for (const text of [
    "rm -rf /\n@@ -1 +1 @@\n-a\n+b", // no heads: the first line would be gone
    `${DIFF}rm -rf /`,
    `${DIFF}${DIFF}`,
    DIFF.replace("+three\n", "+three\nrm -rf /\n"),
    DIFF.replace("three", "3".repeat(3000)),
    "+all\n+new\n",
    "",
  ]) {
    assert.equal(wholeDiff(text), null, text);
  }
});

test("no key of a page means two things at one place", () => {
  const places = Object.values({ ...KEYMAP, ...LIST_KEYS }).map((key) => `${key.where}: ${key.keys}`);
  assert.equal(new Set(places).size, places.length);
  assert.deepEqual(spelled("Alt+ArrowUp"), ["Alt", "↑"]);
});
