// @ts-check
/** Blocks of code: a head with language and copy button, colours once they are whole. */

import hljs from "../vendor/highlight.js";
import DOMPurify from "../vendor/purify.js";
import { html, useState } from "./html.js";
import { visible } from "./text.js";

/** Characters up to which code is coloured: more would be noticed. */
const MOST_COLOURED = 40_000;

const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

/** Dresses every block of code in what was rendered. @param {DocumentFragment} fragment */
export function dressCode(fragment) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    if (!code) continue;
    const text = (code.textContent ?? "").replace(/\n$/, "");
    const language = pre.dataset.lang ?? "";
    const box = document.createElement("div");
    box.className = "md-code";
    pre.replaceWith(box);
    pre.tabIndex = 0;
    box.append(head(language, text), pre);
    whenIdle(() => colour(code, text, language));
  }
}

/** @param {string} language @param {string} text */
function head(language, text) {
  const bar = document.createElement("div");
  bar.className = "md-code-head";
  const name = document.createElement("span");
  name.textContent = language;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "small plain";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", "Copy this code");
  copy.addEventListener("click", () => void copied(text).then((done) => {
    copy.textContent = done ? "Copied" : "Not copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  }));
  bar.append(name, copy);
  return bar;
}

/** @param {HTMLElement} code @param {string} text @param {string} language */
export function colour(code, text, language) {
  if (text.length > MOST_COLOURED || !hljs.getLanguage(language)) return;
  const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
  code.replaceChildren(/** @type {any} */ (DOMPurify.sanitize(value, SPANS)));
}

/** Puts it on the clipboard; a page that is not served securely has an older way alone.
 * @param {string} text @returns {Promise<boolean>} */
export async function copied(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

/** @param {{text: string, label?: string, name: string}} props `name`: for screen readers */
export function CopyButton({ text, label = "Copy", name }) {
  const [said, say] = useState("");
  const copy = async () => {
    say((await copied(text)) ? "Copied" : "Not copied");
    setTimeout(() => say(""), 1500);
  };
  return html`<button type="button" class="small plain" aria-label=${name} onClick=${copy}>
    ${visible(said || label)}
  </button>`;
}

/** @param {() => void} work */
function whenIdle(work) {
  if ("requestIdleCallback" in window) requestIdleCallback(work, { timeout: 1000 });
  else setTimeout(work, 50);
}
