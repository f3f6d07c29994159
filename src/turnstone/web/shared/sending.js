// @ts-check
/**
 * From a draft to the node: messages, commands, and taking back what waits.
 *
 * A message is sent under an id of its own. Where nobody knows whether it arrived, the same text
 * is sent again under the same id, and so accepted once.
 */

import { api, ApiError } from "./api.js";
import { drafted } from "./attached.js";
import { together, written } from "./attachments.js";
import { isCommand } from "./completion.js";
import { changeDraft, clearDraft, draftOf, giveBack } from "./drafts.js";
import { signal } from "./html.js";
import { toast, told } from "./toast.js";

/** @typedef {{id: string, wsId: string, text: string, files: number}} Sending `files`: how many */

/** What is on its way to the node. */
export const underway = signal(/** @type {readonly Sending[]} */ ([]));

/** Commands that were given in this page, by workstream; messages are in the conversation. */
const given = new Map();

/** @param {string} wsId @returns {readonly string[]} */
export function commandsGiven(wsId) {
  return given.get(wsId) ?? [];
}

/**
 * Sends the draft, and gives it back where that fails.
 * @param {string} wsId @param {"queue" | "steer"} busy @param {(wsId: string) => void} open
 */
export async function sendDraft(wsId, busy, open) {
  const draft = draftOf(wsId).value;
  if (!draft.files.length && isCommand(draft.text)) return command(wsId, draft.text.trim(), open);
  const message = draft.text.trim();
  if (!message && !draft.files.length) return;
  clearDraft(wsId);
  await sendMessage(wsId, message, draft, busy);
}

/**
 * Sends a message with the files of its draft, and gives it back where that fails.
 * @param {string} wsId @param {string} message @param {import("./drafts.js").Draft} draft what is
 *   given back @param {"queue" | "steer"} busy
 */
export async function sendMessage(wsId, message, draft, busy) {
  const correlationId = draft.again || newId();
  const sent = { ws_id: wsId, message, correlation_id: correlationId, busy };
  const done = await onTheWay({ id: correlationId, wsId, text: message, files: draft.files.length }, async () => {
    const files = draft.files.length ? { attachments: await written(draft.files) } : {};
    return api.post("/api/send", { ...sent, ...files });
  });
  if (done.answer) {
    if (done.answer.notice) toast(done.answer.notice);
    return;
  }
  // Under this id the node takes this text alone; so it is kept only if nothing was added to it.
  const now = draftOf(wsId).value;
  const again = done.lost && !now.text && !now.files.length ? correlationId : "";
  giveBack(wsId, draft.text, { files: draft.files, again });
}

/** @param {string} wsId @param {string} text @param {(wsId: string) => void} open */
async function command(wsId, text, open) {
  const id = newId();
  given.set(wsId, [...commandsGiven(wsId), text]);
  clearDraft(wsId);
  const done = await onTheWay({ id, wsId, text, files: 0 }, () =>
    api.post("/api/command", { ws_id: wsId, command: text, command_id: id }),
  );
  if (!done.answer || done.answer.error) giveBack(wsId, text);
  else if (done.answer.ws_id && done.answer.ws_id !== wsId) open(done.answer.ws_id);
}

/**
 * @param {Sending} sending @param {() => Promise<any>} post
 * @returns {Promise<{answer?: any, lost?: boolean}>} `lost`: nobody knows whether it arrived
 */
async function onTheWay(sending, post) {
  underway.value = [...underway.value, sending];
  let lost = false;
  const watched = post().catch((error) => {
    lost = error instanceof ApiError && (error.status === 0 || error.status >= 500);
    throw error;
  });
  const answer = await told(watched);
  underway.value = underway.value.filter((each) => each !== sending);
  return { answer, lost };
}

/**
 * Takes a message back that waits; it goes where one writes, with its files.
 * @param {string} wsId
 * @param {{correlationId: string, text: string, attachments: readonly import("./state.js").Attached[]}} message
 */
export async function takeBack(wsId, { correlationId, text, attachments }) {
  const files = await drafted(attachments);
  if (!files) return;
  const done = await told(api.post("/api/cancel", { ws_id: wsId, correlation_id: correlationId }));
  if (done?.cancelled) giveBack(wsId, text, { files });
  else if (done) toast("It is too late: the model has it already.");
}

/** Stops the turn that runs. @param {string} wsId */
export async function stop(wsId) {
  const done = await told(api.post("/api/cancel", { ws_id: wsId }));
  if (done && !done.cancelled) toast("There was nothing to stop.");
}

/** Adds files to the draft; of those that cannot be sent, the person is told why.
 * @param {string} wsId @param {readonly (import("./drafts.js").Attachment | string)[]} read
 */
export function addFiles(wsId, read) {
  const has = draftOf(wsId).value.files;
  const { files, problem } = together(has, read.filter((each) => typeof each !== "string"));
  for (const each of [...read, problem]) if (typeof each === "string" && each) toast(each, "error");
  if (files.length > has.length) changeDraft(wsId, { files });
}

/** Twelve hexadecimal digits, as the node's own. Works on pages that are not served securely too. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
