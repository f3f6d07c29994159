// @ts-check
/**
 * Files that went with a message: how they are shown in a conversation, and how they come back
 * into a draft.
 */

import { megabytes } from "./attachments.js";
import { html, useState } from "./html.js";
import { Output } from "./output.js";
import { counted, visible } from "./text.js";
import { toast } from "./toast.js";

/** @typedef {import("./state.js").Attached} Attached */
/** @typedef {import("./drafts.js").Attachment} Attachment */

/** The names that a node gives images. */
const KEPT = /^[\w-]+\/image-[0-9a-f]{32}\.(?:png|jpg|gif|webp)$/;

/** @param {{files: readonly Attached[]}} props */
export function AttachedFiles({ files }) {
  if (!files.length) return null;
  return html`<ul class="attached" aria-label="Files of this message">
    ${files.map(
      (file, place) => html`<li key=${place}>
        ${file.image ? html`<${Picture} file=${file} />` : html`<${Text} file=${file} />`}
      </li>`,
    )}
  </ul>`;
}

/** @param {{file: Attached}} props */
function Picture({ file }) {
  const [gone, lose] = useState(false);
  const address = addressOf(file);
  const name = visible(file.name) || "image";
  if (gone || !address) return html`<span class="attached-gone dim">${name}: the image is not kept any more.</span>`;
  return html`<a href=${address} target="_blank" rel="noopener" title=${`${name}, ${megabytes(file.size)}`}>
    <img src=${address} alt=${name} loading="lazy" onError=${() => lose(true)} />
  </a>`;
}

/** @param {{file: Attached}} props */
function Text({ file }) {
  const [open, set] = useState(false);
  const name = visible(file.name) || "text";
  return html`<details class="fold" onToggle=${(/** @type {any} */ e) => set(e.currentTarget.open)}>
    <summary>${name} <span class="dim">${counted(file.size, "character")}</span></summary>
    ${open && html`<${Output} text=${file.text} label=${name} />`}
  </details>`;
}

/** Where the image is; empty where that is no name of one. @param {Attached} file */
function addressOf({ image }) {
  return KEPT.test(image) ? `/api/images/${image}` : "";
}

/**
 * The files as parts of a draft. Null, and the person is told, where one of them is gone: the
 * message would be another one without it.
 * @param {readonly Attached[]} files @returns {Promise<readonly Attachment[] | null>}
 */
export async function drafted(files) {
  const found = await Promise.all(files.map(fetched));
  const whole = found.filter((each) => each !== null);
  if (whole.length === found.length) return whole;
  toast("An image of this message is not kept any more.", "error");
  return null;
}

/** @param {Attached} file @returns {Promise<Attachment | null>} */
async function fetched(file) {
  const { name, mediaType, size, text } = file;
  if (!file.image) return { name, mediaType, size, text, image: null };
  const answer = await fetch(addressOf(file), { credentials: "same-origin" }).catch(() => null);
  return answer?.ok ? { name, mediaType, size, text, image: await answer.blob() } : null;
}
