import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { Places } = await web("shared/places.js");

const asked = (places) => {
  const query = new URL(places.address(), "http://node").searchParams;
  return [query.get("global"), query.getAll("ws")];
};

test("what was read is not asked for again", () => {
  const places = new Places();
  places.follow(["a", "b"]);
  assert.deepEqual(asked(places), ["1", ["a", "b"]]);
  places.saw("a@12-3,*@7-0");
  assert.deepEqual(asked(places), ["1@7-0", ["a@12-3", "b"]]);
});

test("one that stays followed keeps its place, and one that comes back has none", () => {
  const places = new Places();
  assert.equal(places.follow(["a", "b"]), true);
  places.saw("a@1-0,b@2-0");
  assert.equal(places.follow(["b", "a"]), false);
  assert.equal(places.follow(["b", "c"]), true);
  places.saw("a@9-9");
  assert.deepEqual(asked(places)[1], ["b@2-0", "c"]);
  places.forget("b");
  assert.deepEqual(asked(places)[1], ["b", "c"]);
});

test("an id that says nothing changes nothing", () => {
  const places = new Places();
  places.follow(["a"]);
  for (const told of ["", "12-3", "@", "constructor@1-1"]) places.saw(told);
  assert.deepEqual(asked(places), ["1", ["a"]]);
});
