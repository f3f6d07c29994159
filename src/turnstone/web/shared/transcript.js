// @ts-check
/**
 * A conversation, from its end on: the newest blocks are on the page, earlier ones come when one
 * scrolls towards them. Stays at the end while one is there, and never scrolls for anybody else.
 */

import { Block } from "./blocks.js";
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { counted, visible } from "./text.js";

/** @typedef {import("./state.js").View} View */

/** Blocks that are on the page at first, and how many come at a time. */
const FIRST = 40;
const MORE = 120;

/** Pixels from the end within which one counts as being there. */
const NEAR = 40;

/** The block that somebody wants to see, by its key; it is cleared once it is shown. */
export const wanted = signal("");

/**
 * @param {{view: View, agents: ReadonlyMap<string, import("./state.js").Agent>,
 *   agentAddress: (wsId: string) => string, actions?: any}} props
 *   `agents`: the sub-agents by the keys of the cards of the calls that made them;
 *   `actions`: a component that is given `{block}`, at the foot of messages and answers
 */
export function Transcript({ view, agents, agentAddress, actions }) {
  const shown = useShown(view);
  const scroll = useScroll(view.wsId, shown.from, shown.more);
  const blocks = view.blocks.slice(shown.from);
  const live = liveAnswer(view);
  if (live) blocks.push(live);
  return html`
    <div class="transcript-place">
      <div class="transcript" ref=${scroll.box} onScroll=${scroll.moved} tabindex="0" role="region" aria-label="Conversation">
        <div class="transcript-inner" ref=${scroll.inner}>
          ${shown.from > 0 &&
          html`<button type="button" class="small transcript-more" ref=${scroll.top} onClick=${scroll.earlier}>
            ${counted(shown.from, "earlier part")}
          </button>`}
          ${blocks.map(
            (block) => html`<div
              class=${`block block-${block.kind}`}
              id=${`block-${block.key}`}
              key=${block.key}
            >
              <${Block}
                block=${block}
                live=${block === live}
                printed=${block.kind === "tool" ? view.live.tools.get(block.callId) : undefined}
                agent=${agents.get(block.key)}
                actions=${actions}
                agentAddress=${agentAddress}
              />
            </div>`,
          )}
          <${Doing} view=${view} live=${live} />
        </div>
      </div>
      ${!scroll.atEnd &&
      html`<button type="button" class="transcript-end" onClick=${scroll.toEnd}>
        <span aria-hidden="true">↓</span> To the end
      </button>`}
      <${Said} view=${view} />
    </div>
  `;
}

/**
 * The answer that is being written. It has the key that it will have when it is finished, so that
 * what was drawn of it stays.
 * @param {View} view @returns {import("./state.js").AnswerBlock | null}
 */
function liveAnswer({ live, made, model }) {
  if (!live.text && !live.reasoning) return null;
  const { text, reasoning } = live;
  return { kind: "answer", key: `b${made}`, text, reasoning, step: 0, model, at: 0 };
}

/** That something is going on, while there is nothing to see of it. @param {any} props */
function Doing({ view, live }) {
  if (live || view.state !== "thinking") return null;
  return html`<p class="doing dim"><span class="doing-dot" aria-hidden="true">◌</span> thinking</p>`;
}

/** For screen readers: what an answer says once it is whole, and nothing of it before.
 * @param {{view: View}} props */
function Said({ view }) {
  const [last, say] = useState({ key: "", text: "" });
  const first = useRef(true);
  const answer = view.blocks.findLast((block) => block.kind === "answer");
  useEffect(() => {
    if (answer?.kind === "answer" && answer.key !== last.key) {
      say({ key: answer.key, text: first.current ? "" : answer.text.slice(0, 1000) });
    }
    first.current = false;
  }, [answer]);
  return html`<p class="unseen" aria-live="polite">${visible(last.text)}</p>`;
}

/** Which blocks are on the page. Once there they stay, as long as it is the same conversation.
 * @param {View} view */
function useShown(view) {
  const count = view.blocks.length;
  const [from, set] = useState(() => Math.max(0, count - FIRST));
  const before = useRef({ first: view.blocks[0], count });
  if (before.current.first !== view.blocks[0] || count < before.current.count) {
    const start = Math.max(0, count - FIRST);
    if (start !== from) set(start);
  }
  before.current = { first: view.blocks[0], count };
  const place = wanted.value ? view.blocks.findIndex((block) => block.key === wanted.value) : -1;
  useEffect(() => {
    if (place < 0) return;
    if (place < from) set(Math.max(0, place - 10));
    else {
      document.getElementById(`block-${wanted.value}`)?.scrollIntoView({ block: "center" });
      wanted.value = "";
    }
  }, [place, from]);
  return { from: Math.min(from, count), more: () => set((now) => Math.max(0, now - MORE)) };
}

/**
 * Where one is. At the end, the page follows it; elsewhere it stays, whatever is added: above by
 * the place that is kept here, below by itself.
 * @param {string} wsId @param {number} from the first block that is shown @param {() => void} more
 */
function useScroll(wsId, from, more) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const inner = useRef(/** @type {HTMLElement | null} */ (null));
  const top = useRef(/** @type {HTMLElement | null} */ (null));
  const pinned = useRef(true);
  const last = useRef(0);
  const [atEnd, setAtEnd] = useState(true);

  const toEnd = () => {
    pinned.current = true;
    setAtEnd(true);
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  const moved = () => {
    const place = box.current;
    if (!place) return; // told of it once it was gone already
    const left = place.scrollHeight - place.clientHeight - place.scrollTop;
    if (left < NEAR) pinned.current = true;
    else if (place.scrollTop < last.current - 1) pinned.current = false;
    last.current = place.scrollTop;
    setAtEnd(pinned.current);
  };

  // What one looks at stays where it is when earlier blocks come: a browser that is scrolled to
  // the very top does not see to it.
  const below = useRef(0);
  const earlier = () => {
    if (box.current) below.current = box.current.scrollHeight - box.current.scrollTop;
    more();
  };
  useLayoutEffect(() => {
    if (box.current && below.current) box.current.scrollTop = box.current.scrollHeight - below.current;
    below.current = 0;
  }, [from]);
  useLayoutEffect(toEnd, [wsId]);
  const going = wanted.value !== "";
  useLayoutEffect(() => {
    const place = box.current;
    if (!going || !place || place.scrollHeight - place.clientHeight < NEAR) return;
    pinned.current = false; // or the next thing that grows would take one to the end again
    setAtEnd(false);
  }, [going]);
  useEffect(() => {
    const watch = new ResizeObserver(() => {
      const place = box.current;
      if (place && pinned.current) place.scrollTop = place.scrollHeight;
    });
    if (inner.current) watch.observe(inner.current);
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (!top.current || !box.current) return undefined;
    const options = { root: box.current, rootMargin: "800px 0px 0px 0px" };
    const watch = new IntersectionObserver(([seen]) => seen.isIntersecting && !pinned.current && earlier(), options);
    watch.observe(top.current);
    return () => watch.disconnect();
  });
  return { box, inner, top, moved, toEnd, earlier, atEnd };
}
