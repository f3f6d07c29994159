// @ts-check
/**
 * Calls the person back when a conversation needs an answer: a count in the title always, a sound
 * and a message of the browser if they were switched on, and while the page is hidden alone.
 */

import { effect, html, useState } from "../shared/html.js";
import { visible } from "../shared/text.js";
import { toast } from "../shared/toast.js";
import { go, prefs, setPrefs, workstreams } from "./model.js";

const TITLE = "Turnstone";

/** Characters of what is asked that a message of the browser shows. */
const SHOWN = 120;

/** Begins to watch; call once. */
export function watchAttention() {
  /** @type {Set<string>} */
  let before = new Set();
  effect(() => {
    const rows = workstreams.value.filter((row) => row.state === "attention");
    document.title = rows.length ? `(${rows.length}) ${TITLE}` : TITLE;
    const news = rows.filter((row) => !before.has(row.id));
    before = new Set(rows.map((row) => row.id));
    if (!document.hidden || !news.length) return;
    if (prefs.peek().sound) beep();
    if (prefs.peek().notify) for (const row of news) announce(row);
  });
}

/** Whether this browser can show messages at all: it does so for secure pages only. */
export function canNotify() {
  return "Notification" in window && isSecureContext && Notification.permission !== "denied";
}

/** Switches messages of the browser on or off; on only where the person lets them. @param {boolean} on */
export async function setNotify(on) {
  if (on && (await Notification.requestPermission()) !== "granted") {
    toast("The browser does not allow messages from this page.", "error");
    return setPrefs({ notify: false });
  }
  setPrefs({ notify: on });
}

/** @param {boolean} on */
export function setSound(on) {
  setPrefs({ sound: on });
  if (on) beep(); // how it sounds; and a browser lets a page sound only once it was clicked
}

/** @param {import("./model.js").Row} row */
function announce(row) {
  const told = new Notification(`${visible(row.name || row.id)} needs an answer`, {
    body: visible(row.activity ?? "").slice(0, SHOWN),
    tag: `turnstone-${row.id}`,
  });
  told.onclick = () => {
    focus();
    go("ws", row.id);
    told.close();
  };
}

/** @type {AudioContext | null} */
let audio = null;

/** Two short soft tones. */
function beep() {
  audio ??= new AudioContext();
  void audio.resume();
  const start = audio.currentTime;
  for (const [n, pitch] of [660, 880].entries()) {
    const tone = audio.createOscillator();
    const loud = audio.createGain();
    const at = start + n * 0.16;
    tone.frequency.value = pitch;
    loud.gain.setValueAtTime(0, at);
    loud.gain.linearRampToValueAtTime(0.12, at + 0.02);
    loud.gain.linearRampToValueAtTime(0, at + 0.14);
    tone.connect(loud).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.15);
  }
}

/** The two switches, for the page of settings. */
export function NotifySwitches() {
  const [asking, ask] = useState(false);
  const { notify, sound } = prefs.value;
  const can = canNotify();
  const change = async (/** @type {any} */ event) => {
    ask(true);
    await setNotify(event.currentTarget.checked);
    ask(false);
  };
  return html`<fieldset class="notify">
    <legend>When a conversation needs an answer and this page is hidden</legend>
    <label>
      <input type="checkbox" checked=${sound} onChange=${(/** @type {any} */ e) => setSound(e.currentTarget.checked)} />
      play a sound
    </label>
    <label>
      <input type="checkbox" checked=${notify && can} disabled=${asking || !can} onChange=${change} />
      show a message of the browser
      ${!can && html`<span class="dim">(this browser does not allow it here)</span>`}
    </label>
  </fieldset>`;
}
