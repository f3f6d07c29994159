// @ts-check
/** The keys of a list of conversations, as in `keymap.js`. Data only. */

const list = "The list of conversations";

/** @satisfies {Record<string, import("./keymap.js").Key>} */
export const LIST_KEYS = Object.freeze({
  find: { keys: "/", what: "Go to the box that filters and searches", where: "Anywhere" },
  before: { keys: "Alt+ArrowUp", what: "The conversation before this one in the list", where: "Anywhere" },
  after: { keys: "Alt+ArrowDown", what: "The conversation after this one in the list", where: "Anywhere" },
  drawer: { keys: "Escape", what: "Close the list, where it lies over the page", where: list },
  up: { keys: "ArrowUp", what: "The row above", where: list },
  down: { keys: "ArrowDown", what: "The row below", where: list },
  unfold: { keys: "ArrowRight", what: "Show the sub-agents", where: list },
  fold: { keys: "ArrowLeft", what: "Hide the sub-agents", where: list },
  open: { keys: "Enter", what: "Open the conversation", where: list },
  rename: { keys: "F2", what: "Rename it", where: list },
  close: { keys: "Delete", what: "Close it; it can be resumed", where: list },
});
