import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { References } = await web("shared/markdown-links.js");

test("a block waits for the names that nobody has defined yet, however they are written", () => {
  const references = new References();
  references.links.known = { href: "https://a.com" };
  references.drawn("one", "See [the  Notes], [known] and [x][other].");
  references.drawn("two", "[the notes]");
  assert.deepEqual([...references.defined("the notes")], ["one", "two"]);
  assert.deepEqual([...references.defined("the notes")], []);
  assert.deepEqual([...references.defined("known")], []);
  assert.deepEqual([...references.defined("OTHER")], ["one"]);
});

test("what a text defines that is not whole yet does not count", () => {
  const references = new References();
  references.links.a = { href: "https://a.com" };
  const now = references.sofar();
  now.b = { href: "https://b.com" };
  assert.deepEqual(Object.keys(references.links), ["a"]);
  assert.equal("constructor" in now, false);
});
