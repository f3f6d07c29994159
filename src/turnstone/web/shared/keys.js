// @ts-check
/**
 * The keyboard map: each part of a page says which keys it takes, and the help page lists them.
 *
 * A single letter is taken only while nothing is being typed.
 */

/**
 * @typedef {{keys: string, what: string, where?: string, run: (event: KeyboardEvent) => void,
 *   when?: () => boolean}} Binding `keys`: `a`, `Escape`, `Control+k`, `Alt+ArrowUp`
 */

/** @type {Set<Binding>} */
const bindings = new Set();

/** Takes a key until the function that it returns is called. @param {Binding} binding */
export function bind(binding) {
  bindings.add(binding);
  return () => void bindings.delete(binding);
}

/** What is taken now, for the help page. @returns {Binding[]} */
export function bound() {
  return [...bindings];
}

/** Whether letters that are typed now are text. @param {EventTarget | null} target */
export function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

/** `Control+Shift+k`, in this order of the held keys. @param {KeyboardEvent} event */
export function named(event) {
  const held = [
    (event.ctrlKey || event.metaKey) && "Control",
    event.altKey && "Alt",
    event.shiftKey && event.key.length > 1 && "Shift",
  ];
  return [...held.filter(Boolean), event.key].join("+");
}

/** Begins to listen; call once. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const pressed = named(event);
    if (pressed.length === 1 && typing(event.target)) return;
    const found = [...bindings].reverse().find((each) => each.keys === pressed && (each.when?.() ?? true));
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
}
