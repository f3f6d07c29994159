// Where the modules of the pages are, for tests outside a browser.

import { pathToFileURL } from "node:url";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../../../src/turnstone/web");

/** @param {string} name `shared/state.js` */
export const web = (name) => import(pathToFileURL(path.join(root, name)).href);
