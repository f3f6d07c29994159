// @ts-check
/**
 * Every key that a page takes, in one table: what takes it reads its name here, and the help page
 * shows the whole. Data only.
 */

/** @typedef {{keys: string, what: string, where: string}} Key `keys` as in `keys.js` */

const ask = "A question that waits";
const writing = "Where one writes";

/** @satisfies {Record<string, Key>} */
export const KEYMAP = Object.freeze({
  allow: { keys: "a", what: "Allow it once; accept the plan", where: ask },
  always: { keys: "w", what: "Always allow what is shown as the pattern", where: ask },
  deny: { keys: "d", what: "Deny it; reject the plan", where: ask },
  feedback: { keys: "f", what: "Deny it, and say why; remark on the plan", where: ask },
  next: { keys: "n", what: "Go to the next question", where: ask },
  send: { keys: "Enter", what: "Send; while a turn runs, send it for the next turn", where: writing },
  line: { keys: "Shift+Enter", what: "Begin a new line", where: writing },
  steer: { keys: "Alt+Enter", what: "Send it to the turn that runs", where: writing },
  older: { keys: "ArrowUp", what: "What was written before, from the first line", where: writing },
  newer: { keys: "ArrowDown", what: "What was written after that, from the last line", where: writing },
  complete: { keys: "Tab", what: "Take the command that is chosen", where: writing },
  stop: { keys: "Escape", what: "Stop the turn that runs; close what is open", where: "Anywhere" },
  write: { keys: "i", what: "Go to where one writes", where: "Anywhere" },
  help: { keys: "?", what: "Show the keys", where: "Anywhere" },
});

const SHOWN = /** @type {Record<string, string>} */ ({
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Control: "Ctrl", Escape: "Esc",
});

/** `Alt+ArrowUp` as the keyboard names it, key by key. @param {string} keys @returns {string[]} */
export function spelled(keys) {
  return keys.split("+").map((key) => SHOWN[key] ?? key);
}
