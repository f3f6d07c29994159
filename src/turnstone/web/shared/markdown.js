// @ts-check
/**
 * Markdown that is shown while it arrives: a block that is finished is drawn once and never
 * touched again, only the last one is redrawn.
 *
 * Text that would hold the page up (a line of a megabyte, a table without an end) is shown as
 * plain text, and its beginning first.
 */

import { dressCode } from "./code.js";
import { atNextFrame } from "./frames.js";
import { html, useEffect, useLayoutEffect, useRef } from "./html.js";
import { References } from "./markdown-links.js";
import { blocksOf, rendered } from "./markdown-render.js";
import { number, visible } from "./text.js";

/** Characters of one block up to which it is read as Markdown. */
const MOST_RENDERED = 60_000;

/** Characters of a longer one that are shown before somebody asks for all. */
const SHOWN = 10_000;

/** Characters of a growing block up to which it is redrawn at each frame; more are slower. */
const QUICK = 4_000;

/** Characters of an answer's end that are not even looked through for blocks. */
const HUGE = 1_500_000;

/** Milliseconds of one frame that may go into drawing. */
const FRAME = 8;

/**
 * Characters of finished blocks that are kept together as one part. Out of sight, a browser passes
 * over a part as a whole; what it costs to have thousands of blocks grows with the parts alone.
 */
const PART = 6_000;

/** Pixels of a line and characters in it, for a guess at a part that was not in sight yet. */
const LINE = 24;
const WIDTH = 95;

/** @typedef {{element: HTMLElement, raw: string, due: boolean}} Drawn `due`: to be drawn once more */

/** Draws a growing text into an element. */
export class MarkdownWriter {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.text = "";
    this.done = 0; // characters of finished blocks
    this.tail = newBlock(element);
    this.part = newPart(this.tail);
    this.inPart = 0; // characters of its blocks
    this.drawn = 0; // length of the tail when it was drawn last
    this.fence = ""; // that the tail is code of, and has not been closed with
    /** @type {(() => void)[]} what is still to be drawn of finished blocks, one each */
    this.undrawn = [];
    /** @type {References<Drawn>} */
    this.references = new References();
    /** @type {(() => void) | null} calls the planned drawing off */
    this.planned = null;
  }

  /** All text so far; `whole`: nothing follows. @param {string} text @param {boolean} whole */
  write(text, whole) {
    if (!text.startsWith(this.text)) this.clear();
    if (text.length === this.text.length && !whole) return;
    this.text = text;
    const tail = text.slice(this.done);
    if (whole) this.finish(tail);
    else if (this.due(tail)) this.grow(tail);
  }

  /** Nothing more is drawn. */
  stop() {
    this.planned?.();
    this.planned = null;
  }

  clear() {
    this.stop();
    this.undrawn = [];
    this.references = new References();
    this.element.ariaBusy = null;
    this.element.replaceChildren();
    this.text = "";
    this.done = 0;
    this.tail = newBlock(this.element);
    this.part = newPart(this.tail);
    this.inPart = 0;
    this.drawn = 0;
    this.fence = "";
  }

  /** A long tail is redrawn once it has grown by a good part only. @param {string} tail */
  due(tail) {
    if (this.fence || tail.length < QUICK) return true;
    return tail.length - this.drawn > tail.length / (tail.length > MOST_RENDERED ? 4 : 16);
  }

  /** @param {string} tail */
  grow(tail) {
    if (this.fence && !closes(tail.slice(Math.max(0, this.drawn - 8)), this.fence)) {
      this.tail.querySelector("code")?.append(visible(tail.slice(this.drawn)));
      this.drawn = tail.length;
      return;
    }
    const blocks = blocksOf(tail);
    let used = 0;
    for (const block of blocks.slice(0, lastOpen(blocks))) {
      used += block.raw.length;
      this.finished(block);
    }
    this.done += used;
    this.catchUp();
    const rest = tail.slice(used);
    if (rest.length > MOST_RENDERED) this.plain(rest);
    else draw(this.tail, rest, false, this.references.sofar());
    this.drawn = rest.length;
    this.fence = /^ {0,3}(`{3,}|~{3,})[^\n]*\n/.exec(rest)?.[1] ?? "";
  }

  /** A block that is too long to be read as Markdown over and over. @param {string} tail */
  plain(tail) {
    const shown = visible(tail.slice(-SHOWN));
    this.tail.className = "md-plain";
    this.tail.textContent = `… ${number(tail.length - SHOWN)} characters before …\n${shown}`;
  }

  /** @param {string} tail */
  finish(tail) {
    const blocks = tail.length > HUGE ? [{ type: "text", raw: tail }] : blocksOf(tail);
    for (const block of blocks) this.finished(block);
    this.done = this.text.length;
    this.tail.replaceChildren();
    this.drawn = 0;
    this.fence = "";
    this.catchUp();
  }

  /** Draws finished blocks for good, in front of the tail: as many as fit into a frame now, the
   * rest in the frames that follow. */
  catchUp() {
    this.stop();
    const until = performance.now() + FRAME;
    while (this.undrawn.length && performance.now() < until) {
      /** @type {() => void} */ (this.undrawn.shift())();
    }
    if (this.undrawn.length) this.planned = atNextFrame(() => this.catchUp());
    this.element.ariaBusy = this.undrawn.length ? "true" : null;
  }

  /** @param {{type: string, raw: string, tag?: string}} block */
  finished({ type, raw, tag = "" }) {
    if (type === "def") this.undrawn.push(() => this.define(raw, tag));
    else if (type !== "space") this.undrawn.push(() => this.add(raw));
  }

  /** An address that blocks may have waited for. @param {string} raw @param {string} name */
  define(raw, name) {
    rendered(raw, this.references.links);
    for (const block of this.references.defined(name)) {
      if (block.due) continue;
      block.due = true;
      this.undrawn.push(() => {
        block.due = false;
        draw(block.element, block.raw, true, this.references.links);
      });
    }
  }

  /** @param {string} raw a finished block */
  add(raw) {
    if (this.inPart + raw.length > PART && this.inPart) {
      this.part = newPart(this.tail);
      this.inPart = 0;
    }
    const block = document.createElement("div");
    draw(block, raw, true, this.references.links);
    this.references.drawn({ element: block, raw, due: false }, raw);
    this.part.append(block);
    this.inPart += raw.length;
    const height = Math.ceil((this.inPart / WIDTH) * LINE);
    this.part.style.containIntrinsicSize = `auto ${Math.max(LINE, height)}px`;
  }
}

/**
 * The text of an answer. `live`: more of it is coming.
 * @param {{text: string, live?: boolean}} props
 */
export function Markdown({ text, live = false }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const writer = useRef(/** @type {MarkdownWriter | null} */ (null));
  useLayoutEffect(() => {
    if (!place.current) return;
    writer.current ??= new MarkdownWriter(place.current);
    writer.current.write(text, !live);
  }, [text, live]);
  useEffect(() => () => writer.current?.stop(), []);
  return html`<div class="md" ref=${place}></div>`;
}

/**
 * @param {HTMLElement} element @param {string} raw @param {boolean} whole
 * @param {Record<string, any>} links
 */
function draw(element, raw, whole, links) {
  if (raw.length > MOST_RENDERED || longestLine(raw) > SHOWN) {
    element.replaceChildren(shortened(raw));
    return;
  }
  const fragment = rendered(raw, links);
  if (whole) dressCode(fragment);
  element.className = whole ? "md-block" : "md-tail";
  element.replaceChildren(fragment);
}

/** The beginning as plain text, and a button for the rest. @param {string} raw */
function shortened(raw) {
  const box = document.createElement("div");
  const text = document.createElement("pre");
  text.className = "md-plain";
  text.textContent = visible(raw.slice(0, SHOWN));
  const all = document.createElement("button");
  all.type = "button";
  all.className = "small";
  all.textContent = `Show all ${number(raw.length)} characters`;
  all.addEventListener("click", () => {
    text.textContent = visible(raw);
    all.remove();
  });
  box.append(text, all);
  return box;
}

/** @param {HTMLElement} element */
function newBlock(element) {
  const block = document.createElement("div");
  block.className = "md-tail";
  element.append(block);
  return block;
}

/** Of finished blocks, in front of the tail. @param {HTMLElement} tail */
function newPart(tail) {
  const part = document.createElement("div");
  part.className = "md-part";
  tail.before(part);
  return part;
}

/**
 * The place of the last block that may still change: of the last one that is no blank line, for a
 * list goes on behind one.
 * @param {any[]} blocks
 */
function lastOpen(blocks) {
  const place = blocks.findLastIndex((block) => block.type !== "space");
  return Math.max(0, place);
}

/** @param {string} text @param {string} fence */
function closes(text, fence) {
  return text.includes(`\n${fence}`) || text.includes(fence);
}

/** @param {string} text */
function longestLine(text) {
  let longest = 0;
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at);
    longest = Math.max(longest, (end < 0 ? text.length : end) - at);
    if (end < 0) break;
    at = end + 1;
  }
  return longest;
}
