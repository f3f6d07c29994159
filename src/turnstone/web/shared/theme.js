// @ts-check
/** Light or dark, as the person or the system says; kept in this browser. */

/** @typedef {"system" | "light" | "dark"} Theme */

const KEY = "turnstone-theme";

/** @returns {Theme} */
export function theme() {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** @param {Theme} wanted */
export function setTheme(wanted) {
  if (wanted === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, wanted);
  showTheme();
}

/** Call once, as early as can be, so that the page is never drawn in the wrong colours. */
export function showTheme() {
  const wanted = theme();
  if (wanted === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}
