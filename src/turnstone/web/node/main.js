// @ts-check
/** Where the page of a node begins. */

import { html, render } from "../shared/html.js";
import { KEYMAP } from "../shared/keymap.js";
import { bind, listen } from "../shared/keys.js";
import { showTheme } from "../shared/theme.js";
import { App } from "./app.js";
import { go } from "./model.js";
import { watchAttention } from "./notify.js";
import { followPlace } from "./place.js";
import { start } from "./reading.js";

showTheme();
listen();
bind({ ...KEYMAP.help, run: () => go("help") });
start();
followPlace();
watchAttention();
const place = /** @type {HTMLElement} */ (document.getElementById("app"));
place.textContent = "";
render(html`<${App} />`, place);
