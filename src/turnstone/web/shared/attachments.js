// @ts-check
/**
 * Files that go into a message: read, checked, and written as fenced blocks under their names.
 *
 * A node takes text alone, so text alone is taken here; of all else the person is told so.
 */

import { number, visible } from "./text.js";

/** @typedef {import("./drafts.js").Attachment} Attachment */

/** Bytes of one file, and characters of a message with all of them. A node takes a body of 1 MB. */
export const MOST_BYTES = 200_000;
export const MOST_CHARACTERS = 400_000;

/** The limits in words, for where files are added. */
export const LIMITS =
  `Text files of up to ${number(MOST_BYTES / 1000)} kB are put into the message. Images and other ` +
  "files cannot be sent yet.";

/**
 * The text of a file, or a sentence about why it cannot be sent.
 * @param {File} file @returns {Promise<Attachment | string>}
 */
export async function readFile(file) {
  const name = visible(file.name || "pasted");
  if (file.type.startsWith("image/")) return `${name} is an image, and images cannot be sent yet.`;
  if (file.size > MOST_BYTES) {
    return `${name} has ${number(Math.ceil(file.size / 1000))} kB; up to ${number(MOST_BYTES / 1000)} kB can be sent.`;
  }
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch {
    return `${name} cannot be read. Is it a folder?`;
  }
  const text = decoded(bytes);
  if (text === null) return `${name} is not text, and only text can be sent.`;
  return { name: file.name || "pasted", text };
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

/**
 * The message as it is sent: what was written, and then the files.
 * @param {string} text @param {readonly Attachment[]} files
 */
export function withFiles(text, files) {
  return [text.trim(), ...files.map(block)].filter(Boolean).join("\n\n");
}

/** A fence is longer than any in the file, so that nothing in it ends it. @param {Attachment} file */
function block({ name, text }) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([found]) => found.length));
  const fence = "`".repeat(longest + 1);
  const plain = name.replace(/[`\r\n]/g, "_");
  const ending = /\.([a-z0-9]{1,12})$/i.exec(plain)?.[1] ?? "";
  return `File \`${plain}\`:\n${fence}${ending}\n${text.replace(/\n$/, "")}\n${fence}`;
}
