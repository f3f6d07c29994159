// @ts-check
/** An address that names a place in a conversation: `#/ws/ID/at/ROLE/SECONDS` is shown there. */

import { effect } from "../shared/html.js";
import { wanted } from "../shared/transcript.js";
import { route, views } from "./model.js";

/** What each role's words stand in. */
const KINDS = /** @type {Record<string, string>} */ ({
  user: "message", assistant: "answer", tool: "tool",
});

/** Milliseconds for which the place stays marked. */
const MARKED = 4000;

/** Frames of the screen: for which a place is looked for, and in which it must not move. */
const LONGEST = 120;
const STILL = 10;

/** Begins to look at the address; call once. */
export function followPlace() {
  /** @type {readonly string[]} */
  let shown = [];
  effect(() => {
    const now = route.value;
    const [, wsId, at, role, seconds] = now;
    if (at !== "at" || shown === now) return;
    const view = views.value.get(wsId);
    if (!view?.blocks.length) return;
    shown = now;
    const key = blockAt(view, role, Number(seconds));
    if (key) show(key);
  });
}

/**
 * The key of the block in which somebody of this role said something then. A tool's result is
 * kept after the answer that called it.
 * @param {import("./model.js").View} view @param {string} role @param {number} seconds
 */
export function blockAt(view, role, seconds) {
  const kind = KINDS[role] ?? "message";
  /** @type {string} */
  let found = "";
  let at = 0;
  for (const block of view.blocks) {
    if ("at" in block) at = block.at || at;
    if ("started" in block) at = block.started || at;
    if (at > seconds) break;
    if (block.kind === kind) found = block.key;
  }
  return found || view.blocks.find((block) => block.kind === kind)?.key || "";
}

/** @param {string} key */
function show(key) {
  wanted.value = key;
  let frames = 0;
  const look = () => {
    const place = document.getElementById(`block-${key}`);
    if (place) stay(place);
    else if (++frames < LONGEST) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

/**
 * Marks the place, and keeps it in sight until it stays there: blocks get their true height only
 * once they are near, and the browser then holds on to what was in sight before.
 * @param {HTMLElement} place
 */
function stay(place) {
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
  place.classList.add("block-found");
  setTimeout(() => place.classList.remove("block-found"), MARKED);
  let frames = 0;
  let still = 0;
  const look = () => {
    still = inSight(place) ? still + 1 : 0;
    if (!still) place.scrollIntoView({ block: "center" });
    if (still < STILL && ++frames < LONGEST) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

/** @param {HTMLElement} place */
function inSight(place) {
  const { top } = place.getBoundingClientRect();
  const box = place.closest(".transcript")?.getBoundingClientRect();
  return !box || (top >= box.top && top < box.bottom - 20);
}
