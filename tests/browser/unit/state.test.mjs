import assert from "node:assert/strict";
import test from "node:test";

import { web } from "./web.mjs";

const { emptyView, reduce } = await web("shared/state.js");

/** Events of one message, `m1` where they do not say. */
const fold = (events, view = emptyView("w")) =>
  events.reduce((v, [type, more]) => reduce(v, { type, correlation_id: "m1", timestamp: 1, ...more }), view);

const kinds = (view) => view.blocks.map((block) => block.kind);
const call = (id, name = "bash") => ({ id, name, arguments: "{}" });
const begun = [["message_accepted", { message: "go" }], ["step_started", { step: 1 }]];
const called = [...begun, ["step_finished", { text: "I look.", tool_calls: [call("a"), call("b")] }]];

test("a message that was sent during a turn comes after it", () => {
  const during = fold([...begun, ["message_accepted", { message: "next", correlation_id: "m2" }]]);
  assert.deepEqual(during.queued.map((each) => each.text), ["next"]);

  const after = fold(
    [["turn_ended", { outcome: "done" }], ["step_started", { correlation_id: "m2" }]], during,
  );
  assert.deepEqual(kinds(after), ["message", "ending", "message"]);
  assert.equal(after.queued.length, 0);
  assert.equal(after.turn, "m2");
});

test("a message that was taken back leaves no trace", () => {
  const view = fold([
    ...begun,
    ["message_accepted", { message: "next", correlation_id: "m2" }],
    ["turn_ended", { correlation_id: "m2", outcome: "cancelled", begun: false }],
  ]);
  assert.deepEqual([kinds(view), view.queued], [["message"], []]);
});

test("a piece of text leaves everything but the live part as it was", () => {
  const before = fold(called);
  const after = fold([["content", { text: "x" }]], before);
  for (const name of Object.keys(before)) {
    if (name !== "live") assert.equal(after[name], before[name], name);
  }
  assert.equal(after.live.tools, before.live.tools);
});

test("what was streamed of a step is void once the model is asked again", () => {
  const view = fold([...begun, ["reasoning", { text: "hm" }], ["content", { text: "no" }], ["stream_reset", {}]]);
  assert.deepEqual([view.live.text, view.live.reasoning], ["", ""]);
});

test("a finished answer takes the place of what was streamed, under the key that comes next", () => {
  const streaming = fold([...begun, ["content", { text: "hel" }]]);
  const done = fold([["step_finished", { text: "hello", tool_calls: [] }]], streaming);
  assert.equal(done.live.text, "");
  assert.equal(done.blocks.at(-1).key, `b${streaming.made}`);
});

test("a call knows how long it took, what it printed while it ran, and how it ended", () => {
  const running = fold([
    ...called,
    ["tool_started", { call_id: "a", timestamp: 10, item: { header: "ls", preview: "ls -l" } }],
    ["tool_output", { call_id: "a", text: "one\n" }],
    ["tool_output", { call_id: "a", text: "two\n" }],
  ]);
  assert.equal(running.live.tools.get("a").text, "one\ntwo\n");
  const done = fold(
    [["tool_finished", { call_id: "a", status: "error", output: "no", timestamp: 12.5 }]], running,
  );
  const tool = done.blocks.find((block) => block.callId === "a");
  const { status, output, seconds, header } = tool;
  assert.deepEqual({ status, output, seconds, header }, { status: "error", output: "no", seconds: 2.5, header: "ls" });
  assert.equal(done.live.tools.size, 0);
  assert.equal(done.blocks.find((block) => block.callId === "b").status, "waiting");
});

test("a call id that comes again in a later answer is another call", () => {
  const view = fold([
    ...begun,
    ["step_finished", { tool_calls: [call("call_1")] }],
    ["tool_finished", { call_id: "call_1", status: "ok", output: "first" }],
    ["step_started", { step: 2 }],
    ["step_finished", { tool_calls: [call("call_1")] }],
    ["tool_finished", { call_id: "call_1", status: "ok", output: "second" }],
  ]);
  const outputs = view.blocks.filter((block) => block.kind === "tool").map((block) => block.output);
  assert.deepEqual(outputs, ["first", "second"]);
});

test("of much output the end is kept, and it is said how much is missing", () => {
  const piece = "x".repeat(100_000);
  const view = fold([...called, ...Array(9).fill(["tool_output", { call_id: "a", text: piece }])]);
  const { text, dropped } = view.live.tools.get("a");
  assert.equal(text.length + dropped, 900_000);
  assert.ok(text.length <= 400_000);
});

test("the first answer to a question counts", () => {
  const view = fold([
    ...called,
    ["approval_asked", { request_id: "q", items: [{ call_id: "a", needs_approval: true, header: "ls" }] }],
    ["approval_answered", { request_id: "q", approved: false, feedback: "not so" }],
    ["approval_answered", { request_id: "q", approved: true }],
  ]);
  assert.equal(view.questions[0].answer.approved, false);
  assert.equal(view.blocks.find((block) => block.callId === "a").said, "not so");
  assert.equal(view.state, "running");
});

test("what was said with an approval is heard before the next step", () => {
  const view = fold([
    ...called,
    ["approval_asked", { request_id: "q", items: [{ call_id: "a", needs_approval: true }] }],
    ["approval_answered", { request_id: "q", approved: true, feedback: "be quick" }],
    ["step_started", { step: 2 }],
  ]);
  assert.equal(view.blocks.at(-1).text, "be quick");
  assert.deepEqual(view.feedback, []);
});

test("what was said with a part that was refused is said of that part", () => {
  const items = ["a", "b"].map((id) => ({ call_id: id, needs_approval: true }));
  const view = fold([
    ...called,
    ["approval_asked", { request_id: "q", items }],
    ["approval_answered", { request_id: "q", approved: true, refused: ["a"], feedback: "not this" }],
  ]);
  assert.equal(view.blocks.find((block) => block.callId === "a").said, "not this");
  assert.deepEqual(view.feedback, []);
});

test("a question of a sub-agent changes no card here", () => {
  const asked = { request_id: "q", items: [{ call_id: "a", header: "rm" }], origin: { ws_id: "s" } };
  const view = fold([...called, ["approval_asked", asked]]);
  assert.equal(view.blocks.find((block) => block.callId === "a").header, "");
  assert.equal(view.questions[0].origin.ws_id, "s");
});

test("a snapshot takes the place of what was shown", () => {
  const before = fold([...called, ["info", { message: "hm" }]]);
  const messages = [{ role: "user", content: "hello", correlation_id: "m9" }];
  const view = fold([["truncated", {}], ["connected", { state: "idle", name: "n" }], ["history", { messages }]], before);
  assert.deepEqual(view.blocks.map((block) => block.text), ["hello"]);
  assert.deepEqual([view.stale, view.name], [false, "n"]);
});

test("the ending that a snapshot tells twice is shown once", () => {
  const messages = [{ role: "user", content: "go", shown: { outcome: "failed", reason: "no" } }];
  const view = fold([["connected", {}], ["history", { messages }], ["turn_ended", { outcome: "failed", reason: "no" }]]);
  assert.deepEqual(kinds(view), ["message", "ending"]);
});

test("events in the spelling of 0.2 are the same events", () => {
  const view = fold([...begun, ["stream_end", { event: "step_finished", text: "hi", tool_calls: [] }]]);
  assert.deepEqual(kinds(view), ["message", "answer"]);
});

test("an event that nobody knows changes nothing but the place in the stream", () => {
  const before = fold(called);
  const after = fold([["from_the_future", { id: "9-9" }], ["toString", { id: "9-9" }]], before);
  assert.deepEqual({ ...after, cursor: "" }, { ...before, cursor: "" });
  assert.equal(after.cursor, "9-9");
});

test("the files of a message are the same live, while it waits, and read later", () => {
  const attachments = [{ name: "a.png", media_type: "image/png", size: 3, image: "w/image-1.png", text: "" }];
  const waiting = fold([["message_accepted", { message: "look", attachments }]]);
  const file = { name: "a.png", mediaType: "image/png", size: 3, image: "w/image-1.png", text: "" };
  assert.deepEqual(waiting.queued[0].attachments, [file]);
  assert.deepEqual(fold([["step_started", {}]], waiting).blocks[0].attachments, [file]);
  const messages = [{ role: "user", content: "look", shown: { attachments } }, { role: "user", content: "and" }];
  const later = fold([["history", { messages }]]);
  assert.deepEqual(later.blocks.map((block) => block.attachments), [[file], []]);
});
