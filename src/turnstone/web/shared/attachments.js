// @ts-check
/**
 * Files that go with a message: read, checked against what a node takes, and written as its API
 * has them. Of what cannot be sent, a sentence says why.
 */

import { number, visible } from "./text.js";

/** @typedef {import("./drafts.js").Attachment} Attachment */

/** What a message may carry. Bytes of images; characters of texts. */
export const MOST_FILES = 8;
export const MOST_IMAGE = 5_000_000;
export const MOST_IMAGES = 20_000_000;
export const MOST_TEXT = 200_000;
export const MOST_TEXTS = 400_000;

/** Bytes that a character has at most; a file with more than these is not even read. */
const WIDEST = 4;

/** The limits in words, for where files are added. */
export const LIMITS =
  `Up to ${MOST_FILES} files: images (PNG, JPEG, GIF, WebP) of up to ${megabytes(MOST_IMAGE)}, and text of up ` +
  `to ${number(MOST_TEXT)} characters.`;

/** How images begin, by their media type. */
const BEGINNINGS = /** @type {const} */ ([
  ["image/png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], 0],
  ["image/jpeg", [0xff, 0xd8, 0xff], 0],
  ["image/gif", [0x47, 0x49, 0x46, 0x38], 0],
  ["image/webp", [0x57, 0x45, 0x42, 0x50], 8],
]);

/**
 * A file as part of a draft, or a sentence about why it cannot be sent.
 * @param {File} file @returns {Promise<Attachment | string>}
 */
export async function readFile(file) {
  const shown = visible(file.name || "pasted");
  const name = [...(file.name || "pasted").replace(/[\r\n]/g, "_")].slice(0, 200).join("");
  try {
    const mediaType = imageType(new Uint8Array(await file.slice(0, 12).arrayBuffer()));
    if (mediaType) return await imageOf(file, name, shown, mediaType);
    if (file.size > WIDEST * MOST_TEXT) return `${shown} has ${megabytes(file.size)}. ${LIMITS}`;
    const text = decoded(await file.arrayBuffer());
    if (text === null) return `${shown} is neither text nor an image that can be sent. ${LIMITS}`;
    if (text.length > MOST_TEXT) return `${shown} has ${number(text.length)} characters. ${LIMITS}`;
    const kind = file.type.startsWith("image/") ? "" : file.type; // a drawing that is written as text
    return { name, mediaType: kind || "text/plain", size: text.length, text, image: null };
  } catch {
    return `${shown} cannot be read. Is it a folder?`;
  }
}

/** Read whole: the file may be another one, or gone, when it is sent.
 * @param {File} file @param {string} name @param {string} shown @param {string} mediaType */
async function imageOf(file, name, shown, mediaType) {
  if (file.size > MOST_IMAGE) return `${shown} has ${megabytes(file.size)}. ${LIMITS}`;
  const image = new Blob([await file.arrayBuffer()], { type: mediaType });
  return { name, mediaType, size: image.size, text: "", image };
}

/**
 * Those that a draft may have with what it has already, and a sentence where some are left out.
 * @param {readonly Attachment[]} has @param {readonly Attachment[]} more
 * @returns {{files: readonly Attachment[], problem: string}}
 */
export function together(has, more) {
  const files = [...has];
  let problem = "";
  for (const file of more) {
    const [images, texts] = [sum(files, true), sum(files, false)];
    if (files.length >= MOST_FILES) problem = `A message takes ${MOST_FILES} files at most.`;
    else if (file.image && images + file.size > MOST_IMAGES) {
      problem = `The images of a message may have ${megabytes(MOST_IMAGES)} together.`;
    } else if (!file.image && texts + file.size > MOST_TEXTS) {
      problem = `The texts of a message may have ${number(MOST_TEXTS)} characters together.`;
    } else files.push(file);
  }
  return { files, problem };
}

/** @param {readonly Attachment[]} files @param {boolean} images */
function sum(files, images) {
  return files.reduce((all, file) => (Boolean(file.image) === images ? all + file.size : all), 0);
}

/** As the API has them. @param {readonly Attachment[]} files */
export function written(files) {
  return Promise.all(
    files.map(async ({ name, mediaType, text, image }) =>
      image ? { name, media_type: mediaType, data: await base64(image) } : { name, media_type: mediaType, text },
    ),
  );
}

/** @param {Blob} blob @returns {Promise<string>} */
async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const pieces = [];
  // By parts: a function takes some ten thousand arguments at most.
  for (let at = 0; at < bytes.length; at += 8192) {
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  }
  return btoa(pieces.join(""));
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return bytes < 100_000 ? `${number(Math.ceil(bytes / 1000))} kB` : `${number(Math.ceil(bytes / 100_000) / 10)} MB`;
}

/** The media type by the first bytes; empty: it is no image that can be sent. @param {Uint8Array} bytes */
function imageType(bytes) {
  const found = BEGINNINGS.find(([, beginning, at]) => beginning.every((byte, n) => bytes[at + n] === byte));
  return found ? found[0] : "";
}

/** @param {ArrayBuffer} bytes @returns {string | null} */
function decoded(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}
