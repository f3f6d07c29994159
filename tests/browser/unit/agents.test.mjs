import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { agentsOf, lacksAgents } = await web("node/agents.js");

const card = (key, callId, more = {}) => ({ kind: "tool", key, callId, name: "task", status: "ok", ...more });
const row = (id, call) => ({ id, name: `task: ${id}`, agent: "task", state: "idle", parent_call: call });
const view = (blocks, live = []) => ({ blocks, agents: new Map(live) });
const named = (...given) => Object.fromEntries([...agentsOf(...given)].map(([key, agent]) => [key, agent.wsId]));

test("a card names the sub-agent of its call, also where the call has the id of an earlier one", () => {
  const blocks = [
    card("b1", "c"),
    card("b2", "c", { status: "denied" }), // made none
    card("b3", "x", { name: "bash" }),
    card("b4", "c", { name: "plan", status: "error" }),
    card("b5", "d"),
  ];
  assert.deepEqual(named(view(blocks), [row("first", "c"), row("second", "c"), row("third", "d")]), {
    b1: "first", b4: "second", b5: "third",
  });
});

test("where cards and sub-agents do not match one by one, none is named but what was told live", () => {
  const live = { wsId: "second", name: "n", agent: "task", state: "running", activity: "ls" };
  const two = view([card("b1", "c"), card("b2", "c")], [["c", live]]);
  assert.deepEqual(named(two, [row("second", "c")]), { b2: "second" });
  assert.deepEqual(named(view(two.blocks), [row("second", "c")]), {});
  const whole = agentsOf(two, [row("first", "c"), row("second", "c")]);
  assert.deepEqual([whole.get("b1").wsId, whole.get("b2")], ["first", live]);
});

test("sub-agents are asked for only where there is a call whose own is not known", () => {
  assert.equal(lacksAgents(view([card("b1", "c", { status: "waiting" }), card("b2", "x", { name: "bash" })])), false);
  assert.equal(lacksAgents(view([card("b1", "c")], [["c", {}]])), false);
  assert.equal(lacksAgents(view([card("b1", "c")])), true);
});
