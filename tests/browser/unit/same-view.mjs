// Folds one journal in two ways, and tells where the views differ: `node same-view.mjs FILE`.
//
// FILE: JSON, `{"live": [events], "late": [[events], …]}`: all events of a reader that was there
// from the beginning, and those of readers that came later, each with a snapshot at its start.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { web } from "./web.mjs";

const { emptyView, reduce } = await web("shared/state.js");

// What a reader that comes late cannot know, or has from the list of workstreams: remarks that are
// kept nowhere, which keys others got, when a call was started that is long over.
function shown(events) {
  const view = events.reduce(reduce, emptyView("w"));
  const blocks = view.blocks
    .filter((block) => block.kind !== "notice")
    .map(({ key, started, effect, ...block }) => block);
  const { wsId, name, model, state, turn, live, plans, queued, feedback, stale } = view;
  const questions = view.questions.filter((each) => !each.answer);
  return { wsId, name, model, state, turn, live, plans, queued, feedback, stale, questions, blocks };
}

const { live, late } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const all = shown(live);
for (const events of late) assert.deepEqual(shown(events), all);
console.log(JSON.stringify(all.blocks.map((block) => block.kind)));
