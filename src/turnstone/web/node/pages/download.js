// @ts-check
/** A text as a file of the person's. */

/** Characters that some system does not allow in a file's name, or that would hide it. */
const UNFIT = /[^\p{L}\p{N} ._-]+/gu;

/** @param {string} name @param {string} ending @param {string} text @param {string} type */
export function download(name, ending, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${fileName(name)}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A name that any system takes. @param {string} name */
export function fileName(name) {
  const fit = name.replace(UNFIT, "-").replace(/^[ .-]+|[ .-]+$/g, "");
  return [...fit].slice(0, 80).join("") || "session";
}
