// @ts-check
/**
 * Text for people: hostile characters made visible, and numbers, times and states in words.
 *
 * Pure. What it returns is text, never markup.
 */

/** Controls but tab and line feed; directions, joiners and tags that change what one sees. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

/**
 * The text with what is invisible, or turns text around, shown as `⟨U+202E⟩`. A carriage return
 * before a line feed belongs to the line's end and is left out.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, named);
}

/** @param {string} found */
function named(found) {
  const code = /** @type {number} */ (found.codePointAt(0));
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** @param {number} count @param {string} what `1 message`, `1,200 messages` */
export function counted(count, what) {
  return `${number(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** @param {number} value */
export function number(value) {
  return value.toLocaleString("en-US");
}

/** `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `21 Nov 2026, 19:37`, of this browser's place. @param {number} seconds of Unix time; 0: empty */
export function moment(seconds) {
  if (!seconds) return "";
  const style = /** @type {const} */ ({ dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  return new Intl.DateTimeFormat("en-GB", style).format(seconds * 1000);
}

/** States of a workstream: the symbol of the terminal, and the word for it. */
export const STATES = Object.freeze({
  idle: { symbol: "·", word: "idle" },
  thinking: { symbol: "◌", word: "thinking" },
  running: { symbol: "▸", word: "running a tool" },
  attention: { symbol: "◆", word: "needs an answer" },
  error: { symbol: "✖", word: "failed" },
});

/** @param {string} state */
export function stateOf(state) {
  return STATES[/** @type {keyof typeof STATES} */ (state)] ?? { symbol: "?", word: visible(state) };
}
