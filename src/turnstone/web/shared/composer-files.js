// @ts-check
/** The files of a message that is being written: chosen, dropped, shown, left out again. */

import { LIMITS, megabytes } from "./attachments.js";
import { changeDraft } from "./drafts.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { counted, visible } from "./text.js";

/** @typedef {import("./drafts.js").Attachment} Attachment */

/** @param {{take: (files: FileList | null) => void}} props */
export function Attach({ take }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  return html`
    <button type="button" title=${LIMITS} aria-label=${`+ Files. ${LIMITS}`} onClick=${() => input.current?.click()}>
      + Files
    </button>
    <input
      ref=${input}
      type="file"
      multiple
      hidden
      aria-label="Files"
      onChange=${(/** @type {any} */ event) => {
        take(event.currentTarget.files);
        event.currentTarget.value = "";
      }}
    />
  `;
}

/**
 * Takes files that are dropped anywhere on the page: beside the place for them, a browser would
 * leave the page to show the file. Gives whether some are held over it.
 * @param {(files: FileList) => void} take
 */
export function useDropped(take) {
  const [over, drag] = useState(false);
  const taking = useRef(take);
  taking.current = take;
  useEffect(() => {
    const has = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
    const held = (/** @type {DragEvent} */ event) => {
      if (!has(event)) return;
      event.preventDefault();
      drag(true);
    };
    const left = (/** @type {DragEvent} */ event) => void (event.relatedTarget ?? drag(false));
    const dropped = (/** @type {DragEvent} */ event) => {
      drag(false);
      if (!has(event)) return;
      event.preventDefault();
      if (event.dataTransfer?.files.length) taking.current(event.dataTransfer.files);
    };
    const stops = new AbortController();
    document.addEventListener("dragover", held, { signal: stops.signal });
    document.addEventListener("dragleave", left, { signal: stops.signal });
    document.addEventListener("drop", dropped, { signal: stops.signal });
    return () => stops.abort();
  }, []);
  return over;
}

/** @param {{wsId: string, files: readonly Attachment[]}} props */
export function Files({ wsId, files }) {
  if (!files.length) return null;
  const without = (/** @type {Attachment} */ one) =>
    changeDraft(wsId, { files: files.filter((each) => each !== one) });
  return html`<ul class="composer-files" aria-label="Files of this message">
    ${files.map(
      (file, place) => html`<li key=${place}>
        ${file.image && html`<${Thumbnail} image=${file.image} />`}
        <span class="composer-file">${visible(file.name)}</span>
        <span class="dim">${file.image ? megabytes(file.size) : counted(file.size, "character")}</span>
        <button type="button" class="small plain" aria-label=${`Leave out ${visible(file.name)}`} onClick=${() => without(file)}>
          ✕
        </button>
      </li>`,
    )}
    <li class="dim composer-limits">${LIMITS}</li>
  </ul>`;
}

/** The name stands beside it. @param {{image: Blob}} props */
function Thumbnail({ image }) {
  const [address, set] = useState("");
  useLayoutEffect(() => {
    const made = URL.createObjectURL(image);
    set(made);
    return () => URL.revokeObjectURL(made);
  }, [image]);
  return address && html`<img class="composer-thumbnail" src=${address} alt="" />`;
}
