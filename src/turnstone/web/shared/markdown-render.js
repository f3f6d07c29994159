// @ts-check
/**
 * Markdown to a document fragment. The only place in which text becomes markup.
 *
 * What comes out holds no script, no style, no class and no id from the text, no image, and only
 * links to http, https and mailto, each with its target shown. Raw HTML in the text is shown as
 * the text that it is.
 */

import { Lexer, Marked } from "../vendor/marked.js";
import DOMPurify from "../vendor/purify.js";
import { visible } from "./text.js";

/** Links that may be followed; any other is shown as the text that it was written with. */
const FOLLOWED = /^(?:https?:\/\/|mailto:)/i;

const marked = new Marked({ gfm: true, breaks: false });

marked.use({
  renderer: {
    html: (/** @type {any} */ token) => escaped(token.text ?? token.raw ?? ""),
    link(/** @type {any} */ token) {
      if (!FOLLOWED.test(token.href)) return escaped(token.raw);
      return `<a href="${escaped(token.href)}">${this.parser.parseInline(token.tokens)}</a>`;
    },
    image(/** @type {any} */ token) {
      if (!FOLLOWED.test(token.href)) return escaped(token.raw);
      return `<a href="${escaped(token.href)}">image: ${escaped(token.text || token.href)}</a>`;
    },
    code: (/** @type {any} */ token) =>
      `<pre data-lang="${escaped(language(token.lang))}"><code>${escaped(token.text)}\n</code></pre>`,
    checkbox: (/** @type {any} */ token) => (token.checked ? "☑ " : "☐ "),
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "align", "start", "data-lang"],
  ADD_URI_SAFE_ATTR: ["align", "start", "data-lang"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: FOLLOWED,
  RETURN_DOM_FRAGMENT: true,
};

/** Top-level blocks of a text, in the order in which they stand. @param {string} text */
export function blocksOf(text) {
  return marked.lexer(text);
}

/**
 * One block as nodes.
 * @param {string} text @param {Record<string, any>} links addresses that were defined elsewhere, by
 *   name; those that are defined in it are added @returns {DocumentFragment}
 */
export function rendered(text, links) {
  const lexer = new Lexer(marked.defaults);
  /** @type {any} */ (lexer.tokens).links = links;
  const markup = marked.parser(lexer.lex(visible(text)));
  const fragment = /** @type {any} */ (DOMPurify.sanitize(markup, ALLOWED));
  for (const link of fragment.querySelectorAll("a")) secure(link);
  for (const table of fragment.querySelectorAll("table")) wrap(table);
  return fragment;
}

/** @param {HTMLAnchorElement} link */
function secure(link) {
  const target = link.getAttribute("href");
  if (!target) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.rel = "noopener noreferrer";
  link.target = "_blank";
  link.title = visible(target);
  const host = hostOf(target);
  if (host && !names(link.textContent ?? "", host)) {
    const shown = document.createElement("span");
    shown.className = "md-host";
    shown.textContent = ` (${visible(host)})`;
    link.append(shown);
  }
}

/**
 * Whether the words of a link are the address of this host and nothing else: `k.com` stands in
 * `bank.com` too, and before an `@` anything may stand.
 * @param {string} text @param {string} host
 */
function names(text, host) {
  if (/\s/.test(text) || (text.includes("@") && !text.endsWith(host))) return false;
  return text === host || hostOf(text) === host || hostOf(`http://${text}`) === host;
}

/** As the browser will read it: letters of other scripts in the form `xn--…`. @param {string} target */
function hostOf(target) {
  try {
    const url = new URL(target);
    return url.protocol === "mailto:" ? url.pathname : url.host;
  } catch {
    return target;
  }
}

/** A wide table scrolls by itself. @param {HTMLTableElement} table */
function wrap(table) {
  const box = document.createElement("div");
  box.className = "md-table";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Table");
  table.replaceWith(box);
  box.append(table);
}

/** @param {string | undefined} info */
function language(info) {
  return (info ?? "").trim().split(/\s/)[0].slice(0, 40);
}

/** @param {string} text */
function escaped(text) {
  return text.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);
}
