import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { isCommand, offers } = await web("shared/completion.js");
const { LIMITS, MOST_IMAGE, MOST_TEXT, readFile, together, written } = await web("shared/attachments.js");
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

const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);
const file = (name, size, image = false) => ({
  name, mediaType: "", size, text: image ? "" : "x".repeat(size), image: image ? new Blob([PNG]) : null,
});

test("an image is what begins like one, and anything that reads as text is text", async () => {
  const image = await readFile(new File([PNG], "notes.txt", { type: "text/plain" }));
  assert.deepEqual([image.mediaType, image.size, image.text], ["image/png", PNG.length, ""]);
  const [sent] = await written([image]);
  assert.equal(sent.data, Buffer.from(PNG).toString("base64"));
  const text = await readFile(new File(["é\n"], "a\nb.txt"));
  assert.deepEqual(text, { name: "a_b.txt", mediaType: "text/plain", size: 2, text: "é\n", image: null });
  assert.deepEqual(await written([text]), [{ name: "a_b.txt", media_type: "text/plain", text: "é\n" }]);
  assert.equal((await readFile(new File(["<svg/>"], "a.svg", { type: "image/svg+xml" }))).text, "<svg/>");
});

test("of what cannot be sent a sentence says why", async () => {
  const told = await Promise.all(
    [
      new File([new Uint8Array([0xff, 0xfe, 0])], "b.bin"),
      new File(["a\0b"], "c.txt"),
      new File(["x".repeat(MOST_TEXT + 1)], "d\u202e.txt"),
      new File([PNG, new Uint8Array(MOST_IMAGE)], "e.png"),
    ].map(readFile),
  );
  assert.deepEqual(told.map((each) => each.replace(LIMITS, "…")), [
    "b.bin is neither text nor an image that can be sent. …",
    "c.txt is neither text nor an image that can be sent. …",
    "d⟨U+202E⟩.txt has 200,001 characters. …",
    "e.png has 5.1 MB. …",
  ]);
});

test("a message takes no more than a node does, and what is left out is told", () => {
  const few = Array.from({ length: 8 }, (_, n) => file(`${n}`, 1));
  assert.deepEqual(together([], few), { files: few, problem: "" });
  const more = together(few, [file("ninth", 1)]);
  assert.deepEqual([more.files, more.problem], [few, "A message takes 8 files at most."]);
  const images = Array.from({ length: 4 }, (_, n) => file(`${n}`, 5_000_000, true));
  assert.match(together(images, [file("fifth", 1, true)]).problem, /20 MB together/);
  const texts = [file("a", 200_000), file("b", 200_000)];
  assert.match(together(texts, [file("c", 1)]).problem, /400,000 characters together/);
  assert.equal(together([...images, ...texts], []).files.length, 6);
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
