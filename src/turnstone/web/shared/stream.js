// @ts-check
/**
 * One connection to the node's events for the whole page: some workstreams, each from where it
 * was read to last, and the states of all.
 *
 * Comes back by itself after it was cut, and does not ask again for what was read already. What
 * the events mean is not known here.
 */

import { signedOut } from "./api.js";
import { atNextFrame } from "./frames.js";
import { signal } from "./html.js";
import { Places } from "./places.js";

/** @typedef {"connecting" | "live" | "waiting" | "offline" | "signed-out"} Connection */
/** @typedef {{type: string, ws_id?: string, id?: string} & Record<string, any>} Envelope */

/** Milliseconds before the first attempt to come back, and at most before any. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Milliseconds between two deliveries: nobody reads faster than that, and the frames between are
 * for what a person types.
 */
const PACE = 40;

/** How it stands with the connection; `offline` from the second attempt on that failed. */
export const connection = signal(/** @type {Connection} */ ("connecting"));

/** When the next attempt is made, in milliseconds of `Date.now()`; 0 while there is none. */
export const nextAttempt = signal(0);

/** The stream of this page, once it has one. */
export const stream = signal(/** @type {Stream | null} */ (null));

export class Stream {
  /**
   * @param {(events: Envelope[]) => void} take is given what came since the last frame of the
   *   screen, in order; events of all workstreams are marked `global`
   */
  constructor(take) {
    this.take = take;
    this.places = new Places();
    /** @type {EventSource | null} */
    this.source = null;
    /** @type {Envelope[]} */
    this.waiting = [];
    this.delivered = 0; // milliseconds of `performance.now()`
    this.failures = 0;
    this.timer = 0;
    /** @type {(() => void) | null} calls the planned delivery off */
    this.planned = null;
    /** Called each time the connection is there again. */
    this.onOpen = () => {};
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.source === null) this.again();
    });
  }

  /**
   * Follows exactly these from now on; one that was followed before goes on where it was.
   * @param {Iterable<string>} ids
   */
  follow(ids) {
    this.deliver();
    const changed = this.places.follow(ids);
    if (changed || !this.source) this.again();
  }

  /** Reads this workstream from its snapshot on. @param {string} id */
  restart(id) {
    this.places.forget(id);
    this.again();
  }

  /** Connects now, whatever was planned. */
  again() {
    clearTimeout(this.timer);
    nextAttempt.value = 0;
    this.source?.close();
    if (connection.value !== "offline") connection.value = "connecting";
    const source = new EventSource(this.places.address());
    this.source = source;
    source.onopen = () => this.opened();
    source.onmessage = (message) => this.came(message);
    source.onerror = () => this.cut(source);
  }

  opened() {
    this.failures = 0;
    connection.value = "live";
    this.onOpen();
  }

  /** @param {MessageEvent<string>} message */
  came({ data, lastEventId }) {
    this.places.saw(lastEventId);
    this.waiting.push(JSON.parse(data));
    this.planned ??= atNextFrame(() => this.deliver(), this.delivered + PACE);
  }

  deliver() {
    this.planned?.();
    this.planned = null;
    if (!this.waiting.length) return;
    const events = this.waiting;
    this.waiting = [];
    this.delivered = performance.now();
    this.take(events);
  }

  /** @param {EventSource} source */
  cut(source) {
    if (source !== this.source) return;
    source.close();
    this.source = null;
    this.failures += 1;
    void this.plan();
  }

  /** An event source does not tell why it failed: a request that may be refused does. */
  async plan() {
    const answer = await fetch("/api/workstreams?limit=1").catch(() => null);
    if (this.source) return; // somebody has not waited for this, and it may be there again
    if (answer?.status === 401) {
      signedOut.value = true;
      connection.value = "signed-out";
      return;
    }
    connection.value = answer ? "waiting" : "offline";
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.failures - 1));
    const wait = most / 2 + (Math.random() * most) / 2;
    nextAttempt.value = Date.now() + wait;
    this.timer = setTimeout(() => this.again(), wait);
  }
}
